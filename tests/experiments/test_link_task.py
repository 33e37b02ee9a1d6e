"""The rows of link tables: what each is, and that all of a seed are asked the same."""

import numpy as np
import pytest

from dgl_dysign.baselines import CountLinks
from dgl_dysign.data import TemporalGraph
from dgl_dysign.evaluation import NegativeSampler, evaluate_links
from dgl_dysign.experiments.link_task import AGGREGATORS, LEARNED, LINK_ROWS, REFERENCES, LinkRows, LinkRowSettings
from dgl_dysign.experiments.link_task import with_training as changed
from dgl_dysign.models import LinkScorer, SpikingUnderGS
from tests.generated import generated_links

SETTINGS = changed(LinkRowSettings(hidden_feats=8, num_negatives=20, num_neighbors=4), epochs=1)
pytestmark = pytest.mark.usefixtures("few_trees")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return LinkRows(TemporalGraph.load(generated_links(tmp_path_factory.mktemp("links"), 400)), SETTINGS)


def test_learned_rows_are_what_their_names_say(task):
    for row in LEARNED:
        scorer = task.scorer(row)
        model = scorer.model
        assert model.hidden_feats == 8 if row != "spiking-undergs" else isinstance(model, SpikingUnderGS)
        assert (scorer.features is None) == (row in ("undergs-paper", "undergs-no-counts"))
        assert model.loss == ("bce" if row == "undergs-paper" else "softmax")
        paper = row == "undergs-paper"
        assert (scorer.store.importance, scorer.store.snapshot_decay) == (
            ("cohesion", 0.05) if paper else ("uniform", 0.8)
        )
        assert scorer.store.num_neighbors == 4
    for name in AGGREGATORS:
        assert task.scorer(f"undergs-{name}").model.aggregator == name


def test_the_store_is_that_of_the_settings_but_for_the_reports_row(task):
    other = LinkRows(task.data, changed(LinkRowSettings(snapshot_decay=0.5, importance="degree", preset="paper")))
    assert other.scorer("undergs").store.snapshot_decay == 0.5
    assert other.scorer("undergs").features is None
    mixed = LinkRows(task.data, LinkRowSettings(snapshot_decay=0.5, importance="degree"))
    assert mixed.scorer("undergs").store.importance == "degree"
    assert mixed.scorer("undergs-paper").store.importance == "cohesion"
    assert mixed.scorer("undergs-paper").store.snapshot_decay == 0.05


@pytest.mark.parametrize("row", ["recent-degree", "logistic-regression", "boosted-trees-all", "undergs"])
def test_a_row_is_trained_and_scored(task, row):
    model, history = task.model(row)
    assert len(history) == (row == "undergs")
    assert isinstance(model, LinkScorer if row == "undergs" else object)
    if isinstance(model, CountLinks):
        assert len(model.columns) == (16 if row == "logistic-regression" else len(task.features.names))
    scores = task.evaluate(model, "honest", 0.0)
    found = task.figures(scores)
    for prefix, part in (("val_", task.split[1]), ("", task.split[2])):
        sampler = NegativeSampler(task.data.num_nodes, 20, seed=task.seed)
        alone = evaluate_links(task.data, {"m": model}, part, sampler)["m"]
        assert found[f"{prefix}mrr"] == pytest.approx(100 * alone.mrr)
        assert found[f"{prefix}mrr_pooled"] == pytest.approx(100 * alone.pooled_mrr)
        assert found[f"{prefix}auc"] == pytest.approx(100 * alone.auc)
        cold = alone.summary(warm=False)
        assert (found[f"{prefix}edges"], found[f"{prefix}cold_edges"]) == (int(alone.warm.sum()), cold["edges"])
        np.testing.assert_allclose(found[f"{prefix}by_snapshot"]["mrr"], 100 * alone.by_snapshot()["mrr"])


def test_a_seed_is_that_of_weights_and_queries(task):
    first = task.scorer("undergs").model.inputs.table.weight
    again = task.scorer("undergs").model.inputs.table.weight
    assert first.equal(again)
    shared = task.features
    assert task.scorer("undergs-gat").features is shared
    task.begin(1)
    assert not task.scorer("undergs").model.inputs.table.weight.equal(first)
    assert task.features is not shared
    task.begin(0)


def test_every_row_has_one_name():
    assert len(set(LINK_ROWS)) == len(LINK_ROWS)
    assert set(REFERENCES) < set(LINK_ROWS)
