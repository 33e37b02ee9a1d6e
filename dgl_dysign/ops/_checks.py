"""Errors that are DGL's own as well, checks of arguments that ``ops`` and ``nn`` share, and their precision."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
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


class StateError(DGLConfigError, RuntimeError):
    """A ``ConfigError`` that also reaches those who catch what ``load_state_dict`` of PyTorch raises."""


_CONVERTS = {torch.float32: "float", torch.float64: "double", torch.float16: "half", torch.bfloat16: "bfloat16"}

check_choice = partial(errors.check_choice, error=DGLConfigError)


def no_autocast(tensor: torch.Tensor) -> torch.autocast:
    """Return a context without autocast: sparse products have no half precision, and solvers need their tolerance."""
    return torch.autocast(tensor.device.type, enabled=False)


def for_autograd(tensor: Tensor) -> Tensor:
    """Return the tensor, copied where ``torch.inference_mode`` made it: autograd keeps none of those."""
    return tensor.clone() if tensor.is_inference() and not torch.is_inference_mode_enabled() else tensor


def check_one_edge_type(graph: Any) -> None:
    """Raise ``GraphError``, with the remedy, unless this is a graph and has exactly one type of edges."""
    if not hasattr(graph, "canonical_etypes"):
        raise DGLGraphError(f"graph must be a DGLGraph, but is of type {type(graph).__name__}: call layer(graph, feat)")
    if len(graph.canonical_etypes) != 1:
        raise DGLGraphError(
            f"expected a graph with one type of edges, but got {len(graph.canonical_etypes)}: "
            f"{graph.canonical_etypes}; take one with graph[etype]"
        )


def check_rows(graph: Any, feat: Any, what: str = "feat") -> None:
    """Raise ``GraphError`` unless ``feat`` has one floating-point row for each source node."""
    check_numbers(what, feat)
    if len(feat.shape) == 0 or feat.shape[0] != graph.num_src_nodes():
        raise DGLGraphError(
            f"{what} must have one row for each of the {graph.num_src_nodes()} source nodes, "
            f"but has shape {tuple(feat.shape)}"
        )
    check_floating(feat, what)


def check_numbers(name: str, tensor: Any) -> None:
    """Raise ``GraphError`` of what is no tensor, or lies on the meta device."""
    if not isinstance(getattr(tensor, "device", None), torch.device):  # packed spikes have one as well
        remedy = "take the tensor out of it" if isinstance(tensor, Mapping) else f"make it one, torch.tensor({name})"
        raise DGLGraphError(f"{name} must be a tensor, but is of type {type(tensor).__name__}: {remedy}")
    if tensor.device.type == "meta":
        raise DGLGraphError(
            f"{name} is on the meta device, which holds no numbers: fill a layer with layer.to_empty(device='cpu') and "
            f"load_state_dict, and call it with tensors of another device"
        )


def check_floating(feat: Any, what: str = "feat") -> None:
    """Raise ``GraphError`` of a tensor that is not floating-point."""
    if isinstance(feat, torch.Tensor) and not feat.is_floating_point():
        raise DGLGraphError(f"{what} must be floating-point, but is {feat.dtype}; convert it with {what}.float()")


def check_fits(layer: nn.Module, **tensors: Tensor | None) -> None:
    """Raise ``GraphError``, with the remedy, unless tensors have the type of a layer's parameters, and are with them.

    A layer without parameters takes the first tensor's.
    """
    present = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    like = next(layer.parameters(), next(iter(present.values())))
    for name, tensor in present.items():
        check_place(name, tensor, like)
        check_floating(tensor, name)
        if tensor.dtype != like.dtype:
            raise DGLGraphError(
                f"{name} is {tensor.dtype}, but this layer is {like.dtype}: convert {name} with "
                f"{name}.{_CONVERTS.get(like.dtype)}(), or the layer with layer.{_CONVERTS.get(tensor.dtype)}()"
            )


def check_place(name: str, tensor: Tensor, like: Tensor) -> None:
    """Raise ``GraphError`` unless a tensor lies where a layer does, on a device that holds numbers."""
    check_numbers(name, tensor)
    check_numbers("this layer", like)
    if tensor.device != like.device:
        raise DGLGraphError(
            f"{name} is on {tensor.device}, but this layer is on {like.device}: move one of them with .to(device)"
        )


class Layer(nn.Module):
    """A module that refuses a ``state_dict`` of other sizes, with both and the remedy, before any of it is copied.

    Parts that load in a way of their own, such as a store, say themselves what does not fit.
    """

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        usual = nn.Module._load_from_state_dict, Layer._load_from_state_dict
        parts = self.named_modules()
        others = tuple(f"{name}." for name, part in parts if type(part)._load_from_state_dict not in usual)
        for name, own in self.state_dict().items():
            loaded = None if name.startswith(others) else state_dict.get(prefix + name)
            if isinstance(own, Tensor) and isinstance(loaded, Tensor) and own.shape != loaded.shape:
                raise StateError(
                    f"{prefix}{name} has shape {tuple(loaded.shape)} in the state that is loaded, but "
                    f"{tuple(own.shape)} in this {type(self).__name__}: make the module with the sizes of what was "
                    f"saved, or leave {prefix}{name} out of the state and load the rest with strict=False"
                )
        super()._load_from_state_dict(state_dict, prefix, *args)


def edge_vector(graph: Any, edge_weight: torch.Tensor) -> torch.Tensor:
    """Return edge weights of shape ``(E,)`` or ``(E, 1)``, floating-point, as a vector; else raise ``GraphError``."""
    edges = graph.num_edges()
    check_numbers("edge_weight", edge_weight)
    edge_weight = for_autograd(edge_weight)
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
        args = widened(args, wide)
        kwargs = {name: widened(value, wide) for name, value in kwargs.items()}
        given = (*self.parameters(), *args, *kwargs.values())  # packed spikes do not say where they are
        device = next((tensor.device.type for tensor in _tensors(given)), "cpu")
        with torch.autocast("cpu" if device == "meta" else device, enabled=False):
            return method(self, *args, **kwargs)

    return cast(Method, run)


def widened(value: Any, wide: torch.dtype) -> Any:
    """Return a tensor, or the tensors of a tuple, with half precision made ``wide``; all else as it is."""
    if isinstance(value, Tensor):
        return value.to(wide) if value.dtype in (torch.float16, torch.bfloat16) else value
    return tuple(widened(part, wide) for part in value) if type(value) is tuple else value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif type(value) is tuple:
        for part in value:
            yield from _tensors(part)
