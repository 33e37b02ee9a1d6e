"""The entries of link tables: what each is, and that all of a seed are asked the same."""

from dataclasses import replace

import pytest
import torch

from dgl_dysign.baselines import CountLinks
from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import NegativeSampler, evaluate_links
from dgl_dysign.experiments.entry import Outcome, Shared
from dgl_dysign.experiments.link_entries import default_entries
from dgl_dysign.experiments.link_task import SCORES, LinkSettings, LinkTask
from dgl_dysign.experiments.options import AGGREGATORS
from dgl_dysign.models import LinkScorer, SpikingUnderGS
from dgl_dysign.pairs import CachedFeatures, LinkFeatures
from dgl_dysign.training import LinkFitConfig
from tests.generated import generated_links

SETTINGS = LinkSettings(hidden_feats=8, num_negatives=20, num_neighbors=4, training=LinkFitConfig(epochs=1))
ENTRIES = default_entries()
pytestmark = pytest.mark.usefixtures("few_trees")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return LinkTask(TemporalGraph.load(generated_links(tmp_path_factory.mktemp("links"), 400)), SETTINGS)


def test_learned_entries_are_what_their_names_say(task):
    scorers = {name: entry.check(task.view()) for name, entry in ENTRIES.items() if "undergs" in name}
    for name, scorer in scorers.items():
        model, paper = scorer.model, name == "undergs-paper"
        assert isinstance(model, SpikingUnderGS) == (name == "spiking-undergs")
        assert (scorer.features is None) == (name in ("undergs-paper", "undergs-no-counts"))
        assert model.loss == ("bce" if paper else "softmax")
        assert scorer.store.importance == ("cohesion" if paper else "uniform")
        assert scorer.store.snapshot_decay == (0.05 if paper else 0.8)
        assert scorer.store.num_neighbors == 4
    for kind in AGGREGATORS:
        assert scorers[f"undergs-{kind}"].model.aggregator == kind
    assert scorers["undergs"].model.hidden_feats == 8


def test_the_store_is_that_of_the_settings_but_for_the_reports_entry(task):
    def scorer(name, **settings):
        changed = LinkSettings(snapshot_decay=0.5, importance="degree", **settings)
        return ENTRIES[name].check(task.view().with_settings(changed))

    assert scorer("undergs", preset="paper").store.snapshot_decay == 0.5
    assert scorer("undergs-paper", preset="paper").store.snapshot_decay == 0.5
    assert scorer("undergs", preset="paper").features is None
    assert scorer("undergs").store.importance == "degree"
    assert scorer("undergs-paper").store.importance == "cohesion"
    assert scorer("undergs-paper").store.snapshot_decay == 0.05


@pytest.mark.parametrize("name", ["recent-degree", "logistic-regression", "boosted-trees-all", "undergs"])
def test_an_entry_is_trained_and_scored(task, name):
    outcome = ENTRIES[name].fit(task.view())
    model = outcome.model
    assert len(outcome.history) == (name == "undergs")
    assert isinstance(model, LinkScorer if name == "undergs" else object)
    if isinstance(model, CountLinks):
        assert len(model.columns) == (16 if name == "logistic-regression" else len(task.features.names))
    (scoring,) = task.score(outcome)
    assert scoring.condition == {"historical": 0.0}
    assert scoring.protocol.startswith("honest")
    parts = (("val", task.split[1], scoring.val_scores), ("test", task.split[2], scoring.scores))
    for part, snapshots, scores in parts:
        sampler = NegativeSampler(task.data.num_nodes, 20, seed=task.seed)
        alone = evaluate_links(task.data, {"m": model}, snapshots, sampler)["m"]
        assert {k: scores[k] for k in SCORES} == {k: 100 * alone.summary()[k] for k in SCORES}
        cold = alone.summary(warm=False)
        assert (scores["edges"], scores["cold_edges"]) == (int(alone.warm.sum()), cold["edges"])
        assert scoring.by_snapshot[part]["mrr"] == (100 * alone.by_snapshot()["mrr"]).tolist()


