"""Files as people have them, one of each kind, prepared with no option but what a case needs."""

import pytest

from data_prep import PrepareOptions, prepare
from data_prep.sources import edges
from data_prep.sources._source import ReadOptions
from dgl_dysign.data import schema
from dgl_dysign.data.verify import verify
from dgl_dysign.errors import DataError

MONDAY = 1_609_718_400.0  # 2021-01-04
WEEK = 7 * 86_400.0


class Prepared:
    """What came of a file: names of nodes, events by name, and the manifest."""

    def __init__(self, out):
        self.manifest = verify(out)
        self.nodes = schema.table(out, "nodes")["raw_id"].to_pylist()
        table = schema.table(out, "edges").to_pydict()
        self.events = [
            (self.nodes[src], self.nodes[dst], time)
            for src, dst, time in zip(table["src"], table["dst"], table["time"], strict=True)
        ]
        self.snapshot, self.weight = table["snapshot"], table.get("weight")
        files = [source for source in self.manifest["sources"] if source["lines"]]
        self.lines = {
            key: files[0].get(key, 0) for key in ("header", "rows", "rejected", "comments", "blank")
        }  # fmt: skip
        if (out / "rejected.parquet").exists():
            self.rejected = [(row["line"], row["reason"]) for row in schema.table(out, "rejected").to_pylist()]


@pytest.fixture
def read(tmp_path):
    """Prepare a text: (what came of it, what the look says)."""
    number = 0

    def read(text, file="mine.csv", **options):
        nonlocal number
        number += 1
        path = tmp_path / str(number) / file
        path.parent.mkdir()
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        form = PrepareOptions(**options)
        out = path.parent / "out"
        try:
            prepare("edges", path, out, form)
        except DataError:
            assert [entry.name for entry in path.parent.iterdir()] == [file]
            raise
        seen = edges.open_source(path, ReadOptions(form.on_error), form).look
        return Prepared(out), {take.what: take.taken for take in seen.takes} if seen else None

    return read


THREE = "{0}7,3,1609718400\n3,5,1610323200\n"


@pytest.mark.parametrize(
    "text",
    [
        THREE.format("sender,receiver,when\n"),
        b"\xef\xbb\xbf" + THREE.format("Source ID,Target ID,Time-Stamp\n").replace("\n", "\r\n").encode(),
        THREE.format("from_id,to_id,created_at\n").encode("utf-16"),
        "% sym unweighted\n% 2 3 3\n7 3 1609718400\n\n3 5 1610323200",
        "# exported\n# u v t\n7\t3\t1609718400\n3\t5\t1610323200\n",
        "// edges\nu;v;t\n7;3;1609718400\n3;5;1610323200\n",
        "src,dst,time\n7,3,1609718400000\n3,5,1610323200000\n",
        "src,dst,time\n7.0,3.0,1609718400000000\n3.0,5.0,1610323200000000\n",
        "7 3 20210104\n3 5 20210111\n",
        "7 3 20210104000000\n3 5 20210111000000\n",
        "head|tail|date\n7|3|2021-01-04\n3|5|2021-01-11\n",
        "7,3,2021-01-04T01:00+01:00\n3,5,2021-01-11T00:00:00.000000Z\n",
        '"","source","target","timestamp"\n"1",7,3,"2021-01-04 00:00:00"\n"2",3,5,"2021-01-11 00:00:00"\n',
    ],
)
def test_one_list_in_many_forms(read, text):
    out, says = read(text)
    assert out.nodes == ["3", "5", "7"]
    assert out.events == [("7", "3", MONDAY), ("3", "5", MONDAY + WEEK)]
    assert out.snapshot == [0, 1]
    assert out.manifest["snapshot_rule"] == {"kind": "calendar", "unit": "week"}
    text = text if isinstance(text, str) else text.decode("utf-16" if text[:2] == b"\xff\xfe" else "utf-8")
    assert sum(out.lines.values()) == len(text.splitlines())
    assert says["ids"] in ("integers", "whole numbers, some written as 1.0")


def test_the_names_of_columns_are_recognised_and_said(read):
    out, says = read("rating,payee,payer,when,kind\n5,bob,ann,1609718400,x\n-2,eve,bob,1610323200,y\n")
    assert out.events == [("ann", "bob", MONDAY), ("bob", "eve", MONDAY + WEEK)]
    assert (out.weight, out.manifest["edge_weight"]) == ([5.0, -2.0], "rating")
    assert says == {
        "delimiter": "comma",
        "header": "line 1: rating, payee, payer, when, kind",
        "source": "column 3 ('payer')",
        "destination": "column 2 ('payee')",
        "time": "column 4 ('when')",
        "weight": "column 1 ('rating')",
        "passed over": "column 5 ('kind')",
        "ids": "text; blanks around them are cut",
        "times": "seconds since 1970, UTC",
    }


