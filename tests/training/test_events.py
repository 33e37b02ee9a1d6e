"""Training on labels of events: steps, what it reads, and runs that are killed."""

from dataclasses import replace

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.evaluation import auc, evaluate_events
from dgl_dysign.evaluation.ranking import average_precision
from dgl_dysign.experiments.event_entries import make_undergs
from dgl_dysign.experiments.event_task import EventSettings, EventTask
from dgl_dysign.training.events import EventFitConfig, fit_events
from tests.training.event_cases import stream, write

SMALL = EventSettings(hidden=8, num_neighbors=4)
CONFIG = EventFitConfig(epochs=3, lr=1e-2, weight_decay=1e-2)


class Killed(BaseException):
    """What no `except Exception` catches."""


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return EventTask(write(tmp_path_factory.mktemp("fit") / "data", stream(each=30)), settings=SMALL)


def fitted(task, config=CONFIG, seed=0, **options):
    view = task.with_seed(seed).view()
    scorer = make_undergs(view)
    return scorer, fit_events(scorer, view, config, **options)


@pytest.fixture(scope="module")
def whole(task):
    """Return the scores of all events, and the history, by the score that chooses the epoch."""
    trained = {select: fitted(task, replace(CONFIG, select=select)) for select in ("auc", "ap")}
    return {select: (evaluate_events(scorer, task.snapshots), history) for select, (scorer, history) in trained.items()}


def without_seconds(history):
    return [{key: value for key, value in record.items() if key != "cpu_seconds"} for record in history]


def test_it_learns_what_was_planted(task):
    scorer, history = fitted(task, replace(CONFIG, epochs=10, select="auc"))
    assert [record["epoch"] for record in history] == list(range(10))
    assert history[-1]["loss"] < history[0]["loss"]
    scores, rows = evaluate_events(scorer, task.snapshots), task.parts["test"]
    positive = task.label[rows] == 1
    assert auc(scores[rows][positive], scores[rows][~positive]) > 0.75


def test_one_step_a_snapshot_however_it_is_cut(task):
    steps = []
    counting = register_optimizer_step_post_hook(lambda *_: steps.append(0))
    view = task.with_settings(replace(SMALL, dropout=0.0)).view()
    found = []
    for size in (4096, 7):
        scorer = make_undergs(view)
        scorer.model.undergs.inputs.dropout = 0.0  # without draws, batches are of no account
        for module in scorer.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if hasattr(module, "filter_ratio"):
                module.filter_ratio = 0.0
        fit_events(scorer, view, replace(CONFIG, epochs=1, batch_size=size))
        found.append(evaluate_events(scorer, task.snapshots))
    counting.remove()
    assert len(steps) == 2 * len(task.ranges["train"])
    assert torch.allclose(*found, atol=1e-3)


def test_the_best_epoch_is_kept(task, whole):
    for select, measure in (("auc", auc), ("ap", average_precision)):
        scores, history = whole[select]
        rows = task.parts["val"]
        positive = task.label[rows] == 1
        reached = measure(scores[rows][positive], scores[rows][~positive])
        assert reached == pytest.approx(max(record[f"val_{select}"] for record in history))


def test_neither_test_labels_nor_random_numbers_of_the_caller_matter_but_the_seed_does(task, whole, tmp_path):
    turned = [(*e[:5], 1 - e[5] if e[0] in task.ranges["test"] else e[5], e[6]) for e in stream(each=30)]
    other = EventTask(write(tmp_path / "data", turned), settings=SMALL)
    scores, history = whole["ap"]
    torch.rand(3)
    state = torch.get_rng_state()
    scorer, other_history = fitted(other)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(evaluate_events(scorer, other.snapshots), scores)
    assert without_seconds(other_history) == without_seconds(history)
    scorer, _ = fitted(task, seed=1)
    assert not torch.equal(evaluate_events(scorer, task.snapshots), scores)


def test_a_killed_training_goes_on_to_the_last_bit(task, whole, tmp_path):
    def kill(record):
        if record["epoch"] == 1:
            raise Killed

    path = tmp_path / "unit.pt"
    with pytest.raises(Killed):
        fitted(task, checkpoint=path, on_epoch=kill)
    seen = []
    scorer, resumed = fitted(task, checkpoint=path, on_epoch=lambda record: seen.append(record["epoch"]))
    assert seen == [2]
    assert without_seconds(resumed) == without_seconds(whole["ap"][1])
    assert torch.equal(evaluate_events(scorer, task.snapshots), whole["ap"][0])
    with pytest.raises(DataError, match="delete it to train anew"):
        fitted(task, replace(CONFIG, lr=1.0), checkpoint=path)


def test_weighted_positives_raise_the_scores(task, whole):
    scorer, _ = fitted(task, replace(CONFIG, select="auc", loss="weighted"))
    assert evaluate_events(scorer, task.snapshots).mean() > whole["auc"][0].mean()


@pytest.mark.parametrize("change", [{"epochs": 0}, {"batch_size": 0}, {"loss": "focal"}, {"select": "loss"}])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        EventFitConfig(**change)
