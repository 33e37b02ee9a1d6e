"""What is decided from the first rows of a file, question by question, and what is refused."""

from pathlib import Path

import pytest

from data_prep import PrepareOptions
from data_prep.sources.look import EVENT, check_header, look, look_at
from dgl_dysign.errors import ConfigError, DataError

FILE = Path("mine.csv")


def see(text, roles=EVENT, **options):
    return look_at(text.split("\n"), FILE, roles, PrepareOptions(**options))


def refused(text, match, error=DataError, roles=EVENT, **options):
    with pytest.raises(error, match=match) as caught:
        see(text, roles, **options)
    assert str(caught.value).isprintable()


def rows(*texts, number=3):
    """Return some rows `1,2,text` for each text."""
    return "\n".join(f"{row + 1},{row + 2},{text}" for row, text in enumerate(texts * number))


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("1\t2\t3", "\t"),
        ("1;2;3", ";"),
        ("1|2|3", "|"),
        ("1,2,3", ","),
        ("1  2\t3", " "),
        ("a,b\tc\t3", "\t"),
        ("ann lee,bob,2021-01-04 08:00:00", ","),
        ("1;2;1600000000,5;1,5", ";"),
        ("1,2,3,Mozilla (X11; Linux; rv)", ","),
        ("1, 2, 3", ","),
    ],
)
def test_the_delimiter_cuts_most_lines_alike_and_leaves_a_time(text, delimiter):
    assert see(f"{text}\n{text}").delimiter == delimiter
    assert see(f"{text}\n1\n{text}").delimiter == delimiter
    assert see(text, delimiter="\\t" if delimiter == "\t" else delimiter).delimiter == delimiter


def test_white_space_of_all_kinds_is_no_tab_in_most_lines():
    assert see("a\tb\t1\nc d 2\ne\tf\t3").delimiter == " "
    assert see('a\t"b"\t1\nc d 2\ne\tf\t3').delimiter == "\t"
    assert see("a b\tc\t1\nc d\te\t2\nf g 3").delimiter == "\t"


