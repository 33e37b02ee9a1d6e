import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep import describe
from data_prep.describe import show_description
from dgl_dysign.data.verify import verify
from dgl_dysign.errors import BackendError, DataError
from tests.folders import change_table, full_folder, write_folder


@pytest.fixture
def out(raw, tmp_path, prep):
    assert prep("dblp", raw, tmp_path / "out", "--features", "none", "-q") == (0, "", "")
    return tmp_path / "out"


def rows(found, *names):
    return [
        dict(zip(names, values, strict=True))
        for values in zip(*(found.snapshots[n].tolist() for n in names), strict=True)
    ]


def test_each_snapshot_is_counted(out):
    found = describe.describe(out)
    assert found.labelled == 3
    assert rows(found, "events", "active", "new", "seen", "classes") == [
        {"events": 3, "active": 3, "new": 3, "seen": 3, "classes": [1, 1]},
        {"events": 1, "active": 2, "new": 0, "seen": 3, "classes": [1, 0]},
        {"events": 0, "active": 0, "new": 0, "seen": 3, "classes": [0, 0]},
        {"events": 2, "active": 2, "new": 1, "seen": 4, "classes": [0, 2]},
    ]
    assert found.counts()[1] == ("num_edges", 6, 236894)
    # Nodes 0, 1, 2, 3 are ends of 3, 5, 2 and 2 events.
    assert {kind: [part.tolist() for part in parts] for kind, parts in found.degrees.items()} == {
        "node": [[2, 3, 5], [2, 1, 1]]
    }
    text = json.loads(json.dumps(found.to_json()))
    assert text["published"]["num_nodes"] == 28085
    assert text["snapshots"]["active"] == [3, 2, 0, 2]
    assert text["degrees"]["node"] == {"degree": [2, 3, 5], "nodes": [2, 1, 1]}
    assert text["generated"] is False


def test_labels_of_events_are_counted_by_snapshot(tmp_path):
    found = describe.describe(full_folder(tmp_path / "p", dataset="wikipedia"))
    assert found.labelled == 5
    assert found.positive == 2
    assert found.snapshots["positive"].tolist() == [1, 0, 1]
    assert found.snapshots["classes"].tolist() == [[1, 1], [0, 0], [2, 1]]
    assert found.snapshots["active"].tolist() == [3, 0, 4]
    assert found.counts()[-2:] == [("positive_events", 2, 217), ("edge_features", 2, 172)]
    assert {kind: [part.tolist() for part in parts] for kind, parts in found.degrees.items()} == {
        "user": [[1, 2], [1, 2]],
        "item": [[1, 4], [1, 1]],
    }


def test_targets_are_counted_and_have_a_range(tmp_path, capsys):
    found = describe.describe(write_folder(tmp_path / "some", targets={0: -1.5, 3: 20.0, 4: 0.25}))
    assert ("targets", 3, None) in found.counts()
    assert found.to_json()["targets"] == {"least": -1.5, "greatest": 20.0}
    describe.show_description(found, tmp_path / "x.png")
    assert "-1.5 to 20" in capsys.readouterr().out
    none = describe.describe(write_folder(tmp_path / "none", targets={}))
    assert (("targets", 0, None) in none.counts(), none.targets) == (True, None)
    assert "targets" not in describe.describe(write_folder(tmp_path / "plain")).to_json()


def test_only_labels_0_and_1_are_positive_or_not(tmp_path):
    labels = [(0, 0, 0, 0), (2, 1, 0, 1)]
    for names, positive in ((["0", "1"], 1), (["1", "0"], 1), (["656", "1505"], None)):
        found = describe.describe(write_folder(tmp_path / "-".join(names), event_labels=labels, class_names=names))
        assert found.positive == positive
    only = describe.describe(write_folder(tmp_path / "never", event_labels=labels[:1]))
    assert (only.positive, only.labelled) == (0, 1)


