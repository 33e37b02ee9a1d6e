"""Several processes that train one model: each computes a part, all hold the same weights, the first one writes.

The rule of the whole package: under ``torchrun`` every process does everything, in the same order, on the same data,
but for what is divided by `part`: the rows of a mini-batch, the batches of a snapshot, the candidates to be scored.
Gradients are summed by `sum_gradients` and scores by `sum_over_processes`. Without a process group all functions here
do nothing.

``DistributedDataParallel`` averages at the end of every backward pass through *its* forward. Here a snapshot's gradient
accumulates over batches of which a process may have none, a mini-batch of Dy-SIGN is no call of ``forward`` (its
messages come from a cache), parts of a batch differ in size, and parameters without a gradient must stay without one,
or weight decay would move them.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from dgl_dysign.errors import ConfigError, DataError, DGLDySignError
from dgl_dysign.nn._influence import TimeAwareFilter
from dgl_dysign.store import NeighborStore, ShardedStore

T = TypeVar("T")
_LARGE = 1 << 18  # numbers: a gradient of more is summed by itself rather than copied
_TIMEOUT = timedelta(days=7)  # a process that was killed is noticed at once; a slow one is waited for
_UNTIL_ALL_ARE_THERE = timedelta(minutes=10)  # one that dies before the group stands is noticed by nobody


class LostProcess(DGLDySignError):
    """Another process is gone, so that nothing can be summed any more."""


def world() -> int:
    """Return the number of processes; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if world() > 1 else 0


def part(count: int) -> slice:
    """Return which of so many rows are this process's: a run of them, as long as the others' to within one.

    Examples
    --------
    >>> part(10)
    slice(0, 10, None)
    """
    return slice(count * rank() // world(), count * (rank() + 1) // world())


def local_device(device: str) -> str:
    """Return the device of this process: ``"cuda"`` is a GPU for each process of a machine."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" and world() > 1 else device


@contextlib.contextmanager
def processes() -> Iterator[dist.Store | None]:
    """Join the processes that ``torchrun`` started, for as long as the context lasts; alone, do nothing.

    Tensors on the CPU go over gloo, those on GPUs over NCCL. The context gives the store that all share, or None.

    Raises
    ------
    ConfigError
        If ``torchrun``'s environment is not whole, or the processes do not find each other.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield None
        return
    # Optimizers import this. Imported after `init_process_group` it holds the group for good, and a thread of gloo's
    # that still runs when Python ends aborts the process ("terminate called without an active exception").
    import torch.distributed.nn

    try:
        store, place, count = next(dist.rendezvous("env://"))
        store.set(f"there/{place}", "")
        store.wait([f"there/{each}" for each in range(count)], _UNTIL_ALL_ARE_THERE)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=place, world_size=count, timeout=_TIMEOUT)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"the processes did not find each other ({reason}): start them with torchrun") from error
    try:
        yield store
        _communicate(dist.barrier)  # nobody leaves while another still talks to it
    finally:
        dist.destroy_process_group()


def sum_over_processes(tensor: Tensor) -> Tensor:
    """Sum a tensor over the processes, in place, to the same bits everywhere; return it."""
    if world() > 1:
        _communicate(lambda: dist.all_reduce(tensor))
    return tensor


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Sum the gradients of parameters over the processes; one that has none anywhere stays without."""
    if world() == 1:
        return
    parameters = list(parameters)
    device = parameters[0].device
    used = sum_over_processes(torch.tensor([float(p.grad is not None) for p in parameters], device=device)).tolist()
    grads: list[Tensor] = []
    for parameter, count in zip(parameters, used, strict=True):
        if count:
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            grads.append(parameter.grad)
    small = [grad for grad in grads if grad.numel() <= _LARGE]
    for grad in grads:
        if grad.numel() > _LARGE:
            sum_over_processes(grad)
    if small:
        flat = sum_over_processes(torch.cat([grad.flatten() for grad in small]))
        for grad, summed in zip(small, flat.split([grad.numel() for grad in small]), strict=True):
            grad.copy_(summed.view_as(grad))


@torch.no_grad()
def same_model(model: nn.Module, parameters: bool = True) -> None:
    """Give all processes the parameters and buffers (or the buffers alone) of the first one's model."""
    if world() > 1:
        for tensor in [*(model.parameters() if parameters else []), *model.buffers()]:
            _communicate(partial(dist.broadcast, tensor, 0))


def same_draws(device: torch.device) -> None:
    """Give all processes the random state of the first one."""
    if world() > 1:
        state = torch.get_rng_state()
        _communicate(lambda: dist.broadcast(state, 0))
        torch.set_rng_state(state)
        if device.type == "cuda":
            torch.cuda.set_rng_state(from_first(lambda: torch.cuda.get_rng_state(device)), device)


def from_first(give: Callable[[], T]) -> T:
    """Return what a function gives in the first process, where alone it is called."""
    if world() == 1:
        return give()
    values: list[Any] = [give() if rank() == 0 else None]
    _communicate(lambda: dist.broadcast_object_list(values, 0))
    return values[0]


def check_same(value: object, what: str) -> None:
    """Raise ``ConfigError``, which names what differs, unless all processes have the same value."""
    first = from_first(lambda: value)
    if value != first:
        raise ConfigError(f"process {rank()} has {what}={value!r}, but process 0 {first!r}: give all the same files")


