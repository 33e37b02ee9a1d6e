"""Appends: one after the other they hold what one preparation of everything holds, and leave the past as it was."""

import shutil
from itertools import pairwise

import numpy as np
import pytest

from data_prep import PrepareOptions, append, prepare
from dgl_dysign.data import TemporalGraph, schema
from dgl_dysign.data.verify import verify

DAY, WEEK = 86_400, 604_800
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


STEPS = np.repeat([0, 1, 2, 4, 6, 7, 10, 11, 12, 14, 15, 17, 18, 19, 20], 8)
FORM = {"weight": "4", "label": "5", "edge_features": "6"}


@pytest.mark.parametrize(
    ("times", "options"),
    [
        (None, {"every": "week"}),
        (None, {"every": "day"}),
        (None, {"every": "month"}),
        (None, {"every": "roland-week"}),
        (None, {"every": "2.5d"}),
        (STEPS, {"time_unit": "none"}),
        (STEPS**3, {"time_unit": "none"}),
        (STEPS / 4, {"time_unit": "none"}),
    ],
)
def test_ten_appends_hold_what_one_preparation_holds(tmp_path, times, options):
    options = {**FORM, "features": "degree", **options}
    lines = events(120, times=times)
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
