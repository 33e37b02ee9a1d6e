import pytest

from data_prep import PrepareOptions, pipeline
from data_prep.rules import Rule
from dgl_dysign.data import schema
from dgl_dysign.data.verify import verify
from tests.data_prep import brute
from tests.data_prep.brute import contents
from tests.data_prep.faults import fails
from tests.data_prep.raw_files import pieces_of


def run(raw, out, rule=None, **given):
    """Prepare an edge list, its bad rows set aside."""
    return pipeline.prepare("edges", raw, out, PrepareOptions(every=rule, on_error="quarantine", **given))


@pytest.mark.parametrize("rule", [Rule("step"), Rule("every", width=1.0), Rule("count", count=1)])
@pytest.mark.parametrize("times", [["0.0", "-0.0", "0.0"], ["-0.0", "0.0"], ["1", "-0.0", "0"], ["-1", "0", "-0.0"]])
def test_whether_zero_is_negative_is_no_matter(tmp_path, times, rule):
    raw = tmp_path / "raw.csv"
    raw.write_text("".join(f"1,2,{time}\n" for time in times))
    for chunk in (1, 2, 100):
        with pieces_of(chunk, 1 if chunk == 1 else 1 << 20):
            run(raw, tmp_path / str(chunk), rule=rule, time_unit="none")
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(tmp_path / "100")


def prepare(raw, out, rule=None, **options):
    return pipeline.prepare("dblp", raw, out, PrepareOptions(**{"every": rule, "features": "none", **options}))


def test_every_table_holds_what_the_raw_files_say(raw, tmp_path):
    manifest = prepare(raw, tmp_path / "out")
    assert manifest == verify(tmp_path / "out")
    assert schema.table(tmp_path / "out", "edges").to_pydict() == {
        "snapshot": [0, 0, 0, 1, 3, 3],
        "src": [0, 1, 0, 2, 3, 1],
        "dst": [1, 2, 1, 0, 1, 3],
        "time": [0.0, 0.0, 0.0, 0.333333, 1.0, 1.0],
        "edge_id": [0, 1, 2, 3, 4, 5],
    }
    snapshots = schema.table(tmp_path / "out", "snapshots").to_pydict()
    assert snapshots["first_row"] == [0, 3, 4, 4]
    assert snapshots["num_rows"] == [3, 1, 0, 2]
    assert snapshots["time_begin"] == snapshots["time_end"]
    assert snapshots["time_begin"] == pytest.approx([0, 0.333333, 2 / 3, 1])
    assert schema.table(tmp_path / "out", "nodes").to_pydict() == {
        "node": [0, 1, 2, 3],
        "raw_id": ["0", "1", "2", "3"],
        "type": [None] * 4,
        "first_snapshot": [0, 0, 0, 3],
    }
    assert schema.table(tmp_path / "out", "labels").to_pydict() == {"node": [0, 1, 3], "label": [0, 1, 1]}
    names = ["edges", "labels", "nodes", "snapshots"]
    assert manifest.pop("files") == {
        f"{name}.parquet": schema.sha256(tmp_path / f"out/{name}.parquet") for name in names
    }
    counts = {"dblp.txt": 6, "node2label.txt": 3}
    assert manifest.pop("sources") == [
        {"name": name, "sha256": schema.sha256(raw / name), "lines": rows, "header": 0, "rows": rows, "rejected": 0}
        for name, rows in counts.items()
    ]
    assert manifest == {
        "schema_version": 1,
        "dataset": "dblp",
        "num_nodes": 4,
        "num_edges": 6,
        "num_snapshots": 4,
        "num_classes": 2,
        "class_names": ["2", "7"],
        "labels": "node",
        "directed": False,
        "snapshot_rule": {"kind": "grid", "origin": 0.0, "step": 1 / 3},
        "time_unit": "as in the file",
        "time_range": [0.0, 1.0],
        "id_offsets": {"node": 0},
        "id_order": "as in the file",
        "duplicate_rows": 1,
        "rejected_rows": 0,
        "edge_weight": None,
        "edge_features": None,
        "features": None,
        "tool_version": manifest["tool_version"],
    }


