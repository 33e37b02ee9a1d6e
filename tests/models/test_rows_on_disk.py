"""The model with rows on disk: in one block its numbers to the last bit, in several to float tolerance."""

import pytest
import torch

from dgl_dysign.data.row_store import RowFiles, RowStore, column_blocks
from dgl_dysign.errors import ConfigError
from dgl_dysign.models import Snapshot
from tests.models.snapshot_cases import C, N, growing, label_features, made

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
    {"num_layers": 2, "threshold": 0.7},
    {"compensation": False, "leak": 0.9, "compensation_hops": 1},
    {"surrogate": lambda x: (x >= 0).float(), "feedback_hops": 2},
]
BLOCK = 4 * 70 * 4  # four rows of 70 float32


def small(options, hidden=70):
    """Return a model of more than one word of spikes, snapshots and label features, in float32."""
    model = made(hidden=hidden, **{"tol": 1e-4, "max_iter": 50, **options}).float().eval()
    snapshots = [Snapshot(s.graph, s.edge_weight.float(), s.feat.float(), s.active) for s in growing()]
    return model, snapshots, label_features().float() if model.label_feats else None


def scores(options, simulate, rows):
    model, *inputs = small(options)  # anew: the bound of the norm goes on at each call
    with torch.no_grad():
        return model(*inputs, simulate, rows)


@pytest.mark.parametrize("simulate", [True, False])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(options) or "default")
def test_one_block_gives_the_bits_of_memory(options, simulate, tmp_path):
    logits = scores(options, simulate, RowFiles(tmp_path))
    assert torch.equal(logits, scores(options, simulate, RowStore()))
    assert logits.shape == (N, C)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("simulate", [True, False])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(options) or "default")
def test_blocks_of_rows_and_columns_are_the_whole(options, simulate, tmp_path):
    options = {**options, "tol": None, "max_iter": 10}
    assert len(column_blocks(N, 70, 64, BLOCK)) == 2
    expected = scores(options, simulate, RowStore())
    for rows in (RowFiles(tmp_path, BLOCK), RowStore(BLOCK)):
        torch.testing.assert_close(scores(options, simulate, rows), expected, rtol=1e-5, atol=1e-5)


def test_the_state_is_that_of_memory_but_for_the_gap_of_a_simulation(tmp_path):
    model, snapshots, _ = small({"threshold": 0.7})
    with torch.no_grad():
        for simulate in (False, True):
            expected, found = (
                list(model.rates(snapshots, simulate, rows)) for rows in (RowStore(), RowFiles(tmp_path))
            )
            for (rate, state), (other, on_disk) in zip(expected, found, strict=True):
                assert torch.equal(rate, other)
                assert torch.equal(state.membrane[0], on_disk.membrane[0])
                assert on_disk.info == (None if simulate else state.info)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"encoding": "bernoulli"}, "encoding='bernoulli' draws"),
        ({"solver": "anderson"}, "only the solver 'fixed_point'"),
    ],
    ids=str,
)
def test_what_needs_memory_is_refused(options, reason, tmp_path):
    model, snapshots, _ = small(options)
    files = RowFiles(tmp_path)
    with torch.no_grad(), pytest.raises(ConfigError, match=f"cannot lie on disk: {reason}"):
        model(snapshots, rows=files)
    model, snapshots, _ = small({})
    with pytest.raises(ConfigError, match=r"gradient needs all of them.*torch.no_grad"):
        model(snapshots, rows=files)
    with torch.no_grad():
        assert model.conv.needs_memory() is None
