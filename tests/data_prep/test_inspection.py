"""What is said of a file before it is prepared, and that nothing is written for it."""

import json
import os
import shlex
import subprocess
import sys

import pyarrow as pa
import pytest

from data_prep import PrepareOptions, inspect
from dgl_dysign.data import schema
from tests.data_prep.brute import contents

HEADER = "from,to,when,amount\n4,9,2021-03-01,1.5\n9,2,2021-03-09,0.25\n"
FILES = {
    "names": HEADER,
    "no names": "4 9 1600000000\n9 2 1600604800\n",
    "konect": "% asym\n4 9 1 1600000000\n9 2 3 1600604800\n",
    "odd names": "src,dst,time,the amount;\n4,9,1600000000,1\n9,2,1600604800,2\n",
    "one name twice": "note,source,target,note,time\nx,4,9,y,1600000000\nx,9,2,y,1600604800\n",
    "names in quotes": '"from","to","when"\n"a, b","c","2021-03-01"\n"c","a, b","2021-03-09"\n',
    "steps": "user_id,item_id,step,rating\n4,9,1,2\n4,2,2,3\n",
    "leading zeros": "02134,2134,1600000000\n2134,90210,1600604800\n",
    "years": "4 9 1994\n9 2 1996\n2 4 2010\n",
}


