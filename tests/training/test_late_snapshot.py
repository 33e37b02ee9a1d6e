"""Late-snapshot aggregation: the step of the whole snapshot, one batch in memory, no half steps."""

import copy
import math
import weakref

import pytest
import torch

from dgl_dysign.errors import ConfigError
from dgl_dysign.models import UnderGS, link_loss
from dgl_dysign.training import late_snapshot_step, snapshot_batches
from tests.models.undergs_cases import K, N, filled

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.5),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, eps=1e-3),
}


def pairs(rows=23, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(N, (rows,), generator=generator), torch.randint(N, (rows, 4), generator=generator)


def loss_with(model, store):
    def loss(batch):
        src, dst = batch.tensors
        z = model.embed(store, torch.cat([src[:, None], dst], 1), 3)
        return link_loss(model.link(z[:, 0], z[:, 1:]), model.loss)

    return loss


@pytest.mark.parametrize(
    ("aggregator", "optimizer", "clip"),
    [
        ("gcn", "adam", 0.01),
        ("sage", "sgd", 0.01),
        ("gat", "adam", None),
        ("gin", "sgd", None),
        ("mixer", "adam", None),
    ],
)
def test_equals_the_step_of_the_whole_snapshot(aggregator, optimizer, clip):
    torch.manual_seed(0)
    options = {"dropout": 0, "embedding_dropout": 0, "filter_ratio": 0, "num_neighbors": K}
    model, store = UnderGS(N, 8, aggregator, **options).double(), filled()
    results = []
    for batch_size in (23, 5, 1):
        one = copy.deepcopy(model)
        stepping = OPTIMIZERS[optimizer](one.parameters())
        for turn in range(2):
            batches = snapshot_batches(3, batch_size, *pairs(seed=turn))
            step = late_snapshot_step(stepping, batches, loss_with(one, store), clip)
            assert (step.rows, step.batches) == (23, math.ceil(23 / batch_size))
        results.append((step.loss, step.grad_norm, *(p.detach() for p in one.parameters())))
    for other in results[1:]:
        torch.testing.assert_close(other[2:], results[0][2:], rtol=0, atol=1e-13)
        assert other[0] == pytest.approx(results[0][0], abs=1e-12)
        if clip is None:
            assert math.isnan(other[1])
        else:
            assert other[1] == pytest.approx(results[0][1], rel=1e-10)
            assert other[1] > clip
    assert not torch.equal(results[0][2], next(model.parameters()))


def test_it_is_the_plain_step():
    torch.manual_seed(0)
    model, store = UnderGS(N, 8, dropout=0, embedding_dropout=0, filter_ratio=0).double(), filled()
    other, (batch,) = copy.deepcopy(model), snapshot_batches(3, 99, *pairs())
    late_snapshot_step(OPTIMIZERS["sgd"](model.parameters()), snapshot_batches(3, 4, *pairs()), loss_with(model, store))
    loss_with(other, store)(batch).backward()
    OPTIMIZERS["sgd"](other.parameters()).step()
    for value, expected in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-13)


def test_one_batch_is_held_at_a_time():
    weight, alive = torch.nn.Parameter(torch.ones(3)), []

    class Part(torch.Tensor):
        pass

    def stream():
        for _ in range(6):
            part = torch.ones(4, 3).as_subclass(Part)
            alive.append(weakref.ref(part))
            yield snapshot_batches(0, 4, part)[0]
            del part

    def loss(batch):
        assert sum(part() is not None for part in alive) <= 1
        return (batch.tensors[0].as_subclass(torch.Tensor) * weight).mean()

    step = late_snapshot_step(torch.optim.SGD([weight], lr=0.1), stream(), loss)
    assert (step.batches, step.rows) == (6, 24)


def test_no_batches_no_step():
    weight = torch.nn.Parameter(torch.ones(3))
    step = late_snapshot_step(torch.optim.AdamW([weight], lr=0.1, weight_decay=0.5), [], lambda batch: weight.sum())
    assert (step.rows, step.batches) == (0, 0)
    assert math.isnan(step.loss)
    assert weight.tolist() == [1, 1, 1]


def wrong_batches():
    first, second = snapshot_batches(4, 2, torch.ones(4))
    nan = snapshot_batches(4, 2, torch.full((2,), torch.nan))
    return [
        (
            [first, *snapshot_batches(5, 2, torch.ones(2))],
            "batch 1 is of snapshot 5, the batches before it of snapshot 4",
        ),
        ([first, second, *nan], "loss of batch 2 of snapshot 4 is nan"),
        ([first, *snapshot_batches(4, 2, torch.full((2,), torch.inf))], "loss of batch 1 of snapshot 4 is inf"),
        ([first, type(first)(4, (torch.ones(0),))], "batch 1 of snapshot 4 is empty"),
    ]


@pytest.mark.parametrize(("batches", "message"), wrong_batches(), ids=["two snapshots", "nan", "inf", "empty"])
def test_an_error_leaves_neither_a_step_nor_a_gradient(batches, message):
    weight = torch.nn.Parameter(torch.ones(()))
    with pytest.raises(ConfigError, match=message):
        late_snapshot_step(torch.optim.SGD([weight], lr=1.0), batches, lambda b: (b.tensors[0] * weight).mean())
    assert weight.item() == 1
    assert weight.grad is None


def test_a_gradient_that_is_not_finite_takes_no_step():
    weight = torch.nn.Parameter(torch.zeros(()))
    batches = snapshot_batches(0, 2, torch.ones(2))
    with pytest.raises(ConfigError, match="norm of the gradient is inf"):
        late_snapshot_step(torch.optim.SGD([weight], lr=1.0), batches, lambda b: weight.sqrt(), 1.0)
    assert weight.item() == 0


def test_wrong_cuts():
    with pytest.raises(ConfigError, match=r"\[3, 2\]"):
        snapshot_batches(0, 2, torch.ones(3), torch.ones(2))
    with pytest.raises(ConfigError, match="batch_size"):
        snapshot_batches(0, 0, torch.ones(3))
    assert snapshot_batches(0, 2, torch.ones(0)) == []
