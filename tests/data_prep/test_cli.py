import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep import cli
from data_prep.snapshots import arrange
from data_prep.sources import dblp
from data_prep.synth import DblpLike
from data_prep.writer import new_folder, write_prepared
from dgl_dysign.data import schema
from dgl_dysign.errors import DataError

COMMAND = [sys.executable, "-m", "data_prep.cli"]


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_written_and_the_table_says_so(raw, tmp_path, prep):
    status, text, errors = prep("dblp", raw, tmp_path / "out", "--features", "none")
    assert (status, errors) == (0, "")
    assert schema.verify(tmp_path / "out")["num_edges"] == 6
    assert "out" in text
    assert "duplicate rows" in text
    status, text, _ = prep("dblp", raw, tmp_path / "out", "--features", "none", "--overwrite", "--json")
    summary = json.loads(text)
    assert (summary["num_nodes"], summary["path"]) == (4, str(tmp_path / "out"))
    assert prep("dblp", raw, tmp_path / "out", "--features", "none", "--overwrite", "-q") == (0, "", "")


def test_features_are_described_in_the_manifest(raw, tmp_path, prep):
    assert prep("dblp", raw, tmp_path / "out", "--dim", 3, "--seed", 4, "--decay", 0.5)[0] == 0
    manifest = schema.verify(tmp_path / "out")
    defaults = {"iterations": 2, "oversample": 32, "threshold": 1.0}
    assert manifest["features"] == {"kind": "spectral", "dim": 3, "seed": 4, "decay": 0.5, **defaults}
    before = contents(tmp_path / "out")
    prep("dblp", raw, tmp_path / "out", "--dim", 3, "--seed", 4, "--decay", 0.5, "--overwrite")
    assert contents(tmp_path / "out") == before


BAD = {
    "missing edges": ("dblp.txt", None, "found node", "expected dblp.txt"),
    "missing labels": ("node2label.txt", None, "node2label.txt: found no such file", "expected lines of `node label`"),
    "columns": ("dblp.txt", "0 1 0.0\n0 1\n", "dblp.txt, line 2: found 2 columns", "expected 3"),
    "label columns": ("node2label.txt", "0 1 2\n", "node2label.txt, line 1: found 3 columns", "expected 2"),
    "text": ("dblp.txt", "0 1 0.0\n0 one 0.0\n", "dblp.txt, line 2: found dst 'one'", "an integer"),
    "text as label": ("node2label.txt", "0 red\n", "node2label.txt, line 1: found label 'red'", "an integer"),
    "negative id": ("dblp.txt", "0 1 0.0\n-1 1 0.0\n", "dblp.txt, line 2: found src '-1'", "from 0 up"),
    "negative label": ("node2label.txt", "0 -1\n", "node2label.txt, line 1: found label '-1'", "from 0 up"),
    "unknown node": ("node2label.txt", "0 1\n8 1\n", "line 2: found a label for unknown node 8", "a node of dblp.txt"),
    "two labels": ("node2label.txt", "0 1\n0 2\n", "line 2: found label 2 for node 0", "expected label 1 as on line 1"),
    "nan": ("dblp.txt", "0 1 nan\n", "dblp.txt, line 1: found time 'nan'", "a finite number"),
    "inf": ("dblp.txt", "0 1 inf\n", "dblp.txt, line 1: found time 'inf'", "a finite number"),
    "empty": ("dblp.txt", "", "dblp.txt: found no rows", "expected lines of `src dst time`"),
    "empty labels": ("node2label.txt", "\n", "node2label.txt: found no rows", "expected lines of `node label`"),
    "huge id": ("dblp.txt", "0 99999999999 0.0\n", "line 1: found node id 99999999999", "expected ids below"),
    "binary": ("dblp.txt", "\0\1\2\3", "dblp.txt, line 1: found 1 columns", "expected 3"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_with_one_error_status_2_and_nothing_written(raw, tmp_path, prep, case):
    name, text, found, expected = BAD[case]
    if case == "missing edges":
        found = "found no edge file"
    (raw / name).unlink() if text is None else (raw / name).write_text(text)
    status, output, errors = prep("dblp", raw, tmp_path / "deep" / "out", "--features", "none")
    assert (status, output) == (2, "")
    assert errors.count("\n") == 1
    assert found in errors
    assert expected in errors
    assert os.listdir(tmp_path) == ["raw"]


def test_folders_that_cannot_be_read_or_written_are_refused(raw, tmp_path, prep):
    def fails(*arguments):
        status, output, errors = prep("dblp", *arguments, "--features", "none")
        assert (status, output, errors.count("\n")) == (2, "", 1)
        return errors

    assert "found no such folder" in fails(tmp_path / "absent", tmp_path / "out")
    assert "found no such folder" in fails(raw / "dblp.txt", tmp_path / "out")
    assert "add --overwrite" in fails(raw, raw)
    before = contents(raw)
    assert "not overwritten" in fails(raw, raw, "--overwrite")
    assert contents(raw) == before
    assert "dblp.txt" in fails(raw, raw / "dblp.txt" / "out")
    (raw / "dblp.txt").unlink()
    (raw / "dblp.txt").mkdir()
    assert "Is a directory" in fails(raw, tmp_path / "out")


@pytest.mark.parametrize(
    "arguments", [["--features", "magic"], ["--dim", "0"], ["--seed", "-1"], ["--decay", "2"], ["--unknown"]]
)
def test_wrong_options_end_with_status_2(raw, tmp_path, prep, arguments):
    status, _, errors = prep("dblp", raw, tmp_path / "out", *arguments)
    assert status == 2
    assert "Usage" in errors
    assert not (tmp_path / "out").exists()


def test_running_out_of_memory_and_interrupts_leave_nothing(raw, tmp_path, prep, monkeypatch):
    for error in (MemoryError("37 GiB"), KeyboardInterrupt()):

        def fail(*_, error=error, **__):
            raise error

        monkeypatch.setattr("data_prep.writer.write_prepared", fail)
        status, _, errors = prep("dblp", raw, tmp_path / "out", "--features", "none")
        assert status
        assert ("smaller --dim" in errors) == isinstance(error, MemoryError)
        assert os.listdir(tmp_path) == ["raw"]


def test_help_starts_without_the_heavy_packages():
    heavy = "{'pandas', 'torch', 'dgl', 'sklearn', 'numba', 'scipy', 'pyarrow', 'numpy', 'matplotlib'}"
    program = f"import sys, data_prep.cli; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"
    for arguments in ([], ["dblp"], ["describe"], ["synth"], ["synth", "dblp"]):
        found = subprocess.run([*COMMAND, *arguments, "--help"], capture_output=True, text=True)
        assert found.returncode == 0
        assert "Example" in found.stdout or arguments in ([], ["synth"])


def test_preparing_imports_no_pandas(raw, tmp_path):
    arguments = ["dblp", str(raw), str(tmp_path / "out"), "--features", "none", "-q"]
    program = (
        f"import sys, data_prep.cli as c; sys.argv[1:] = {arguments}\n"
        "try: c.main()\nfinally: print(sorted({'pandas', 'torch', 'dgl'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


def test_a_bar_is_drawn_on_a_terminal_only(monkeypatch, capsys):
    for terminal, quiet in ((True, False), (True, True), (False, False)):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        with cli._progress(quiet) as progress:
            progress("reading", 10)(10)
        assert ("reading" in capsys.readouterr().err) == (terminal and not quiet)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 6)), min_size=1, max_size=40),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
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
        data = dblp.read(raw)
        with new_folder(folder / f"{name}-out") as out:
            write_prepared(out, data, arrange(data.src, data.dst, data.time))
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


