import json
import shutil
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from data_prep import pipeline
from data_prep.rules import Rule
from data_prep.sources import dblp, edges, wikipedia
from data_prep.sources._source import ReadOptions
from data_prep.spool import spool
from dgl_dysign.data import schema
from tests.data_prep import brute
from tests.data_prep.brute import Event, contents
from tests.data_prep.raw_files import COMPRESS, pieces_of

NUMBERS = st.one_of(st.integers(0, 9), st.sampled_from([97, 2**26, 2**31 + 1, 2**53, 2**53 + 1, 2**63 - 1]))
NAMES = st.one_of(
    st.sampled_from(["a", "b", "B", "10", "9", "é", "😀", "nan", "null", "a" * 300]),
    st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters='",;|'), min_size=1, max_size=4),
)
TIMES = st.one_of(
    st.integers(0, 30).map(str),
    st.integers(0, 3000).map(lambda hundredths: f"{hundredths / 100:.2f}"),
    st.sampled_from(["7e-06", "1.5E1", "-3", "-0.0", "0", "0.30000000000000004", "1e1"]),
)
NONE = st.none()
BAD = ["1", "1;2", "x;2;3", "-1;2;3", "1.5;2;3", "1;2;nan", "1;2;1e999", "1;2;3;4;5;6", "x;;", "\0", "1;2;"]


@dataclass(frozen=True)
class Draw:
    """A raw edge list: its lines in order (an Event, or the text of a bad line), and how it lies on the disk."""

    lines: tuple[Event | str, ...]
    cuts: tuple[int, ...] = ()
    suffix: str = ""
    mark: bool = False
    ends: str = "\n"
    last_end: bool = True
    chunk: int = 1 << 20
    block: int = 4 << 20
    threads: int = 2

    @property
    def events(self):
        return [line for line in self.lines if isinstance(line, Event)]

    def parts(self):
        """Return the runs of lines that are files of their own: each has a good line, and begins with one."""
        cuts = [0, *sorted(at for at in self.cuts if at < len(self.lines) and isinstance(self.lines[at], Event))]
        bounds = sorted({*cuts, len(self.lines)})
        return [self.lines[begin:end] for begin, end in pairwise(bounds)]

    def write(self, folder, delimiter=";", columns=("src", "dst", "time"), name="part-{}.csv", header=()):
        folder.mkdir()
        for number, part in enumerate(self.parts()):
            texts = list(header)
            for line in part:
                texts.append(line if isinstance(line, str) else ";".join(_field(line, column) for column in columns))
            data = (self.ends.join(texts) + self.ends * self.last_end).replace(";", delimiter)
            path = folder / f"{name.format(number)}{self.suffix}"
            path.write_bytes(COMPRESS[self.suffix](b"\xef\xbb\xbf" * self.mark + data.encode()))
        return folder


def _field(event, name):
    value = getattr(event, name)
    return ";".join(map(repr, value)) if name == "feat" else str(value)


@st.composite
def draws(draw, ids=NUMBERS, bad=BAD, label=NONE, weight=NONE, width=0):
    feat = st.tuples(*[st.integers(-8, 8).map(lambda quarters: quarters / 4)] * width)
    event = st.builds(Event, ids, ids, TIMES, weight, label, feat)
    some = draw(st.lists(event, min_size=1, max_size=6))
    # Repeats are frequent, as in real data.
    good = st.one_of(event, st.sampled_from(some))
    lines = draw(st.lists(st.one_of(good, good, good, st.sampled_from(bad)) if bad else good, max_size=40))
    return Draw(
        (some[0], *lines),
        tuple(draw(st.lists(st.integers(1, 40), max_size=3))),
        draw(st.sampled_from(list(COMPRESS))),
        draw(st.booleans()),
        draw(st.sampled_from(["\n", "\r\n", "\n\n", " \r\n"])),
        draw(st.booleans()),
        draw(st.integers(1, 12)),
        draw(st.integers(1, 64)),
        draw(st.integers(1, 3)),
    )


def run(raw, out, on_error="quarantine", rule=None, open_source=edges.open_source, **given):
    read = ReadOptions(on_error)
    source = open_source(raw, read, given) if open_source is edges.open_source else open_source(raw, read)
    return pipeline.prepare(source, out, pipeline.Options(rule or source.rule, read))


