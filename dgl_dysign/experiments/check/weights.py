"""Gives the weights of a fit to two others of its entry: with another seed, and to nodes under other numbers."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.experiments.check.forms import Fit
from dgl_dysign.experiments.check.steps import modules
from dgl_dysign.experiments.check.trial import Trial


def give_weights(trial: Trial, seed: Fit, renamed: Fit, number: Tensor) -> str:
    """Write what the modules of the trial's fit have learned or drawn into both others; or say why that is no test.

    What was learned or drawn differs between two seeds. What does not is made of the data, or of the numbers of nodes:
    each fit keeps its own. Along a dimension of nodes, values move to the new numbers of their nodes, `number`.
    """
    own, *others = (_tensors(fit) for fit in (trial.base, seed, renamed))
    alike = [name for name, value in own.items() if all(_shape(other, name) == value.shape for other in others)]
    learned = {name: own[name].detach() for name in alike if not torch.equal(own[name], others[0][name])}
    if not learned:
        return "no module of PyTorch holds what it has learned"
    if _holds_generator(trial.base.outcome.model):
        return "it holds a random generator, and may draw for nodes by their numbers"
    moved, count = dict(learned), trial.sample.events.num_nodes
    if any(size >= count for value in learned.values() for size in value.shape):
        larger = _tensors(trial.fit(trial.sample.with_one_more()))  # others may be as long by chance
        for name, value in learned.items():
            for k, sizes in enumerate(zip(value.shape, _shape(larger, name), strict=True)):
                if sizes == (count, count + 1):
                    moved[name] = moved[name].index_select(k, number.argsort())
                elif sizes[0] != sizes[1]:
                    return f"{name} has a dimension of {sizes[0]}, which grows with nodes but is not theirs alone"
    for other, values in zip(others, (learned, moved), strict=True):
        for name, value in values.items():
            other[name].data.copy_(value)
    return ""


def _tensors(fit: Fit) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for prefix, module in modules(fit.outcome.model):
        tensors |= {prefix + name: value for name, value in (*module.named_parameters(), *module.named_buffers())}
    return tensors


def _shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    return tuple(tensors[name].shape) if name in tensors else ()


def _holds_generator(model: Any) -> bool:
    """Look through all that an object holds."""
    waiting, seen = [model], set()
    while waiting:
        each = waiting.pop()
        if isinstance(each, np.random.Generator | np.random.RandomState | torch.Generator):
            return True
        if id(each) not in seen and not isinstance(each, type | ModuleType | FunctionType):
            seen.add(id(each))
            waiting += gc.get_referents(each)
    return False
