"""Full-batch gradients of Dy-SIGN, one snapshot in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dgl_dysign.models import DySIGN, Snapshot
from dgl_dysign.nn import FiringRates


def full_batch_gradient(
    model: DySIGN,
    snapshots: Sequence[Snapshot],
    loss: Callable[[Tensor], Tensor],
    label_feat: Tensor | None = None,
    *,
    rate_penalty: float = 0.0,
    target_rate: float | None = None,
) -> Tensor:
    """Add the gradient of a loss of all nodes' logits to the parameters, and return the loss, without gradient.

    The logits are a sum over snapshots, so two passes do: one without a tape for the loss and its gradient at the
    logits, one that solves each snapshot again, hands it that gradient and frees it. Memory does not grow with the
    number of snapshots. With ``coupling`` snapshots depend on each other, and the tape of all is kept instead.
    ``loss`` takes the logits ``(N, C)`` and returns a scalar. Dropout draws the same masks in both passes.
    ``rate_penalty`` and ``target_rate`` are those of `dgl_dysign.nn.FiringRates`.
    """
    asked = rate_penalty > 0 or target_rate is not None
    if model.coupling is not None:
        with FiringRates() as rates:
            value = loss(model(snapshots, label_feat))
        if asked:
            value = value + rates.loss(rate_penalty, target_rate)
        value.backward()
        return value.detach()
    device = snapshots[0].feat.device
    # Norms are bounded by iterations that go on from call to call: both passes must start them from the same vectors.
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    random = torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    with torch.no_grad():
        logits = model(snapshots, label_feat)
    logits.requires_grad_()
    value = loss(logits)
    (slope,) = torch.autograd.grad(value, logits)
    model.load_state_dict(buffers, strict=False)
    torch.set_rng_state(random[0])
    if random[1] is not None:
        torch.cuda.set_rng_state(random[1], device)
    value = value.detach()
    with FiringRates() as rates:
        for part in model.parts(snapshots, label_feat):
            if asked:
                term = rates.loss(rate_penalty, target_rate)
                torch.autograd.backward([part, term], [slope, torch.ones_like(term)])
                value = value + term.detach()
            else:
                part.backward(slope)
            rates.populations.clear()
    return value