def _communicate(call: Callable[[], object]) -> None:
    try:
        call()
    except RuntimeError as error:
        reason = re.sub(r"^\[[^ ]*\] ", "", " ".join(str(error).split()))  # without a place in gloo's source
        raise LostProcess(
            f"process {rank()} lost the others ({reason.partition('. ')[0][:120]}): one of them was stopped; "
            f"start all of them again, with --resume"
        ) from error


class DrawnForAll(TorchFunctionMode):
    """Lets dropout draw for all ``count`` rows of a mini-batch and take this process's: the masks of one process.

    For models whose rows stand for the nodes of the batch. Tensors with another number of rows draw as ever.
    """

    def __init__(self, count: int, rows: slice) -> None:
        super().__init__()
        self.count, self.rows = count, rows

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch; if it is dropout, with the masks of all rows."""
        kwargs = kwargs or {}
        if func is not functional.dropout or world() == 1 or len(args[0]) != self.rows.stop - self.rows.start:
            return func(*args, **kwargs)
        values = args[0]
        mask = func(values.new_ones(self.count, *values.shape[1:]), *args[1:], **kwargs)
        return values * mask[self.rows]


class BatchDraws:
    """Random draws of the batches of one step: the same whichever process computes a batch.

    The first batch goes on with the stream of random numbers; every other has a seed of its own, drawn at the
    beginning. After the step the stream goes on where the first batch left it. The time-aware filters of ``model`` draw
    once a batch.
    """

    def __init__(self, model: nn.Module | None, device: torch.device) -> None:
        self.device = device
        self._forked = [device] if device.type == "cuda" else []
        filters = [] if model is None else [m for m in model.modules() if isinstance(m, TimeAwareFilter)]
        self._filters = [(one, one.draws) for one in filters if one.filter_ratio > 0]
        with torch.random.fork_rng(self._forked):
            self._seed = int(torch.randint(2**62, ()))

    @contextlib.contextmanager
    def of(self, place: int) -> Iterator[None]:
        """Draw for the batch at a place, from 0."""
        self._set_filters(place)
        with contextlib.ExitStack() as stack:
            if place:
                stack.enter_context(torch.random.fork_rng(self._forked))
                # Without a GPU, torch.manual_seed keeps three formatted stacks of every call for as long as it runs.
                seed = torch.manual_seed if self._forked else torch.default_generator.manual_seed
                seed(self._seed + place)
            yield

    def end(self, count: int) -> None:
        """Go on in the same state everywhere, after so many batches."""
        self._set_filters(count)
        same_draws(self.device)

    def _set_filters(self, batches: int) -> None:
        for one, draws in self._filters:
            one.draws = draws + batches


def refresh(store: NeighborStore | None, *nodes: Tensor) -> None:
    """Let a sharded store get the lists of all nodes that this process is about to read; all processes take part."""
    if isinstance(store, ShardedStore):
        store.refresh(torch.cat([torch.empty(0, dtype=torch.int64), *(part.flatten().cpu() for part in nodes)]))


class DividedScorer:
    """A link model that scores its part of the candidates in every process, and hands all scores to all.

    The model's scores of a row may not depend on the other rows.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def score(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return scores ``(E, C)``, float32."""
        if world() == 1:
            return self.model.score(snapshot, src, dst)
        rows = part(len(src))
        refresh(self.model.store, src[rows], dst[rows])
        whole = torch.zeros(dst.shape, device=self.model.device)
        if rows.start < rows.stop:
            whole[rows] = self.model.score(snapshot, src[rows], dst[rows])
        return sum_over_processes(whole)


class Moments:
    """Mean and deviation over all rows seen, in double precision and without holding them (Chan et al., 1983).

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.training import Moments
    >>> moments = Moments()
    >>> for part in torch.tensor([[1.0], [2.0], [6.0]]).split(1):
    ...     moments.add(part)
    >>> moments.mean, moments.deviation
    (tensor([3.], dtype=torch.float64), tensor([2.1602], dtype=torch.float64))
    """

    def __init__(self) -> None:
        self.rows = 0
        self.mean, self._squares = torch.zeros(()), torch.zeros(())

    def add(self, values: Tensor) -> None:
        """Take in values ``(*, F)``.

        Raises
        ------
        DataError
            If one is not finite; names the column.
        """
        part = values.detach().reshape(-1, values.shape[-1]).double().cpu()
        if not len(part):
            return
        mean = part.mean(0)
        if not bool(torch.isfinite(mean).all()):
            column = int((~torch.isfinite(mean)).nonzero()[0, 0])
            raise DataError(f"found {float(mean[column])} as the mean of column {column}, expected finite features")
        delta, total = mean - self.mean, self.rows + len(part)
        self._squares = self._squares + (part - mean).square().sum(0) + delta.square() * self.rows * len(part) / total
        self.mean, self.rows = self.mean + delta * len(part) / total, total

    @property
    def deviation(self) -> Tensor:
        """Standard deviation ``(F,)``, of the rows themselves (divided by their number)."""
        return (self._squares / max(1, self.rows)).sqrt()

    def over_processes(self, width: int) -> tuple[Tensor, Tensor]:
        """Return mean and deviation ``(width,)`` over the rows of all processes, of which some may have none."""
        if world() == 1:
            return self.mean, self.deviation
        rows = sum_over_processes(torch.tensor(self.rows, dtype=torch.float64))
        mean = sum_over_processes(self.mean.double().expand(width) * self.rows) / rows
        squares = (self.deviation.square() + (self.mean - mean).square()).double() * self.rows
        return mean, (sum_over_processes(squares) / rows).sqrt()
