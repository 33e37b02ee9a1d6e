import gzip

import pytest

from data_prep import PrepareOptions
from data_prep.rules import Rule
from data_prep.sources import edges
from data_prep.sources._source import ReadOptions
from dgl_dysign.errors import ConfigError, DataError

READ, QUARANTINE = ReadOptions(), ReadOptions("quarantine")


@pytest.fixture
def source(tmp_path):
    """Open an edge list of this text."""

    def open_source(text, name="mine.csv", read=READ, labels=None, **given):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return edges.open_source(path, read, PrepareOptions(labels=labels, **given))

    return open_source


def columns(source):
    return {column.name: column.kind for column in source.layout.columns if column.kind != "skip"}


def test_by_default_three_columns_of_unix_times_in_weeks(source, rows):
    found = source("1 2 1082040961\n3 4 1082155839\n", "any.txt")
    assert rows(found) == {"src": [1, 3], "dst": [2, 4], "time": [1082040961.0, 1082155839.0]}
    assert (found.dataset, found.directed, found.unix, found.keep_ids) == ("any", True, True, False)
    assert found.rule == Rule("calendar", unit="week")
    assert found.time_unit == "seconds since 1970-01-01 UTC"


def test_other_encodings_and_decimal_commas(source, rows):
    text = "von;nach;zeit;wert\nJosé;Zoë;1600000000,5;1,5\nZoë;José;1600604800;0,25\n".encode("cp1252")
    columns = {"src": "von", "dst": "nach", "time": "zeit", "weight": "wert"}
    assert rows(source(text, decimal=",", encoding="cp1252", **columns)) == {
        "src": ["José", "Zoë"], "dst": ["Zoë", "José"], "time": [1600000000.5, 1600604800.0], "weight": [1.5, 0.25]
    }  # fmt: skip


@pytest.mark.parametrize("sign", [",", "\t", ";", " "])
def test_the_delimiter_is_seen_in_line_1(source, rows, sign):
    text = "7 8 9\n1 2 3.5\n".replace(" ", sign)
    assert rows(source(text))["time"] == [9.0, 3.5]
    assert rows(source("\ufeff" + text.replace("\n", "\r\n")))["src"] == [7, 1]


def test_tab_goes_before_comma_and_any_character_may_be_given(source, rows):
    assert rows(source("a,b\tc\t1\n")) == {"src": ["a,b"], "dst": ["c"], "time": [1.0]}
    assert rows(source("a b|c|1\n", delimiter="|", ids="text"))["dst"] == ["c"]
    with pytest.raises(ConfigError, match="delimiter"):
        source("1||2||3\n", delimiter="||")


def test_columns_by_number_and_by_name(source, rows):
    assert rows(source("9,1,x,5.5,2\n", src="2", dst="5", time="1", weight="4")) == {
        "time": [9.0], "src": [1], "weight": [5.5], "dst": [2]
    }  # fmt: skip
    named = source("when;from;to;stars\n9;1;2;5\n", src="from", dst="to", time="when", weight="stars")
    assert (rows(named)["src"], named.weight) == ([1], "stars")
    mixed = source("when;from;to\n9;1;2\n", src="from", dst="3", time="1")
    assert rows(mixed) == {"time": [9.0], "src": [1], "dst": [2]}
    assert rows(source("h,h,h\n1,2,3\n", header=True))["dst"] == [2]
    # A column whose name is a number is meant by its name.
    assert rows(source("2,1,3\n7,8,9\n", src="1", dst="2", time="3", header=True))["src"] == [8]


def test_weights_keep_the_name_of_their_column(source):
    assert source("1,2,3,4\n", weight="4").weight == "4"
    assert source("6,2,4,1289241911.72836\n", "soc-sign-bitcoinotc.csv").weight == "rating"
    assert source("1,2,3\n").weight is None


