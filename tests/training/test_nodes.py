"""Training: it learns, and killed at any epoch it goes on to the same numbers, bit for bit."""

import math
from dataclasses import replace

import pytest
import torch

from dgl_dysign._dgl import dgl
from dgl_dysign.baselines import LogisticRegression
from dgl_dysign.data.row_store import RowFiles
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.models import DySIGN, Snapshot
from dgl_dysign.training import EquilibriumCache, FitConfig, fit

N, C = 60, 3
LABELS = torch.arange(N) % C
ORDER = torch.randperm(N, generator=torch.Generator().manual_seed(0))
TRAIN, VAL = ORDER[:40], ORDER[40:]
CONFIG = FitConfig(epochs=7, batch_size=16, lr=2e-2, weight_decay=0.1, checkpoint_every=2)


def inputs():
    """Return noisy features of three classes, and a graph that joins nodes of one class."""
    generator = torch.Generator().manual_seed(1)
    feat = torch.nn.functional.one_hot(LABELS, C) * 3.0 + torch.randn(N, C, generator=generator)
    nodes = torch.arange(N - C)
    graph = dgl.graph((torch.cat([nodes, nodes + C]), torch.cat([nodes + C, nodes])), num_nodes=N)
    return Snapshot(graph, torch.ones(graph.num_edges()), feat, torch.ones(N, dtype=torch.bool))


def dysign():
    torch.manual_seed(3)
    model = DySIGN(C, 8, C, 2, coupling=True)
    return model, EquilibriumCache(model, [inputs(), inputs()])


def logistic():
    torch.manual_seed(3)
    model = LogisticRegression(C, C)
    return model, lambda nodes: model(inputs().feat[nodes])


def trained(make, config=CONFIG, **options):
    model, logits = make()
    history = fit(model, logits, LABELS, TRAIN, VAL, config, **options)
    return model, history


def same(history):
    return [{key: value for key, value in record.items() if key != "cpu_seconds"} for record in history]


class Killed(BaseException):
    """What no `except Exception` catches."""


@pytest.fixture(scope="module", params=[dysign, logistic])
def whole(request):
    """Return how a model is made, and the model and history of its whole training."""
    return request.param, *trained(request.param, seed=5)


@pytest.mark.parametrize("make", [dysign, logistic])
def test_it_learns_what_can_be_learnt(make):
    model, history = trained(make, replace(CONFIG, epochs=30))
    assert [record["epoch"] for record in history] == list(range(30))
    assert history[0]["loss"] > 0.9
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert history[-1]["val_accuracy"] > 0.8
    assert not model.training
    seconds = [record["cpu_seconds"] for record in history]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0


def test_the_cache_is_refreshed_after_each_epoch():
    _, history = trained(dysign, replace(CONFIG, epochs=30))
    gaps = [record["gap"] for record in history]
    assert min(gaps) > 0
    assert gaps[-1] < 0.2 * max(gaps)  # the schedule ends at zero: nothing moves any more
    assert not any(record["gap"] for record in trained(logistic)[1])


@pytest.mark.parametrize(
    "last", [0, 1, 4, 6], ids=["before any checkpoint", "just after one", "between two", "at the end"]
)
def test_killed_at_any_epoch_it_ends_with_the_same_bits(whole, tmp_path, last):
    make, model, history = whole
    file = tmp_path / "unit.pt"

    def die(record):
        if record["epoch"] == last:
            raise Killed

    with pytest.raises(Killed):
        trained(make, seed=5, checkpoint=file, on_epoch=die)
    assert file.exists() == (last >= CONFIG.checkpoint_every - 1)
    told = []
    resumed, found = trained(make, seed=5, checkpoint=file, on_epoch=told.append)
    assert same(found) == same(history)
    assert len(told) == CONFIG.epochs - (last + 1) // CONFIG.checkpoint_every * CONFIG.checkpoint_every
    for name, value in model.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    assert [f.name for f in tmp_path.iterdir()] == ["unit.pt"]
    seconds = [record["cpu_seconds"] for record in found]
    assert seconds == sorted(seconds)  # seconds before the kill are counted


def test_killed_after_its_end_nothing_is_trained_again(tmp_path):
    config = replace(CONFIG, checkpoint_every=1)
    model, history = trained(dysign, config, checkpoint=tmp_path / "unit.pt")
    told = []
    resumed, found = trained(dysign, config, checkpoint=tmp_path / "unit.pt", on_epoch=told.append)
    assert not told
    assert found == history
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), resumed.parameters(), strict=True))


