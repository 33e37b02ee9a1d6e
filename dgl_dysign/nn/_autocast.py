"""Convolutions under autocast."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

Method = TypeVar("Method", bound=Callable[..., Any])


def full_precision(method: Method) -> Method:
    """Run a module's method in the precision of its parameters, whatever autocast says.

    A sum over thousands of edges, a threshold and a solver with a tolerance need it. Tensors in half precision, which
    the layers before give under autocast, are widened.
    """

    @functools.wraps(method)
    def run(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        wide = next((parameter.dtype for parameter in self.parameters()), torch.float32)
        args = _widened(args, wide)
        kwargs = {name: _widened(value, wide) for name, value in kwargs.items()}
        device = next((tensor.device.type for tensor in _tensors((*args, *kwargs.values()))), "cpu")
        with torch.autocast(device, enabled=False):
            return method(self, *args, **kwargs)

    return cast(Method, run)


def _widened(value: Any, wide: torch.dtype) -> Any:
    if isinstance(value, Tensor):
        return value.to(wide) if value.dtype in (torch.float16, torch.bfloat16) else value
    return tuple(_widened(part, wide) for part in value) if type(value) is tuple else value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif type(value) is tuple:
        for part in value:
            yield from _tensors(part)
