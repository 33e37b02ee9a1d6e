"""The counter of operations: it listens to PyTorch's dispatcher, to DGL's kernels and to those of this package."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from dgl_dysign.cost import rules
from dgl_dysign.cost.operations import OperationCount, Operations
from dgl_dysign.cost.watching import Conversions, Operators, dgl_kernels
from dgl_dysign.errors import ConfigError, CountError
from dgl_dysign.models.link_scorer import evaluating
from dgl_dysign.ops import PackedSpikes
from dgl_dysign.ops._listeners import listeners, uncounted

ModuleRule = Callable[[Any, tuple[Any, ...], Any], Operations]

_registered: dict[type[nn.Module], ModuleRule] = {}


def register(cls: type[nn.Module], rule: ModuleRule) -> None:
    """Say how to count a class of modules, and those that inherit from it, instead of listening to what they do.

    Parameters
    ----------
    cls : type of Module
        The class.
    rule : callable
        ``rule(module, args, result)`` returns the `Operations` of a call, its parts included; ``args`` are those that
        were given by place.

    Raises
    ------
    ConfigError
        If these are no class and no function.

    Examples
    --------
    >>> import torch
    >>> class Clustered(torch.nn.Module):
    ...     def forward(self, x):
    ...         return torch.cdist(x, x)
    >>> register(Clustered, lambda module, args, distances: Operations(macs=distances.numel() * args[0].shape[1]))
    >>> count_operations(Clustered(), torch.randn(4, 3)).total.macs
    48
    """
    if not (isinstance(cls, type) and issubclass(cls, nn.Module) and callable(rule)):
        raise ConfigError(f"expected a class of modules and a rule to count it by, but got {cls!r} and {rule!r}")
    _registered[cls] = rule


class OperationCounter:
    """Count the operations of everything that runs in its context, in this thread; see `dgl_dysign.cost` for the rules.

    Known are PyTorch's operators, DGL's convolutions and message passing, and the layers and kernels of this package;
    `register` says how to count others.

    Parameters
    ----------
    model : Module, optional
        Gives modules their names; without it they are called by their classes.

    Raises
    ------
    CountError
        If a module does what nobody can count: an operator without a rule, or arithmetic outside of PyTorch.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
    >>> with OperationCounter(model) as counter:
    ...     _ = model(torch.randn(5, 3))
    >>> {name: operations.macs for name, operations in counter.by_module.items()}
    {'0': 30, '2': 10}
    """

    def __init__(self, model: nn.Module | None = None) -> None:
        self.model, self.by_module = model, dict[str, Operations]()
        named = [] if model is None else model.named_modules()
        self._names = {module: name or type(module).__name__ for name, module in named}
        self._running: list[nn.Module] = []
        self._ruled: list[bool] = []  # of the modules that run, whether they have a rule
        self._context = ExitStack()

    def __enter__(self) -> OperationCounter:
        with ExitStack() as context:
            context.callback(register_module_forward_pre_hook(self._enter).remove)
            context.callback(register_module_forward_hook(self._leave, always_call=True).remove)
            context.enter_context(dgl_kernels(self))
            context.enter_context(Conversions(self))
            context.enter_context(Operators(self))
            listeners.append(self)
            context.callback(listeners.remove, self)
            self._context = context.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.close()
        self._running, self._ruled = [], []

    @property
    def total(self) -> Operations:
        """The operations of all modules."""
        return sum(self.by_module.values(), Operations())

    def count(self, num_nodes: int) -> OperationCount:
        """Return what was counted, for so many nodes."""
        weights = () if self.model is None else self.model.parameters()
        size = sum(weight.numel() * weight.element_size() for weight in weights)
        return OperationCount(self.total, dict(self.by_module), num_nodes, size)

    @property
    def active(self) -> bool:
        """Whether what runs now is to be counted: not so in what is done once, and in modules with a rule."""
        return self in listeners and not any(self._ruled)

    def record(self, operations: Operations, module: nn.Module | None = None) -> None:
        """Add operations to those of a module, by default of that which runs."""
        if operations != Operations():
            module = self._running[-1] if module is None and self._running else module
            name = "" if module is None else self._name(module)
            self.by_module[name] = self.by_module.get(name, Operations()) + operations

    def fired(self, spikes: Tensor | PackedSpikes) -> None:
        """Note a step of neurons."""
        if self.active:
            with uncounted():
                count = spikes.counts().sum() if isinstance(spikes, PackedSpikes) else spikes.detach().count_nonzero()
            self.record(Operations(membrane_updates=math.prod(spikes.shape), spikes=int(count)))

    def aggregated(self, sources: Tensor, feat: Tensor, edge_weight: Tensor | None) -> None:
        """Note messages that are added up."""
        if self.active:
            with uncounted():
                operations = rules.sum_of_messages(sources.long().to(feat.device), feat.detach(), edge_weight)
            self.record(operations)

    def noted(self, **operations: int) -> None:
        """Note operations by their names."""
        if self.active:
            self.record(Operations(**operations))

    def fail(self, what: str) -> NoReturn:
        """Raise ``CountError`` that names the module."""
        module = self._running[-1] if self._running else None
        where = "outside of modules" if module is None else f"{self._name(module)!r}, a {type(module).__name__}"
        raise CountError(
            f"{where}: found {what}, which nobody can count; say how, for the whole module, with dgl_dysign.cost."
            f"register({'CLASS' if module is None else type(module).__name__}, rule)"
        )

    def _name(self, module: nn.Module) -> str:
        return self._names.get(module, type(module).__name__)

    def _enter(self, module: nn.Module, args: Any) -> None:
        self._running.append(module)
        self._ruled.append(_rule_of(module) is not None)

    def _leave(self, module: nn.Module, args: Any, result: Any) -> None:
        del self._running[-1], self._ruled[-1]
        rule = _rule_of(module)
        if rule is not None and result is not None and self.active:
            with uncounted():
                operations = rule(module, args, result)
            self.record(operations, module)


def _rule_of(module: nn.Module) -> ModuleRule | None:
    return next((_registered[cls] for cls in type(module).__mro__ if cls in _registered), None)


@torch.no_grad()
def count_operations(model: nn.Module, *inputs: Any, num_nodes: int | None = None, **options: Any) -> OperationCount:
    """Count the operations of one call of a model in evaluation, ``model(*inputs, **options)``.

    Parameters
    ----------
    model : Module
        Any, on graphs of DGL or none.
    num_nodes : int, optional
        Nodes that are answered for; default: the rows of what the model returns, or of its first part.

    Raises
    ------
    CountError
        If a module does what nobody can count.

    Examples
    --------
    A neuron of threshold 1 that gets 0.5 at each of 4 steps fires twice:

    >>> import torch
    >>> from dgl_dysign._dgl import dgl
    >>> from dgl_dysign.nn import SpikingGraphConv
    >>> conv = SpikingGraphConv(1, 1, norm="right", weight=False, bias=False, latency=4)
    >>> graph = dgl.graph(([0, 1, 0], [0, 0, 1]))
    >>> count = count_operations(conv, graph, torch.tensor([[0.5], [0.5]]))
    >>> count.total.membrane_updates, count.total.spikes, count.a_node.message_bits
    (8, 4, 48.0)
    """
    with evaluating(model), OperationCounter(model) as counter:
        result = model(*inputs, **options)
    return counter.count(_rows(result) if num_nodes is None else num_nodes)


def _rows(result: Any) -> int:
    if isinstance(result, Tensor) and result.dim():
        return len(result)
    if isinstance(result, dict):
        return sum(map(_rows, result.values()))
    if isinstance(result, tuple | list) and len(result):
        return _rows(result[0])
    raise ConfigError(f"the model returned {type(result).__name__}, which has no rows: pass num_nodes=")
