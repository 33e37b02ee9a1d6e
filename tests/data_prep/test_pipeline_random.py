"""Random events, bad rows, pieces and archives: nothing is lost, nothing is invented, and the bytes are the same."""

import json
import re
import shutil
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from data_prep import PrepareOptions
from data_prep.pipeline import FileInput, write_folder
from data_prep.rules import Rule
from data_prep.sources import dblp, edges
from data_prep.sources import jodie as wikipedia
from data_prep.sources._raw_file import head_lines
from data_prep.sources._source import ReadOptions
from dgl_dysign.data.verify import verify
from dgl_dysign.errors import DataError
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
    if open_source is edges.open_source:
        # What a file looks like is decided by most of its rows. Here any of them may be bad but the first.
        parts = sorted(raw.iterdir(), key=lambda path: int(re.findall("[0-9]+", path.name)[0]))
        model = raw.parent / "part.csv"
        model.write_text(head_lines(parts[0], 1)[0])
        form = PrepareOptions(src="1", dst="2", time="3", **given)
        source = replace(open_source(model, read, form), parts=tuple(parts))
        model.unlink()
    else:
        source = open_source(raw, read)
    options = PrepareOptions(every=rule, on_error=on_error)
    return write_folder(FileInput(source, options), out, options)


def places(draw, delimiter, name="part-{}.csv", header=0):
    """Return the bad lines: file, number, text."""
    ends = draw.ends.count("\n")
    return [
        (name.format(number) + draw.suffix, 1 + ends * place, line.replace(";", delimiter).strip())
        for number, part in enumerate(draw.parts())
        for place, line in enumerate(part, header)
        if isinstance(line, str)
    ]


def check(draw, out, manifest, expected, delimiter=";", name="part-{}.csv", header=0):
    """Nothing is lost, nothing is invented: tables, counts, rejected lines."""
    assert manifest == verify(out)
    tables = brute.found(out)
    rejected = tables.pop("rejected", [])
    assert tables == expected.pop("tables")
    assert {key: manifest[key] for key in expected} == expected
    bad = places(draw, delimiter, name, header)
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
    if bad := places(draw, delimiter):
        said = re.escape(f"{bad[0][0]}, line {bad[0][1]}: found ")
        with pieces_of(draw.chunk, draw.block), pytest.raises(DataError, match=said):
            run(folder / "raw", folder / "stopped", "stop", rule, **form)
        assert not list(folder.glob("*stopped*"))
    plain = replace(draw, cuts=(), suffix="", mark=False, ends="\n", last_end=True)
    run(plain.write(folder / "plain", delimiter), folder / "whole", rule=rule, **form)
    same_but_for_sources(folder / "out", folder / "whole")


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
        bad=["1;2;3;x;0;1;1", "1;2;3;inf;0;1;1", "1;2;3;1;0;1", "1;2;3;1;0;1;nan"],
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
    assert verify(folder / "out") == manifest
