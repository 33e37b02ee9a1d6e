import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep import PrepareOptions, prepare
from dgl_dysign.data import schema
from dgl_dysign.data.verify import verify
from tests.data_prep.attacks import write_large
from tests.data_prep.brute import contents
from tests.data_prep.paused import paused
from tests.processes import PATIENCE

COMMAND = [sys.executable, "-m", "data_prep.cli"]
NONE = ("--features", "none")


def test_a_folder_is_written_and_the_table_says_so(raw, tmp_path, prep):
    status, text, errors = prep("dblp", raw, tmp_path / "out", *NONE)
    assert (status, errors) == (0, "")
    assert verify(tmp_path / "out")["num_edges"] == 6
    assert "out" in text
    assert "duplicate rows" in text
    assert "1, kept: each is an event" in text
    status, text, _ = prep("dblp", raw, tmp_path / "out", *NONE, "--overwrite", "--json")
    summary = json.loads(text)
    assert (summary["num_nodes"], summary["path"]) == (4, str(tmp_path / "out"))
    assert (summary["num_edges"], summary["lines"], summary["rejected_rows"]) == (6, 9, 0)
    assert summary["bytes"] == sum(len(data) for data in contents(tmp_path / "out").values())
    assert prep("dblp", raw, tmp_path / "out", *NONE, "--overwrite", "-q") == (0, "", "")


def test_features_are_described_in_the_manifest(raw, tmp_path, prep):
    assert prep("dblp", raw, tmp_path / "out", "--dim", 3, "--seed", 4, "--decay", 0.5)[0] == 0
    manifest = verify(tmp_path / "out")
    defaults = {"iterations": 2, "oversample": 32, "threshold": 1.0, "max_paths": 1 << 28}
    assert manifest["features"] == {"kind": "spectral", "dim": 3, "seed": 4, "decay": 0.5, **defaults}
    before = contents(tmp_path / "out")
    prep("dblp", raw, tmp_path / "out", "--dim", 3, "--seed", 4, "--decay", 0.5, "--overwrite")
    assert contents(tmp_path / "out") == before


