"""Variants of UnderGS for links: limited histories, shared features, and what a batch owes to the whole snapshot."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dgl_dysign.data import TemporalGraph, distinct_edges
from dgl_dysign.experiments.ablations import compare, measure_pipeline, neighbours_read, score_variant, verdict
from dgl_dysign.experiments.link_entries import fit_undergs
from dgl_dysign.experiments.link_task import LinkSettings, LinkTask
from dgl_dysign.experiments.link_variants import RecentStore, SomeFeatures
from dgl_dysign.pairs import LinkFeatures
from dgl_dysign.store import NeighborStore
from dgl_dysign.training import LinkFitConfig
from tests.folders import write_folder

NODES, SNAPSHOTS = 12, 20


def events():
    """Circles of friends, each on its own, so that the past tells the next destination."""
    drawn = np.random.default_rng(0)
    found = []
    for t in range(SNAPSHOTS):
        for src in drawn.permutation(NODES)[:6]:
            dst = int((src + drawn.choice([4, 8])) % NODES)
            found.append((t, int(src), dst, 10.0 * t + 1, len(found)))
    return found


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    ranges = [(10.0 * t, 10.0 * t + 10) for t in range(SNAPSHOTS)]
    folder = write_folder(tmp_path_factory.mktemp("data") / "made", events(), ranges, NODES)
    return LinkTask(TemporalGraph.load(folder), BASE)


BASE = LinkSettings.base("no-counts", (), training=LinkFitConfig(epochs=2))


def scored(task, settings):
    """Return the history and the scoring of a variant."""
    task = task.with_settings(settings)
    outcome = fit_undergs(task)
    (scoring,) = score_variant(task, outcome)
    return outcome.history, scoring


@pytest.mark.parametrize("history", [1, 3])
def test_a_recent_store_is_the_store_of_the_last_snapshots(task, history):
    store, options = RecentStore(NODES, history, num_neighbors=3), {"num_neighbors": 3}
    for edges in task.edges:
        store.insert(edges)
        plain = NeighborStore(NODES, **options)
        for old in task.edges[max(0, edges.snapshot + 1 - history) : edges.snapshot + 1]:
            plain.insert(old)
        for left, right in zip(store.neighbors(range(NODES), 30), plain.neighbors(range(NODES), 30), strict=True):
            assert torch.equal(left, right)


def test_no_history_is_no_neighbour_and_all_of_it_is_the_store(task):
    none, all_of_it, plain = RecentStore(NODES, 0), RecentStore(NODES, SNAPSHOTS), NeighborStore(NODES)
    for edges in task.edges:
        for store in (none, all_of_it, plain):
            store.insert(edges)
    assert not bool(none.neighbors(range(NODES), SNAPSHOTS).mask.any())
    assert torch.equal(all_of_it.slots, plain.slots)
    all_of_it.reset()
    all_of_it.insert(task.edges[0])  # nothing of before the reset comes back
    assert all_of_it.neighbors(range(NODES), 1).snapshot.max() == 0


def test_hiding_old_entries_would_lose_newer_ones():
    first = distinct_edges(0, [0, 2, 3], [1, 1, 1], [0, 1, 2], num_nodes=4)  # node 1 has degree 3
    second = distinct_edges(1, [0], [2], [3], num_nodes=4)
    options = {"num_neighbors": 1, "num_hops": 1, "snapshot_decay": 0.9, "importance": "degree"}
    full, recent = NeighborStore(4, **options), RecentStore(4, 1, **options)
    for edges in (first, second):
        full.insert(edges)
        recent.insert(edges)
    assert full.neighbors([0], 2).snapshot.tolist() == [[0]]  # hidden, this leaves node 0 with nobody
    assert recent.neighbors([0], 2).node.tolist() == [[2]]


def test_neighbours_read_are_counted_from_the_past_alone():
    edges = [distinct_edges(t, [0], [1], [t], num_nodes=3) for t in range(3)]
    found = neighbours_read(NeighborStore(3, num_hops=1), edges, range(2, 3))
    assert found == {"neighbours": 2.0, "historical_share": 50.0}  # one of snapshot 0, one of 1; none of 2


def test_without_embeddings_only_features_count(task):
    settings = replace(BASE, families=("pair", "activity"), embeddings=False)
    scorer = task.with_settings(settings).scorer()
    asked = 5, torch.tensor([0, 1]), torch.tensor([[4, 3], [5, 2]])
    for edges in task.edges[:5]:
        scorer.observe(edges)
    scores = scorer.score(*asked)
    scorer.store.reset()
    assert torch.equal(scorer.score(*asked), scores)
    assert scores.unique().numel() > 1


@pytest.mark.parametrize("families", [("pair",), ("activity", "habits")])
def test_shared_features_are_those_of_their_families(task, families):
    shared, own = SomeFeatures(task.features, families), LinkFeatures.of(task.data, families)
    shared.reset()
    asked = 9, torch.tensor([0, 7]), torch.tensor([[4, 3], [5, 2]])
    for edges in task.edges[:9]:
        shared.observe(edges)
        own.observe(edges)
    assert shared.names == own.names
    assert torch.equal(shared.features(*asked), own.features(*asked))


def test_what_others_asked_before_changes_no_figure(task):
    settings = replace(BASE, families=("pair",))
    scored(task, replace(BASE, families=("pair", "activity")))
    (history, after), (other, fresh) = scored(task, settings), scored(LinkTask(task.data, BASE), settings)
    assert after == fresh
    assert [epoch["loss"] for epoch in history] == [epoch["loss"] for epoch in other]
    curve = fresh.by_snapshot["test"]["mrr"]
    assert len(curve) == len(task.split[2])
    assert fresh.scores["mrr"] == pytest.approx(np.mean(curve))


def test_the_past_gives_what_no_history_cannot(task):
    longer = replace(BASE, training=LinkFitConfig(epochs=8))
    known = scored(task, replace(longer, families=("pair",), embeddings=False))[1].scores
    nothing = scored(task, replace(longer, history=0))[1].scores
    assert known["mrr"] > nothing["mrr"]
    assert nothing["neighbours"] == 0


@pytest.mark.parametrize("families", [(), ("pair",)])
def test_batches_give_the_gradient_of_the_snapshot_and_hold_less(task, families):
    variant = task.with_settings(replace(BASE, families=families))
    one, whole = (measure_pipeline(variant, size).figures for size in (1, None))
    assert whole["gradient_difference"] == 0
    assert 0 < one["gradient_difference"] < 1e-5
    assert one["tape_mb"] < whole["tape_mb"]
    assert one["cpu_seconds_epoch"] > 0


def test_keys_name_what_differs():
    changed = replace(BASE, num_hops=1, families=("pair", "walks"), history=0)
    assert BASE.key(BASE) == "base"
    assert changed.key(BASE) == "num_hops=1,history=0,families=pair+walks"
    paper = LinkSettings.base("paper", ("pair",))
    assert (paper.importance, paper.snapshot_decay, paper.families) == ("cohesion", 0.05, ())
    assert LinkSettings.base("default", ("pair",)).families == ("pair",)


def test_a_difference_is_taken_snapshot_by_snapshot():
    reference = [[10.0, 50.0, 90.0], [20.0, 60.0, 100.0]]
    shifted = [[mrr + 5 for mrr in curve] for curve in reference]
    assert compare(shifted, reference) == {"delta": 5.0, "noise": 0.0}  # whatever the spread of both
    once = compare([[12.0, 52.0, 96.0]], reference[:1])
    assert once["delta"] == pytest.approx(10 / 3)
    assert once["noise"] == pytest.approx(2 * (16 / 3 / 3) ** 0.5)
    unlike = [[13.0, 53.0, 93.0], [21.0, 61.0, 101.0]]  # differences of 3 and of 1: a matter of seeds
    assert compare(unlike, reference) == pytest.approx({"delta": 2.0, "noise": 2.0})


@pytest.mark.parametrize(
    ("val", "test", "expected"),
    [
        ((1, 2), (-1, 2), "within noise"),
        ((3, 2), (-1, 2), "better"),
        ((1, 2), (-3, 2), "worse"),
        ((3, 2), (-3, 2), "mixed"),
    ],
)
def test_verdicts(val, test, expected):
    line = {key: {"delta": d, "noise": n, "runs": 3} for key, (d, n) in (("val_mrr", val), ("mrr", test))}
    assert verdict(line) == expected
    line["mrr"]["runs"] = 1  # noise of training is not seen
    assert verdict(line) == expected + (" (one seed)" if expected != "within noise" else "")