def test_text_that_is_no_utf_8_is_shown_as_bytes(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("src,dst,time,Stärke\n1,2,3,4\n5,6,7,ä\n".encode("latin-1"))
    seen = look(path, EVENT, PrepareOptions(weight="4"))
    assert (seen.names[3], seen.rows[1][3]) == ("St\\xe4rke", "\\xe4")
    assert all(str(take).isprintable() for take in seen.takes)
    assert look(path, EVENT, PrepareOptions(encoding="latin-1", weight="Stärke")).names[3] == "Stärke"


def test_quotes_are_seen_where_a_field_stands_in_them(tmp_path):
    assert see('1,2,3,"a, b"\n1,2,3,c').quote
    assert not see('1,2,3,5" pipe\n1,2,3,c').quote
    assert not see('1,2,3,"a"', quote=False).quote
    assert see("1,2,3", quote=True).quote
    refused('"a" "b" 3', "found quotes between blanks, .*--no-quote")
    assert see('"a" "b" 3', quote=False).ids == "text"


@pytest.mark.parametrize(
    ("text", "comment", "names"),
    [
        ("# a\n1 2 3", "#", ()),
        ("% a\n\n% b\n1 2 3", "%", ()),
        ("// a\n1 2 3", "//", ()),
        ("# when, to, from\n3,2,1", "#", ("when", "to", "from")),
        ("# when, to, from\n# of April\n3,2,1", "#", ("when", "to", "from")),
        ("# one line of words\n1 2 3", "#", ()),
        ("1 2 3\n# a", None, ()),
        ("#a,#b,3\n#b,#c,4", None, ()),
    ],
)
def test_the_first_line_shows_comments_and_the_last_of_them_may_name_columns(text, comment, names):
    seen = see(text)
    assert (seen.comment, seen.names, seen.header) == (comment, names, False)
    if names:
        assert seen.places == {"src": 2, "dst": 1, "time": 0}
        refused(text, f"found columns .*'{names[0]}', .*expected whence; name one, or give its number", src="whence")


def test_lines_that_may_be_comments_or_rows_are_refused():
    text = "#ann,bob,1600000000\nbob,eve,1600000001\nbob,ann,1600000002"
    refused(text, "found a line '#ann,bob,1600000000'.*--comment # if it is, or --comment ''")
    assert see(text, comment="").comment is None
    assert see(text, comment="#").rows[0][0] == "bob"
    assert see("#4,9,1600000000\n9,2,1600000001\n9,4,1600000002").comment == "#"
    refused("// a list\n02134,7,1600000000\n//,7,1600000001\n", "found a line '//,7,1600000001'")


@pytest.mark.parametrize(
    ("first", "below", "header"),
    [
        ("src,dst,time", "ann,bob,3", True),
        ("a,b,c", "1,2,3", True),
        ("a,b,when", "ann,bob,3", True),
        ("a,2,c", "1,2,3", False),
        ("a,b,2021-01-04", "1,2,2021-01-04", False),
        ("a,,c", "1,2,3", True),
        ("ann,bob,3", "bob,eve,4", False),
        ('"1","2","3"\r ', '"2","3","4"', False),
    ],
)
def test_a_header_has_names_and_no_number(first, below, header):
    assert see(f"{first}\n{below}\n{below}").header is header
    assert see(f"{first}\n{below}\n{below}", header=True, src="1", dst="2", time="3").header


def test_a_first_line_that_may_be_a_header_or_a_bad_row_is_refused():
    text = "p,q,r\nann,bob,3\nbob,eve,4"
    refused(text, r"line 1: found neither a number nor names .*--header or --no-header")
    assert see(text, header=True).places == {"src": 0, "dst": 1, "time": 2}
    assert not see(text, header=False).header


@pytest.mark.parametrize(
    "text",
    [
        "target,source,time,1600000000\n1,2,3,4\n5,6,7,8",
        "?\namount;buyer;seller;time\n1;2;3;4\n5;6;7;8",
        "1 2 4\nv u t\n2 5 7",
        "4 a when u 3\n9 b 1 2 3\n9 b 1 2 3",
        "1,v,u,time,weight\n1,2,3,4\n5,6,7,8",
    ],
)
def test_names_of_columns_below_line_1_or_beside_a_number_are_no_bad_row(text):
    """Else all columns would be taken by their places, whatever they are called."""
    refused(text, "further down, or with a number in it, expected names of columns in line 1 alone; .*--no-header")
    assert not see(text, header=False).header


def test_ids_that_could_be_names_of_columns_are_ids():
    assert not see("u i 7\n4 9 1\n5 5 2").header
    assert not see("user,page,7\na,b,1\nc,d,2").header


def test_a_header_names_each_column():
    refused("src,dst,time\n1,2,3,4", "line 1: found 3 names of columns over rows of 4 columns")
    assert see("src,dst,time,\n1,2,3\n4,5,6").names == ("src", "dst", "time")
    assert see("src,dst,time\n1,2,3,\n4,5,6,").names == ("src", "dst", "time", "")
    assert see("src,dst,time\n1,2,3,4", header=True, src="1", dst="2", time="4").places["time"] == 3
    refused("src,dst,time,time\n1,2,3,4", r"found 2 columns named 'time', .*--time")
    refused("src,dst,time,x,x\n1,2,3,4,5", "found columns named x twice, .*number", ConfigError, weight="x")


@pytest.mark.parametrize(
    ("header", "src", "dst", "time"),
    [
        ("Target,Source,Timestamp", 1, 0, 2),
        ("id1,id2,t", 0, 1, 2),
        ("i,j,ts", 0, 1, 2),
        ("u,i,ts", 0, 1, 2),
        ("when,to_address,from_address", 2, 1, 0),
        ("Follower-ID,Followee ID,created_at", 0, 1, 2),
        ("weight,head,tail,year", 1, 2, 3),
        ("person,knows,since", 0, 1, 2),
        ("time,a,b", 1, 2, 0),
        ("key,a,when", 0, 1, 2),
        ("when,what,source", 2, 1, 0),
        ("to,x,when,amount", 1, 0, 2),
    ],
)
def test_columns_are_known_by_usual_names_and_else_by_what_is_left(header, src, dst, time):
    width = header.count(",") + 1
    seen = see("\n".join([header, ",".join("1234"[:width]), ",".join("5678"[:width])]))
    assert {role: seen.places[role] for role in ("src", "dst", "time")} == {"src": src, "dst": dst, "time": time}


def test_names_that_leave_a_choice_are_refused():
    refused(
        "from,to,sender,receiver,time\n1,2,3,4,5", r"edges from columns 1 \('from'\) to 2 .* or 3 .*--src and --dst"
    )
    refused("a,b,time,c\n1,2,3,4", "line 1: found columns 'a', 'b', 'time', 'c', .*--src and --dst")
    refused("src,dst,a,b\n1,2,3,4", "line 1: .*name the columns with --time")
    seen = see("from,to,sender,receiver,time\n1,2,3,4,5", src="sender", dst="4")
    assert seen.places == {"src": 2, "dst": 3, "time": 4}
    assert see("a,b,time,c\n1,2,3,4", src="a", dst="c").places == {"src": 0, "dst": 3, "time": 2}


def test_weights_and_labels_have_usual_names_and_values_that_fit():
    seen = see("src,dst,time,amount,is_fraud\n1,2,3,0.5,1\n4,5,6,0.25,0")
    assert (seen.places["weight"], seen.places["label"]) == (3, 4)
    assert "weight" not in see("src,dst,time,amount\n1,2,3,much\n4,5,6,little").places
    assert "weight" not in see("src,dst,time,score,amount\n1,2,3,1,1").places
    assert "label" not in see("src,dst,time,class\n1,2,3,1", labels="x").places
    assert see("user,item,time,target\n1,2,3,1").places["label"] == 3
    takes = {take.what: take.taken for take in see("src,dst,time,type\n1,2,3,a").takes}
    assert takes["passed over"] == "column 4 ('type')"


@pytest.mark.parametrize(
    ("text", "time", "weight"),
    [
        ("4 9 1 1600000000", 3, 2),
        ("4 9 x 1600000000", 3, None),
        ("4 9 1984 write", 2, None),
        ("4 9 0.5 1984\n4 9 0.5 1994\n4 9 0.5 time", 3, 2),
        ("4 9 5 7", 2, None),
        ("4 9 1 0 2021-01-04", 4, 3),
    ],
)
def test_without_names_the_time_is_column_3_or_a_later_one_that_is_plainly_one(text, time, weight):
    places = see(f"{text}\n{text}").places
    assert (places["src"], places["dst"], places["time"], places.get("weight")) == (0, 1, time, weight)


@pytest.mark.parametrize("time", ["1600000000", "2021-03-01", "20210301", "1994"])
@pytest.mark.parametrize("text", ["{} 9 5", "9 {} 5", "9 {} 5 0.5"])
def test_rows_that_begin_with_their_time_are_refused(text, time):
    text = "\n".join(3 * [text.format(time)])
    at = text.split().index(time) + 1
    refused(text, f"values like '{time}' in column {at}, .* which column is the time; name all three, .*--time {at}")
    assert see(text, src="3", dst="2", time="1").places["time"] == 0
    assert see(text, src="1", dst="2", time="3").places["time"] == 2


def test_a_later_column_that_ascends_as_times_do_is_not_passed_over():
    lines = [f"{row % 4} {row % 3} {1 - 2 * (row % 2)} {row // 2}" for row in range(20)]
    refused("\n".join(lines), "numbers that ascend in column 4, not in column 3, .*--time 3, or --time 4")
    assert see("\n".join(lines), time="4").places == {"src": 0, "dst": 1, "time": 3}
    assert see("\n".join(lines), time="3").places["time"] == 2
    assert see("\n".join(" ".join([*line.split()[:2], str(row), str(row)]) for row, line in enumerate(lines)))
    assert see("\n".join(lines[:9])).places["time"] == 2


def test_a_relation_is_no_destination():
    text = "ann,met,bob,2021-01-04\nbob,saw,eve,2021-01-05"
    refused(text, "values of column 1 in column 3, and none in column 2, .*--dst 2 or --dst 3")
    assert see(text, dst="3").places == {"src": 0, "dst": 2, "time": 3}
    assert see(text, dst="2").places == {"src": 0, "dst": 1, "time": 3}
    assert see("ann,bob,met,2021-01-04\nbob,eve,saw,2021-01-05").places == {"src": 0, "dst": 1, "time": 3}


def test_large_ids_are_no_times():
    assert see("1600000000 1600000007 5\n1600000000 1700000000 6").places["time"] == 2


def test_two_columns_that_may_be_the_time_are_refused():
    text = "4 9 1600000000 1600000300\n9 2 1600000001 1600000301"
    refused(text, "found times in columns 3 and 4, .*--time")
    assert see(text, time="3").places["time"] == 2
    lines = [f"{20 * step} {1000 + step % 7} {1001 + step % 5}" for step in range(20)]
    refused("\n".join(lines), "numbers that ascend in column 1, .*--time 3, or --time 1 --src 2 --dst 3")
    assert see("\n".join(lines), time="1", src="2", dst="3").places == {"src": 1, "dst": 2, "time": 0}
    second = ["{1} {0} {2}".format(*line.split()) for line in lines]
    refused("\n".join(second), "numbers that ascend in column 2, .*--time 3, or --time 2 --src 1 --dst 3")
    swapped = [" ".join(reversed(line.split())) for line in lines]
    assert see("\n".join(swapped)).places["time"] == 2


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        (["4", "9"], "id"),
        (["0", str(2**63 - 1)], "id"),
        (["4.0", "9."], "whole"),
        (["4", "9.0"], "whole"),
        (["4", "09"], "text"),
        (["ann", "9"], "text"),
        (["4.5", "9"], "text"),
        (["0x1f", "9"], "text"),
        (["-1", "9"], "text"),
        (["", "NaN", "4", "9"], "id"),
        (["ann"] + ["4"] * 20, "id"),
        (["ann"] * 3 + ["4"] * 20, "text"),
    ],
)
def test_ids_are_what_most_are_and_text_if_a_zero_would_be_lost(ids, kind):
    text = "\n".join(f"{name},{name},1600000000" for name in ids)
    assert see(text).ids == kind
    assert see(text).missing
    assert (see(text, ids="text").ids, see(text, ids="text").missing) == ("text", False)
    assert see(text, ids="integer").ids == "integer"


