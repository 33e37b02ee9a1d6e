"""Which parameters were trained while an entry was fitted: what PyTorch's optimisers stepped."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook


class Steps:
    """Watches every step of every optimiser of PyTorch while it is entered.

    Attributes
    ----------
    stepped : dict
        By the id of a parameter: the parameter, whether it ever had a gradient that is not zero, and whether it moved.
    """

    def __init__(self) -> None:
        self.stepped: dict[int, list[Any]] = {}
        self._before: dict[int, Tensor] = {}

    def __enter__(self) -> Steps:
        self._hooks = register_optimizer_step_pre_hook(self._pre), register_optimizer_step_post_hook(self._post)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for hook in self._hooks:
            hook.remove()

    def _pre(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            line = self.stepped.setdefault(id(parameter), [parameter, False, False])
            line[1] = line[1] or (parameter.grad is not None and bool(parameter.grad.count_nonzero()))
            if not line[2]:
                self._before[id(parameter)] = parameter.detach().clone()

    def _post(self, *_: Any) -> None:
        while self._before:
            number, before = self._before.popitem()
            self.stepped[number][2] = not torch.equal(before, self.stepped[number][0].detach())

    def faults(self, model: Any) -> tuple[dict[str, str], int]:
        """Return what is wrong with which parameter, of the model or stepped, and the number of all."""
        named = dict(trainable(model))
        if not any(id(parameter) in self.stepped for parameter in named.values()):
            named = {}  # the model is a copy of what was trained
        known = {id(parameter) for parameter in named.values()}
        for number, (parameter, _, _) in self.stepped.items():
            if number not in known:
                named[f"a parameter of shape {tuple(parameter.shape)}, the {len(named) + 1}th"] = parameter
        words = {None: "is in no optimiser", False: "gets no gradient", True: "does not move"}
        lines = {name: self.stepped.get(id(parameter), (None, None, None)) for name, parameter in named.items()}
        wrong = {name: words[gradient] for name, (_, gradient, moved) in lines.items() if not (gradient and moved)}
        return wrong, len(named)


def trainable(model: Any) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters that require a gradient, of a module or of the modules that an object holds."""
    for name, module in modules(model):
        yield from ((f"{name}{key}", p) for key, p in module.named_parameters() if p.requires_grad)


def modules(model: Any, depth: int = 3, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield a module, or the modules that an object holds, with what stands before the names of their tensors."""
    if isinstance(model, nn.Module):
        yield name, model
    elif depth and hasattr(model, "__dict__") and not isinstance(model, type):
        seen = set()
        for key, value in vars(model).items():
            if id(value) not in seen:
                seen.add(id(value))
                yield from modules(value, depth - 1, f"{name}{key}.")