def test_kill_9_at_any_moment_leaves_nothing_that_loads(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "home" / "out"
    raw.mkdir()
    DblpLike(nodes=3000).write(raw)
    command = [*COMMAND, "dblp", str(raw), str(out), "--features", "degree", "-q"]
    start = time.perf_counter()
    subprocess.run(command, check=True)
    whole, good = time.perf_counter() - start, contents(out)
    killed = 0
    for moment in np.linspace(0.4, 1.02, 12):
        overwrite = ["--overwrite"] if out.exists() else []
        process = subprocess.Popen([*command, *overwrite])
        try:
            process.wait(moment * whole)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        for folder in (tmp_path / "home").iterdir():
            try:
                schema.read_manifest(folder)
            except DataError:
                assert folder != out
            else:
                assert contents(folder) == good
    assert killed
    subprocess.run([*command, *(["--overwrite"] if out.exists() else [])], check=True)
    assert contents(out) == good
    assert os.listdir(out.parent) == ["out"]


@pytest.mark.real
def test_real_dblp(real_data, tmp_path, prep):
    for name in ("a", "b"):
        assert prep("dblp", real_data / "dblp", tmp_path / name, "--features", "none", "-q") == (0, "", "")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    manifest = schema.verify(tmp_path / "a")
    keys = ("num_nodes", "num_edges", "num_snapshots", "num_classes", "duplicate_rows")
    assert [manifest[key] for key in keys] == [28085, 235769, 27, 10, 24464]
    assert manifest["snapshot_rule"]["kind"] == "grid"
    edges = schema.table(tmp_path / "a", "edges")
    assert edges["edge_id"].to_pylist() == list(range(235769))
    counts = schema.table(tmp_path / "a", "snapshots")["num_rows"].to_pylist()
    assert counts[:3] + counts[-2:] == [856, 996, 1593, 24740, 25549]
    late = schema.table(tmp_path / "a", "nodes")["first_snapshot"].to_numpy() >= 25
    assert late.sum() == 2698