@pytest.mark.parametrize(
    ("times", "unit", "kind", "rule"),
    [
        (["0", "99999999"], "none", "number", "step"),
        (["-5", "0.25"], "none", "number", "step"),
        (["1e8", "1600000000.5"], "s", "number", "calendar"),
        (["1600000000000"], "ms", "number", "calendar"),
        (["1600000000000000"], "us", "number", "calendar"),
        (["1600000000000000000"], "ns", "number", "calendar"),
        (["19991231", "20000229"], "date", "yyyymmdd", "calendar"),
        (["20210104"] * 6 + ["20211301"], "date", "yyyymmdd", "calendar"),
        (["20001301", "20001302"], "none", "number", "step"),
        (["1500", "2100"], "date", "date", "calendar"),
        (["1499", "2101"], "none", "number", "step"),
        (["2021010412", "2021010500"], "date", "date", "calendar"),
        (["2021-01-04", "2021-01-04T08:00:00.123456789Z"], "date", "date", "calendar"),
        (["0", "1600000000", "1600000001"], "s", "number", "calendar"),
    ],
)
def test_times_are_what_most_of_them_are(times, unit, kind, rule):
    seen = see(rows(*times, number=1))
    assert (seen.unit, seen.time.kind, seen.rule.kind) == (unit, kind, rule)
    guarded = unit in ("s", "ms", "us", "ns")
    assert (seen.time.within is not None) is guarded
    if kind == "number":
        for chosen in ("s", "none"):
            seen = see(rows(*times, number=1), time_unit=chosen)
            assert (seen.unit, seen.time.within) == (chosen, None)


