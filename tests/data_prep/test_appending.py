"""Appends: one after the other they hold what one preparation of everything holds, and leave the past as it was."""

import json
import os
import shutil
import sys
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_prep import PrepareOptions, append, pipeline, prepare
from data_prep.describe import describe
from data_prep.rules import Rule
from data_prep.sources import READERS
from data_prep.sources._layout import Column, Layout
from data_prep.sources._source import Source
from dgl_dysign.data import TemporalGraph, schema
from dgl_dysign.data.verify import verify
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.events import EventTable
from tests.data_prep.brute import contents

WEEK = 604_800
MONDAY = 1_577_664_000 + 3 * WEEK


def rows_of(folder, name):
    return schema.table(folder, name).to_pylist()


def raw_ids(folder):
    nodes = schema.table(folder, "nodes")
    return list(zip(nodes["type"].to_pylist(), nodes["raw_id"].to_pylist(), strict=True))


def same_but_for_the_order_of_nodes(grown, whole):
    """Compare all tables and counts of two folders of the same events."""
    place = {raw_id: node for node, raw_id in enumerate(raw_ids(whole))}
    to_whole = np.array([place[raw_id] for raw_id in raw_ids(grown)])
    assert sorted(to_whole) == list(range(len(place)))
    for name in ("edges", "snapshots", "edge_features", "labels", "nodes"):
        assert (grown / f"{name}.parquet").exists() == (whole / f"{name}.parquet").exists()
        if not (grown / f"{name}.parquet").exists():
            continue
        here, there = rows_of(grown, name), rows_of(whole, name)
        for row in here:
            row |= {key: int(to_whole[row[key]]) for key in ("src", "dst", "node") if key in row}
        key = "node" if name == "nodes" or (name == "labels" and "edge_id" not in there[0]) else None
        assert (sorted(here, key=lambda row: row[key]) if key else here) == there
    manifests = [schema.read_manifest(folder) for folder in (grown, whole)]
    for manifest in manifests:
        for key in ("files", "sources", "parent", "appended", "id_offsets"):
            manifest.pop(key, None)
    assert manifests[0] == manifests[1]
    return to_whole


def kept(folder):
    """Return what an append must leave as it is: rows of all tables, bytes of features."""
    tables = {path.stem: rows_of(folder, path.stem) for path in folder.glob("*.parquet")}
    return tables, {path.name: path.read_bytes() for path in folder.glob("features/*.parquet")}


def still_there(before, folder):
    (tables, features), (now, features_now) = before, kept(folder)
    for name, rows in tables.items():
        for row, before_it in zip(now[name], rows, strict=False):
            if before_it.get("first_snapshot") == -1:  # a node that had no event may get its first
                row["first_snapshot"] = -1
        assert now[name][: len(rows)] == rows
    assert features_now.items() >= features.items()


def grow(folder, parts, options, **more):
    """Append files one by one, and check after each that all is well and nothing has changed."""
    for part in parts:
        before, parent = kept(folder), schema.sha256(folder / "manifest.json")
        manifest = append(folder, part, options, **more)
        assert verify(folder) == manifest
        assert manifest["parent"] == manifest["appended"][-1]["parent"] == parent
        still_there(before, folder)


def written(home, lines, cuts):
    """Write lines to a file, and to the files of the pieces between the cuts."""
    (home / "whole.csv").write_text("".join(lines))
    paths = []
    for number, (first, end) in enumerate(pairwise([0, *cuts, len(lines)])):
        paths.append(home / f"part{number}.csv")
        paths[-1].write_text("".join(lines[first:end]))
    return paths


def events(number, seed=0, times=None, nodes=12):
    """Lines of `src,dst,time,weight,label,feature`; later ones name nodes that earlier ones do not."""
    rng = np.random.default_rng(seed)
    most = 3 + nodes * np.arange(number) // number
    ends = (rng.random((number, 2)) * most[:, None]).astype(int) * 7 % 101
    when = times if times is not None else MONDAY + np.sort(rng.integers(0, 12 * WEEK, number))
    return [f"{a},{b},{t},{w},{w % 3},{w / 4}\n" for (a, b), t, w in zip(ends, when, range(number), strict=True)]


