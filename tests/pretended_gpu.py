"""A GPU that is pretended: tensors compute on the CPU but say that they are on ``cuda:0``, and refuse to be mixed.

Where there is no GPU this finds what would fail on one: tensors of two devices in one operation, NumPy of a tensor on
the GPU, a graph of a DGL without CUDA that is given one. Values are real, so that they can be compared with those of
the CPU. What only a GPU can show (its kernels, its order of sums, its speed) this cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from dgl_dysign import ops
from dgl_dysign._dgl import dgl
from dgl_dysign.ops import PackedSpikes, fire_packed, packed_spikes

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
_aten = torch.ops.aten
_MOVES = {_aten._to_copy.default, _aten.copy_.default, _aten.copy.default}
#: Their indices may be on the CPU: PyTorch copies them.
_INDEXED = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default, _aten._index_put_impl_.default}


class Pretended(Tensor):
    """A tensor whose values, ``held``, are on the CPU, and which says that it is on the GPU."""

    held: Tensor
    device = property(lambda self: CUDA)  # PyTorch itself takes it for a tensor of the CPU: autograd needs no GPU
    is_cuda = property(lambda self: True)
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> Pretended:
        strides = held.stride() if held.layout == torch.strided else None
        made: Any = Tensor._make_wrapper_subclass(cls, held.shape, strides, dtype=held.dtype)  # type: ignore[attr-defined]
        made.held = held
        return made  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"Pretended({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunction():
            return cls._run(func, args, dict(kwargs or {}))

    @staticmethod
    def _run(func: Any, args: Any, kwargs: Any) -> Any:
        if func not in _MOVES:
            _refuse_mixing(func, (args[:1] + args[2:] if func in _INDEXED else args, kwargs))
        stays = isinstance(args[0], Pretended) or func not in _MOVES
        if kwargs.get("device") is not None:
            stays, kwargs["device"] = torch.device(kwargs["device"]).type == "cuda", CPU
        out = func(*tree_map(held, args), **tree_map(held, kwargs))
        same = {id(held(value)): value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)}
        return tree_map(lambda value: same.get(id(value), on_gpu(value) if stays else value), out)


def held(value: Any) -> Any:
    """Return the values of a pretended tensor, on the CPU; anything else as it is."""
    return value.held if isinstance(value, Pretended) else value


def on_gpu(value: Any) -> Any:
    """Return a tensor as one of the pretended GPU; anything else as it is."""
    return Pretended(value) if isinstance(value, Tensor) and not isinstance(value, Pretended) else value


def _refuse_mixing(func: Any, given: Any) -> None:
    """Raise where a tensor of the GPU meets one of the CPU; PyTorch's own, which are made on the way, are no matter."""
    tensors = [value for value in tree_leaves(given) if isinstance(value, Tensor)]
    if any(value.dim() and hasattr(value, "from_python") for value in tensors):
        places = [(tuple(value.shape), str(value.device)) for value in tensors]
        raise RuntimeError(f"{func}: expected all tensors on one device, but found {places}")


class _Move(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, source: Tensor, there: bool) -> Tensor:
        ctx.back = isinstance(source, Pretended)
        copy = held(source.detach()).clone()
        return on_gpu(copy) if there else copy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return on_gpu(held(grads[0])) if ctx.back else held(grads[0]), None


def _to(source: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    kwargs.pop("copy", None)
    like = args[0] if args and isinstance(args[0], Tensor) else None
    device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)  # type: ignore[attr-defined]
    device = device if like is None else like.device
    there = source.device.type if device is None else device.type
    moved = source if there == source.device.type else _Move.apply(source, there == "cuda")
    return moved if dtype is None else moved.type(dtype)


def _of_cpu(func: Any) -> Callable[..., Any]:
    def convert(source: Tensor, *args: Any, **kwargs: Any) -> Any:
        if isinstance(source, Pretended):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")
        return func(source, *args, **kwargs)

    return convert


