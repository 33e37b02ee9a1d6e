"""Stages of the preparation: of raw files, and of a table, whose folder is that of a raw file with the same events."""

import filecmp
import json
from types import SimpleNamespace

import numpy as np
import pytest

from data_prep import PrepareOptions, pipeline
from data_prep.cli import app
from data_prep.rules import Rule
from dgl_dysign.data import schema
from dgl_dysign.data.verify import verify
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.events import EventTable
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


SRC, DST = np.array([2, 0, 1, 2, 0, 0]), np.array([0, 1, 2, 0, 3, 3])
TIME = np.array([10.0, 0.5, 3.25, 10.0, 7.0, 0.5])


def table(**others):
    return EventTable.from_rows(**{"src": SRC, "dst": DST, "time": TIME, "num_nodes": 4, **others})


@pytest.mark.parametrize(
    ("given_rule", "rule"),
    [
        (["--every", "step"], Rule("step")),
        (["--every", "2"], Rule("every", width=2)),
        (["--snapshots", "3", "--merge", "2"], Rule("count", count=3, merge=2)),
    ],
)
def test_bytes_are_those_of_a_raw_file(tmp_path, given_rule, rule):
    weight = np.array([1, -2, 0.5, 1, 3, 4])
    rows = zip(SRC, DST, TIME, weight, strict=True)
    (tmp_path / "raw.csv").write_text("a,b,t,w\n" + "".join(f"{s},{d},{t},{w}\n" for s, d, t, w in rows))
    given = ["--src", "a", "--dst", "b", "--time", "t", "--weight", "w"]
    app(
        ["edges", str(tmp_path / "raw.csv"), str(tmp_path / "a"), *given, *given_rule, "--quiet"], standalone_mode=False
    )
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    ours = pipeline.prepare("mine", table(edge_weight=weight), tmp_path / "b", PrepareOptions(every=rule))
    verify(tmp_path / "b")
    names = ["edges.parquet", "nodes.parquet", "snapshots.parquet"]
    assert filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", names, shallow=False) == (names, [], [])
    same = "num_nodes", "num_edges", "num_snapshots", "snapshot_rule", "time_range", "duplicate_rows"
    assert {key: ours[key] for key in same} == {key: manifest[key] for key in same}
    assert ours["duplicate_rows"] == 1


def test_equal_arrays_give_equal_bytes_and_others_another_source(tmp_path):
    first = pipeline.prepare("mine", table(), tmp_path / "a")
    again = pipeline.prepare("mine", table(), tmp_path / "b")
    assert first == again
    other = pipeline.prepare("mine", table(event_label=np.zeros(6, int)), tmp_path / "c")
    assert other["sources"][0]["sha256"] != first["sources"][0]["sha256"]
    assert first["sources"][0]["rows"] == 6