BAD = {
    "missing labels": ("node2label.txt", None, "node2label.txt: found no such file", "check RAW"),
    "columns": ("dblp.txt", "0 1 0.0\n0 1\n", "dblp.txt, line 2: found 2 columns", "expected 3"),
    "label columns": ("node2label.txt", "0 1 2\n", "node2label.txt, line 1: found 3 columns", "expected 2"),
    "text": ("dblp.txt", "0 1 0.0\n0 one 0.0\n", "dblp.txt, line 2: found dst 'one'", "an integer"),
    "text as label": ("node2label.txt", "0 red\n", "node2label.txt, line 1: found label 'red'", "an integer"),
    "negative id": ("dblp.txt", "0 1 0.0\n-1 1 0.0\n", "dblp.txt, line 2: found src '-1'", "from 0 up"),
    "negative label": ("node2label.txt", "0 -1\n", "node2label.txt, line 1: found label '-1'", "from 0 up"),
    "unknown node": ("node2label.txt", "0 1\n8 1\n", "line 2: found a label for unknown node 8", "an event names"),
    "two labels": ("node2label.txt", "0 1\n0 2\n", "line 2: found label 2 for node 0", "expected label 1 as on line 1"),
    "nan": ("dblp.txt", "0 1 nan\n", "dblp.txt, line 1: found time 'nan'", "a finite number"),
    "inf": ("dblp.txt", "0 1 inf\n", "dblp.txt, line 1: found time 'inf'", "a finite number"),
    "overflow": ("dblp.txt", "0 1 1e999\n", "dblp.txt, line 1: found time '1e999'", "a finite number"),
    "empty": ("dblp.txt", "", "dblp.txt: found no rows", "expected lines of `src dst time`"),
    "empty labels": ("node2label.txt", "\n", "node2label.txt: found no rows", "expected lines of `node label`"),
    "huge id": ("dblp.txt", "0 99999999999 0.0\n", "line 1: found node id 99999999999", "expected ids below"),
    "binary": ("dblp.txt", "\0\1\2\3", "dblp.txt, line 1: found 1 columns", "expected 3"),
    "second part": ("dblp-1.txt", "0 1 0\n", "found dblp.txt, dblp-1.txt", "expected one of them"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_with_one_error_status_2_and_nothing_written(raw, tmp_path, prep, case):
    name, text, found, expected = BAD[case]
    (raw / name).unlink() if text is None else (raw / name).write_text(text)
    status, output, errors = prep("dblp", raw, tmp_path / "deep" / "out", *NONE)
    assert (status, output) == (2, "")
    assert errors.startswith("dysign-prep: ")
    assert errors.count("\n") == 1
    assert found in errors
    assert expected in errors
    assert os.listdir(tmp_path) == ["raw"]


def test_bad_rows_are_set_aside_counted_and_told(raw, tmp_path, prep):
    with open(raw / "dblp.txt", "a") as file:
        file.write("0 x 1.0\n\n1\n")
    with open(raw / "node2label.txt", "a") as file:
        file.write("8 1\n0 3\n")
    status, text, errors = prep("dblp", raw, tmp_path / "out", *NONE, "--on-error", "quarantine", "--json")
    assert (status, errors) == (0, "")
    assert (json.loads(text)["rejected_rows"], json.loads(text)["lines"]) == (4, 13)
    verify(tmp_path / "out")
    rows = schema.table(tmp_path / "out", "rejected").to_pylist()
    assert [(row["file"], row["line"], row["text"]) for row in rows] == [
        ("dblp.txt", 7, "0 x 1.0"), ("dblp.txt", 9, "1"), ("node2label.txt", 4, "8 1"), ("node2label.txt", 5, "0 3")
    ]  # fmt: skip
    assert rows[0]["reason"] == "found dst 'x', expected an integer from 0 up"
    text = prep("dblp", raw, tmp_path / "out", *NONE, "--on-error", "quarantine", "--overwrite")[1]
    assert "rejected rows" in text
    assert "4" in text


def test_folders_that_cannot_be_read_or_written_are_refused(raw, tmp_path, prep):
    def fails(*arguments):
        status, output, errors = prep("dblp", *arguments, *NONE)
        assert (status, output, errors.count("\n")) == (2, "", 1)
        return errors

    assert "found no such folder" in fails(tmp_path / "absent", tmp_path / "out")
    assert "found no such folder" in fails(raw / "dblp.txt", tmp_path / "out")
    assert "add --overwrite" in fails(raw, raw)
    before = contents(raw)
    assert "not overwritten" in fails(raw, raw, "--overwrite")
    assert "not overwritten" in fails(raw, raw / "dblp.txt", "--overwrite")
    assert contents(raw) == before
    assert "dblp.txt" in fails(raw, raw / "dblp.txt" / "out")
    (raw / "dblp.txt").unlink()
    (raw / "dblp.txt").mkdir()
    assert "found no regular file" in fails(raw, tmp_path / "out")
    assert os.listdir(tmp_path) == ["raw"]


def test_names_that_are_no_utf_8_are_refused_in_one_line(tmp_path, prep):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.csv"))
    path.write_text("1,2,3\n")
    status, output, errors = prep("edges", path, tmp_path / "out", "--json")
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert "found a name that is not UTF-8" in errors
    (tmp_path / "raw.csv").write_text("1,2,3\n")
    assert prep("edges", tmp_path / "raw.csv", Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xfe")))[0] == 2
    (tmp_path / "two\nlines").write_text("bad")
    status, _, errors = prep("edges", tmp_path / "two\nlines", tmp_path / "out")
    assert (status, errors.count("\n")) == (2, 1)
    assert len(os.listdir(tmp_path)) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--features", "magic"], ["--dim", "0"], ["--seed", "-1"], ["--decay", "2"], ["--unknown"], ["--merge", "0"]),
        *(
            ["--snapshots", "0"],
            ["--on-error", "ignore"],
            ["--max-bytes", "0"],
            ["--engine", "spark"],
            ["--workers", "0"],
        ),
    ],
)
def test_wrong_options_end_with_status_2(raw, tmp_path, prep, arguments):
    status, _, errors = prep("dblp", raw, tmp_path / "out", *arguments)
    assert status == 2
    assert errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--every", "fortnight"], "found --every fortnight, expected step"),
        (["--every", "1d", "--snapshots", "3"], "found --every 1d and --snapshots 3"),
        (["--every", "month"], "not Unix seconds"),
        (["--snapshots", "7"], "found 7 snapshots (--snapshots) for 6 events"),
        (["--scheduler", "tcp://a:1"], "--scheduler: found an address without Dask"),
    ],
)
def test_options_that_do_not_suit_end_with_one_line(raw, tmp_path, prep, arguments, said):
    status, output, errors = prep("dblp", raw, tmp_path / "out", *NONE, *arguments)
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert said in errors
    assert os.listdir(tmp_path) == ["raw"]


