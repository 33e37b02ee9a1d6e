"""How a counter hears of operations: from PyTorch's dispatcher, and from DGL's kernels, which that does not see."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn, Protocol
from unittest.mock import patch

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from dgl_dysign.cost import rules
from dgl_dysign.cost.operations import Operations
from dgl_dysign.ops._listeners import uncounted

_KERNELS: tuple[tuple[str, str, Callable[..., Operations]], ...] = (  # where DGL's modules look for them
    ("dgl.ops.spmm", "gspmm", rules.gspmm),
    ("dgl.ops.sddmm", "gsddmm", rules.gsddmm),
    ("dgl.nn.pytorch.linear", "gather_mm", rules.typed_linear),
    ("dgl.nn.pytorch.linear", "segment_mm", rules.typed_linear),
)


class Counter(Protocol):
    """What hears."""

    @property
    def active(self) -> bool:
        """Whether what runs now is to be counted."""

    def record(self, operations: Operations) -> None:
        """Add operations to those of the module that runs."""

    def fail(self, what: str) -> NoReturn:
        """Raise ``CountError``."""


@contextmanager
def dgl_kernels(counter: Counter) -> Iterator[None]:
    """Count the calls of DGL's kernels."""

    def counted(kernel: Callable[..., Any], rule: Callable[..., Operations]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if counter.active:
                if len(getattr(args[0], "canonical_etypes", [""])) != 1:
                    counter.fail("message passing over several types of edges at once")
                with uncounted():
                    operations = rule(*args, **options)
                counter.record(operations)
            with uncounted():  # small ones are PyTorch's operators again
                return kernel(*args, **options)

        return call

    with ExitStack() as context:
        for place, name, rule in _KERNELS:
            if place in sys.modules:
                kernel = getattr(sys.modules[place], name)
                context.enter_context(patch.object(sys.modules[place], name, counted(kernel, rule)))
        yield


class Operators(TorchDispatchMode):
    """Sees each of PyTorch's operators."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else PyTorch imports its compiler, which takes seconds

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self.counter = counter

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.counter.active:
            return func(*args, **kwargs)
        rule = rules.RULES.get(rules.name_of(func))
        if rule is None:
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
            if not rules.known_as_free(func):
                self.counter.fail(func._schema.name)
            return func(*args, **kwargs)
        result = func(*args, **kwargs)
        self.counter.record(rule(args, result))
        return result


class Conversions(TorchFunctionMode):
    """Sees numbers that leave PyTorch for NumPy; what DGL and this package do there is known."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self.counter = counter

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.numpy, Tensor.__array__) and args[0].is_floating_point() and self.counter.active:
            frame = sys._getframe(1)
            while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("torch"):
                frame = frame.f_back
            if not str(frame.f_globals.get("__name__")).startswith(("dgl.", "dgl_dysign.")):
                self.counter.fail("numbers that leave PyTorch for NumPy")
        return func(*args, **(kwargs or {}))
