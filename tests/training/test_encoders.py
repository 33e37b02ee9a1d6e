"""Training of encoders: it learns, stops early, resumes to the last bit, and reads no label that it may not."""

from dataclasses import replace

import pytest
import torch

from dgl_dysign.baselines import EvolveGCNO
from dgl_dysign.errors import ConfigError
from dgl_dysign.models.snapshot_encoder import EncoderNodes
from dgl_dysign.training.encoders import NodeFitConfig, fit_encoder_nodes, fitted_inputs
from tests.training.link_cases import EDGES, NODES, SPLIT

CONFIG = NodeFitConfig(epochs=8, patience=8)
TRAIN, VAL = torch.arange(0, NODES, 2), torch.arange(1, NODES, 4)
LABELS = sum(torch.bincount(torch.cat([e.src, e.dst]), minlength=NODES) for e in EDGES[-3:]).clamp(max=3).div(2).long()


def nodes(window=2, seed=0, kind="counts"):
    torch.manual_seed(seed)
    inputs = fitted_inputs(kind, NODES, EDGES)
    return EncoderNodes(EvolveGCNO(NODES, inputs.width, 8, 8, window), inputs, 2)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(left, right):
    assert left.keys() == right.keys()
    return all(torch.equal(value, right[name]) for name, value in left.items())


def test_inputs_have_width_and_scale_of_the_training_snapshots_alone():
    train = EDGES[: SPLIT[0][-1] + 1]
    inputs = fitted_inputs("counts", NODES, train)
    plain, rows = fitted_inputs("counts", NODES, []), []
    for edges in train:
        plain.observe(edges)
        rows.append(plain.seen_counts())
    rows = torch.cat(rows)
    torch.testing.assert_close(inputs.mean, rows.mean(0))
    varies = rows.std(0, correction=0) > 1e-6
    torch.testing.assert_close(inputs.deviation[varies], rows.std(0, correction=0)[varies])
    assert inputs.deviation[~varies].isinf().all()
    assert not len(inputs.seen_counts())  # nothing is left observed
    largest = max(int(torch.bincount(torch.cat([e.src, e.dst])).max()) for e in train)
    assert fitted_inputs("degree", NODES, train).width == largest + 1
    assert fitted_inputs("constant", NODES, train).width == 1


def test_nodes_are_learned_and_the_best_weights_stay():
    model, kept = nodes(), []
    config = replace(CONFIG, epochs=30, patience=30)
    history = fit_encoder_nodes(
        model, EDGES, LABELS, TRAIN, VAL, config, on_epoch=lambda _: kept.append(weights(model))
    )
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    scores = [record["val_macro_f1"] for record in history]
    best = scores.index(max(scores))
    assert same(weights(model), kept[best])
    right = (model.predict(VAL).argmax(1) == LABELS[VAL]).double().mean()
    assert float(right) == pytest.approx(history[best]["val_micro_f1"])


def test_every_parameter_learns():
    model = nodes()
    before = weights(model)
    fit_encoder_nodes(model, EDGES, LABELS, TRAIN, VAL, replace(CONFIG, epochs=2, weight_decay=0.0))
    for name, _ in model.named_parameters():
        assert not torch.equal(model.state_dict()[name], before[name]), name


def test_patience_ends_training():
    config = NodeFitConfig(epochs=40, patience=3, lr=1e-9)
    scores = [r["val_macro_f1"] for r in fit_encoder_nodes(nodes(), EDGES, LABELS, TRAIN, VAL, config)]
    assert len(scores) == scores.index(max(scores)) + 4
    with pytest.raises(ConfigError, match="patience must be at least 1, but got 0"):
        NodeFitConfig(patience=0)


class _Killed(Exception):
    pass


def test_killed_and_resumed_ends_with_the_same_numbers(tmp_path):
    whole = nodes()
    expected = fit_encoder_nodes(whole, EDGES, LABELS, TRAIN, VAL, CONFIG, 2, tmp_path / "whole.pt")

    def kill(record):
        if record["epoch"] == 3:
            raise _Killed

    with pytest.raises(_Killed):
        fit_encoder_nodes(nodes(), EDGES, LABELS, TRAIN, VAL, CONFIG, 2, tmp_path / "part.pt", kill)
    resumed = nodes(seed=99)
    history = fit_encoder_nodes(resumed, EDGES, LABELS, TRAIN, VAL, CONFIG, 2, tmp_path / "part.pt")
    assert same(weights(resumed), weights(whole))
    assert torch.equal(resumed.predict(VAL), whole.predict(VAL))
    for record in (*history, *expected):
        record.pop("cpu_seconds")
    assert history == expected


def test_labels_of_other_nodes_are_not_read():
    hidden = torch.full_like(LABELS, -1)
    hidden[TRAIN], hidden[VAL] = LABELS[TRAIN], LABELS[VAL]
    trained = []
    for labels in (LABELS, hidden):
        trained.append(nodes())
        fit_encoder_nodes(trained[-1], EDGES, labels, TRAIN, VAL, CONFIG)
    assert same(*map(weights, trained))
