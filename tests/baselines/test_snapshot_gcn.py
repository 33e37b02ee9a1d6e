"""The reference GCN: its dense formula, gradients, and snapshots that come too late to be seen."""

import pytest
import torch

from dgl_dysign.baselines import SnapshotGCN
from dgl_dysign.errors import ConfigError
from tests.models.snapshot_cases import C, D, N, growing
from tests.nn.equilibrium_oracle import adjacency


def made(num_snapshots=3):
    torch.manual_seed(0)
    return SnapshotGCN(D, 6, C, num_snapshots).double()


def dense(model, snapshots):
    total = torch.zeros(N, C, dtype=torch.float64)
    for readout, (graph, weight, feat, active) in zip(model.readouts, snapshots, strict=True):
        mix = (adjacency(graph, weight) + torch.eye(N, dtype=torch.float64)) / 2
        hidden = (mix @ (feat @ model.first.weight.t() + model.first.bias)).clamp(min=0)
        hidden = (mix @ (hidden @ model.second.weight.t() + model.second.bias)).clamp(min=0)
        total = total + active[:, None] * (hidden @ readout.weight.t() + readout.bias)
    return total


def test_formula_and_gradients():
    snapshots, model = growing(), made().eval()
    torch.testing.assert_close(model(snapshots), dense(model, snapshots), rtol=0, atol=1e-12)
    slope = torch.randn(N, C, dtype=torch.float64)
    grads = [
        torch.autograd.grad(v, list(model.parameters()), slope) for v in (model(snapshots), dense(model, snapshots))
    ]
    for found, expected in zip(*grads, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
        assert found.abs().max() > 0


def test_nodes_not_seen_add_nothing_and_dropout_acts_in_training_alone():
    snapshots, model = growing(), made()
    assert not torch.equal(model(snapshots), model(snapshots))
    model.eval()
    assert torch.equal(model(snapshots), model(snapshots))
    assert not model(snapshots)[-1].any()


def test_number_of_snapshots():
    with pytest.raises(ConfigError, match="reads out 3 snapshots, but got 2"):
        made()(growing()[:2])
