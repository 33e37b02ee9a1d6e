"""Errors that are DGL's own as well, checks of arguments that ``ops`` and ``nn`` share, and their precision."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from dgl_dysign import errors
from dgl_dysign._dgl import dgl
from dgl_dysign.errors import ConfigError, GraphError


class DGLGraphError(GraphError, dgl.DGLError):
    """A ``GraphError`` that also reaches those who catch ``DGLError``."""


class DGLConfigError(ConfigError, dgl.DGLError):
    """A ``ConfigError`` that also reaches those who catch ``DGLError``."""


check_choice = partial(errors.check_choice, error=DGLConfigError)


def no_autocast(tensor: torch.Tensor) -> torch.autocast:
    """Return a context without autocast: sparse products have no half precision, and solvers need their tolerance."""
    return torch.autocast(tensor.device.type, enabled=False)


def check_one_edge_type(graph: Any) -> None:
    """Raise ``GraphError``, with the remedy, unless the graph has exactly one type of edges."""
    if len(graph.canonical_etypes) != 1:
        raise DGLGraphError(
            f"expected a graph with one type of edges, but got {len(graph.canonical_etypes)}: "
            f"{graph.canonical_etypes}; take one with graph[etype]"
        )


def check_rows(graph: Any, feat: Any, what: str = "feat") -> None:
    """Raise ``GraphError`` unless ``feat`` has one floating-point row for each source node."""
    if len(feat.shape) == 0 or feat.shape[0] != graph.num_src_nodes():
        raise DGLGraphError(
            f"{what} must have one row for each of the {graph.num_src_nodes()} source nodes, "
            f"but has shape {tuple(feat.shape)}"
        )
    if isinstance(feat, torch.Tensor) and not feat.is_floating_point():
        raise DGLGraphError(f"{what} must be floating-point, but is {feat.dtype}; convert it with {what}.float()")


def edge_vector(graph: Any, edge_weight: torch.Tensor) -> torch.Tensor:
    """Return edge weights of shape ``(E,)`` or ``(E, 1)``, floating-point, as a vector; else raise ``GraphError``."""
    edges = graph.num_edges()
    if edge_weight.shape not in ((edges,), (edges, 1)):
        raise DGLGraphError(
            f"edge_weight must have shape ({edges},) or ({edges}, 1), one number for each edge, "
            f"but has shape {tuple(edge_weight.shape)}"
        )
    if not edge_weight.is_floating_point():
        raise DGLGraphError(
            f"edge_weight must be floating-point, but is {edge_weight.dtype}; convert it with edge_weight.float()"
        )
    return edge_weight if edge_weight.dim() == 1 else edge_weight[:, 0]


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
