import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.synth import FORMATS, MARKER, Request, write

ID = r"(0|[1-9]\d*)"
YEAR_MONTH_DAY = r"(19\d\d)(0[1-9]|1[0-2])([0-2]\d|3[01])"
WIKIPEDIA = rf"{ID},{ID},\d+\.0,[01],"
STEP = r"(0\.0|1\.0|0\.\d{1,6})"
RATING = r"(-?[1-9]|-?10)"
"""Each is true of every line of the real file, where there is one, and of the generated one."""
PATTERNS = {
    ("tmall", None, "tmall.txt"): rf"{ID} {ID} {STEP}",
    ("tmall", None, "node2label.txt"): rf"{ID} (656|662|737|1095|1505)",
    ("patent", "spikenet", "patent_edges.json"): rf"\[{ID}, {ID}, {YEAR_MONTH_DAY}, {ID}, {ID}\]",
    ("patent", "spikenet", "patent_nodes.json"): rf"\[{ID}, {ID}, {YEAR_MONTH_DAY}, [1-6]\]",
    ("patent", "nber", "cite75_99.txt"): r'"CITING","CITED"|\d{7},[1-9]\d{0,6}',
    (
        "patent",
        "nber",
        "apat63_99.txt",
    ): r'("[A-Z]+",){22}"[A-Z]+"|\d{7},19\d\d,\d+,(\d{4})?,"[A-Z]{2}","([A-Z]{2})?",\d*,'
    r"[1-7],\d*,\d+,[1-6],[1-6]\d,\d*,\d+(,(\d+(\.\d{1,4})?)?){9}",
    ("patent", "snap", "cit-Patents.txt"): r"#.*|\d{7}\t[1-9]\d{0,6}",
    ("wikipedia", "jodie", "wikipedia.csv"): rf"user_id,item_id,timestamp,state_label,comma_separated_list_of_features|"
    rf"{WIKIPEDIA}(0|-?\d\.\d{{6}}(,-?\d\.\d{{6}}){{171}})",
    ("wikipedia", "dyglib", "ml_wikipedia.csv"): rf",u,i,ts,label,idx|{ID},[1-9]\d*,[1-9]\d*,\d+\.0,[01]\.0,[1-9]\d*",
    ("wikipedia", "tgl", "edges.csv"): rf",src,dst,time,int_roll,ext_roll|{ID},{ID},{ID},\d+\.0,[012],[012]",
    ("bitcoin-otc", None, "soc-sign-bitcoinotc.csv"): rf"[1-9]\d*,[1-9]\d*,{RATING},\d{{10}}\.\d{{1,5}}",
    ("bitcoin-alpha", None, "soc-sign-bitcoinalpha.csv"): rf"[1-9]\d*,[1-9]\d*,{RATING},\d{{10}}",
    ("college-msg", None, "CollegeMsg.txt"): r"[1-9]\d* [1-9]\d* \d{10}",
    ("wiki-talk", None, "wiki-talk-temporal.txt"): r"[1-9]\d* [1-9]\d* \d{9,10}",
    ("stack-overflow", None, "sx-stackoverflow.txt"): r"[1-9]\d* [1-9]\d* \d{10}",
    ("reddit-hyperlinks", None, "soc-redditHyperlinks-body.tsv"): r"SOURCE_SUBREDDIT\tTARGET_SUBREDDIT\tPOST_ID\t"
    r"TIMESTAMP\tLINK_SENTIMENT\tPROPERTIES|[a-z0-9_]+\t[a-z0-9_]+\t[a-z0-9]{7}\t201\d-[01]\d-[0-3]\d [0-2]\d:[0-5]\d:"
    r"[0-5]\d\t-?1\t\d+\.0,\d+\.0(,\d\.\d{6}){84}",
}
REAL = {
    "node2label.txt": "tmall",
    "patent_edges.json": "patent_subset",
    "patent_nodes.json": "patent_subset",
    "wikipedia.csv": "wikipedia",
    "soc-sign-bitcoinotc.csv": "bitcoin_otc",
    "soc-sign-bitcoinalpha.csv": "bitcoin_alpha",
}


def unlike(path, pattern):
    """Lines that do not have the form, and a missing end of the last line."""
    text = path.read_text()
    assert text.endswith("\n")
    form = re.compile(pattern, re.ASCII)
    return [line for line in text[:-1].split("\n") if not form.fullmatch(line)]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("key", PATTERNS, ids=lambda key: key[2])
def test_each_line_has_the_form_of_the_real_file(key, made):
    name, form, file = key
    assert unlike(made(name, events=1500, form=form) / file, PATTERNS[key]) == []


@pytest.mark.real
@pytest.mark.parametrize("key", [key for key in PATTERNS if key[2] in REAL], ids=lambda key: key[2])
def test_the_real_files_have_that_form(key):
    path = Path(os.environ.get("DYSIGN_DATA", "../shared/data")) / REAL[key[2]] / key[2]
    if not path.exists():
        pytest.skip(f"no {path}; set DYSIGN_DATA to the folder of real data")
    assert unlike(path, PATTERNS[key]) == []


@pytest.mark.parametrize("key", [key[:2] for key in PATTERNS], ids=str)
def test_seeds_decide_all_bytes_and_blocks_none(key, made, tmp_path):
    name, form = key
    before = contents(made(name, events=1500, form=form))
    write(Request(name, events=1500, form=form), tmp_path, block_bytes=5_000)
    assert contents(tmp_path) == before
    other = contents(made(name, events=1500, form=form, seed=1))
    assert all(other[file] != content for file, content in before.items())


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("events", [400, 457])
def test_the_smallest_sizes_work(name, events, made):
    for form in FORMATS[name].forms or (None,):
        folder = made(name, events=events, form=form)
        said = json.loads((folder / MARKER).read_text())
        assert (said["generator"], said["form"], said["events"], said["seed"]) == (name, form, events, 0)
        assert said["nodes"] == Request(name, events=events, form=form).num_nodes
        assert len(list(folder.iterdir())) == {"tmall": 3, "patent": 3}.get(name, 3 if form == "dyglib" else 2)


def test_parts_repeat_the_header_and_hold_all_rows(made):
    whole = (made("wikipedia", events=500) / "wikipedia.csv").read_bytes()
    header = whole[: whole.index(b"\n") + 1]
    parts = [path.read_bytes() for path in sorted(made("wikipedia", events=500, parts=3).glob("*.csv"))]
    assert header + b"".join(part.removeprefix(header) for part in parts) == whole
    assert [part.count(b"\n") for part in parts] == [167, 168, 168]
    names = {path.name for path in made("patent", events=500, parts=2, compress="gz").iterdir()}
    assert names == {"patent_edges-000.json.gz", "patent_edges-001.json.gz", "patent_nodes.json", MARKER}


def test_rows_are_reported(tmp_path):
    reported = []
    write(Request("patent", events=1000, form="nber"), tmp_path, reported.append)
    assert sum(reported) == 1000


def test_the_import_is_light():
    code = "import sys, data_prep.cli; print(sorted({'numpy', 'pyarrow', 'numba'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