def test_a_run_that_was_cut_off_does_not_go_on_with_another_table(tmp_path):
    with fails("* */.manifest.json.*", KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        pipeline.prepare("mine", table(), tmp_path / "out")
    assert (tmp_path / ".out.work").exists()
    pipeline.prepare("mine", table(src=[3, 3, 3, 3, 3, 3]), tmp_path / "out")
    assert schema.table(tmp_path / "out", "edges")["src"].to_pylist() == [3] * 6
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_labels_of_some_events_have_rows_for_those(tmp_path):
    label = np.array([-1, 3, -1, 0, -1, 0])
    manifest = pipeline.prepare("mine", table(event_label=label), tmp_path / "out")
    assert (manifest["labels"], manifest["class_names"]) == ("event", ["0", "1", "2", "3"])
    rows = schema.table(tmp_path / "out", "labels", expected=schema.EVENT_LABELS).to_pylist()
    assert [(row["edge_id"], row["node"], row["label"]) for row in rows] == [(1, 0, 3), (5, 0, 0), (3, 2, 0)]
    verify(tmp_path / "out")


def test_two_types_of_nodes(tmp_path):
    rows = {"src": [0, 1], "dst": [3, 3], "time": [0, 1], "num_nodes": 5, "node_offset": 3}
    manifest = pipeline.prepare("mine", table(**rows, node_label=[-1, 0, 1, 0, 2]), tmp_path / "out")
    assert (manifest["dataset"], manifest["labels"], manifest["class_names"]) == ("mine", "node", ["0", "1", "2"])
    assert schema.table(tmp_path / "out", "labels").to_pydict() == {"node": [1, 2, 3, 4], "label": [0, 1, 0, 2]}
    assert manifest["id_offsets"] == {"user": 0, "item": 3}
    nodes = schema.table(tmp_path / "out", "nodes")
    assert nodes["type"].to_pylist() == ["user"] * 3 + ["item"] * 2
    assert nodes["raw_id"].to_pylist() == ["0", "1", "2", "3", "4"]
    assert nodes["first_snapshot"].to_pylist() == [0, 1, -1, 0, -1]
    verify(tmp_path / "out")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"src": [], "dst": [], "time": []}, "found none"),
        ({"edge_feat": np.full((6, 1), np.inf)}, "nan or inf among feat"),
        ({"event_label": np.full(6, 1 << 40)}, "expected numbers below 65536"),
        ({"num_nodes": 1 << 33}, "number anew"),
    ],
)
def test_what_cannot_be_prepared(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        pipeline.prepare("mine", table(**rows), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_no_engine_reads_and_nothing_else_is_left(tmp_path):
    pipeline.prepare("mine", table(), tmp_path / "out", PrepareOptions(features="degree"))
    verify(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_its_own_snapshots_are_kept_unless_there_is_another_rule(tmp_path):
    own = table(snapshot=[1, 0, 0, 1, 0, 0], snapshot_begin=[0, 8], snapshot_end=[8, 20])
    for name, options, number in (
        ("own", PrepareOptions(), 2),
        ("rule", PrepareOptions(every=Rule("every", width=2.0)), 5),
        ("steps", PrepareOptions(merge=2), 2),
        ("count", PrepareOptions(snapshots=3), 3),
    ):
        assert pipeline.prepare("mine", own, tmp_path / name, options)["num_snapshots"] == number
    assert schema.read_manifest(tmp_path / "own")["snapshot_rule"] == {"kind": "given"}
    assert schema.read_manifest(tmp_path / "steps")["snapshot_rule"]["kind"] == "rank"


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        ("dblp", {"src": "a"}, "found src = 'a', expected no such option here; the format of dblp is known"),
        ("dblp", {"undirected": True}, "found undirected = True"),
        ("dblp", {"names_of": "x"}, "found names_of = 'x', expected no such option here; give it with a table"),
        ("table", {"delimiter": ";"}, "found delimiter = ';'"),
        ("imdb", {}, "dataset must be one of 'dblp', 'tmall'"),
    ],
)
def test_options_that_would_have_no_effect_are_refused(raw, tmp_path, dataset, options, message):
    with pytest.raises(ConfigError, match=message):
        pipeline.prepare(dataset, table() if dataset == "table" else raw, tmp_path / "out", PrepareOptions(**options))
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_options_have_values_of_a_few():
    with pytest.raises(ConfigError, match="--on-error: found ignore, expected one of stop, quarantine"):
        PrepareOptions(on_error="ignore")


def test_dblp_has_spectral_features_unless_others_are_wanted(raw, tmp_path):
    assert pipeline.prepare("dblp", raw, tmp_path / "a", PrepareOptions(dim=3))["features"]["kind"] == "spectral"
    assert pipeline.prepare("dblp", table(), tmp_path / "b")["features"] is None
    options = PrepareOptions(features="degree", feature_options={"seed": 3})
    assert pipeline.prepare("dblp", raw, tmp_path / "c", options)["features"]["seed"] == 3


def test_large_features_are_said_and_those_that_no_disk_holds_refused(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "LARGE_FEATURES", 447)  # degree: 7 columns of 4 bytes, 4 nodes, 4 snapshots
    with pytest.warns(UserWarning, match=r"^node features of 4 snapshots take up to 0 MiB: .*--snapshots 50"):
        prepare(raw, tmp_path / "out", features="degree")
    monkeypatch.setattr(pipeline, "LARGE_FEATURES", 448)
    prepare(raw, tmp_path / "other", features="degree")  # a warning is an error of the tests
    monkeypatch.setattr(pipeline.shutil, "disk_usage", lambda _: SimpleNamespace(free=447))
    with pytest.raises(ConfigError, match=r"0 MiB free on the disk of OUT.*--snapshots 50"):
        prepare(raw, tmp_path / "third", features="degree")
    assert not (tmp_path / "third").exists()