def check(draw, out, manifest, expected, delimiter=";", name="part-{}.csv", header=0):
    """Nothing is lost, nothing is invented: tables, counts, rejected lines."""
    assert manifest == schema.verify(out)
    tables = brute.found(out)
    rejected = tables.pop("rejected", [])
    assert tables == expected.pop("tables")
    assert {key: manifest[key] for key in expected} == expected
    ends = draw.ends.count("\n")
    bad = [
        (name.format(number) + draw.suffix, 1 + ends * place, line.replace(";", delimiter).strip())
        for number, part in enumerate(draw.parts())
        for place, line in enumerate(part, header)
        if isinstance(line, str)
    ]
    assert [row[:3] for row in rejected] == bad
    assert manifest["rejected_rows"] == len(bad)
    sources = manifest["sources"][: len(draw.parts())]
    for source, part in zip(sources, draw.parts(), strict=True):
        assert source["lines"] == header + len(part) == source["header"] + source["rows"] + source["rejected"]
        assert source["rejected"] == sum(isinstance(line, str) for line in part)


def same_but_for_sources(first, second):
    files, manifests = [], []
    for folder in (first, second):
        found = contents(folder)
        manifest = json.loads(found.pop("manifest.json"))
        found.pop("rejected.parquet", None)  # it names files and lines
        for key in ("sources",):
            manifest.pop(key)
        manifest["files"].pop("rejected.parquet", None)
        files.append(found)
        manifests.append(manifest)
    assert files[0] == files[1]
    assert manifests[0] == manifests[1]


@pytest.fixture
def home(tmp_path):
    """A folder that is emptied for each example of hypothesis."""

    def fresh():
        for path in tmp_path.iterdir():
            shutil.rmtree(path)
        return tmp_path

    return fresh


FAST = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


WIDTHS = st.sampled_from([0.5, 1.0, 7.25])


@given(draws(), WIDTHS, st.sampled_from(",\t;| "))
@example(Draw((Event(2**53 + 1, 2**53, "1"), Event(2**53, 2**63 - 1, "0"))), 1.0, ",")
@example(Draw((Event(0, 1, "5"), Event(0, 1, "5"), Event(0, 1, "1")), cuts=(1,)), 1.0, ",")
@example(Draw((Event(0, 1, "19.3"), Event(0, 1, "0.30000000000000004"))), 0.5, ",")
@FAST
def test_numbers_in_any_order_and_any_pieces_among_any_bad_rows(home, draw, width, delimiter):
    form = {"delimiter": delimiter, "ids": "integer", "header": False, "time_unit": "none"}
    folder, rule = home(), Rule("every", width=width)
    with pieces_of(draw.chunk, draw.block, draw.threads):
        manifest = run(draw.write(folder / "raw", delimiter), folder / "out", rule=rule, **form)
    check(draw, folder / "out", manifest, brute.prepare(draw.events, width), delimiter)
    plain = replace(draw, cuts=(), suffix="", mark=False, ends="\n", last_end=True)
    run(plain.write(folder / "plain", delimiter), folder / "whole", rule=rule, **form)
    same_but_for_sources(folder / "out", folder / "whole")


@pytest.mark.parametrize("rule", [Rule("step"), Rule("every", width=1.0), Rule("count", count=1)])
@pytest.mark.parametrize("times", [["0.0", "-0.0", "0.0"], ["-0.0", "0.0"], ["1", "-0.0", "0"], ["-1", "0", "-0.0"]])
def test_whether_zero_is_negative_is_no_matter(tmp_path, times, rule):
    raw = tmp_path / "raw.csv"
    raw.write_text("".join(f"1,2,{time}\n" for time in times))
    for chunk in (1, 2, 100):
        with pieces_of(chunk, 1 if chunk == 1 else 1 << 20):
            run(raw, tmp_path / str(chunk), rule=rule, time_unit="none")
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(tmp_path / "100")