@pytest.mark.parametrize(
    ("text", "given", "said"),
    [
        ("1,2,3\n", {"src": "from"}, "found no rows"),
        ("a,b,c\n1,2,3\n", {"src": "from"}, r"mine\.csv, line 1: found columns 'a', 'b', 'c', expected from"),
        ("1,2,3\n", {"src": "4"}, "found 3 columns in most rows, expected column 4"),
        ("1,2,3\n", {"src": "0"}, "found 3 columns in most rows, expected column 0"),
        ("1" + ",1" * 10_000, {}, r"mine\.csv: found 10001 columns, expected at most 10000"),
        (
            "a,b,c\n1\n",
            {"src": "b", "dst": "a", "time": "c"},
            "line 1: found 3 names of columns over rows of 1 columns, expected a name for each",
        ),
        ("", {}, r"mine\.csv: found no rows, expected lines of src dst time"),
        ("src,dst,time\n", {"header": True}, r"found no rows"),
        ("\n \n\n", {}, r"found no rows"),
        (
            ",".join(f"name{at}" for at in range(50)) + "\n" + "1," * 49 + "1\n",
            {"src": "x"},
            r"'name11', \.\.\., expected x",
        ),
        ("\x1b[2J\v,b\n1,2\n", {"src": "x"}, r"found columns '\\x1b\[2J', 'b', expected x"),
    ],
)
def test_a_form_that_does_not_fit_is_one_line(source, text, given, said):
    with pytest.raises(DataError, match=said) as caught:
        source(text, **given)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"src": "from", "header": False}, "found column from without a header, expected its number"),
        ({"dst": "1"}, r"found one column given twice \(source 1, destination 1, time 3\)"),
        ({"weight": "3"}, "found one column given twice"),
        ({"edge_features": "1", "src": "2", "dst": "3", "time": "4"}, "expected all other columns before it"),
        ({"time_unit": "h"}, "--time-unit: found h, expected one of s, ms, us, ns, none"),
        ({"ids": "float"}, "--ids: found float"),
        ({"time_format": "%Q"}, "date format"),
    ],
)
def test_options_that_do_not_go_together(source, given, said):
    with pytest.raises(ConfigError, match=said):
        source("1,2,3,4,5\n", **given)


def test_ids_are_as_the_first_row_has_them_unless_said(source, rows):
    assert rows(source("1,2,3\n"))["src"] == [1]
    assert rows(source("1,b,3\n2,c,4\n")) == {"src": ["1", "2"], "dst": ["b", "c"], "time": [3.0, 4.0]}
    assert rows(source("1,2,3\n", ids="text"))["src"] == ["1"]
    with pytest.raises(DataError, match=r"line 1: found dst 'b' .*expected an integer"):
        rows(source("1,b,3\n", ids="integer"))
    with pytest.raises(DataError, match=r"line 2: found src 'x' .*expected an integer"):
        rows(source("1,2,3\nx,2,3\n"))


@pytest.mark.parametrize("name", ["soc-sign-bitcoinotc.csv", "soc-sign-bitcoinalpha.csv.gz", "CollegeMsg.txt"])
def test_known_data_sets_have_numbers_for_ids_whatever_the_first_row_says(source, rows, name):
    """Else one damaged character would make names of all ids, in another order, without a word."""
    text = "6x 2 4 1289241911\n" if "College" in name else "6x,2,4,1289241911\n"
    with pytest.raises(DataError, match=r"line 1: found (src '6x'|4 columns)"):
        rows(source(text, name))


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("soc-sign-bitcoinotc.csv", "bitcoin-otc"),
        ("soc-sign-bitcoinalpha.csv.gz", "bitcoin-alpha"),
        ("soc-sign-bitcoinotc-003.csv", "bitcoin-otc"),
    ],
)
def test_bitcoin(source, rows, made, name, dataset):
    text = "7,1,10,1407470400\n430,1,-10,1376539200\n7,430,3,1376539200\n"
    found = source(gzip.compress(text.encode()) if name.endswith("gz") else text, name)
    assert found.dataset == dataset
    assert rows(found)["weight"] == [10.0, -10.0, 3.0]
    manifest, tables = made(found)
    # Sorted by week; of one time in file order; each rating with its own edge.
    assert [(row[1], row[2], row[4], row[5]) for row in tables["edges"]] == [
        (2, 0, 1, -10.0), (1, 2, 2, 3.0), (1, 0, 0, 10.0)
    ]  # fmt: skip
    assert [row[1] for row in tables["nodes"]] == ["1", "7", "430"]
    assert (manifest["edge_weight"], manifest["directed"]) == ("rating", True)


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("CollegeMsg.txt", "college-msg"),
        ("wiki-talk-temporal.txt.gz", "wiki-talk"),
        ("sx-stackoverflow.txt", "stack-overflow"),
    ],
)
def test_message_lists_keep_repeated_lines(source, made, name, dataset):
    text = b"9 8 1217567877\n1 1 1217573801\n9 8 1217567877\n13 1 1217606247\n"
    manifest, tables = made(source(gzip.compress(text) if name.endswith("gz") else text, name))
    assert (manifest["dataset"], manifest["num_edges"], manifest["duplicate_rows"]) == (dataset, 4, 1)
    assert [row[1] for row in tables["nodes"]] == ["1", "8", "9", "13"]


