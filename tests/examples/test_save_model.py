"""``--save-model`` of the examples: what is saved predicts what the run scored."""

import numpy as np
import pytest
import torch

from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.evaluation import evaluate_events, f1_scores
from dgl_dysign.experiments.event_task import EventTask
from dgl_dysign.models import DySIGN, EventUnderGS, LinkScorer
from dgl_dysign.models.event_scorer import EventScorer
from dgl_dysign.models.predict import predict, predict_links
from tests.examples.runs import load, units
from tests.generated import generated, generated_links
from tests.training.event_cases import stream, write


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """Return a prepared folder, and the folders of a run and its models."""
    home = tmp_path_factory.mktemp("nodes")
    return generated(home, nodes=120), home / "run", home / "models"


ROWS = ["--rows", "logistic-regression", "dysign", "dysign-label-aware"]
SMALL = [
    "--no-choice",
    "--train-ratio",
    "0.4",
    "--seeds",
    "2",
    "--hidden",
    "8",
    "--latency",
    "4",
    "--epochs",
    "2",
    "--quiet",
]


def run_nodes(prepared, run, *more):
    return load("dysign_node_classification").main([str(prepared), "--run-dir", str(run), *SMALL, *ROWS, *more])


def test_models_of_nodes_predict_what_the_run_scored(nodes):
    prepared, run, models = nodes
    assert run_nodes(prepared, run, "--save-model", str(models)) == 0
    data = TemporalGraph.load(prepared)
    keys = {f"0.4-split0-seed{seed}-{row}" for seed in (0, 1) for row in ("dysign", "dysign-label-aware")}
    assert {path.name for path in models.iterdir()} == keys
    test = stratified_split(data.labels, 0.4, 42)[2]
    recorded = {unit["key"]: unit["scorings"][0]["scores"] for unit in units(run)}
    for key in keys:
        found = predict(DySIGN.from_pretrained(models / key, data), data).argmax(1)
        scores = f1_scores(data.labels, found, test)
        assert {name: recorded[key][name] for name in scores} == scores


def test_scorers_of_links_are_saved(tmp_path):
    prepared = generated_links(tmp_path, events=600)
    options = ["--rows", "undergs", "--seeds", "1", "--hidden", "8", "--epochs", "1", "--num-negatives", "5", "--quiet"]
    options += ["--run-dir", str(tmp_path / "run"), "--save-model", str(tmp_path / "models")]
    assert load("undergs_link_prediction").main([str(prepared), *options]) == 0
    counts = ["boosted-trees", "boosted-trees-all", "logistic-regression"]
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == [
        f"seed0-{row}" for row in [*counts, "undergs"]
    ]
    data = TemporalGraph.load(prepared)
    scorer = LinkScorer.from_pretrained(tmp_path / "models" / "seed0-undergs", data)
    ids = torch.arange(9)
    found = predict_links(scorer, data, data.num_snapshots, ids, ids.expand(9, -1).contiguous())
    assert torch.isfinite(found).all()
    assert found.std() > 0


def test_networks_for_labels_of_events_score_what_the_run_scored(tmp_path):
    data = write(tmp_path / "data", stream(each=24))
    options = ["--rows", "few-events", "undergs", "undergs-paper", "--seeds", "2", "--hidden", "8", "--neighbors", "4"]
    options += [
        "--epochs",
        "2",
        "--quiet",
        "--run-dir",
        str(tmp_path / "run"),
        "--save-model",
        str(tmp_path / "models"),
    ]
    assert load("undergs_node_classification").main([str(data.folder), *options]) == 0
    keys = {f"seed{seed}-{row}" for seed in (0, 1) for row in ("undergs", "undergs-paper")}
    assert {path.name for path in (tmp_path / "models").iterdir()} == keys
    task = EventTask(data)
    for key in keys:
        model = EventUnderGS.from_pretrained(tmp_path / "models" / key, data)
        scorer = EventScorer(model, model.undergs.store(num_hops=2), task.view().reader())
        found = evaluate_events(scorer, task.snapshots)
        recorded = np.load(tmp_path / "run" / "checkpoints" / f"{key}.scores.npy")
        assert np.array_equal(found[task.parts["test"]].numpy(), recorded)