@given(draws(NAMES, bad=["1", "1;2", ";2;3", "a;b;nan", "a;b;1;2"]), WIDTHS)
@FAST
def test_names_in_any_order_and_any_pieces_among_any_bad_rows(home, draw, width):
    form = {"delimiter": "|", "ids": "text", "time_unit": "none"}
    folder, rule = home(), Rule("every", width=width)
    with pieces_of(draw.chunk, draw.block, draw.threads):
        manifest = run(draw.write(folder / "raw", "|"), folder / "out", rule=rule, **form)
    check(draw, folder / "out", manifest, brute.prepare(draw.events, width), "|")
    assert manifest["id_order"] == "lexicographic"
    plain = replace(draw, cuts=(), suffix="", mark=False, ends="\n", last_end=True)
    run(plain.write(folder / "plain", "|"), folder / "whole", rule=rule, **form)
    same_but_for_sources(folder / "out", folder / "whole")


@given(
    draws(
        bad=["1;2;3;0.5;x;1;1", "1;2;3;inf;0;1;1", "1;2;3;1;0;1", "1;2;3;1;0;1;nan"],
        label=st.integers(0, 5),
        weight=st.integers(-40, 40).map(lambda quarters: quarters / 4),
        width=2,
    ),
    WIDTHS,
)
@FAST
def test_weights_labels_and_features_stay_with_their_events(home, draw, width):
    form = {"delimiter": ",", "weight": "4", "label": "5", "edge_features": "6", "time_unit": "none"}
    folder, columns = home(), ("src", "dst", "time", "weight", "label", "feat")
    with pieces_of(draw.chunk, draw.block, draw.threads):
        raw = draw.write(folder / "raw", ",", columns)
        manifest = run(raw, folder / "out", rule=Rule("every", width=width), **form)
    check(draw, folder / "out", manifest, brute.prepare(draw.events, width), ",")
    assert (manifest["edge_weight"], manifest["edge_features"], manifest["labels"]) == ("4", {"dim": 2}, "event")


@given(draws(st.integers(0, 12), bad=["1;2;3;0;1", "1;2;3;0.5;1;1", "0;0;-;0;1;1"], label=st.integers(0, 1), width=2))
@FAST
def test_users_and_items_have_ids_of_their_own(home, draw):
    folder, columns = home(), ("src", "dst", "time", "label", "feat")
    layout = {"name": "wikipedia-{}.csv", "header": ["user_id;item_id;timestamp;state_label;comma_separated_list"]}
    with pieces_of(draw.chunk, draw.block, draw.threads):
        raw = draw.write(folder / "raw", ",", columns, **layout)
        # Parts are sorted by number; ten of them would show it.
        manifest = run(raw, folder / "out", rule=Rule("every", width=2.0), open_source=wikipedia.open_source)
    expected = brute.prepare(draw.events, 2.0, ("user", "item"))
    check(draw, folder / "out", manifest, expected, ",", layout["name"], 1)


@given(
    draws(st.integers(0, 12), bad=["1;2", "a;b;1", "0;-1;2"]),
    st.dictionaries(st.integers(0, 20), st.sampled_from([656, 95, 0, 1505]), min_size=1),
    st.randoms(use_true_random=False),
)
@FAST
def test_ids_that_are_nodes_as_they_stand_and_labels_in_any_order(home, draw, labels, rng):
    folder = home()
    raw = draw.write(folder / "raw", " ", name="dblp-{}.txt")
    listed = list(labels.items())
    rng.shuffle(listed)
    (raw / "node2label.txt").write_text("".join(f"{node} {label}\n" for node, label in listed))
    with pieces_of(draw.chunk, draw.block, draw.threads):
        manifest = run(raw, folder / "out", rule=Rule("every", width=2.0), open_source=dblp.open_source)
    seen = {node for event in draw.events for node in (event.src, event.dst)}
    known = {node: label for node, label in labels.items() if node in seen}
    names = sorted(set(known.values()))
    expected = brute.prepare(draw.events, 2.0, keep_ids=True)
    if known:
        expected["tables"]["labels"] = [(node, names.index(known[node])) for node in sorted(known)]
    expected["class_names"] = [str(name) for name in names]
    tables = brute.found(folder / "out")
    unknown = [(line, f"{node} {label}") for line, (node, label) in enumerate(listed, 1) if node not in seen]
    assert sorted(row[1:3] for row in tables["rejected"] if row[0] == "node2label.txt") == sorted(unknown)
    del tables["rejected"]
    assert tables == expected.pop("tables")
    assert {key: manifest[key] for key in expected} == expected
    assert schema.verify(folder / "out") == manifest


def prepare(raw, out, rule=None, **options):
    read = ReadOptions()
    source = dblp.open_source(raw, read)
    return pipeline.prepare(source, out, pipeline.Options(rule or Rule("step"), read, **options))


