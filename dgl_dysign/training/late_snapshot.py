"""Late-snapshot gradient aggregation: many batches, one optimiser step for each snapshot."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dgl_dysign.errors import ConfigError
from dgl_dysign.training import distributed


@dataclass(frozen=True)
class SnapshotBatch:
    """Some rows of a snapshot's tensors, all with the same number of rows, which is the length of the batch."""

    snapshot: int
    tensors: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.tensors[0])


def snapshot_batches(snapshot: int, batch_size: int, *tensors: Tensor) -> list[SnapshotBatch]:
    """Cut the rows of one snapshot into batches of ``batch_size``, without copies; the last may have fewer.

    Raises ``ConfigError`` if the tensors' numbers of rows differ, or the batch size is below 1.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.training import snapshot_batches
    >>> [len(batch) for batch in snapshot_batches(3, 4, torch.arange(10))]
    [4, 4, 2]
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, but got {batch_size}")
    rows = [len(tensor) for tensor in tensors]
    if len(set(rows)) != 1:
        raise ConfigError(f"expected tensors with one number of rows, but got {rows}")
    parts = zip(*(tensor.split(batch_size) for tensor in tensors), strict=True)
    return [SnapshotBatch(snapshot, part) for part in parts if len(part[0])]


class LateStep(NamedTuple):
    """What one step did: mean loss, rows, batches, norm of the gradient before clipping (nan: no rows, no clipping)."""

    loss: float
    rows: int
    batches: int
    grad_norm: float


def late_snapshot_step(
    optimizer: torch.optim.Optimizer,
    batches: Iterable[SnapshotBatch],
    loss_of_batch: Callable[[SnapshotBatch], Tensor],
    max_grad_norm: float | None = None,
    model: nn.Module | None = None,
) -> LateStep:
    r"""Accumulate the gradients of a snapshot's batches, then take one optimiser step.

    UnderGS (technical report), late-snapshot gradient aggregation. With :math:`\ell_b` the mean loss of the
    :math:`n_b` rows of batch b,

    .. math:: g = \frac{1}{\sum_b n_b} \sum_b n_b \nabla \ell_b

    which is the gradient of the mean loss of the whole snapshot, up to rounding, while no more than one batch is held:
    each batch's tape is freed before the next begins, and ``batches`` may be a generator. Losses must not depend on
    what else is in the batch (as batch normalisation makes them).

    Under several processes all are given the same batches; each computes every so many-th, and gradients are summed
    once, before the step. Random draws (dropout) of a batch do not depend on the process.

    Parameters
    ----------
    optimizer : Optimizer
        Its parameters' old gradients are dropped. Without batches it takes no step.
    batches : iterable of SnapshotBatch
        All of one snapshot, see `snapshot_batches`; any object with ``snapshot`` and a length.
    loss_of_batch : callable
        The mean loss over a batch's rows.
    max_grad_norm : float, optional
        Clip the norm of the snapshot's gradient to this.
    model : Module, optional
        Needed under several processes where it has buffers, or filters that draw.

    Raises
    ------
    ConfigError
        If batches are of two snapshots, one is empty, or a loss or the gradient is not finite: no step is taken then.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.training import late_snapshot_step, snapshot_batches
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.zeros_(model.weight)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    >>> batches = snapshot_batches(0, 2, torch.tensor([[1.0], [2.0], [6.0]]))
    >>> late_snapshot_step(optimizer, batches, lambda batch: -model(batch.tensors[0]).mean()).rows
    3
    >>> model.weight.item()
    3.0
    """
    optimizer.zero_grad(set_to_none=True)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    try:
        step = _accumulate(batches, loss_of_batch, distributed.BatchDraws(model, parameters[0].device))
        if distributed.world() > 1:
            step = _summed(step, parameters, model)
        if step.rows:
            step = step._replace(grad_norm=_average(parameters, step.rows, max_grad_norm))
            optimizer.step()
    finally:  # gradients are for one step: neither an error nor the next loop may find them
        optimizer.zero_grad(set_to_none=True)
    return step


def _accumulate(
    batches: Iterable[SnapshotBatch], loss_of_batch: Callable[[SnapshotBatch], Tensor], draws: distributed.BatchDraws
) -> LateStep:
    """Add up the gradients of this process's batches; return what of this process went into it."""
    total, rows, computed, count, snapshot = 0.0, 0, 0, 0, None
    for place, batch in enumerate(batches):
        snapshot, count = batch.snapshot if snapshot is None else snapshot, place + 1
        if batch.snapshot != snapshot:
            raise ConfigError(
                f"batch {place} is of snapshot {batch.snapshot}, the batches before it of snapshot {snapshot}: weights "
                f"are held fixed within a snapshot, so take one late_snapshot_step for each"
            )
        if len(batch) < 1:
            raise ConfigError(f"batch {place} of snapshot {snapshot} is empty: leave it out")
        if place % distributed.world() != distributed.rank():
            continue
        with draws.of(place):
            loss = loss_of_batch(batch) * len(batch)  # a sum: how many rows there are is known only at the end
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ConfigError(
                f"the loss of batch {place} of snapshot {snapshot} is {value / len(batch)}: look for NaN in its "
                f"features, or lower the learning rate"
            )
        loss.backward()
        total, rows, computed = total + value, rows + len(batch), computed + 1
    if count:
        draws.end(count)
    return LateStep(total / rows if rows else math.nan, rows, computed, math.nan)


def _summed(step: LateStep, parameters: list[Tensor], model: nn.Module | None) -> LateStep:
    """Add up gradients and numbers over the processes."""
    numbers = torch.tensor([step.loss * step.rows if step.rows else 0.0, step.rows, step.batches], dtype=torch.float64)
    total, rows, count = distributed.sum_over_processes(numbers.to(parameters[0].device)).tolist()
    if rows:
        distributed.sum_gradients(parameters)
    if model is not None:
        distributed.same_model(model, parameters=False)
    return LateStep(total / rows if rows else math.nan, int(rows), int(count), math.nan)


def _average(parameters: list[Tensor], rows: int, max_grad_norm: float | None) -> float:
    """Turn the sum of gradients into their mean, and clip it."""
    for grad in (parameter.grad for parameter in parameters):
        if grad is not None:
            grad.div_(rows)
    if max_grad_norm is None:
        return math.nan
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, max_grad_norm))
    if not math.isfinite(norm):
        raise ConfigError(f"the norm of the gradient is {norm}: lower the learning rate, or look for infinities")
    return norm