def test_dates_in_other_forms_are_refused_with_the_formats_that_read_them():
    refused(rows("03/01/2021", "12/31/2021"), r"--time-format '%m/%d/%Y'$")
    refused(rows("03/01/2021 08:00"), r"--time-format '%m/%d/%Y %H:%M' or --time-format '%d/%m/%Y %H:%M'$")
    refused(rows("31.12.2021 23:59:01"), r"--time-format '%d.%m.%Y %H:%M:%S'$")
    refused(rows("5 Mar 2021"), r"--time-format '%d %b %Y'$")
    seen = see(rows("03/01/2021"), time_format="%d/%m/%Y")
    assert (seen.time.format, seen.unit, seen.rule.unit) == ("%d/%m/%Y", "date", "week")
    assert see(rows("1984"), time_format="%Y").rule.unit == "year"


@pytest.mark.parametrize(
    ("times", "match"),
    [
        (["x", "y"], "found values like 'x' in column 3, expected times; .*--time,"),
        (["1600000000", "5"], "may count (s or none|none or s), expected one unit; give --time-unit"),
        (["1994", "0", "2010", "2012", "1999"], "times like 1994 .*--time-format %Y, or --time-unit none"),
        (["20210104", "20210105", "20211301"], "times like 20210104 .*--time-format %Y%m%d, or --time-unit none"),
        (["20210104.0", "20210105.0"], "times like 20210104.0 .*--time-format %Y%m%d.0, or --time-unit none"),
        (["1994.0", "1996.0"], "times like 1994.0 .*--time-format %Y.0, or --time-unit none"),
        (["202101", "202112"], "times like 202101 .*--time-format %Y%m, or --time-unit none"),
        (["2021-01-04,08:00"], "dates in column 3 and times of day in column 4, .*--time 3"),
        (["20210104,08:00:01"], "dates in column 3 and times of day in column 4"),
    ],
)
def test_times_that_may_be_two_things_are_refused(times, match):
    refused(rows(*times), match)