def test_all_options_of_an_edge_list_reach_their_place(tmp_path, prep):
    (tmp_path / "raw.csv").write_text("when;a;b;w;k;f;g\n02/01/1970;x;y;0.5;7;1;2\n01/01/1970;y;9;1.5;3;3;4\n")
    status, text, errors = prep(
        "edges", tmp_path / "raw.csv", tmp_path / "out", "--src", "a", "--dst", "b", "--time", "when", "--weight", "w",
        "--label", "5", "--edge-features", "f", "--delimiter", ";", "--header", "--ids", "text", "--time-format",
        "%d/%m/%Y", "--undirected", "--every", "day", "--json",
    )  # fmt: skip
    assert (status, errors) == (0, "")
    manifest = verify(tmp_path / "out")
    assert (manifest["edge_weight"], manifest["class_names"], manifest["directed"]) == ("w", ["3", "7"], False)
    assert manifest["edge_features"] == {"dim": 2}
    edges = schema.table(tmp_path / "out", "edges").to_pydict()
    assert (edges["time"], edges["weight"], edges["edge_id"]) == ([0.0, 86400.0], [1.5, 0.5], [1, 0])
    assert json.loads(text)["num_snapshots"] == 2


@pytest.mark.parametrize(("delimiter", "sign"), [("tab", "\t"), ("\\t", "\t"), ("\t", "\t"), (" ", " "), ("|", "|")])
def test_delimiters_are_named_or_given(tmp_path, prep, delimiter, sign):
    (tmp_path / "raw").write_text("1 2 3\n".replace(" ", sign))
    options = ("--delimiter", delimiter, "--time-unit", "none", "-q")
    assert prep("edges", tmp_path / "raw", tmp_path / "out", *options) == (0, "", "")


def test_running_out_of_memory_room_or_patience_leaves_what_is_done(raw, tmp_path, prep, monkeypatch):
    for error, said, status in (
        (MemoryError("37 GiB"), "out of memory (37 GiB); give a smaller --dim", 2),
        (KeyboardInterrupt(), "interrupted; the same command goes on where this one stopped", 130),
        (OSError(28, "No space left on device"), "free some space and run the same command again", 2),
    ):

        def fail(*_, error=error, **__):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(schema, "write_manifest", fail)
            found = prep("dblp", raw, tmp_path / "out", *NONE)
        assert found[:2] == (status, "")
        assert said in found[2]
        assert found[2].count("\n") == 1
        assert sorted(os.listdir(tmp_path)) == [".out.work", "raw"]
    assert prep("dblp", raw, tmp_path / "out", *NONE, "-q") == (0, "", "")
    assert sorted(os.listdir(tmp_path)) == ["out", "raw"]


def test_an_interrupt_while_labels_are_read_is_an_interrupt_too(raw, tmp_path):
    with paused(tmp_path / "gate", "node2label.txt", "dblp", raw, tmp_path / "out", *NONE) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.has_ended()
        assert process.stderr.read() == "dysign-prep: interrupted; the same command goes on where this one stopped\n"
    assert sorted(os.listdir(tmp_path)) == ["gate", "raw"]


def test_help_starts_without_the_heavy_packages():
    heavy = "{'pandas', 'torch', 'dgl', 'sklearn', 'numba', 'scipy', 'pyarrow', 'numpy', 'matplotlib'}"
    program = f"import sys, data_prep.cli; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize(
    "command",
    [
        *("", "dblp", "tmall", "patent", "wikipedia", "reddit", "edges"),
        *("inspect", "describe", "verify", "export", "synth"),
    ],
)
def test_every_command_has_help_with_an_example(prep, command):
    status, output, errors = prep(*command.split(), "--help")
    assert (status, errors) == (0, "")
    assert "Example" in output or command in ("", "synth")


