"""Files of many more kinds, as trackers and download pages have them: what comes out of each, or what is said of it."""

import gzip
import io
import json
import tarfile
import zipfile
from datetime import datetime, timedelta

import pytest

from data_prep import PrepareOptions, prepare
from dgl_dysign.data import schema
from dgl_dysign.errors import DataError

A, B, C = 1609718400, 1610323200, 1610928000  # the Mondays 2021-01-04, -11, -18
TWO = f"1,2,{A}\n2,3,{B}\n"
EVENTS = "1>2 2021-01-04, 2>3 2021-01-11"
NAMES = f"ann,bob,{A}\nbob,eve,{B}\n"
ROWS = f"1,2,{A}\n2,3,{A}\n3,4,{B}\n4,5,{B}\n"
TEXTS = f"ann,bob,{A}\nbob,eve,{A}\neve,joe,{B}\njoe,ann,{B}\n"


def read(folder, text, file="mine.csv", **options):
    """Prepare a text, or files of a folder; return the events as a text, and the manifest. Or nothing is left."""
    raw, out = folder / file, folder / "out"
    if isinstance(text, dict):
        raw.mkdir()
    for name, part in text.items() if isinstance(text, dict) else [(".", text)]:
        (raw / name).write_bytes(part if isinstance(part, bytes) else part.encode())
    try:
        prepare("edges", raw, out, PrepareOptions(**options))
    finally:
        assert {path.name for path in folder.iterdir()} <= {file, "out"}
    nodes, edges = schema.table(out, "nodes")["raw_id"].to_pylist(), schema.table(out, "edges").to_pydict()
    manifest = json.loads((out / "manifest.json").read_text())
    unit = manifest["time_unit"]
    whens = [str(datetime(1970, 1, 1) + timedelta(seconds=t)) if unit != "as in the file" else t for t in edges["time"]]
    weights = edges.get("weight", [None] * len(whens))
    events = [
        f"{nodes[src]}>{nodes[dst]} {str(when).removesuffix(' 00:00:00')}" + f" x{weight}" * (weight is not None)
        for src, dst, when, weight in zip(edges["src"], edges["dst"], whens, weights, strict=True)
    ]
    return ", ".join(events), manifest


def archive(*names, text=TWO):
    """Return a zip archive of files that all hold one text."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, text)
    return data.getvalue()


def tar(mode):
    """Return a tar archive of one file."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:
        member = tarfile.TarInfo("set/out.set")
        member.size = len(TWO)
        archive.addfile(member, io.BytesIO(TWO.encode()))
    return data.getvalue()