HYPERLINKS = (
    "SOURCE_SUBREDDIT\tTARGET_SUBREDDIT\tPOST_ID\tTIMESTAMP\tLINK_SENTIMENT\tPROPERTIES\n"
    "leagueoflegends\tteamredditteams\t1u4nrps\t2013-12-31 16:39:58\t1\t345.0,298.0,0.75652\n"
    "theredlion\tsoccer\t1u4qkd\t2014-01-01 00:00:00\t-1\t101.0,98.0,0.742574\n"
)


@pytest.mark.parametrize(("name", "dataset"), [("body", "reddit-body"), ("title", "reddit-title")])
def test_reddit_hyperlinks(source, made, name, dataset):
    manifest, tables = made(source(HYPERLINKS, f"soc-redditHyperlinks-{name}.tsv"), rule=Rule("calendar", unit="year"))
    assert (manifest["dataset"], manifest["edge_weight"], manifest["id_order"]) == (
        dataset, "LINK_SENTIMENT", "lexicographic"
    )  # fmt: skip
    assert [row[1] for row in tables["nodes"]] == ["leagueoflegends", "soccer", "teamredditteams", "theredlion"]
    assert tables["edges"] == [(0, 0, 2, 1388507998.0, 0, 1.0), (1, 3, 1, 1388534400.0, 1, -1.0)]
    assert tables["edge_features"][0] == ([345.0, 298.0, pytest.approx(0.75652)],)


def test_features_go_on_to_the_last_column_or_stand_in_it(source, rows):
    assert rows(source("1,2,3,0.5,-1\n4,5,6,1,2\n", edge_features="4"))["feat"] == [[0.5, -1.0], [1.0, 2.0]]
    assert rows(source("1\t2\t3\t0.5,-1\n", edge_features="4"))["feat"] == [[0.5, -1.0]]
    assert rows(source("1 2 3 0.5 -1\n", edge_features="4"))["feat"] == [[0.5, -1.0]]
    assert rows(source("1,2,3,0.5\n", edge_features="4"))["feat"] == [[0.5]]


@pytest.mark.parametrize(
    ("given", "text", "time"),
    [
        ({}, "2013-12-31 16:39:18", 1388507958.0),
        ({}, "2013-12-31T16:39:18Z", 1388507958.0),
        ({}, "1970-01-02", 86400.0),
        ({"time_format": "%d.%m.%Y %H:%M"}, "02.01.1970 00:01", 86460.0),
        ({"time_unit": "ms"}, "1289241911728", 1289241911.728),
        ({"time_unit": "us"}, "1289241911728001", 1289241911.728001),
        ({"time_unit": "ns"}, "2000000000", 2.0),
        ({"time_unit": "none"}, "0.5", 0.5),
        ({"time_unit": "s"}, "-86400", -86400.0),
        ({"time_format": "%Y%m%d"}, "19700102", 86400.0),
    ],
)
def test_times_as_numbers_in_any_unit_or_as_dates(source, rows, given, text, time):
    found = source(f"1,2,{text}\n", **given)
    assert rows(found)["time"] == [time]
    assert found.unix == (given.get("time_unit") != "none")
    if not found.unix:
        assert (found.rule, found.time_unit) == (Rule("step"), "as in the file")


def test_undirected_lists_say_so(source):
    assert not source("1,2,3\n", undirected=True).directed


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path, rows):
    for number in (10, 9, 1):
        (tmp_path / f"part-{number}.csv").write_text(f"{number},0,{number}\n")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "labels.txt").write_text("1 4\n9 5\n")
    (tmp_path / "synth.json").write_text("{}")
    (tmp_path / "sub").mkdir()
    found = edges.open_source(tmp_path, READ, PrepareOptions(labels=tmp_path / "labels.txt"))
    assert rows(found)["src"] == [1, 9, 10]
    assert found.dataset == "part-generated"


def test_a_file_beside_its_archive_is_refused(tmp_path):
    for name in ("a.csv", "b.csv", "a.csv.gz"):
        (tmp_path / name).write_text("1,2,3\n")
    with pytest.raises(DataError, match=r"found a\.csv, a\.csv\.gz, expected one of them"):
        edges.open_source(tmp_path, READ)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match="found no such file or folder, expected an edge list"):
        edges.open_source(tmp_path / "absent", READ)
    with pytest.raises(DataError, match="found no file in it"):
        edges.open_source(tmp_path, READ)
    (tmp_path / "a.csv").write_text("1,2,3\n")
    with pytest.raises(DataError, match=r"labels\.txt: found no such file"):
        edges.open_source(tmp_path / "a.csv", READ, PrepareOptions(labels=tmp_path / "labels.txt"))