@pytest.fixture
def write(tmp_path):
    def write(text, name="trades.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.mark.parametrize("case", FILES)
def test_the_command_prepares_the_file_as_it_was_looked_at(write, tmp_path, prep, case):
    path = write(FILES[case])
    status, text, errors = prep("inspect", path, "--json")
    assert (status, errors) == (0, "")
    command = shlex.split(json.loads(text)["command"])
    assert command[:4] == ["dysign-prep", "edges", str(path), "prepared/trades"]
    assert prep("edges", path, tmp_path / "plain", "-q") == (0, "", "")
    assert prep("edges", path, tmp_path / "written", *command[4:], "-q") == (0, "", "")
    plain, written = contents(tmp_path / "plain"), contents(tmp_path / "written")
    assert plain == written


def test_what_is_printed(write, tmp_path, prep):
    status, text, errors = prep("inspect", write(HEADER), "--ids", "text", "--merge", 2)
    assert (status, errors) == (0, "")
    lines = [line.strip("│┃ ") for line in text.splitlines()]
    assert [[cell.strip() for cell in line.split("│")] for line in lines if "its name" in line] == [
        ["source", "column 1 ('from')", "its name (--src)"],
        ["destination", "column 2 ('to')", "its name (--dst)"],
        ["time", "column 3 ('when')", "its name (--time)"],
        ["weight", "column 4 ('amount')", "its name (--weight)"],
    ]
    rows = [line.split() for line in text.splitlines() if "2021" in line]
    assert [row[1::2] for row in rows] == [
        ["4", "9", "2021-03-01T00:00:00", "1.5"],
        ["9", "2", "2021-03-09T00:00:00", "0.25"],
    ]
    options = "--src from --dst to --time when --weight amount --ids text --every week --merge 2"
    assert lines[-1] == f"dysign-prep edges {tmp_path}/trades.csv prepared/trades {options}"
    assert os.listdir(tmp_path) == ["trades.csv"]
    assert prep("inspect", tmp_path / "trades.csv", "-q") == (0, "", "")


def test_an_encoding_is_said(tmp_path, prep):
    path = tmp_path / "raw.csv"
    path.write_bytes(HEADER.encode("utf-16"))
    assert inspect(path).takes[0] == ("encoding", "utf-16-le", "its mark", "--encoding")
    path.write_bytes(HEADER.encode("utf-16-be"))
    assert "perhaps --encoding utf-16-be" in prep("inspect", path)[2]
    found = json.loads(prep("inspect", path, "--encoding", "UTF-16-BE", "--json")[1])
    assert found["read_as"][0] == {
        "what": "encoding", "taken": "utf-16-be", "why": "the option", "option": "--encoding",
    }  # fmt: skip
    assert found["command"].endswith(" --encoding UTF-16-BE --every week")


def test_bad_rows_near_the_first_are_named(write, prep):
    path = write("src,dst,time\n4,9,1600000000\nNaN,9,1600000000\n4,9,0\n" + "4,9,1600000000\n" * 20)
    found = json.loads(prep("inspect", path, "--json")[1])
    assert found["rows"] == [{"src": 4, "dst": 9, "time": 1600000000.0}] * 5
    assert found["bad_rows"][0] == "line 3: found src 'NaN', a missing id, expected an integer from 0 up"
    assert found["bad_rows"][1].startswith("line 4: found time '0', expected a time like the first ones")
    assert "line 3: found src 'NaN', a missing id" in prep("inspect", path)[1]


def test_what_cannot_be_told_is_refused_and_so_is_no_file(write, tmp_path, prep):
    for arguments, said in (
        ([write("src,dst,time\n4,9,03/01/2021\n9,2,12/31/2021\n", "us.csv")], "--time-format '%m/%d/%Y'"),
        ([tmp_path / "none.csv"], "none.csv: found no such file"),
        ([write(HEADER), "--src", "whence"], "expected whence; name one, or give its number"),
    ):
        status, output, errors = prep("inspect", *arguments)
        assert (status, output, errors.count("\n")) == (2, "", 1)
        assert said in errors


def test_known_formats_are_told_by_their_names(raw, write, tmp_path, prep):
    found = json.loads(prep("inspect", write("1 2 1082040961\n", "CollegeMsg.txt"), "--json")[1])
    assert [take["taken"] for take in found["read_as"]] == [
        "known format college-msg", "column 1", "column 2", "column 3", "seconds since 1970-01-01 UTC",
    ]  # fmt: skip
    assert found["command"] == f"dysign-prep edges {tmp_path}/CollegeMsg.txt prepared/college-msg --every week"
    for path in (raw, raw / "dblp.txt"):
        found = json.loads(prep("inspect", path, "--json")[1])
        assert found["read_as"][0] == {
            "what": "format", "taken": "known format dblp", "why": "names of files", "option": "",
        }  # fmt: skip
        assert found["rows"][0] == {"src": 0, "dst": 1, "time": 0.0}
        assert found["command"] == f"dysign-prep dblp {raw} prepared/dblp --every step"
    assert "known format dblp" in prep("inspect", raw)[1]
    features = write("user_id,item_id,timestamp,state_label,f\n0,0,0.5,0,1,2,3\n", "wikipedia.csv")
    assert "3 numbers" in prep("inspect", features)[1]
    # An option of lists of edges says that it is one.
    look = inspect(raw / "dblp.txt", PrepareOptions(time_unit="none"))
    assert (look.unit, look.takes[0].what) == ("none", "delimiter")


def test_standard_input_and_tables_in_memory(tmp_path):
    command = [sys.executable, "-m", "data_prep.cli"]
    done = subprocess.run([*command, "inspect", "-", "--json"], input=HEADER, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["command"].startswith("dysign-prep edges - prepared/stdin --src from --dst to")
    out = str(tmp_path / "out")
    done = subprocess.run([*command, "edges", "-", out, "--dry-run"], input=HEADER, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith(f"dysign-prep edges - {out} --src from")
    assert os.listdir(tmp_path) == []
    look = inspect(pa.table({"from": [4, 9], "to": [9, 2], "when": [1600000000, 1600604800]}))
    assert (look.places, look.unit) == ({"src": 0, "dst": 1, "time": 2}, "s")


def test_a_dry_run_writes_nothing(raw, write, tmp_path, prep):
    before = contents(tmp_path)
    out = tmp_path / "deep" / "out"
    status, text, errors = prep("dblp", raw, out, "--merge", 2, "--dry-run")
    assert (status, errors) == (0, "")
    assert text.splitlines()[-3:] == [
        "snapshot: a distinct time, 2 of them become one",
        f"out: {out}",
        f"dysign-prep dblp {raw} {out} --every step --merge 2",
    ]
    found = json.loads(prep("dblp", raw, out, "--snapshots", 3, "--features", "degree", "--dry-run", "--json")[1])
    assert found["snapshot"] == "one of 3 of equally many events"
    assert found["command"] == f"dysign-prep dblp {raw} {out} --snapshots 3 --features degree"
    assert contents(tmp_path) == before
    path = write(HEADER)
    found = json.loads(prep("edges", path, out, "--every", "7d", "--dry-run", "--json")[1])
    assert (found["snapshot"], found["out"]) == ("604800 units of time from the first event", str(out))
    assert sorted(os.listdir(tmp_path)) == ["raw", "trades.csv"]
    # What would be refused is refused.
    assert "node2label.txt" in prep("dblp", raw.parent, out, "--dry-run")[2]
    status, output, errors = prep("edges", path, raw, "--dry-run")
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert "expected" in prep("edges", path, out, "--dry-run", "--every", "fortnight")[2]
    assert "magic" in prep("dblp", raw, out, "--dry-run", "--features", "magic")[2]


def test_what_was_taken_for_what_is_said_before_preparing(raw, write, tmp_path, prep):
    path = write(HEADER)
    status, text, errors = prep("edges", path, tmp_path / "out")
    assert status == 0
    assert "read as" not in text
    assert "column 1 ('from')" in errors
    status, text, errors = prep("edges", path, tmp_path / "out", "--overwrite", "--json")
    assert (status, errors) == (0, "")
    assert json.loads(text)["read_as"] == [take._asdict() for take in inspect(path).takes]
    assert prep("edges", path, tmp_path / "out", "--overwrite", "-q") == (0, "", "")
    _, text, errors = prep("edges", write("1 2 1082040961\n", "CollegeMsg.txt"), tmp_path / "known")
    assert "known format college-msg" in errors
    status, text, errors = prep("dblp", raw, tmp_path / "dblp", "--features", "none", "--json")
    assert (status, errors) == (0, "")
    assert "read_as" not in json.loads(text)
    assert schema.read_manifest(tmp_path / "out")["edge_weight"] == "amount"