def test_parts_of_dates_in_several_columns_are_refused():
    text = "from,to,year,month\n1,2,1994,11\n2,3,1995,12"
    refused(text, r"dates in column 3 \('year'\) and more in 4 \('month'\), expected them in one, .*--time 3")
    assert see(text, time="year").time.format == "%Y"
    refused("from,to,date,hour\n1,2,2021-01-04,8", "dates in column 3 .* and more in 4 .'hour'")
    assert see("from,to,date,hour\n1,2,2021-01-04T08:00,8").places["time"] == 2


def test_an_option_that_contradicts_the_file_is_refused():
    refused(rows("2021-01-04"), "--time-unit ms and times like '2021-01-04'.*leave it out", ConfigError, time_unit="ms")
    refused("1,2", "found 2 columns in most rows, expected 3: src dst time; check --delimiter")
    refused("1,2,3", "found 3 columns in most rows, expected column 4", weight="4")
    refused("1,2,3", "column from without a header", ConfigError, src="from", header=False)


def test_the_decimal_sign_is_what_numbers_say():
    assert see("1;2;3;0,5\n1;2;3;4", weight="4").decimal == ","
    assert see("1;2;3;0.5\n1;2;3;4", weight="4").decimal == "."
    assert see("1;2;3;1,500\n1;2;3;2,25", weight="4").decimal == ","
    refused("1;2;3;1,500\n1;2;3;2,250", "found numbers like 1,500, .*--decimal , if it is, or --decimal", weight="4")
    assert see("1;2;3;1,500\n1;2;3;2,250", weight="4", decimal=".").decimal == "."
    assert see("1;2;3;1,500\n1;2;3;2,250").decimal == "."
    assert see("1;2;3;0.5\n1;2;3;1.5\n1;2;3;1,5", weight="4").decimal == "."