def test_konect_has_the_weight_before_the_time(read):
    out, says = read("% asym positive\n% 2 3 3\n4 9 1 1609718400\n9 2 3 1610323200\n", "out.mine")
    assert (out.weight, out.events[1]) == ([1.0, 3.0], ("9", "2", MONDAY + WEEK))
    assert (says["time"], says["weight"]) == ("column 4", "column 3")
    assert out.lines["comments"] == 2


def test_quoted_fields_hold_the_delimiter(read):
    out, says = read(
        '"","from","to","when"\n"1","fig, ltd","oak","2021-01-04 08:00:00"\n'
        '"2","oak","fig, ltd","2021-01-12 08:00:00"\n'
    )
    assert (out.nodes, out.snapshot) == (["fig, ltd", "oak"], [0, 1])
    assert (says["quotes"], says["passed over"]) == ("fields may stand in them", "column 1")


def test_ids_with_leading_zeros_are_not_merged(read):
    out, says = read("00501,501,1609718400\n501,94103,1610323200\n")
    assert out.nodes == ["00501", "501", "94103"]
    assert says["ids"].startswith("text")
    rows = "".join(f"{row},{row + 1},{1609718400 + row}\n" for row in range(1, 600))
    with pytest.raises(DataError, match=r"line 600: found src '007' .*--ids text"):
        read(f"{rows}007,7,1609718400\n")
    assert read("00501,501,1609718400\n501,94103,1610323200\n", ids="integer")[0].nodes == ["501", "94103"]


def test_years_are_years(read):
    out, says = read("4 9 1987\n9 2 1989\n2 4 1989\n")
    assert out.events[0][2] == 536_457_600.0
    assert (out.snapshot, out.manifest["num_snapshots"]) == ([0, 2, 2], 3)
    assert says["times"] == "dates as %Y"


def test_small_numbers_are_steps_not_seconds_of_1970(read):
    out, says = read("4 9 0\n9 2 20\n")
    assert (out.manifest["time_unit"], out.manifest["num_snapshots"]) == ("as in the file", 2)
    assert says["times"] == "steps, or seconds from no known time"


def test_a_time_of_1970_among_others_is_a_bad_row(read):
    rows = "".join(f"4,9,{1609718400 + row}\n" for row in range(20))
    with pytest.raises(DataError, match=r"line 21: found time '0' .*--time-unit s"):
        read(f"{rows}4,9,0\n")
    out, _ = read(f"{rows}4,9,0\n", on_error="quarantine")
    assert (len(out.events), [line for line, _ in out.rejected]) == (20, [21])
    assert read(f"{rows}4,9,0\n", time_unit="s")[0].events[0][2] == 0.0


def test_a_bad_first_row_is_no_header_and_sets_no_width(read):
    rows = "4 9 1609718400\n9 2 1610323200\n2 4 1610928000\n"
    for first, reason in (("4 9 1609718400 7\n", "4 columns"), ("--4 9 1609718400\n", "src '--4'")):
        with pytest.raises(DataError, match=f"line 1: found {reason}"):
            read(first + rows)
        out, _ = read(first + rows, on_error="quarantine")
        assert (len(out.events), out.lines["rejected"]) == (3, 1)
        assert out.rejected[0][0] == 1


def test_a_known_format_is_what_it_is_whatever_the_first_row_says(read):
    text = "3,2,4,1609718400,8,8\n6,2,4,1609718400\n1,15,-1,1610323200\n"
    with pytest.raises(DataError, match="line 1: found 6 columns"):
        read(text, "soc-sign-bitcoinotc.csv")
    out, says = read(text, "soc-sign-bitcoinotc.csv", on_error="quarantine")
    assert (out.weight, out.lines["rejected"], says) == ([4.0, -1.0], 1, None)
    assert out.manifest["dataset"] == "bitcoin-otc"
    assert out.manifest["edge_weight"] == "rating"
    text = "a\tb\tid\t2021-01-04 00:00:00\t1\t0.5\n"
    with pytest.raises(DataError, match="at its beginning, expected the header 'SOURCE_SUBREDDIT"):
        read(text, "soc-redditHyperlinks-body.tsv")
    with pytest.raises(DataError, match=r"line 1: found 4 columns.*expected 3"):
        read("1 2 1609718400 0\n2 3 1609718400\n", "CollegeMsg.txt")


