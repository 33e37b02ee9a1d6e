"""Scores with rows on disk are the model's: in one block bit for bit, in several to float tolerance."""

import pytest
import torch

from dgl_dysign.data import row_store
from dgl_dysign.data.row_store import RowFiles
from dgl_dysign.models import DySIGN, Snapshot
from dgl_dysign.training.streamed_rates import can_stream, streamed_logits
from tests.models.snapshot_cases import C, D, N, growing, label_features, made

OPTIONS = [
    {},
    {"coupling": True},
    {"label_feats": 5, "coupling": True},
    {"feedback": False},
    {"feedback_hops": 2},
    {"feedback_hops": 0},
    {"leak": 0.9, "threshold": 0.7, "coupling": True, "label_feats": 5},
    {"latency": 1},
    {"max_norm": 0.5, "tol": None, "max_iter": 4},
]


def small(options, hidden=70):
    """Return a model of more than one word of spikes, snapshots and label features, in float32."""
    model = made(hidden=hidden, **{"tol": 1e-4, "max_iter": 50, **options}).float().eval()
    snapshots = [Snapshot(s.graph, s.edge_weight.float(), s.feat.float(), s.active) for s in growing()]
    return model, snapshots, label_features().float() if model.label_feats else None


@pytest.mark.parametrize("simulate", [True, False])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_one_block_gives_the_bits_of_the_model(options, simulate, tmp_path):
    expected_of, snapshots, label_feat = small(options)
    model, *_ = small(options)  # anew: the bound of the norm goes on at each call
    with torch.no_grad():
        expected = expected_of(snapshots, label_feat, simulate=simulate)
    assert can_stream(model)
    found = streamed_logits(model, snapshots, RowFiles(tmp_path), label_feat, simulate)
    assert torch.equal(found, expected)
    assert found.shape == (N, C)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("simulate", [True, False])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_blocks_of_rows_and_columns_are_the_whole(options, simulate, tmp_path, monkeypatch):
    whole, snapshots, label_feat = small({**options, "tol": None, "max_iter": 30})
    parts, *_ = small({**options, "tol": None, "max_iter": 30})
    with torch.no_grad():
        expected = whole(snapshots, label_feat, simulate=simulate)
    monkeypatch.setattr(row_store, "_BLOCK_BYTES", 4 * 70 * 4)  # four rows; a word of columns
    assert len(row_store.column_blocks(N, 70, 64)) == 2
    found = streamed_logits(parts, snapshots, RowFiles(tmp_path), label_feat, simulate)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 2},
        {"encoding": "bernoulli"},
        {"compensation": False},
        {"compensation_hops": 1},
        {"solver": "anderson"},
        {"surrogate": lambda x: (x >= 0).float()},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_it_does_not_know(options):
    assert can_stream(DySIGN(D, 6, C))
    assert not can_stream(DySIGN(D, 6, C, **options))
    assert not can_stream(DySIGN(D, 6, C).double())