@pytest.mark.parametrize(
    ("dataset", "published", "title"),
    [
        ("dblp", "dblp", "dblp"),
        ("tmall", "tmall", "tmall"),
        ("patent-generated", "patent", "patent (generated)"),
        ("reddit-generated", "reddit", "reddit (generated)"),
        ("college-msg", "uci-message", "college-msg"),
        ("CollegeMsg", "uci-message", "CollegeMsg"),
        ("uci-message", "uci-message", "uci-message"),
        ("bitcoin-otc", "bitcoin-otc", "bitcoin-otc"),
        ("bitcoin-alpha", "bitcoin-alpha", "bitcoin-alpha"),
        ("mine", None, "mine"),
    ],
)
def test_published_counts_are_found_by_name(tmp_path, capsys, dataset, published, title):
    found = describe.describe(write_folder(tmp_path / "p", dataset=dataset))
    assert found.published == (describe.PUBLISHED[published] if published else {})
    assert found.title == title
    assert found.generated == dataset.endswith("-generated")
    show_description(found, tmp_path / "a.png")
    text = capsys.readouterr().out
    assert title in text
    assert ("were generated" in text) == found.generated


def test_the_command_draws_a_picture_and_leaves_the_folder_good(out, prep, tmp_path):
    status, text, errors = prep("describe", out)
    assert (status, errors) == (0, "")
    assert "236,894" in text
    assert "-236,888" in text
    assert (out / "describe.png").read_bytes().startswith(b"\x89PNG")
    verify(out)
    status, text, errors = prep("describe", out, "--png", tmp_path / "a.png", "--json")
    assert json.loads(text)["png"] == str(tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()
    assert prep("describe", out, "--quiet") == (0, "", "")


PANELS = {
    "nodes with labels": ({"node_labels": {0: 0, 1: 1, 4: 0}}, 4, ["nodes", "share of active labelled nodes"]),
    "events with labels": (
        {"event_labels": [(0, 0, 0, 0), (2, 1, 0, 1)]},
        4,
        ["positive events, %", "positive so far"],
    ),
    "events of many classes": (
        {"event_labels": [(0, 0, 0, 0), (2, 1, 0, 2)], "class_names": ["a", "b", "c"]},
        4,
        ["share of labelled events"],
    ),
    "no labels": ({}, 3, ["events", "seen so far", "nodes with k or more"]),
    "one snapshot": ({"events": [(0, 0, 1, 5.0, 0)], "ranges": [(0.0, 10.0)], "node_labels": {0: 0}}, 4, ["events"]),
    "no events": ({"events": [], "sources": []}, 3, ["events"]),
}


@pytest.mark.parametrize("case", PANELS)
def test_there_is_a_panel_for_what_there_is(tmp_path, monkeypatch, case):
    from matplotlib.figure import Figure

    drawn, real = [], Figure.savefig

    def draw(figure, *arguments, **options):
        figure.set_layout_engine("none")  # laid out, as users have it, is the picture of the command
        drawn.append(figure)
        real(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", draw)
    given, panels, labels = PANELS[case]
    found = describe.describe(write_folder(tmp_path / "p", **given))
    describe.draw(found, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "p"]
    first = [axes for axes in drawn[0].axes if axes.get_subplotspec().rowspan.start == 0]
    assert len({axes.get_subplotspec().rowspan.start for axes in drawn[0].axes}) == panels
    assert set(labels) <= {axes.get_ylabel() for axes in drawn[0].axes}
    assert first[0].patches[0].get_data().values.tolist() == found.snapshots["events"].tolist()


def test_thousands_of_snapshots_are_drawn_in_bins(tmp_path, capsys):
    events = [(t, 0, 1 + t % 3, float(t), t) for t in range(2500)]
    ranges = [(float(t), t + 1.0) for t in range(2500)]
    found = describe.describe(write_folder(tmp_path / "p", events, ranges, 4, row_group=500))
    describe.draw(found, tmp_path / "a.png")
    thin = describe._Thinned(found.snapshots)
    assert len(thin.mean("events")) == 834
    assert thin.mean("events").tolist() == [1.0] * 834
    assert thin.total("events").sum() == 2500
    assert thin.last("seen")[-1] == 4
    assert thin.note == "\n(mean of 3 snapshots)"
    assert thin.edges[[0, -1]].tolist() == [-0.5, 2499.5]
    show_description(found, tmp_path / "a.png")
    text = capsys.readouterr().out
    assert "…" in text
    assert "2,499" in text
    assert len(text.splitlines()) < 80


def test_unix_seconds_are_shown_as_dates(tmp_path, capsys):
    unit = "seconds since 1970-01-01 UTC"
    begin = [1289192400.0, 1e20]
    events = [(0, 0, 1, begin[0], 0)]
    folder = write_folder(tmp_path / "p", events, [(begin[0], begin[1]), (begin[1], 2e20)], 2, time_unit=unit)
    show_description(describe.describe(folder), tmp_path / "a.png")
    text = capsys.readouterr().out
    assert "2010-11-08 05:00:00" in text
    assert "1e+20" in text


@pytest.mark.parametrize("at_once", [1, 3, 1 << 20])
@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=50))
def test_counts_do_not_depend_on_the_pieces(tmp_path_factory, at_once, rows):
    rows.sort(key=lambda row: row[0])
    events = [(t, src, dst, 10.0 * t, row) for row, (t, src, dst) in enumerate(rows)]
    label = {0: 0, 1: 1, 2: 1, 3: 0}
    folder = write_folder(
        tmp_path_factory.mktemp("any") / "p",
        events,
        [(10.0 * t, 10.0 * t + 10) for t in range(5)],
        6,
        node_labels=label,
    )
    found = describe.describe(folder, rows_at_once=at_once)
    for t in range(5):
        active = {node for row in rows if row[0] == t for node in row[1:]}
        seen = {node for row in rows if row[0] <= t for node in row[1:]}
        assert found.snapshots["active"][t] == len(active)
        assert found.snapshots["seen"][t] == len(seen)
        assert found.snapshots["classes"][t].tolist() == [sum(label.get(node) == c for node in active) for c in (0, 1)]
    ends = np.bincount([node for row in rows for node in row[1:]], minlength=6)
    degree, nodes = np.unique(ends, return_counts=True)
    assert [part.tolist() for part in found.degrees["node"]] == [degree.tolist(), nodes.tolist()]