class Watching:
    """Scores nothing; notes how far the data of its view can be read."""

    def __init__(self, data, seen):
        self.data, self.seen = data, seen

    def reset(self):
        self.observed = 0

    def observe(self, edges):
        self.observed += 1
        assert len(self.data.events(edges.snapshot)[0]) >= len(edges)

    def score(self, snapshot, src, dst):
        self.seen.append((snapshot, self.observed, self.data.num_snapshots))
        return torch.zeros(dst.shape)


def test_a_view_ends_with_validation_and_grows_by_what_was_observed(task):
    view, end, seen = task.view(), task.split[1].stop, []
    assert view.split == task.split[:2]
    assert [edges.snapshot for edges in view.edges] == list(range(end))
    assert view.data.num_snapshots == end < task.data.num_snapshots
    for name in ("protocol", "test", "evaluate", "historical"):
        assert not hasattr(view, name)
    with pytest.raises(ConfigError, match=f"snapshot {end} does not exist"):
        view.data.events(end)
    model = Watching(view.data, seen)
    for _ in range(2):
        seen.clear()
        task.score(Outcome(model=model))
        assert {snapshot for snapshot, _, _ in seen} == {*task.split[1], *task.split[2]}
        assert all(observed == snapshot for snapshot, observed, _ in seen)
        assert all(readable == max(end, snapshot) for snapshot, _, readable in seen)
        assert view.data.num_snapshots == end


def test_other_shares_of_historical_negatives_are_other_scorings(task):
    outcome = ENTRIES["recent-degree"].fit(task.view())
    two = LinkTask(task.data, SETTINGS, historical=(0.0, 0.5)).score(outcome)
    assert [scoring.condition["historical"] for scoring in two] == [0.0, 0.5]
    assert two[0] == task.score(outcome)[0]
    assert two[0].scores["mrr"] != two[1].scores["mrr"]


def test_a_seed_is_that_of_weights_and_features_are_shared_within_it(task):
    first = task.scorer().model.inputs.table.weight
    assert first.equal(task.scorer().model.inputs.table.weight)
    assert ENTRIES["undergs-gat"].check(task.view()).features is task.features
    other = task.with_seed(1)
    assert not other.scorer().model.inputs.table.weight.equal(first)
    assert other.features is not task.features
    assert other.edges is task.edges
    assert task.seed == 0


def test_what_is_released_is_read_again(task):
    alone = LinkTask(task.data, SETTINGS)
    edges, features = alone.edges, alone.features
    alone.release()
    assert alone.edges is not edges
    assert alone.features is not features


def test_neighbours_that_were_cut_are_said_in_the_record_and_in_a_warning(task):
    few = LinkTask(task.data, SETTINGS).with_seed(0)
    features = LinkFeatures(task.data.num_nodes, families=["shared"], most_neighbors=2)
    few._features = Shared(lambda: CachedFeatures(features))
    with pytest.warns(UserWarning, match="heaviest neighbours") as said:
        outcome = ENTRIES["logistic-regression"].fit(few.view())
    alone = LinkFeatures(task.data.num_nodes, families=["shared"], most_neighbors=2)
    for edges in few.edges[: few.split[0].stop - 1]:  # those of the last one are asked about alone
        alone.observe(edges)
    alone.features(few.split[0].stop, torch.tensor([0]), torch.tensor([[1]]))
    assert outcome.extra["neighbors_cut"] == alone.neighbors_cut > 0
    assert f"{alone.neighbors_cut:,} others" in str(said[0].message)


def test_walks_and_a_budget_of_edges_are_chosen_and_said(task):
    settings = replace(SETTINGS, walks="projected", training=LinkFitConfig(epochs=1, max_edges=5))
    budgeted = LinkTask(task.data, settings).with_seed(0)
    outcome = ENTRIES["logistic-regression"].fit(budgeted.view())
    assert "projections" in outcome.extra["families"]
    assert "walks" not in outcome.extra["families"]
    assert outcome.extra["neighbors_cut"] == 0
    warm = budgeted.evaluate(outcome.model).by_snapshot(True)
    assert warm["edges"].max() <= 5
