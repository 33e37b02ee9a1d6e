"""What a saved model predicts is what its training scored, and stays when the raw file goes on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data_prep.cli import app
from dgl_dysign.baselines import LogisticRegression
from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.data.snapshot_edges import snapshot_edges
from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import split_snapshots
from dgl_dysign.experiments.node_entries import default_entries
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
from dgl_dysign.models import LinkScorer, UnderGS
from dgl_dysign.models.predict import predict, predict_links
from dgl_dysign.pairs import LinkFeatures
from dgl_dysign.training import LinkFitConfig, fit_links
from tests.generated import generated, generated_links

SAVED = ["dysign", "dysign-label-aware", "undergs", "spiking-undergs"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def data(home):
    return TemporalGraph.load(generated(home, nodes=120))


def settings(**change):
    usual = NodeSettings()
    recipes = {
        kind: replace(recipe, training=replace(recipe.training, epochs=2, batch_size=32))
        for kind, recipe in (("feature_only", usual.feature_only), ("label_aware", usual.label_aware))
    }
    small = {"hidden": 8, "label_hidden": 6, "folds": 3, "label_steps": (1, 2), "store_hidden": 8}
    return replace(usual, **{**small, **recipes, "model": {"latency": 4}, **change})


def trained(data, row, **change):
    task = NodeTask(data, settings(**change)).with_split(*stratified_split(data.labels, 0.4, 42), seed=3)
    return task, default_entries()[row].fit(task)


@pytest.mark.parametrize("row", SAVED)
@pytest.mark.parametrize("change", [{}, {"snapshots": 2, "hops": (0, 1, 2), "decay": 0.4}], ids=str)
def test_predict_is_what_the_training_scored(data, row, change, tmp_path):
    task, outcome = trained(data, row, **change)
    default_entries()[row].save(task, outcome, tmp_path / "model")
    again = type(outcome.model).from_pretrained(tmp_path / "model", data)
    assert torch.equal(predict(again, data), outcome.prediction)


def test_only_models_of_ours_can_be_asked(data):
    assert {name for name, entry in default_entries().items() if entry.save is not None and entry.usual} == set(SAVED)
    with pytest.raises(ConfigError, match="expected a DySIGN, UnderGS or SpikingUnderGS, but got Logistic"):
        predict(LogisticRegression(4, 2), data)


def grown(home: Path, raw: Path, last: int) -> TemporalGraph:
    """Return the data of a raw file of DBLP's form as it was after snapshot `last`."""
    part = home / f"raw-{last}"
    part.mkdir()
    lines = (raw / "dblp.txt").read_text().splitlines(keepends=True)
    times = sorted({float(line.split()[2]) for line in lines})
    (part / "dblp.txt").write_text("".join(line for line in lines if float(line.split()[2]) <= times[last]))
    (part / "node2label.txt").write_text((raw / "node2label.txt").read_text())
    options = ["--features", "spectral", "--dim", "8", "--allow-unknown-labels", "--quiet"]
    app(["dblp", str(part), str(home / f"prepared-{last}"), *options], standalone_mode=False)
    return TemporalGraph.load(home / f"prepared-{last}")


@pytest.mark.parametrize("row", SAVED)
def test_a_raw_file_that_goes_on_leaves_old_predictions_as_they_were(data, row, tmp_path, home):
    before, now = grown(tmp_path, home / "raw", 3), grown(tmp_path, home / "raw", 5)
    assert (before.num_snapshots, now.num_snapshots, before.num_nodes) == (4, 6, now.num_nodes)
    task, outcome = trained(before, row)
    default_entries()[row].save(task, outcome, tmp_path / "model")
    again = type(outcome.model).from_pretrained(tmp_path / "model", now)
    assert torch.equal(predict(again, now, 3), outcome.prediction)
    for t in (4, 5):
        found = predict(again, now, t)
        assert found.shape == (now.num_nodes, now.num_classes)
        assert torch.isfinite(found).all()
        assert not torch.equal(found, outcome.prediction)


def test_a_trained_scorer_gives_the_scores_of_its_evaluation(home, tmp_path):
    data = TemporalGraph.load(generated_links(home, events=600))
    features = LinkFeatures.of(data, ["activity", "pair"])
    torch.manual_seed(0)
    model = UnderGS(data.num_nodes, 8, pair_feats=len(features.names))
    scorer = LinkScorer(model, model.store(), features)
    split = split_snapshots(data.num_snapshots)
    fit_links(data, scorer, split, LinkFitConfig(epochs=1, num_negatives=3, val_negatives=5))
    saved = scorer.save_pretrained(tmp_path / "model", data)
    src, dst = torch.arange(20), torch.arange(20).expand(20, -1).contiguous()
    expected = {}
    for t in range(data.num_snapshots):  # as evaluation goes through them
        expected[t] = scorer.score(t, src, dst)
        scorer.observe(snapshot_edges(data, t))
    again = LinkScorer.from_pretrained(saved, data)
    for t in (split[2][0], data.num_snapshots - 1, 2):
        assert torch.equal(predict_links(again, data, t, src, dst), expected[t])