@pytest.mark.parametrize(
    ("rule", "counts"),
    [
        (Rule("step"), [3, 1, 0, 2]),
        (Rule("step", merge=2), [4, 2]),
        (Rule("every", width=0.25), [3, 1, 0, 0, 2]),
        (Rule("count", count=3), [3, 1, 2]),
        (Rule("count", count=1), [6]),
    ],
)
def test_rules_decide_the_snapshots(raw, tmp_path, rule, counts):
    manifest = prepare(raw, tmp_path / "out", rule)
    assert [row[2] for row in brute.found(tmp_path / "out")["snapshots"]] == counts
    assert verify(tmp_path / "out")["num_snapshots"] == manifest["num_snapshots"] == len(counts)


STAGES = {
    "spool": "w */part-00000/src",
    "ids": "w */ids-node.npy",
    "part": "w */.part.json.*",
    "binning": "r */times.npy",
    "placing": "w */sorted/snapshot",
    "edges": "r */part-00000/dst",
    "stage": "w */.edges.json.*",
    "edge features": "r */part-00000/feat",
    "nodes": "r */new/nodes.parquet",
    "rejected": "r */rejected.jsonl",
    "hashes": "r */new/edges.parquet",
    "manifest": "* */.manifest.json.*",
    "sync": "None */new/edges.parquet",
    "move": "move */out",
}


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()], ids=repr
)
@pytest.mark.parametrize("stage", STAGES)
def test_cut_off_at_any_stage_the_same_call_goes_on_to_the_same_bytes(tmp_path, stage, error):
    lines = "".join(f"{row % 7},{row * 3 % 5},{-row % 11},{row},{row / 4},{row}\n" for row in range(60))
    raw = tmp_path / "raw.csv"
    raw.write_text(f"{lines}bad\n")
    form = {"weight": "4", "edge_features": "5", "time_unit": "none"}
    good = run(raw, tmp_path / "good", **form)
    with fails(STAGES[stage], error), pytest.raises(type(error)):
        run(raw, tmp_path / "out", **form)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.work", "good", "raw.csv"]
    if stage not in ("spool", "ids", "part"):
        with fails(STAGES["spool"], AssertionError("read again")):
            assert run(raw, tmp_path / "out", **form) == good
    assert run(raw, tmp_path / "out", overwrite=True, **form) == good
    assert contents(tmp_path / "out") == contents(tmp_path / "good")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good", "out", "raw.csv"]


def test_finished_stages_are_not_done_again(raw, tmp_path):
    with fails(STAGES["manifest"], KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        prepare(raw, tmp_path / "out")
    edges_file = tmp_path / ".out.work" / "new" / "edges.parquet"
    before = edges_file.stat()
    with fails("r */spool/*/src", AssertionError("written again")):
        prepare(raw, tmp_path / "out")
    after = (tmp_path / "out" / "edges.parquet").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_another_plan_starts_afresh(raw, tmp_path):
    plans = [
        {"snapshots": 2},
        {"allow_unknown_labels": True},
        {"on_error": "quarantine"},
        {"max_bytes": 10**6},
        {"features": "degree"},
    ]
    for number, plan in enumerate(plans):
        out = tmp_path / str(number)
        with fails(STAGES["manifest"], KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
            prepare(raw, out)
        with fails(STAGES["spool"], ZeroDivisionError(plan)), pytest.raises(ZeroDivisionError):
            prepare(raw, out, **plan)


def test_progress_is_told_of_every_byte_and_event(raw, tmp_path):
    bars, told = {}, {}

    def progress(text, total, unit=""):
        bars[text] = total
        told.setdefault(text, 0)

        def advance(amount=1):
            told[text] += amount

        return advance

    pipeline.prepare("dblp", raw, tmp_path / "out", PrepareOptions(features="none"), progress)
    assert bars == told == {"reading": (raw / "dblp.txt").stat().st_size, "writing events": 6}


def test_memory_stays_below_that_of_the_data(tmp_path):
    """Columns are read in chunks, sorted in files, written in groups: 12 MB of rows in a few MB of memory."""
    tracemalloc = pytest.importorskip("tracemalloc")
    raw = tmp_path / "raw.csv"
    raw.write_text("".join(f"{row % 977},{row % 89},{(row * 7919) % 100_003}\n" for row in range(300_000)))
    with pieces_of(1 << 12, 1 << 16):
        tracemalloc.start()
        run(raw, tmp_path / "out", rule=Rule("every", width=1000.0), time_unit="none")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 6 << 20