SAME = {
    "pipes": f"source|target|timestamp\n1|2|{A}\n2|3|{B}\n",
    "aligned by blanks": f"source   target   timestamp\n     1        2  {A}\n     2        3  {B}\n",
    "aligned, no header": f"     1     2  {A}\n     2     3  {B}\n",
    "blanks and tabs": f"1 2\t{A}\n2\t3 {B}\n",
    "delimiter at the end of all lines": f"src,dst,time,\n1,2,{A},\n2,3,{B},\n",
    "delimiter at the end of rows": f"src,dst,time\n1,2,{A},\n2,3,{B},\n",
    "delimiter at the end, no header": f"1;2;{A};\n2;3;{B};\n",
    "names with blanks and capitals": f"Source ID, Target ID, Time Stamp\n1, 2, {A}\n2, 3, {B}\n",
    "index of pandas": f",src,dst,time\n0,1,2,{A}\n1,2,3,{B}\n",
    "index of pandas, read and written again": f",Unnamed: 0,src,dst,time\n0,0,1,2,{A}\n1,1,2,3,{B}\n",
    "sep= of Excel": f"sep=;\r\nsource;target;time\r\n1;2;{A}\r\n2;3;{B}\r\n",
    "sep= in quotes": f'"sep=,"\nsource,target,time\n1,2,{A}\n2,3,{B}\n',
    "all in quotes": f'"src","dst","time"\n"1","2","{A}"\n"2","3","{B}"\n',
    "dates alone": "1,2,2021-01-04\n2,3,2021-01-11\n",
    "dates with zones": "src,dst,time\n1,2,2021-01-04T01:00:00+01:00\n2,3,2021-01-11T01:00:00+01:00\n",
    "times with exponents": "1,2,1.6097184e9\n2,3,1.6103232E+09\n",
    "numbers of NumPy": "1.000000000000000000e+00 2.0e+00 1.609718400000000000e+09\n2.00e+00 3.0e+00 1.6103232e+09\n",
    "nanoseconds": f"1,2,{A}000000000\n2,3,{B}000000000\n",
    "other order": f"time,dst,src\n{A},2,1\n{B},3,2\n",
    "// comments": f"// made by hand\n// on a Monday\n1 2 {A}\n2 3 {B}\n",
    "SNAP": f"# Directed graph\n# Nodes: 3 Edges: 2\n# FromNodeId\tToNodeId\tTimestamp\n1\t2\t{A}\n2\t3\t{B}\n",
    "Neo4j": f":START_ID,time:long,:END_ID,:TYPE\n1,{A},2,KNOWS\n2,{B},3,KNOWS\n",
    "DyGLib": f",u,i,ts,label,idx\n0,1,2,{A}.0,0.0,1\n1,2,3,{B}.0,0.0,2\n",
    "followers": f"user,friend,ts\n1,2,{A}\n2,3,{B}\n",
    "two marks at the beginning": "\ufeff\ufeff" + f"src,dst,time\n1,2,{A}\n2,3,{B}\n",
    "form feeds and blank lines": f"1,2,{A}\n\f\n\n2,3,{B}\n",
    "gzip of another name": gzip.compress(TWO.encode()),
    "zip of one file": archive("set/edges.csv"),
    "zip of a Mac": archive("edges.csv", "__MACOSX/._edges.csv"),
    "300 columns": "".join(f"{row},{time}{',0.5' * 297}\n" for row, time in (("1,2", A), ("2,3", B))),
    "a line of a megabyte": f"src,dst,time,note\n1,2,{A},{'x' * 1_100_000}\n2,3,{B},y\n",
    "parts with a header each": {
        "0.csv": f"src,dst,time\n1,2,{A}\n",
        "1.csv": f"src,dst,time\n2,3,{B}\n",
        "_SUCCESS": "",
    },
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_all_are_one_list(tmp_path, text):
    events, manifest = read(tmp_path, text)
    assert (events, manifest["num_nodes"], manifest["num_snapshots"]) == (EVENTS, 3, 2)
    assert manifest["snapshot_rule"] == {"kind": "calendar", "unit": "week"}


OTHERS = {
    # what, (text, events, nodes, options)
    "fractions of seconds": (f"1 2 {A}.25\n2 3 {B}.5\n",
        "1>2 2021-01-04 00:00:00.250000, 2>3 2021-01-11 00:00:00.500000", 3),
    "decimal comma": (f"1;2;{A},5\n2;3;{B},25\n", "1>2 2021-01-04 00:00:00.500000, 2>3 2021-01-11 00:00:00.250000", 3),
    "before 1970": ("1,2,1865-04-15\n2,3,1969-12-29\n", "1>2 1865-04-15, 2>3 1969-12-29", 3),
    "hexadecimal ids": (f"0xAB,0xab,{A}\n0xab,0x3b,{B}\n", "0xAB>0xab 2021-01-04, 0xab>0x3b 2021-01-11", 3),
    "UUIDs": (f"123e4567-e89b-12d3-a456-0,123e4567-e89b-12d3-a456-1,{A}\n",
              "123e4567-e89b-12d3-a456-0>123e4567-e89b-12d3-a456-1 2021-01-04", 2),
    "mail addresses": ("From,To,Date\nann@x.org,bob@x.org,2021-01-04 10:00\n",
        "ann@x.org>bob@x.org 2021-01-04 10:00:00", 2),
    "addresses on the web": (f"http://a.org/x#1 http://a.org/x {A}\n", "http://a.org/x#1>http://a.org/x 2021-01-04", 2),
    "ids from 2^63 on": (f"9223372036854775808,18446744073709551615,{A}\n",
                         "9223372036854775808>18446744073709551615 2021-01-04", 2),
    "ids next to 2^63": (f"9223372036854775807,9223372036854775806,{A}\n",
                         "9223372036854775807>9223372036854775806 2021-01-04", 2),
    "negative ids": (f"-1,1,{A}\n1,-3,{B}\n-3,-1,{B}\n", "-1>1 2021-01-04, 1>-3 2021-01-11, -3>-1 2021-01-11", 3),
    "names composed and not": (f"caf\u00e9,cafe\u0301,{A}\n", "caf\u00e9>cafe\u0301 2021-01-04", 2),
    "names with odd blanks": (f"ann\u00a0lee\tann lee\t{A}\n", "ann\u00a0lee>ann lee 2021-01-04", 2),
    "latin-1": (f"caf\u00e9,bar,{A}\n".encode("latin-1"), "caf\u00e9>bar 2021-01-04", 2, {"encoding": "latin-1"}),
    "hashtags": (f"#ann,#bob,{A}\n#bob,#eve,{B}\n", "#ann>#bob 2021-01-04, #bob>#eve 2021-01-11", 3),
    "hashtags below a header": (f"src,dst,time\nbob,#eve,{A}\n#ann,bob,{B}\n",
        "bob>#eve 2021-01-04, #ann>bob 2021-01-11", 3),
    "[deleted] of Reddit": (f"[deleted],bob,{A}\nbob,<unk>,{B}\n", "[deleted]>bob 2021-01-04, bob><unk> 2021-01-11", 3),
    "quotes in names": (f'"ann ""joe"" lee",bob,{A}\n', 'ann "joe" lee>bob 2021-01-04', 2),
    "semicolons in names": (f"a;b,c,{A}\nc,d;e,{B}\n", "a;b>c 2021-01-04, c>d;e 2021-01-11", 3),
    "grouped digits in ids": (f'src,dst,time\n"1,500","2,000",{A}\n', "1,500>2,000 2021-01-04", 2),
    "amounts with a sign": ("payer,payee,amount,date\nann,bob,$5.00,2021-01-04\n", "ann>bob 2021-01-04", 2),
    "no weight": (f"src,dst,weight,time\n1,2,nan,{A}\n2,3,1,{B}\n3,1,2,{B}\n",
                  f"{EVENTS}, 3>1 2021-01-11", 3, {"weight": ""}),
    "one row": (f"4,9,{A}\n", "4>9 2021-01-04", 2),
    "one row of names": (f"ann,bob,{A}\n", "ann>bob 2021-01-04", 2),
    "rows that are repeated": (f"1,2,{A}\n" * 3, ", ".join(["1>2 2021-01-04"] * 3), 2),
    "self-loops": (f"1,1,{A}\n2,2,{B}\n", "1>1 2021-01-04, 2>2 2021-01-11", 2),
    "KONECT without its first line": (f"1 2 1 {A}\n2 3 -1 {B}\n", "1>2 2021-01-04 x1.0, 2>3 2021-01-11 x-1.0", 3),
    "KONECT, two types": (f"% bip weighted\n1\t1\t5\t{A}\n2\t1\t4\t{B}\n", "1>1 2021-01-04 x5.0, 2>1 2021-01-11 x4.0",
        3),
    "NetworkRepository": (f"% asym unweighted\n1,2,1,{A}\n2,3,1,{B}\n", "1>2 2021-01-04 x1.0, 2>3 2021-01-11 x1.0", 3),
    "MovieLens": (f"userId,movieId,rating,timestamp\n1,1,4.0,{A}\n2,1,3.5,{B}\n",
        "1>1 2021-01-04 x4.0, 2>1 2021-01-11 x3.5", 3),
    "MovieLens 1M": (f"1::1::5::{A}\n2::1::3::{B}\n", "1>1 2021-01-04, 2>1 2021-01-11", 3,
                     {"delimiter": ":", "src": "1", "dst": "3", "time": "7", "bipartite": True}),
    "reviews of TGB": (f"ts,u,i,w\n{A},1,2,5.0\n{B},2,3,4.0\n", "1>2 2021-01-04 x5.0, 2>3 2021-01-11 x4.0", 4),
    "trade of TGB": ("year,nation1,nation2,weight\n1986,US,FR,0.5\n1987,FR,US,0.4\n",
        "US>FR 1986-01-01 x0.5, FR>US 1987-01-01 x0.4", 2),
    "TGL": (",src,dst,time,int_roll,ext_roll\n0,1,3,0.0,0,0\n1,2,3,36.0,0,1\n", "1>3 0.0, 2>3 36.0", 3),
    "facts of ICEWS": ("subject\trelation\tobject\ttime\nThailand\tvisits\tCambodia\t2014-01-06\n",
        "Thailand>Cambodia 2014-01-06", 2),
    "GBK": (f"\u5f20\u4e09,\u674e\u56db,{A}\n".encode("gbk"), "\u5f20\u4e09>\u674e\u56db 2021-01-04", 2,
        {"encoding": "gbk"}),
    "Gephi": ("Source,Target,Type,Id,Label,timeset,Weight\n1,2,Directed,0,,1861,2.0\n", "1>2 1861-01-01 x2.0", 2),
    "serial dates of Excel": ("src,dst,date\n1,2,44200\n2,3,44207.5\n", "1>2 44200.0, 2>3 44207.5", 3),
    "table of R": (f'"src" "dst" "time"\n"1" 1 2 {A}\n"2" 2 3 {B}\n', EVENTS, 3,
                   {"quote": False, "header": True, "src": "2", "dst": "3", "time": "4"}),
    "captures of packets": (" Source IP, Source Port, Destination IP, Timestamp\n10.0.0.1,80,10.0.0.2,2021-01-04\n",
                            "10.0.0.1>10.0.0.2 2021-01-04", 2),
    "numbers, then names": (f"{TWO}a,b,{A}\nc,d,{A}\n",
                            "1>2 2021-01-04, a>b 2021-01-04, c>d 2021-01-04, 2>3 2021-01-11", 7),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS.values(), ids=OTHERS)
def test_names_and_times_are_as_in_the_file(tmp_path, case):
    text, expected, num_nodes, *options = case
    events, manifest = read(tmp_path, text, **(options[0] if options else {}))
    assert (events, manifest["num_nodes"]) == (expected, num_nodes)


def test_classes_of_events_keep_their_names(tmp_path):
    _, manifest = read(tmp_path, f"src,dst,time,is_fraud\n1,2,{A},True\n2,3,{B},False\n")
    assert (manifest["labels"], manifest["class_names"]) == ("event", ["False", "True"])


def test_names_do_not_command_the_terminal(tmp_path, prep):
    path = tmp_path / "mine.csv"
    path.write_text(f"\x1b[31mfrom,to,time\nann\x1b[2J,\u202ebob,{A}\nbob,[red]eve[/red],{B}\n")
    status, text, errors = prep("inspect", path)
    assert (status, errors) == (0, "")
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert r"ann\x1b[2J" in text
    assert "[red]eve[/red]" in text
    assert "--src 1 --dst to --time time" in text


DATES = {
    "Twitter": ("Mon Jan 04 10:00:00 +0000 2021", "%a %b %d %H:%M:%S %z %Y", "2021-01-04 10:00:00"),
    "mail": ("Mon, 04 Jan 2021 10:00:00 +0100", "%a, %d %b %Y %H:%M:%S %z", "2021-01-04 09:00:00"),
    "a web server": ("04/Jan/2021:10:00:00 +0000", "%d/%b/%Y:%H:%M:%S %z", "2021-01-04 10:00:00"),
    "BigQuery": ("2021-01-04 10:00:00 UTC", "%Y-%m-%d %H:%M:%S UTC", "2021-01-04 10:00:00"),
    "digits": ("20210104T100000Z", "%Y%m%dT%H%M%SZ", "2021-01-04 10:00:00"),
    "Germany": ("04.01.2021", "%d.%m.%Y", "2021-01-04"),
    "America, in the evening": ("1/14/2021 9:15:00 PM", "%m/%d/%Y %I:%M:%S %p", "2021-01-14 21:15:00"),
    "slashes": ("2021/01/04", "%Y/%m/%d", "2021-01-04"),
    "single digits": ("2021-1-4 9:15", "%Y-%m-%d %H:%M", "2021-01-04 09:15:00"),
    "months": ("2021-01", "%Y-%m", "2021-01-01"),
}


@pytest.mark.parametrize("case", DATES.values(), ids=DATES)
def test_the_format_that_is_named_reads_the_dates(tmp_path, case):
    date, form, expected = case
    text = f"src\tdst\tdate\n1\t2\t{date}\n"
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    assert f"found times like '{date}' in column 3" in str(caught.value)
    assert f"--time-format '{form}'" in str(caught.value)
    assert read(tmp_path, text, time_format=form)[0] == f"1>2 {expected}"


REFUSED = {
    "dates of two readings": ("1,2,03/04/2021\n2,3,05/06/2021\n",
        "--time-format '%m/%d/%Y' or --time-format '%d/%m/%Y'$"),
    "dates and times apart": ("1 2 2021-01-04 10:00:00\n", "times of day in column 4, .*--time 3"),
    "time first": (f"{A} 4 9\n{B} 9 2\n", "in column 1, expected to know .* --time 1 --src N"),
    "time first, dates": ("2021-01-04,4,9\n2021-01-11,9,2\n", "in column 1, expected to know .* --time 1 --src N"),
    "time first, names": (f"{A}\tann\tbob\n", "in column 1, expected to know .* --time 1 --src N"),
    "numbers of rows": ("".join(f"{at},{at * 3 % 5},{(at * 3 + 1) % 5},{A + at}\n" for at in range(12)),
        "numbers of rows in column 1, .*--src, --dst and --time"),
    "facts of ICEWS, no header": ("Thailand\tvisits\tCambodia\t2014-01-06\nCambodia\tthanks\tThailand\t2014-01-13\n",
        "column 1 in column 3, and none in column 2, .*--dst 2 or --dst 3"),
    "facts in numbers": ("".join(f"{at * 7 % 23} {at * 3 % 5} {at * 11 % 19} {at // 3} 0\n" for at in range(20)),
        "ascend in column 4, not in column 3, .*--time 3, or --time 4"),
    "two times": (f"1,2,{A},{B}\n", "found times in columns 3 and 4, .*--time"),
    "start and end": ("Source,Target,Start,End\n1,2,2021-01-04,2021-01-05\n",
        r"columns 3 \('Start'\) and 4 \('End'\).*--time"),
    "no times": ("# FromNodeId\tToNodeId\n4\t9\n", "columns 'FromNodeId', 'ToNodeId'.*--time"),
    "intervals": ('Source,Target,Interval\n1,2,"<[2020.0,2021.0]>"\n', r"found values like '<\[2020.*--time"),
    "half in milliseconds": (f"1,2,{A}000\n2,3,{B}\n", "may count ms or s, .*--time-unit"),
    "ticks since the year 1": ("1,2,637453152000000000\n", "ns since 1970 between 2001 and 2100; give --time-unit ns"),
    "microseconds since 1601": ("1,2,13254192000000000\n", "us since 1970 between 1973 and 2100; give --time-unit us"),
    "a column named twice": (f"src,dst,time,time\n1,2,{A},5\n",
        "found 2 columns named 'time', .* number of one with --time"),
    "sources named twice": (f"src,src,dst,time\n1,2,3,{A}\n",
        "1 .'src'. to 3 .'dst'. or 2 .'src'. to 3 .'dst'.*--src and --dst"),
    "line ends in quotes": (f'src,dst,time,note\n1,2,{A},"a\n7,8,{A},b"\n2,3,{B},c\n',
        "closed on another line .*--no-quote"),
    "blanks before quotes": (f'"ann", "bob",{A}\n', "dst that begins with a quote .*--no-quote"),
    "grouped digits in quotes": (f'src,dst,amount,time\n1,2,"1,500",{A}\n', "weight '1,500' .*a finite number"),
    "a page about the files": ({"README.md": "# My data\n\nThree columns.\n", "a.csv": TWO}, "README.md: found .*"),
    "ids that a spreadsheet has cut": (f"1.23457E+17,2,{A}\n", r"found an id 1.23457E\+17, .*--ids text"),
    "comments that may be rows": (f"#ann,bob,{A}\nbob,#eve,{B}\neve,bob,{B}\n",
        "'#ann,bob,.*--comment # .*--comment ''"),
    "names of columns unknown": (f"alpha,beta,gamma\n{NAMES}", "--header or --no-header"),
    "grouped digits": ("src;dst;time;amount\n1;2;0;1,500\n", "numbers like 1,500, .*--decimal"),
    "unusual names": (f"Timestamp,From Bank,Account,To Bank,Account\n{A},1,a,2,b\n", "'From Bank'.*--src and --dst"),
    "UTF-16 without a mark": (f"src,dst,time\n{TWO}".encode("utf-16-le"), "--encoding utf-16-le"),
    "names of a table of JSON": ('{"src": 1, "dst": 2, "time": 3}\n', "found JSON, .*as CSV"),
    "arrays of JSON": (f"[1, 2, {A}]\n", "found JSON, .*as CSV"),
    "a document of JSON": ('[\n  {\n    "src": 1\n  }\n]', "found JSON, .*as CSV"),
    "a page": ('<!DOCTYPE html>\n<html lang="en">\n<p>404, not, found</p>\n', "found a web page or XML, .*download"),
    "GraphML": ('<?xml version="1.0"?>\n<graphml>\n</graphml>\n', "found a web page or XML, .*as CSV"),
    "a pointer": ("version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 12345\n", "Git LFS, .*git lfs pull"),
    "MatrixMarket": ("%%MatrixMarket matrix coordinate real general\n4 4 2\n1 2 3\n2 3 4\n", "MatrixMarket .*as CSV"),
    "GDF": ("nodedef>name VARCHAR\na\nedgedef>node1 VARCHAR,node2 VARCHAR\na,b\n", "a file of GDF, .*as CSV"),
    "Pajek": ('*Vertices 2\n1 "a"\n2 "b"\n*Arcs\n1 2 1\n', "a file of GDF, Pajek, .*as CSV"),
    "NetworkX": ("1 2 {'time': 1609718400}\n2 3 {}\n", "found values like .*--time"),
    "a spreadsheet": (archive("[Content_Types].xml", "xl/workbook.xml", "xl/worksheets/sheet1.xml"),
        "found a spreadsheet, .*CSV"),
    "an old spreadsheet": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "found NUL bytes"),
    "zip of two": (archive("a.csv", "b.csv"), r"found 2 files in it \('a.csv', 'b.csv'\).*unpack"),
    "tar": (tar("w"), "found a tar archive, .*unpack"),
    "tar of KONECT": (tar("w:bz2"), "found a tar archive, .*unpack"),
    "nothing": ("", "found no rows"),
    "blank lines alone": ("\n \n\n", "found no rows"),
    "a header alone": ("source,target,time\n", "found no rows"),
    "an insertion of SQL": (f"INSERT INTO e VALUES (1,2,{A});\n", "found values like .*--time"),
    "parts without a header": ({"0.csv": f"src,dst,time\n1,2,{A}\n", "1.csv": f"2,3,{B}\n"},
        "1.csv: found .* expected the header"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_known_is_refused(tmp_path, case):
    text, match = case
    with pytest.raises(DataError, match=match):
        read(tmp_path, text)


BAD_ROWS = {
    # what, (text above, bad row, text below, message)
    "one delimiter too many": (ROWS, f"7,8,{C},", "", "4 columns .*expected 3"),
    "a comment further down": (f"src,dst,time\n{ROWS}", "# second part", "", "1 columns .*expected 3"),
    "a comment behind a row": (ROWS, f"7,8,{C} # late", "", "time '1610928000 # late'"),
    "a name among numbers": (ROWS, f"ann,8,{C}", "", "src 'ann' .*--ids text"),
    "a name after the first rows": ("".join(f"{at},{at + 1},{A}\n" for at in range(600)), f"ann,8,{C}", "",
        "src 'ann'"),
    "an id beyond 2^63": (ROWS, f"18446744073709551615,8,{C}", "", r"below 2\^63 .*--ids text"),
    "a negative id": (ROWS, f"-1,8,{C}", "", "src '-1' .*--ids text"),
    "digits with underscores": (ROWS, f"1_000,8,{C}", "", "src '1_000'"),
    "NULL of MySQL": (ROWS, rf"\N,8,{C}", "", "a missing id"),
    "NULL of MySQL among names": (TEXTS, rf"\N,ann,{C}", "", "a missing id"),
    "a year 0": ("1,2,2021-01-04\n2,3,2021-01-04\n", "7,8,0000-01-15", "", "a real date"),
    "a mark between joined files of names": (TEXTS, f"\ufeffann,bob,{C}", "", "src that begins with a byte-order mark"),
    "no time": (f"src,dst,time\n{ROWS}", "7,8,", "", "time ''"),
    "no time of dates": ("1,2,2021-01-04\n2,3,2021-01-04\n", "7,8,NaT", "", "time 'NaT'"),
    "infinity": (ROWS, "7,8,inf", "", "time 'inf'"),
    "a 0 among times": (ROWS, "7,8,0", "", "time '0' .*--time-unit s"),
    "a negative time": (ROWS, "7,8,-86400", "", "time '-86400' .*--time-unit s"),
    "seconds among milliseconds": (f"1,2,{A}000\n2,3,{B}000\n3,4,{B}000\n", f"7,8,{C}", "", "--time-unit ms"),
    "no date": ("1,2,2021-01-04\n2,3,2021-01-04\n", "7,8,0000-00-00", "", "a real date"),
    "a leap second": ("1,2,2016-12-31T23:59:59Z\n", "7,8,2016-12-31T23:59:60Z", "2,3,2017-01-02T00:00:00Z\n",
        "a real date"),
    "a mark between joined files": (f"src,dst,time\n{ROWS}", f"\ufeff7,8,{C}", "", r"src '\\ufeff7'"),
    "NUL": (ROWS, f"7\0,8,{C}", "", "src"),
    "latin-1 below": (TEXTS, f"caf\u00e9,bob,{C}".encode("latin-1"), "", r"src 'caf\\\\xe9' .*--encoding"),
    "quotes of Windows": (TEXTS, f"\u201cann\u201d,bob,{C}".encode("cp1252"), "", r"src '\\\\x93ann\\\\x94'"),
    "a second line of names": ("source,target,time\n", "(id),(id),(s)", ROWS, "time"),
    "a line of sums": (f"source,target,time\n{ROWS}", "Total,4,", "", "src 'Total'"),
    "a number of rows": ("", "5 4", ROWS.replace(",", " "), "2 columns"),
    "the end of a file of DOS": (ROWS, "\x1a", "", "1 columns"),
    "a lone carriage return": (ROWS, f"7,8,{C}\r8,9,{C}", "", "a carriage return inside"),
    "names of pandas' columns": ("", "0,1,2", ROWS, "time '2'"),
    "lines of Markdown": ("|source|target|time|\n", "|---|---|---|", f"|1|2|{A}|\n|2|3|{B}|\n", "time '---'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_is_named_and_the_others_are_kept(tmp_path, case):
    above, bad, below, match = case
    line = above.count("\n") + 1
    data = above.encode() + (bad if isinstance(bad, bytes) else bad.encode()) + b"\n" + below.encode()
    with pytest.raises(DataError, match=rf"mine\.csv, line {line}: found .*{match}"):
        read(tmp_path, data)
    _, manifest = read(tmp_path, data, on_error="quarantine")
    source = manifest["sources"][0]
    others = (above + below).count("\n")
    assert (source["rows"] + source["header"], source["rejected"]) == (others, 1)
    assert manifest["num_edges"] == source["rows"]