@pytest.mark.parametrize("workers", [1, 2])
def test_preparing_imports_no_pandas(raw, tmp_path, workers):
    (raw / "dblp.txt").rename(raw / "dblp-0.txt")
    (raw / "dblp-1.txt").write_text("0 1 9.5\n")
    arguments = ["dblp", str(raw), str(tmp_path / "out"), *NONE, "-q", "--workers", str(workers)]
    program = (
        f"import sys, data_prep.cli as c\n"
        "if __name__ == '__main__':\n"
        f"    sys.argv[1:] = {arguments}\n"
        "    try: c.main()\n    finally: print(sorted({'pandas', 'torch', 'dgl'} & set(sys.modules)))"
    )
    (tmp_path / "program.py").write_text(program)
    found = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True)
    assert (found.stdout, found.stderr) == ("[]\n", "")


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 6)), min_size=1, max_size=40),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=40)
def test_white_space_and_line_ends_change_no_byte(tmp_path_factory, rows, seed, mark, end):
    folder, rng = tmp_path_factory.mktemp("any"), random.Random(seed)
    lines = [(src, dst, f"{step / 6:.6f}") for src, dst, step in rows]
    labels = [(node, rng.randrange(5)) for node in {row[0] for row in rows}]
    for name, blanks, ends in (
        ("plain", [" "], ["\n"]),
        ("wild", [" ", "\t", " \t "], ["\n", "\r\n", " \n\n", "\t\r\n"]),
    ):
        raw = folder / name
        raw.mkdir()
        for file, table in (("dblp.txt", lines), ("node2label.txt", labels)):
            text = "".join(rng.choice(blanks).join(map(str, row)) + rng.choice(ends) for row in table)
            if name == "wild":
                text = "\ufeff" * mark + (text if end else text.rstrip())
            (raw / file).write_bytes(text.encode())
        prepare("dblp", raw, folder / f"{name}-out", PrepareOptions(features="none"))
    plain, wild = contents(folder / "plain-out"), contents(folder / "wild-out")
    for found in (plain, wild):
        manifest = json.loads(found.pop("manifest.json"))
        # Only the hashes of the raw files may differ.
        found["manifest"] = {**manifest, "sources": [source["rows"] for source in manifest["sources"]]}
    assert plain == wild
    edges = schema.table(folder / "wild-out", "edges")
    order = sorted(range(len(rows)), key=lambda row: rows[row][2])
    assert edges["edge_id"].to_pylist() == order
    found = zip(*(edges[name].to_pylist() for name in ("src", "dst", "time")), strict=True)
    assert list(found) == [(lines[row][0], lines[row][1], float(lines[row][2])) for row in order]
    shutil.rmtree(folder)


def test_interrupted_from_the_keyboard_it_says_so_and_goes_on(tmp_path):
    write_large(tmp_path / "raw", 3000)
    arguments = ["edges", tmp_path / "raw", tmp_path / "out", "-q"]
    with paused(tmp_path / "gate", "large-1.csv", *arguments) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stderr.read() == "dysign-prep: interrupted; the same command goes on where this one stopped\n"
    assert (tmp_path / ".out.work" / "spool" / "part-00000" / "part.json").exists()
    subprocess.run([*COMMAND, *arguments], check=True, timeout=PATIENCE)
    assert sorted(os.listdir(tmp_path)) == ["gate", "out", "raw"]


def test_of_two_commands_into_one_folder_one_is_refused(tmp_path, prep):
    write_large(tmp_path / "raw", 3000)
    arguments = ["edges", tmp_path / "raw", tmp_path / "out", "-q"]
    with paused(tmp_path / "gate", "large-1.csv", *arguments) as first:
        status, output, errors = prep(*arguments)
        assert (status, output, errors.count("\n")) == (2, "", 1)
        assert "found another run writing it" in errors
        first.go_on()
        assert first.wait(PATIENCE) == 0
        assert first.stderr.read() == ""
    assert "add --overwrite" in prep(*arguments)[2]
    verify(tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["gate", "out", "raw"]


FULL_DISK = """
mount -t tmpfs -o size=1m none "$1" || exit 99
for size in 1 2 3 4 5 6 64; do
    mount -o remount,size=${size}m "$1"
    "$2" -m data_prep.cli edges "$3" "$1/out" --weight 4 --edge-features 5 --every 1d -q
    status=$?
    echo "$status $(ls -A "$1")"
    [ $status = 0 ] && break
done
cp -r "$1/out" "$4"
"""


def test_on_a_full_disk_it_says_so_and_goes_on_where_there_is_room(tmp_path):
    if not shutil.which("unshare"):
        pytest.skip("no unshare to mount a small disk with")
    write_large(tmp_path / "raw", 60_000)
    (tmp_path / "disk").mkdir()
    paths = [tmp_path / "disk", sys.executable, tmp_path / "raw", tmp_path / "copy"]
    found = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", FULL_DISK, "sh", *paths], capture_output=True, text=True, timeout=PATIENCE
    )
    if found.returncode == 99 or "unshare" in found.stderr:
        pytest.skip(f"no small disk can be mounted here: {found.stderr.strip()}")
    *full, last = found.stdout.splitlines()
    assert (set(full), last) == ({"2 .out.work"}, "0 out")
    assert len(full) > 2
    for line in found.stderr.splitlines():
        assert "No space left on device" in line
        assert line.endswith("free some space and run the same command again, which goes on where this one stopped")
    assert found.stderr.count("\n") == len(full)
    subprocess.run([*COMMAND, "edges", paths[2], tmp_path / "out", "--weight", "4", "--edge-features", "5",
                    "--every", "1d", "-q"], check=True)  # fmt: skip
    assert contents(tmp_path / "copy") == contents(tmp_path / "out")