def test_the_seed_decides_and_the_callers_random_state_stays():
    torch.manual_seed(11)
    model, logits = dysign()
    state = torch.get_rng_state()
    first = fit(model, logits, LABELS, TRAIN, VAL, CONFIG, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert same(trained(dysign, seed=1)[1]) == same(first)
    assert same(trained(dysign, seed=2)[1]) != same(first)


def test_the_callers_random_state_stays_when_training_fails():
    model, logits = logistic()
    state = torch.get_rng_state()

    def die(record):
        raise Killed

    with pytest.raises(Killed):
        fit(model, logits, LABELS, TRAIN, VAL, CONFIG, on_epoch=die)
    assert torch.equal(torch.get_rng_state(), state)


def test_validation_labels_do_not_move_the_training():
    model, _ = trained(logistic)
    other, logits = logistic()
    labels = LABELS.clone()
    labels[VAL] = (labels[VAL] + 1) % C
    fit(other, logits, labels, TRAIN, VAL, CONFIG)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_without_validation_nodes_the_accuracy_is_not_a_number():
    model, logits = logistic()
    history = fit(model, logits, LABELS, TRAIN, VAL[:0], CONFIG)
    assert all(math.isnan(record["val_accuracy"]) for record in history)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "other model", "other config", "other seed"])
def test_a_checkpoint_that_cannot_be_used(tmp_path, damage):
    file = tmp_path / "unit.pt"
    trained(logistic, checkpoint=file)
    whole, config, make, seed = file.read_bytes(), CONFIG, logistic, 0
    if damage in ("empty", "cut", "text"):
        file.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "text": b"hello"}[damage])
    elif damage == "other model":
        make = dysign
    elif damage == "other config":
        config = replace(CONFIG, epochs=9)
    else:
        seed = 1
    left = file.read_bytes()
    with pytest.raises(DataError, match=r"unit\.pt: the checkpoint cannot be used .*; delete it to train anew"):
        trained(make, config, seed=seed, checkpoint=file)
    assert file.read_bytes() == left


@pytest.mark.parametrize("name", ["epochs", "batch_size", "refresh_steps", "checkpoint_every"])
def test_counts_below_one(name):
    with pytest.raises(ConfigError, match=f"{name} must be at least 1, but got 0"):
        FitConfig(**{name: 0})


def test_a_teacher_is_learnt_on_all_nodes_beside_the_training_labels():
    teacher = torch.randn(N, C, generator=torch.Generator().manual_seed(2)).softmax(1)
    model, _ = logistic()
    model.feat_dropout, feat, read = 0.0, inputs().feat, []
    config = FitConfig(epochs=1, batch_size=N, lr=1e-3, weight_decay=0.0)
    log_p = model(feat).double().log_softmax(1).tolist()
    known = torch.full_like(LABELS, -1).index_copy(0, TRAIN, LABELS[TRAIN])

    def logits(nodes):
        read.append(nodes.tolist())
        return model(feat[nodes])

    (record,) = fit(model, logits, known, TRAIN, VAL, config, seed=5, targets=teacher)
    loss, drawn = 0.0, read[0]
    for node in drawn:
        learnt = teacher[node].tolist()
        if node in TRAIN.tolist():
            learnt = [(each + (c == int(LABELS[node]))) / 2 for c, each in enumerate(learnt)]
        loss -= sum(p * q for p, q in zip(learnt, log_p[node], strict=True)) / len(TRAIN)
    assert len(set(drawn)) == len(drawn) == len(TRAIN)
    assert set(drawn) & set(TRAIN.tolist())
    assert set(drawn) & set(VAL.tolist())
    assert record["loss"] == pytest.approx(loss, rel=1e-5)
    with pytest.raises(ConfigError, match="leave class_weights or targets out"):
        trained(logistic, replace(config, class_weights=True), targets=teacher)


def test_rows_on_disk_give_the_same_history_bit_for_bit_and_go_on_after_a_kill(tmp_path):
    def on_disk():
        model, cache = dysign()
        return model, EquilibriumCache(model, cache.snapshots, files=RowFiles(tmp_path))

    def kill(record):
        if record["epoch"] == 4:
            raise Killed

    model, history = trained(dysign)
    other, found = trained(on_disk)
    assert same(found) == same(history)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        trained(on_disk, checkpoint=path, on_epoch=kill)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    resumed, found = trained(on_disk, checkpoint=path)
    assert same(found) == same(history)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), resumed.parameters(), strict=True))