def test_blanks_around_names_are_cut_and_that_is_said(read):
    out, says = read("payer,payee,when\nann,bob,1609718400\nbob , ann,1610323200\n")
    assert (out.nodes, out.events[1][:2]) == (["ann", "bob"], ("bob", "ann"))
    assert says["ids"] == "text; blanks around them are cut"


@pytest.mark.parametrize("ids", [("4", "9", "2"), ("ann", "bob", "eve")])
def test_what_is_missing_is_no_node(read, ids):
    a, b, c = ids
    rows = f"{a},{b},1609718400\n{b},{c},1609718401\n{c},{a},1609718402\n{a},{c},1609718403\n"
    bad = [f"{missing},{a},1609718404\n" for missing in ("NaN", "", "NULL")]
    for row in bad:
        with pytest.raises(DataError, match=r"line 6: found src .*a missing id"):
            read("src,dst,time\n" + rows + row)
    out, _ = read("src,dst,time\n" + rows + "".join(bad), on_error="quarantine")
    assert (sorted(out.nodes), out.lines["rejected"]) == (sorted(ids), 3)
    if ids[0] == "ann":
        assert "NaN" in read("src,dst,time\n" + rows + bad[0], ids="text")[0].nodes


def test_decimal_commas(read):
    text = "src;dst;time;amount\n4;9;1609718400;1,5\n9;2;1610323200;0,25\n"
    out, says = read(text)
    assert (out.weight, says["decimal sign"]) == ([1.5, 0.25], "comma")
    assert read(text, weight="amount")[0].weight == [1.5, 0.25]


def test_nanoseconds_are_cut_and_that_is_said(read):
    out, says = read("src,dst,time\n4,9,2021-01-04T00:00:00.123456789Z\n9,2,2021-01-11T00:00:00.5Z\n")
    assert [event[2] for event in out.events] == [MONDAY + 0.123456, MONDAY + WEEK + 0.5]
    assert "cut to six decimals" in says["times"]


def test_a_header_that_stands_again_is_a_bad_row(read):
    text = "src,dst,time\n4,9,1609718400\nsrc,dst,time\n2,4,1610323200\n9,4,1610323200\n"
    with pytest.raises(DataError, match="line 3: found the header again"):
        read(text)
    out, _ = read(text, on_error="quarantine")
    assert (len(out.events), out.lines["rejected"], out.lines["header"]) == (3, 1, 1)


def test_users_and_items_are_two_kinds_of_nodes(read):
    text = "user_id,item_id,timestamp\n4,4,1609718400\n9,4,1610323200\n"
    out, says = read(text)
    assert (out.nodes, out.manifest["id_offsets"]) == (["4", "9", "4"], {"user": 0, "item": 2})
    assert "user and item" in says["nodes"]
    assert read(text, bipartite=False)[0].nodes == ["4", "9"]
    assert read("% bip unweighted\n4 4 1 1609718400\n9 4 1 1609718400\n")[0].nodes == ["4", "9", "4"]
    assert read("4,4,1609718400\n", bipartite=True)[0].nodes == ["4", "4"]


def test_a_class_of_the_event_is_its_label(read):
    out, says = read("from,to,ts,is_fraud\n4,9,1609718400,0\n9,2,1610323200,1\n")
    assert (out.manifest["labels"], out.manifest["class_names"]) == ("event", ["0", "1"])
    assert says["label"] == "column 4 ('is_fraud')"


def test_classes_of_nodes_stand_in_columns_or_in_a_file_of_any_form(read, tmp_path):
    text = "Time\tid1\tid2\tc1\tc2\n31220\t7\t8\t3B\tStaff\n31240\t8\t9\tStaff\t5A\n"
    out, _ = read(text, src_label="c1", dst_label="c2")
    assert (out.manifest["labels"], out.manifest["class_names"]) == ("node", ["3B", "5A", "Staff"])
    labels = tmp_path / "labels"
    for written, names in (
        ("node,class\n7,bad\n9,good\n", ["bad", "good"]),
        ("# node label\n7 1\n9 0\n", ["0", "1"]),
        ('"id";"label"\n7;"a;b"\n9;c\n', ["a;b", "c"]),
    ):
        labels.write_text(written)
        assert read(text, labels=labels)[0].manifest["class_names"] == names


def test_the_data_set_may_be_given_a_name(read):
    assert read("1 2 0\n")[0].manifest["dataset"] == "mine"
    assert read("1 2 0\n", name="other")[0].manifest["dataset"] == "other"