@pytest.mark.parametrize(
    ("name", "column", "value", "message"),
    [
        ("edges", "src", 5, "found src 0 to 5, expected 0 to 4"),
        ("edges", "snapshot", 3, "found snapshot 0 to 3, expected 0 to 2"),
        ("edges", "snapshot", 2, "found snapshots out of order"),
        ("labels", "label", 2, "found label 0 to 2, expected 0 to 1"),
        ("nodes", "first_snapshot", -2, "found first_snapshot -2 to 2, expected -1 to 2"),
    ],
)
def test_a_folder_that_does_not_hold_together_is_refused(tmp_path, name, column, value, message):
    folder = full_folder(tmp_path / "p")
    change_table(folder, name, lambda columns: columns[column].__setitem__(0, value))
    with pytest.raises(DataError, match=rf"{name}\.parquet: {message}"):
        describe.describe(folder)


def test_a_folder_that_is_none_is_refused(tmp_path, prep):
    status, text, errors = prep("describe", tmp_path)
    assert (status, text) == (2, "")
    assert "found no manifest.json, expected a prepared folder" in errors
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "p")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(BackendError, match=r"dgl-dysign\[viz\]"):
        describe.draw(describe.describe(folder), folder / "describe.png")


def test_describing_imports_neither_pandas_nor_torch(tmp_path):
    folder = full_folder(tmp_path / "p")
    program = (
        f"import sys; from pathlib import Path; from data_prep import describe; folder = Path({str(folder)!r})\n"
        "describe.draw(describe.describe(folder), folder / 'a.png')\n"
        "print(sorted({'pandas', 'torch', 'dgl'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.real
@pytest.mark.parametrize(
    ("arguments", "counts"),
    [
        (["wikipedia", "wikipedia"], {"num_nodes": 0, "num_edges": 0, "num_snapshots": 0, "positive_events": 0}),
        (["edges", "bitcoin_otc/soc-sign-bitcoinotc.csv"], {"num_nodes": 0, "num_edges": 0}),
        (["edges", "bitcoin_alpha/soc-sign-bitcoinalpha.csv"], {"num_nodes": 0, "num_edges": 0}),
        (["dblp", "dblp"], {"num_nodes": 0, "num_edges": -1125, "num_snapshots": 0, "num_classes": 0}),
    ],
)
def test_real_data_differs_from_what_is_published_as_known(real_data, tmp_path, prep, arguments, counts):
    command, raw = arguments
    assert prep(command, real_data / raw, tmp_path / "out", "--features", "none", "-q") == (0, "", "")
    found = {
        name: here - published for name, here, published in describe.describe(tmp_path / "out").counts() if published
    }
    assert {name: found[name] for name in counts} == counts