def test_parts_of_different_widths_do_not_go_together(tmp_path, made):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a-1.csv").write_text("1,2,3,0.5\n")
    (tmp_path / "raw" / "a-2.csv").write_text("1,2,3,0.5,0.25\n")
    with pytest.raises(DataError, match=r"a-2\.csv: found columns .*, expected those of a-1\.csv"):
        made(edges.open_source(tmp_path / "raw", READ, PrepareOptions(edge_features="4")))


@pytest.mark.parametrize("text", ["1,2,3\n7,2,4\n", "1,7,3\n2,2,3\n"])
def test_labels_of_nodes(source, made, tmp_path, text):
    labels = tmp_path / "labels.txt"
    labels.write_text("7 30\n1 4\n")
    manifest, tables = made(source(text, labels=labels))
    assert (manifest["labels"], manifest["class_names"]) == ("node", ["4", "30"])
    assert tables["labels"] == [(0, 0), (2, 1)]
    labels.write_text("7 30\n5 4\n")
    with pytest.raises(DataError, match=r"labels\.txt, line 2: found a label for unknown node 5"):
        made(source(text, labels=labels))
    manifest, tables = made(source(text, labels=labels), allow_unknown_labels=True)
    assert [row[1] for row in tables["nodes"]] == ["1", "2", "5", "7"]
    assert tables["labels"] == [(2, 0), (3, 1)]
    assert tables["nodes"][2][3] == -1
    quarantined = source(text, labels=labels, read=QUARANTINE)
    manifest, tables = made(quarantined, "quarantine")
    assert (manifest["num_nodes"], tables["labels"]) == (3, [(2, 0)])
    assert tables["rejected"] == [("labels.txt", 2, "5 4", "no event names this node")]


def test_a_message_names_some_of_many_columns(source, rows):
    with pytest.raises(DataError, match=r"expected 200 \(`src,dst,time,column4,.*,column24,\.\.\.`\)"):
        rows(source(",".join("1" * 200) + "\n1,2\n"))


def test_labels_of_nodes_that_are_named(source, made, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("10 3\n9 4\n")
    _, tables = made(source("9,10,1\nx,9,2\n", ids="text", labels=labels))
    assert [row[1] for row in tables["nodes"]] == ["10", "9", "x"]
    assert tables["labels"] == [(0, 0), (1, 1)]
    labels.write_text("x 3\nGr\u00fcn 4\n010 3\n", "utf-8")
    _, tables = made(source("Gr\u00fcn,010,1\nx,010,2\n", labels=labels))
    assert [row[1] for row in tables["nodes"]] == ["010", "Gr\u00fcn", "x"]
    assert tables["labels"] == [(0, 0), (1, 1), (2, 0)]
    labels.write_text("x 3\nX 4\n")
    with pytest.raises(DataError, match=r"labels\.txt, line 2: found a label for unknown node X, expected"):
        made(source("Gr\u00fcn,010,1\nx,010,2\n", labels=labels))
    manifest, tables = made(source("a,b,1\nx,b,2\n", labels=labels), allow_unknown_labels=True)
    assert (manifest["num_nodes"], tables["labels"]) == (4, [(0, 1), (3, 0)])
    labels.write_text("x 3\na 4\nx 4\n")
    with pytest.raises(DataError, match=r"line 3: found label 4 for node x, expected label 3 as on line 1"):
        source("a,b,1\nx,b,2\n", labels=labels)


def test_labels_of_events(source, made):
    manifest, tables = made(source("5,2,900000,656\n1,5,0,95\n", label="4"))
    assert (manifest["labels"], manifest["class_names"]) == ("event", ["95", "656"])
    assert tables["labels"] == [(1, 0, 0, 0), (0, 2, 1, 1)]


def test_labels_of_nodes_and_of_events_are_not_both_taken(source, tmp_path):
    with pytest.raises(
        ConfigError, match=r"found --labels .* and --src-label .* 4, expected labels of events or of nodes, once"
    ):
        source("1,2,3,4\n", src_label="4", labels=tmp_path / "labels.txt")
    with pytest.raises(ConfigError, match=r"found --label 4 and --src-label .* 4, expected labels of events or"):
        source("1,2,3,4\n", label="4", src_label="4")