_OWN: dict[Any, Callable[..., Any]] = {
    Tensor.to: _to,
    Tensor.cuda: lambda source, *_: _to(source, CUDA),
    Tensor.cpu: lambda source, *_: _to(source, CPU),
    Tensor.numpy: _of_cpu(Tensor.numpy),
    Tensor.__array__: _of_cpu(Tensor.__array__),
    Tensor.tolist: lambda source: held(source).tolist(),
    Tensor.new_tensor: lambda like, *args, **kwargs: (on_gpu if isinstance(like, Pretended) else held)(
        held(like.detach()).new_tensor(*args, **kwargs)
    ),
    torch.sparse_csr_tensor: lambda *args, **kwargs: tree_map(
        on_gpu if isinstance(args[0], Pretended) else held, torch.sparse_csr_tensor(*map(held, args), **kwargs)
    ),
}


class _Mode(TorchFunctionMode):
    """Makes tensors on the pretended GPU where the GPU is asked for, before PyTorch looks for one."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, Tensor) and not isinstance(value, Pretended):
                value.from_python = True  # type: ignore[attr-defined]
        if func in _OWN:
            return _OWN[func](*args, **kwargs)
        if kwargs.get("device") is None or func is Tensor.__init__:
            return func(*args, **kwargs)
        there = torch.device(kwargs["device"]).type == "cuda"
        out = func(*tree_map(held, args), **{**tree_map(held, kwargs), "device": CPU})
        return on_gpu(out) if there else out


def _kernels() -> ModuleType:
    """Return what stands for the kernels in Triton: those of the CPU."""
    module: Any = ModuleType("dgl_dysign.ops._packed_triton")

    def sum_rows(begins, ends, columns, words, weights=None, out=None):  # type: ignore[no-untyped-def]
        numbers = begins.held.numpy(), ends.held.numpy()
        sums = SimpleNamespace(weights=held(weights), words=words.held, layout=SimpleNamespace(indices=columns.held))
        return on_gpu(packed_spikes.PackedSums._summed(sums, *numbers, held(out)))  # type: ignore[arg-type]

    def fire_rows(current, potential, total, leak, threshold):  # type: ignore[no-untyped-def]
        fired = fire_packed(potential.held, total.held, threshold, leak, held(current))
        return on_gpu(fired.words)

    module.sum_rows, module.fire_rows = sum_rows, fire_rows
    module.pack_rows = lambda values, threshold: on_gpu(PackedSpikes.pack(values.held, threshold).words)
    return module


def _to_dlpack(tensor: Tensor, *args: Any) -> Any:
    if isinstance(tensor, Pretended):
        raise dgl.DGLError("Device API cuda is not enabled: a DGL without CUDA was given a tensor of the GPU")
    return torch._C._to_dlpack(tensor)  # type: ignore[attr-defined]


def _backward(mode: _Mode) -> Callable[..., Any]:
    """Return PyTorch's way back through the tape, with the mode that it has left by then."""
    run = torch.autograd._engine_run_backward  # type: ignore[attr-defined]

    def backward(*args: Any, **kwargs: Any) -> Any:
        with mode:
            return run(*args, **kwargs)

    return backward


@contextmanager
def pretended_gpu(triton: bool = True) -> Iterator[torch.device]:
    """Pretend that there is a GPU, with or without Triton, and yield its device."""
    packed_spikes.compiled_for.cache_clear()
    mode = _Mode()
    patches: list[Any] = [
        mock.patch.object(packed_spikes, "find_spec", lambda name: name if triton else None),
        mock.patch.object(ops, "_packed_triton", _kernels(), create=True),
        mock.patch("torch.utils.dlpack.to_dlpack", _to_dlpack),
        mock.patch("torch.autograd._engine_run_backward", _backward(mode)),
        mock.patch("torch.__future__._overwrite_module_params_on_conversion", True),  # Module.to sets no data
        mock.patch("torch.cuda.is_available", return_value=True),
        mock.patch("torch.cuda.synchronize"),
        mock.patch("torch.cuda.get_rng_state", return_value=torch.zeros(16, dtype=torch.uint8)),
        mock.patch("torch.cuda.set_rng_state"),
    ]
    try:
        with ExitStack() as stack:
            for patch in patches:
                stack.enter_context(patch)
            stack.enter_context(mode)
            yield CUDA
    finally:
        packed_spikes.compiled_for.cache_clear()