def test_every_table_holds_what_the_raw_files_say(raw, tmp_path):
    manifest = prepare(raw, tmp_path / "out")
    assert manifest == schema.verify(tmp_path / "out")
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
    assert schema.verify(tmp_path / "out")["num_snapshots"] == manifest["num_snapshots"] == len(counts)


STAGES = {
    "spool": "data_prep.spool._write",
    "ids": "data_prep.spool.NumberSet.ascending",
    "part": "data_prep.spool.Path.write_text",
    "binning": "data_prep.pipeline.bin_times",
    "placing": "data_prep.arrange._new_column",
    "edges": "data_prep.parquet.TableWriter.write",
    "stage": "data_prep.pipeline.write_json",
    "edge features": "data_prep.pipeline._Run.edge_features",
    "nodes": "data_prep.nodes.write_table",
    "rejected": "data_prep.pipeline._Run.write_rejected",
    "hashes": "data_prep.pipeline.schema.sha256",
    "manifest": "data_prep.pipeline.schema.write_manifest",
    "sync": "data_prep.writer._sync_one",
    "move": "data_prep.writer._replace",
}


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()], ids=repr
)
@pytest.mark.parametrize("stage", STAGES)
def test_cut_off_at_any_stage_the_same_call_goes_on_to_the_same_bytes(tmp_path, monkeypatch, stage, error):
    lines = "".join(f"{row % 7},{row * 3 % 5},{-row % 11},{row},{row / 4},{row}\n" for row in range(60))
    raw = tmp_path / "raw.csv"
    raw.write_text(f"{lines}bad\n")
    form = {"weight": "4", "edge_features": "5", "time_unit": "none"}
    good = run(raw, tmp_path / "good", **form)
    with monkeypatch.context() as patch:
        patch.setattr(STAGES[stage], _raise(error))
        with pytest.raises(type(error)):
            run(raw, tmp_path / "out", **form)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.work", "good", "raw.csv"]
    read = []
    with monkeypatch.context() as patch:
        patch.setattr("data_prep.engines.spool", lambda *call: read.append(call) or spool(*call))
        assert run(raw, tmp_path / "out", **form) == good
    assert bool(read) == (stage in ("spool", "ids", "part"))
    assert contents(tmp_path / "out") == contents(tmp_path / "good")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good", "out", "raw.csv"]


def _raise(error):
    def fail(*_, **__):
        raise error

    return fail


def test_finished_stages_are_not_done_again(raw, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("data_prep.pipeline.schema.write_manifest", _raise(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            prepare(raw, tmp_path / "out")
    edges_file = tmp_path / ".out.work" / "new" / "edges.parquet"
    before = edges_file.stat()
    monkeypatch.setattr("data_prep.pipeline.Arrangement.chunks", _raise(AssertionError("written again")))
    prepare(raw, tmp_path / "out")
    after = (tmp_path / "out" / "edges.parquet").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_another_plan_starts_afresh(raw, tmp_path, monkeypatch):
    plans = [
        {"rule": Rule("count", count=2)},
        {"allow_unknown_labels": True},
        {"read": ReadOptions("quarantine")},
        {"read": ReadOptions(max_bytes=10**6)},
        {"features": "degree"},
    ]
    for number, plan in enumerate(plans):
        out = tmp_path / str(number)
        with monkeypatch.context() as patch:
            patch.setattr("data_prep.pipeline.schema.write_manifest", _raise(KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt):
                prepare(raw, out)
        read = []
        source = dblp.open_source(raw, ReadOptions())
        options = {"rule": Rule("step"), **plan}
        with monkeypatch.context() as patch:
            patch.setattr("data_prep.engines.spool", lambda *call, read=read: read.append(call) or spool(*call))
            pipeline.prepare(source, out, pipeline.Options(**options))
        assert len(read) == 1, plan


def test_progress_is_told_of_every_byte_and_event(raw, tmp_path):
    bars, told = {}, {}

    def progress(text, total, unit=""):
        bars[text] = total
        told.setdefault(text, 0)

        def advance(amount=1):
            told[text] += amount

        return advance

    pipeline.prepare(dblp.open_source(raw, ReadOptions()), tmp_path / "out", pipeline.Options(Rule("step")), progress)
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