def cuts_between_snapshots(manifest, folder, number):
    """Choose places at which a snapshot ends, as evenly as they lie."""
    ends = np.unique(np.cumsum(schema.to_numpy(schema.table(folder, "snapshots")["num_rows"])))[2:-1]
    return sorted({int(ends[len(ends) * k // number]) for k in range(number)})


def week_ends(lines, number):
    """Choose places at which a calendar week ends, as evenly as they lie."""
    week = np.array([(int(line.split(",")[2]) - MONDAY) // WEEK for line in lines])
    ends = np.flatnonzero(np.diff(week)) + 1
    return sorted({int(ends[len(ends) * (k + 1) // (number + 1)]) for k in range(number)})


STEPS = np.repeat([0, 1, 2, 4, 6, 7, 10, 11, 12, 14, 15, 17, 18, 19, 20], 5)
FORM = {"weight": "4", "label": "5", "edge_features": "6"}


@pytest.mark.parametrize(
    ("times", "options"),
    [
        (None, {"every": "week"}),
        (STEPS, {"time_unit": "none"}),
        (STEPS**3, {"time_unit": "none"}),
    ],
)
def test_ten_appends_hold_what_one_preparation_holds(tmp_path, times, options):
    options = {**FORM, "features": "degree", **options}
    lines = events(len(STEPS), times=times)
    (tmp_path / "all.csv").write_text("".join(lines))
    whole = prepare("edges", tmp_path / "all.csv", tmp_path / "whole", PrepareOptions(**options))
    parts = written(tmp_path, lines, cuts_between_snapshots(whole, tmp_path / "whole", 10))
    prepare("edges", parts[0], tmp_path / "part0", PrepareOptions(**options))
    reading = {name: value for name, value in options.items() if name not in ("every", "features")}
    grow(tmp_path / "part0", parts[1:], PrepareOptions(**reading))
    shutil.rmtree(tmp_path / "whole")
    (tmp_path / "all.csv").rename(tmp_path / "part0.csv")  # the data set has the name of its first file
    prepare("edges", tmp_path / "part0.csv", tmp_path / "whole", PrepareOptions(**options))
    to_whole = same_but_for_the_order_of_nodes(tmp_path / "part0", tmp_path / "whole")
    grown, at_once = TemporalGraph.load(tmp_path / "part0"), TemporalGraph.load(tmp_path / "whole")
    for snapshot in range(at_once.num_snapshots):
        assert np.array_equal(grown.features(snapshot), at_once.features(snapshot)[to_whole])


def prepare_lines(home, lines, cuts, **options):
    """Prepare the first of some pieces of lines; return the folder and the other pieces."""
    first, *others = written(home, lines, cuts)
    prepare("edges", first, home / "out", PrepareOptions(**options))
    return home / "out", others


def in_the_order_of(folder, lines, whole, **options):
    """Prepare all lines, with nodes numbered as in a folder that has grown."""
    number = {raw_id: str(node) for node, (_, raw_id) in enumerate(raw_ids(folder))}
    renamed = [",".join([*(number[end] for end in line.split(",")[:2]), line.split(",")[2]]) + "\n" for line in lines]
    whole.with_suffix(".csv").write_text("".join(renamed))
    prepare("edges", whole.with_suffix(".csv"), whole, PrepareOptions(**options))


KINDS = {
    "degree": {},
    "spectral": {"dim": 5, "decay": (0.7, 0.3)},
    "deepwalk": {"dim": 8, "feature_options": {"walk_length": 8, "num_walks": 2}},
    "node2vec": {"dim": 8, "decay": 0.8, "feature_options": {"walk_length": 8, "num_walks": 2, "q": 2.0}},
}


@pytest.mark.parametrize(("kind", "nodes"), [*((kind, 40) for kind in KINDS), ("deepwalk", 0), ("node2vec", 0)])
def test_features_go_on(tmp_path, kind, nodes):
    options = {"every": "week", "features": kind, "seed": 3, **KINDS[kind]}
    lines = events(100, nodes=nodes)
    folder, parts = prepare_lines(tmp_path, lines, week_ends(lines, 2), **options)
    grow(folder, parts, PrepareOptions())
    data = TemporalGraph.load(folder)
    sizes = [*(entry["first_node"] for entry in data.manifest["appended"]), data.num_nodes]
    assert sizes == (sorted(set(sizes)) if nodes else [sizes[0]] * 3)  # each append had new nodes, or none
    active = np.stack([data.active(t).numpy() for t in range(data.num_snapshots)])
    rows = np.stack([data.features(t).numpy() for t in range(data.num_snapshots)])
    assert np.array_equal(rows.any(axis=2), active)
    if kind in ("degree", "spectral") or not nodes:
        in_the_order_of(folder, lines, tmp_path / "whole", **options)
        whole = TemporalGraph.load(tmp_path / "whole")
        assert np.array_equal(rows, [whole.features(t).numpy() for t in range(whole.num_snapshots)])
    else:  # no jump: most nodes are nearer to themselves of the snapshot before than to others
        for snapshot in [entry["first_snapshot"] for entry in data.manifest["appended"]]:
            known = active[snapshot - 1]
            before, now = rows[snapshot - 1][known], rows[snapshot][known]
            own, others = np.linalg.norm(now - before, axis=1), np.linalg.norm(now[:, None] - before, axis=2)
            assert np.median(own) < 0.5 * np.median(others)


def test_large_features_are_said_of_new_snapshots_alone(tmp_path, monkeypatch):
    folder, _ = prepare_lines(tmp_path, ["1,2,5\n", "2,3,9\n"], [], every="2", time_unit="none", features="degree")
    later = tmp_path / "later.csv"
    later.write_text("1,9,11\n1,9,13\n")
    monkeypatch.setattr(pipeline, "LARGE_FEATURES", 0)
    with pytest.warns(UserWarning, match=r"^node features of 2 snapshots take up to 0 MiB"):
        append(folder, later)


def test_events_that_would_change_the_past_are_refused_and_change_nothing(tmp_path):
    folder, _ = prepare_lines(tmp_path, ["1,2,5\n", "2,3,7\n"], [], every="2", time_unit="none")
    before = contents(folder)
    late = tmp_path / "late.csv"
    cases = {
        "1,9,9\n1,9,8.5\n": r"late.csv, line 2: found the time 8.5, .* change the past: expected times from 9\.0",
        "1,9,9\n1,x,9\n2,1,9\n": "late.csv, line 2: found dst 'x'",
    }
    for text, said in cases.items():
        late.write_text(text)
        with pytest.raises(DataError, match=said):
            append(folder, late)
        assert contents(folder) == before
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    late.write_text("1,9,9\n1,x,9\n1,9,6\n")
    with pytest.raises(DataError, match=r"line 3: found the time 6\.0"):
        append(folder, late, PrepareOptions(on_error="quarantine"))
    assert contents(folder) == before


def test_a_date_that_would_change_the_past_is_named_as_one(tmp_path):
    folder, _ = prepare_lines(tmp_path, ["1,2,2020-01-01\n"], [], every="day")
    (tmp_path / "late.csv").write_text("1,2,2020-01-02\n1,2,2020-01-01T05:00:00\n")
    with pytest.raises(
        DataError, match=r"line 2: found the time 2020-01-01T05:00:00, .* times from 2020-01-02T00:00:00"
    ):
        append(folder, tmp_path / "late.csv")


@pytest.mark.parametrize(
    ("prepared", "line", "options", "said"),
    [
        ({"snapshots": 2}, "1,2,9", {}, "equal numbers of events.*--every day"),
        ({"every": "2", "merge": 2}, "1,2,9", {}, "a last snapshot of 1 of the 2 .*--merge"),
        ({"merge": 2}, "1,2,9", {}, "a last snapshot of 1 of the 2 .*--merge"),
        ({}, "1,2,9,1", {"weight": "4"}, "weights: True, expected False"),
        (
            {},
            "1,2,1600000000",
            {"time_unit": "s"},
            "times: seconds since 1970, expected of no known origin.*--time-unit",
        ),
        ({}, "a,2,9", {"ids": "text"}, "ids that are text: True, expected False.*--ids"),
        ({}, "1,02,9", {}, "ids that are text: True, expected False.*--ids"),
        ({}, "1,2,9", {"every": "week"}, "every = 'week', expected no such option"),
        ({}, "1,2,9,1", {"edge_features": "4"}, "features of events: 1, expected None"),
        ({"every": "step"}, "1,2,6.5", {}, "6.5, expected one on the even grid.*5.0 \\+ k \\* 1.0"),
    ],
)
def test_what_does_not_go_on_says_why(tmp_path, prepared, line, options, said):
    lines = [f"1,2,{time}\n" for time in (1, 2, 3, 4, 5)]
    folder, _ = prepare_lines(tmp_path, lines, [], time_unit="none", **prepared)
    before = contents(folder)
    (tmp_path / "more.csv").write_text(line + "\n")
    with pytest.raises((ConfigError, DataError), match=said):
        append(folder, tmp_path / "more.csv", PrepareOptions(**options))
    assert contents(folder) == before


def test_steps_that_were_merged_go_on_where_the_last_snapshot_is_full(tmp_path):
    folder, _ = prepare_lines(tmp_path, [f"1,2,{time}\n" for time in (1, 10, 100, 1000)], [], time_unit="none", merge=2)
    (tmp_path / "more.csv").write_text("1,2,1100\n1,3,1101\n1,2,1101\n1,2,1500\n")
    append(folder, tmp_path / "more.csv")
    rows = rows_of(folder, "snapshots")
    assert [(row["time_begin"], row["time_end"], row["num_rows"]) for row in rows[2:]] == [
        (1100, 1101, 3),
        (1500, 1500, 1),
    ]
    verify(folder)


def test_classes_go_on_and_those_of_old_nodes_stay(tmp_path):
    folder, labels, more = tmp_path / "out", tmp_path / "labels", tmp_path / "more.csv"
    (tmp_path / "events.csv").write_text("5,7,1\n7,9,2\n")
    labels.write_text("7 3\n5 1\n")
    prepare("edges", tmp_path / "events.csv", folder, PrepareOptions(time_unit="none", labels=labels))
    more.write_text("6,5,4\n")
    labels.write_text("6 2\n9 3\n5 1\n")
    grow(folder, [more], PrepareOptions(labels=labels))
    assert schema.read_manifest(folder)["class_names"] == ["1", "3", "2"]
    assert rows_of(folder, "labels") == [{"node": n, "label": c} for n, c in [(0, 0), (1, 1), (2, 1), (3, 2)]]
    more.write_text("6,5,8\n")
    grow(folder, [more], PrepareOptions())  # and without a file of labels
    assert TemporalGraph.load(folder).labels.tolist() == [0, 1, 1, 2]
    before = contents(folder)
    more.write_text("6,5,9\n")
    labels.write_text("5 1\n7 1\n")
    with pytest.raises(DataError, match="labels, line 2: found other labels for node 7 than the folder has"):
        append(folder, more, PrepareOptions(labels=labels))
    assert contents(folder) == before


def test_targets_and_classes_in_columns_go_on(tmp_path):
    targets, more = tmp_path / "targets", tmp_path / "part1.csv"
    targets.write_text("2 0.5\n")
    options = {"time_unit": "none", "src_label": "4", "dst_label": "5"}
    lines = ["1,2,1,red,\n", "2,3,2,blue,red\n", "4,3,3,green,red\n", "1,3,4,blue,red\n"]
    folder, parts = prepare_lines(tmp_path, lines[:3], [2], **options, targets=targets)
    targets.write_text("4 2.5\n1 -1\n2 0.5\n")
    grow(folder, parts, PrepareOptions(**options, targets=targets))
    data = TemporalGraph.load(folder)
    assert [data.class_names[label] for label in data.labels] == ["red", "blue", "red", "green"]
    assert data.manifest["targets"] == {"count": 3}
    assert rows_of(folder, "targets") == [{"node": n, "target": t} for n, t in [(1, 0.5), (0, -1.0), (3, 2.5)]]
    before = contents(folder)
    more.write_text(lines[3])
    with pytest.raises(DataError, match="columns of the events: found other labels for node 1 than the folder has"):
        append(folder, more, PrepareOptions(**options))
    more.write_text("1,3,4,red,red\n")
    targets.write_text("1 -2\n")
    with pytest.raises(DataError, match="targets, line 1: found other targets for node 1 than the folder has"):
        append(folder, more, PrepareOptions(**options, targets=targets))
    assert contents(folder) == before


def test_classes_of_events_keep_their_numbers(tmp_path):
    options = {"time_unit": "none", "label": "4"}
    folder, parts = prepare_lines(tmp_path, ["1,2,1,7\n", "1,2,2,3\n", "1,2,3,5\n", "2,1,3,7\n"], [2], **options)
    grow(folder, parts, PrepareOptions(label="4"))
    assert schema.read_manifest(folder)["class_names"] == ["3", "7", "5"]
    assert [row["label"] for row in rows_of(folder, "labels")] == [1, 0, 2, 1]


def test_users_and_items_go_on_each_by_themselves(tmp_path):
    raw, row = tmp_path / "wikipedia.csv", "{},{},{},0,0.5\n"
    header = "user_id,item_id,timestamp,state_label,comma_separated_list_of_features\n"
    rows = [(0, 0, 0.0), (2, 5, 10.0), (1, 5, 4000.0), (7, 3, 4001.0), (3, 9, 9000.0)]
    raw.write_text(header + "".join(row.format(*each) for each in rows[:2]))
    folder = tmp_path / "out"
    prepare("wikipedia", raw, folder)
    for first, end in ((2, 4), (4, 5)):
        raw.write_text(header + "".join(row.format(*each) for each in rows[first:end]))
        grow(folder, [raw], PrepareOptions())
    assert raw_ids(folder) == [
        *(("user", "0"), ("user", "2"), ("item", "0"), ("item", "5"), ("user", "1"), ("user", "7"), ("item", "3")),
        *(("user", "3"), ("item", "9")),
    ]
    raw.write_text(header + "".join(row.format(*each) for each in rows))
    prepare("wikipedia", raw, tmp_path / "whole")
    same_but_for_the_order_of_nodes(folder, tmp_path / "whole")
    assert {kind: nodes.sum() for kind, (_, nodes) in describe(folder).degrees.items()} == {"user": 5, "item": 4}
    with pytest.raises(DataError, match=r"two types of nodes of which more were .*prepare all events together"):
        EventTable.of(folder)


def test_ids_as_they_stand_names_and_what_is_in_memory(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/dblp.txt").write_text("0 2 0\n2 0 1\n")
    (tmp_path / "raw/node2label.txt").write_text("0 1\n2 1\n")
    prepare("dblp", tmp_path / "raw", tmp_path / "dblp", PrepareOptions(features="degree"))
    (tmp_path / "raw/dblp.txt").write_text("1 4 2\n")
    (tmp_path / "raw/node2label.txt").write_text("0 1\n2 1\n4 0\n")
    grow(tmp_path / "dblp", [tmp_path / "raw"], PrepareOptions())
    nodes = rows_of(tmp_path / "dblp", "nodes")
    assert [row["first_snapshot"] for row in nodes] == [0, 2, 0, -1, 2]
    assert TemporalGraph.load(tmp_path / "dblp").features(1).any(dim=1).tolist() == [True, False, True, False, False]
    table = EventTable.from_rows([0, 1], [1, 0], [5.0, 7.0], num_nodes=3)
    prepare("mine", table, tmp_path / "mine", PrepareOptions(every="step"))
    (tmp_path / "more.csv").write_text("a,b,9\n")
    with pytest.raises(ConfigError, match="ids that are text: True, expected False"):
        append(tmp_path / "mine", tmp_path / "more.csv")
    (tmp_path / "more.csv").write_text("1,4,9\n")
    grow(tmp_path / "mine", [tmp_path / "more.csv"], PrepareOptions())
    assert [row["first_snapshot"] for row in rows_of(tmp_path / "mine", "nodes")] == [0, 0, -1, -1, 2]
    folder, _ = prepare_lines(tmp_path, ["ann,bob,2024-01-01\n"], [], every="day")
    (tmp_path / "numbers.csv").write_text("7,5,2024-01-02\n5,NaN,2024-01-02\n")
    with pytest.raises(DataError, match=r"numbers.csv, line 2: .*missing id"):
        append(folder, tmp_path / "numbers.csv")
    frame = pd.DataFrame({"src": ["7", "bob"], "dst": ["ann", "aaa"], "time": pd.to_datetime(["2024-01-03"] * 2)})
    manifest = append(folder, frame)
    assert (manifest["num_snapshots"], manifest["directed"]) == (3, True)
    assert [raw_id for _, raw_id in raw_ids(folder)] == ["ann", "bob", "7", "aaa"]


def test_a_list_of_edges_may_have_the_name_of_a_known_data_set(tmp_path):
    folder, parts = prepare_lines(tmp_path, ["1,2,1\n", "3,2,2\n"], [1], time_unit="none", name="reddit")
    grow(folder, parts, PrepareOptions())
    otc = {"every": "day", "name": "bitcoin-otc"}  # of which four columns are known, whatever the file is called
    (tmp_path / "otc").mkdir()
    folder, parts = prepare_lines(tmp_path / "otc", ["6,2,4,1289241911.7\n", "6,5,-2,1289441911.7\n"], [1], **otc)
    grow(folder, parts, PrepareOptions())
    assert [row["weight"] for row in rows_of(folder, "edges")] == [4.0, -2.0]
    assert schema.read_manifest(folder)["edge_weight"] == "rating"


def test_a_format_that_was_added_goes_on_in_that_format(tmp_path, monkeypatch):
    def open_source(raw, read, dataset):
        columns = (Column("time", "number"), Column("src", "integer"), Column("dst", "integer"))
        return Source(dataset, (raw,), Layout(columns), Rule("every", width=10.0), time_unit="seconds", unix=False)

    monkeypatch.setitem(READERS, "contacts", "contacts")
    monkeypatch.setitem(sys.modules, "data_prep.sources.contacts", SimpleNamespace(open_source=open_source))
    (tmp_path / "a.txt").write_text("1 7 30\n2 30 8\n")
    (tmp_path / "b.txt").write_text("25 8 7\n")
    monkeypatch.setattr("data_prep.pipeline.DATASETS", ("contacts",))
    prepare("contacts", tmp_path / "a.txt", tmp_path / "out")
    append(tmp_path / "out", tmp_path / "b.txt")
    assert [(row["src"], row["dst"], row["time"]) for row in rows_of(tmp_path / "out", "edges")][-1] == (1, 0, 25.0)


def test_bad_rows_are_added_to_those_before(tmp_path):
    options = {"time_unit": "none", "on_error": "quarantine"}
    folder, parts = prepare_lines(tmp_path, ["1,2,1\n", "x,2,2\n", "1,2,3\n", "1,-,3\n"], [2], **options)
    grow(folder, parts, PrepareOptions(on_error="quarantine"))
    assert [row["text"] for row in rows_of(folder, "rejected")] == ["x,2,2", "1,-,3"]
    (tmp_path / "part2.csv").write_text("1,2,4\n")
    grow(folder, [tmp_path / "part2.csv"], PrepareOptions())
    assert schema.read_manifest(folder)["rejected_rows"] == 2


def test_the_command_says_what_it_did_or_why_not(prep, tmp_path):
    folder, parts = prepare_lines(tmp_path, ["1,2,1\n", "3,2,2\n"], [1], time_unit="none")
    status, printed, _ = prep("append", folder, parts[0], "--json")
    assert status == 0
    assert {key: json.loads(printed)[key] for key in ("num_nodes", "num_edges", "num_snapshots", "lines")} == {
        "num_nodes": 3, "num_edges": 2, "num_snapshots": 2, "lines": 2,
    }  # fmt: skip
    assert "appended to, times │ 1" in " ".join(prep("describe", folder)[1].split())
    parts[0].write_text("3,2,1\n")
    status, printed, said = prep("append", folder, parts[0], "--quiet")
    assert (status, printed, said.count("\n")) == (2, "", 1)
    assert "read as" in prep("append", folder, parts[0])[2]
    assert "line 1: found the time 1.0, which would change the past: expected times after 2.0" in said


def test_a_table_with_names_of_a_folder_that_has_grown(tmp_path):
    folder, parts = prepare_lines(tmp_path, ["5,7,1\n", "3,5,2\n"], [1], time_unit="none")
    append(folder, parts[0])
    prepare("mine", EventTable.of(folder), tmp_path / "again", PrepareOptions(names_of=folder))
    assert [raw_id for _, raw_id in raw_ids(tmp_path / "again")] == ["5", "7", "3"]
    verify(tmp_path / "again")


def test_files_of_others_are_kept_and_nothing_is_written_through_a_link(tmp_path):
    options = PrepareOptions(time_unit="none", on_error="quarantine", features="degree")
    folder, parts = prepare_lines(tmp_path, ["1,2,1\n", "1,2,2\n"], [1], time_unit="none", features="degree")
    (folder / "features/notes.txt").write_text("mine")
    TemporalGraph.load(folder).features(0)
    shutil.copytree(folder, tmp_path / "copy", copy_function=os.link)
    before = contents(tmp_path / "copy")
    append(folder, parts[0], replace(options, features=None))
    assert (folder / "features/notes.txt").read_text() == "mine"
    assert sorted(path.name for path in (folder / "features").iterdir()) == [
        "00000.parquet",
        "00001.parquet",
        "notes.txt",
    ]
    assert contents(tmp_path / "copy") == before


def test_verify_sees_an_append_that_is_not_after_all_that_is_older(tmp_path):
    folder, parts = prepare_lines(tmp_path, ["1,2,1\n", "1,2,2\n", "3,2,2\n"], [1], time_unit="none")
    manifest = append(folder, parts[0])
    for changes in ({"first_edge": 2}, {"first_node": 1, "id_offsets": {"node": 1}}):
        entry = {**manifest["appended"][0], **changes}
        schema.write_manifest(folder, {**manifest, "appended": [entry]})
        with pytest.raises(DataError, match="expected one after all older events and nodes"):
            verify(folder)


def test_a_folder_that_lacks_a_file_is_named(tmp_path):
    folder, parts = prepare_lines(tmp_path, ["1,2,1\n", "1,2,2\n"], [1], time_unit="none", features="degree")
    (folder / "features/00000.parquet").unlink()
    with pytest.raises(DataError, match=r"00000\.parquet: found no such file.*prepare the folder again"):
        append(folder, parts[0])


def test_the_same_files_again_change_nothing(tmp_path):
    folder, parts = prepare_lines(tmp_path, ["1,2,1\n", "1,2,2\n", "3,2,2\n"], [1], time_unit="none")
    manifest = append(folder, parts[0])
    before = contents(folder)
    assert append(folder, parts[0]) == manifest
    assert contents(folder) == before


def test_classes_that_come_after_an_append_of_the_same_events_are_not_lost_in_silence(tmp_path, prep):
    folder, (part,) = prepare_lines(tmp_path, ["1,2,1\n", "1,2,2\n", "3,2,2\n"], [1], time_unit="none")
    (tmp_path / "labels.txt").write_text("3 ok\n")
    assert prep("append", folder, part, "--quiet")[0] == 0
    status, _, said = prep("append", folder, part, "--labels", tmp_path / "labels.txt")
    assert status == 2
    assert "which would change the past" in said
    status, printed, said = prep("append", folder, part)
    assert (status, "nothing to do: the folder has these events" in said) == (0, True)
    assert "0 of them new" in printed


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_split_holds_what_one_preparation_holds(tmp_path, data):
    folder = tmp_path / "out"
    times = sorted(data.draw(st.lists(st.integers(0, 40), min_size=2, max_size=30)))
    names = st.sampled_from(data.draw(st.sampled_from([["1", "2", "30", "400"], ["a", "10", "9", "B"]])))
    lines = [f"{data.draw(names)},{data.draw(names)},{time}\n" for time in times]
    rule = data.draw(st.sampled_from(["1", "2.5", "7"]))
    ids = "integer" if lines[0].split(",")[0].isdecimal() and all(c not in "".join(lines) for c in "aB") else "text"
    options = {"every": rule, "features": "degree", "time_unit": "none", "ids": ids}
    number = [int((time - times[0]) // float(rule)) for time in times]
    ends = [at for at in range(1, len(lines)) if number[at] != number[at - 1]]
    cuts = sorted(data.draw(st.sets(st.sampled_from(ends), max_size=3))) if ends else []
    (tmp_path / "whole").mkdir(exist_ok=True)
    parts = written(tmp_path, lines, cuts)
    prepare("edges", parts[0], folder, PrepareOptions(**options, overwrite=True))
    grow(folder, parts[1:], PrepareOptions())
    parts[0].write_text("".join(lines))
    prepare("edges", parts[0], tmp_path / "all", PrepareOptions(**options, overwrite=True))
    same_but_for_the_order_of_nodes(folder, tmp_path / "all")