def test_files_of_nodes_are_looked_at_too():
    nodes = ("node", "label", "time")
    assert see("4 1\n9 0", nodes).places == {"node": 0, "label": 1}
    assert see("class,id\nfraud,4\nok,9", nodes).places == {"node": 1, "label": 0}
    assert see("customer,is_fraud\nann,yes\nbob,no", nodes).header
    assert not see("ann,fraud\nbob,ok", nodes).header
    refused("customer,is_fraud,\nann,yes,\nbob,no,", "line 1: found columns 'customer'", roles=nodes)
    assert not see("u,y\nv,n\nw,y", nodes).header
    assert not see("seller,fraud\nbuyer,ok\nann,ok\nbob,fraud", nodes).header
    assert see("node,label,when\n4,a,2021-01-04", nodes).places == {"node": 0, "label": 1, "time": 2}
    assert see("4 1 2021-01-04\n4 0 2021-01-05", nodes).places["time"] == 2
    assert "time" not in see("4 1 0.5\n9 0 0.25", nodes).places
    assert see("4 1 5\n9 0 6", nodes, labels_at="last").places["time"] == 2
    assert see("node,target\n4,0.5\n9,2.5", ("node", "target")).places == {"node": 0, "target": 1}


def test_the_sample_is_bounded_and_whole_lines(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("".join(f"{row} {row + 1} {1600000000 + row}\n" for row in range(500)) + "x y z w\n" * 1000)
    assert (look(path, EVENT, PrepareOptions()).width, look(path, EVENT, PrepareOptions()).ids) == (3, "id")
    path.write_bytes(b"1,2,1600000000,\0\0\0\0")
    with pytest.raises(DataError, match="found NUL bytes"):
        look(path, EVENT, PrepareOptions())
    path.write_bytes(b"1 2 3\r2 3 4\r")
    with pytest.raises(DataError, match=r"found carriage returns between lines, .*convert it"):
        look(path, EVENT, PrepareOptions())
    path.write_text("1,2,1600000000" + ",0.5" * 300_000 + "\n" + "1,2")
    with pytest.raises(DataError, match="found 300003 columns, expected at most 10000"):
        look(path, EVENT, PrepareOptions())


def test_parts_begin_with_one_header(tmp_path):
    for name, text in (("a", "src,dst,time\n1,2,3\n"), ("b", "\nsrc,dst,time\n1,2,3\n"), ("c", "1,2,3\n"), ("d", "")):
        (tmp_path / name).write_text(text)
    seen = look(tmp_path / "a", EVENT, PrepareOptions())
    check_header(tmp_path / "b", seen)
    for name, begin in (("c", "'1,2,3'"), ("d", "no row")):
        with pytest.raises(
            DataError, match=f"{name}: found {begin} at its beginning, expected the header 'src,dst,time';"
        ):
            check_header(tmp_path / name, seen)


def test_what_was_taken_for_what_says_why_and_what_overrules_it():
    seen = see("# a\n\nsrc;dst;time;x;f;g\n1;2;3;4;5;6\n2;3;4;5;6;7", time="3", edge_features="f", ids="text")
    assert [tuple(take) for take in seen.takes] == [
        ("comments", "lines that begin with #", "the first line", "--comment"),
        ("delimiter", "semicolon", "the first rows", "--delimiter"),
        ("header", "line 3: src, dst, time, x, f, g", "names, no numbers", "--no-header"),
        ("source", "column 1 ('src')", "its name", "--src"),
        ("destination", "column 2 ('dst')", "its name", "--dst"),
        ("time", "column 3 ('time')", "the option", "--time"),
        ("features", "column 5 ('f') and all behind it", "the option", "--edge-features"),
        ("passed over", "column 4 ('x')", "no usual name or place", ""),
        ("ids", "text; blanks around them are cut", "the option", "--ids"),
        ("times", "steps, or seconds from no known time", "they are too small for times since 1973", "--time-unit"),
    ]
