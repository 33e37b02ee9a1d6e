"""Node features per snapshot, each computed from that snapshot's past alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from data_prep.features._checkpoint import Checkpoints
from data_prep.features._past import Events, Grown, checked_events
from dgl_dysign.errors import ConfigError

__all__ = ["KINDS", "Grown", "bytes_on_disk", "features", "options"]

# Module of each kind, and the function of the same name in it; imported on use: SciPy and Numba take seconds to load.
_HOMES = {"spectral": "spectral", "degree": "degree", "deepwalk": "node2vec", "node2vec": "node2vec"}

#: The kinds of features, ``"none"`` last.
KINDS = (*_HOMES, "none")

# Part of every checkpoint: to be raised with each change to what is computed or kept.
_VERSION = 1

# Arguments of the kinds that do not say what to compute; DeepWalk is node2vec without its bias.
_CONTROLS = ("progress", "start", "checkpoints", "grown", "pairs_at_once")
_FIXED = {"deepwalk": ("p", "q")}

# Checkpoints that may lie side by side: two, and the one being written.
_CHECKPOINTS = 3


def features(
    kind: str,
    snapshot: ArrayLike,
    src: ArrayLike,
    dst: ArrayLike,
    num_nodes: int,
    num_snapshots: int,
    dim: int | None = None,
    seed: int = 0,
    *,
    start: int = 0,
    state: str | os.PathLike[str] | None = None,
    state_seconds: float = 20.0,
    grown: Grown | None = None,
    **params: Any,
) -> Iterator[np.ndarray]:
    """Return an iterator over the node features of each snapshot, computed from the events up to it.

    To go on after an interruption, give the number of snapshots that were written as ``start``, and the same folder as
    ``state``: the arrays have the same bits as in an undisturbed run. The state that a snapshot starts from is saved
    there when its array is asked for, not before the one before was taken.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`. ``"none"`` gives an empty iterator.
    snapshot, src, dst : array_like of int, shape (E,)
        Snapshot and end points of each event, in any order, taken as undirected. Arrays of int32 or int64 that are
        sorted by snapshot are not copied, and may be memory-mapped.
    num_nodes, num_snapshots : int
        Node ids lie in ``0..num_nodes-1``, snapshots in ``0..num_snapshots-1``.
    dim : int, optional
        Width d of the features: by default 128 for walks, and 256 for each decay of ``"spectral"``; ``"degree"`` has a
        fixed width of its own.
    seed : int, default 0
        The same seed gives the same array, whatever the number of cores.
    start : int, default 0
        First snapshot to give out, 0 to ``num_snapshots``; what lies before is computed only as far as it is needed.
    state : path, optional
        Folder for checkpoints, made when needed; ``"degree"`` needs none. What was saved for other events or options,
        or is damaged, is not used. The caller removes the folder when all is written.
    state_seconds : float, default 20.0
        Work between two checkpoints, or so many times what writing one takes if that is longer.
    grown : Grown, optional
        Of a data set that has grown: what the features go on from. Those of ``"degree"`` have the bits of a run over
        all events; so have those of ``"spectral"``, which go on from the rows on the disk. Walks begin with the nodes
        of then, compute all again, and give new nodes their first vectors where they come.
    **params
        Options of the kind: the keyword arguments of :func:`data_prep.features.spectral.spectral` and the like; every
        kind takes ``progress``, a callable that gets the fraction done.

    Returns
    -------
    iterator of numpy.ndarray, shape (N, d), float32
        One array a snapshot; rows of nodes not seen yet are zero.

    Raises
    ------
    ConfigError
        If the kind or an option is unknown, a value is outside its range, or the memory of this machine will not do.
    DataError
        When it gets there: if walks do not come out as the rows on the disk.

    Examples
    --------
    >>> last = list(features("degree", [0, 1], [0, 1], [1, 2], num_nodes=4, num_snapshots=2))[-1]
    >>> last.shape, bool(last[3].any())
    ((4, 7), False)
    """
    events = checked_events(snapshot, src, dst, num_nodes, num_snapshots)
    progress = params.pop("progress", None)
    chosen = options(kind, dim=dim, seed=seed, **params)
    if not 0 <= start <= num_snapshots:
        raise ConfigError(f"start: got {start}, expected 0 to {num_snapshots}")
    if kind == "none" or start == num_snapshots:
        return iter(())
    check_memory(kind, num_nodes, len(events.src), chosen, free_memory())
    controls: dict[str, Any] = {"progress": progress, "start": start}
    if state is not None and kind != "degree":
        controls["checkpoints"] = Checkpoints(state, _key(kind, events, chosen), state_seconds)
    if grown is not None and kind != "degree":
        controls["grown"] = grown
    return _function(kind)(events, **chosen, **controls)


def bytes_on_disk(kind: str, num_nodes: int, num_snapshots: int, dim: int | None = None, decay: Any = None) -> int:
    """Return the bytes that features, with their checkpoints, may take on disk; options as for :func:`features`.

    These are N x d float32 a snapshot; Parquet takes a tenth less, and next to nothing for nodes not seen yet.

    >>> bytes_on_disk("degree", num_nodes=1000, num_snapshots=10)
    280000
    """
    if kind == "none":
        return 0
    vectors = {"degree": 0, "spectral": 1}.get(kind, 2)  # of walks: center and context
    return 4 * num_nodes * width(options(kind, dim=dim, decay=decay)) * (num_snapshots + vectors * _CHECKPOINTS)


def _key(kind: str, events: Events, chosen: dict[str, Any]) -> str:
    """Say what the state after a snapshot depends on."""
    return json.dumps(
        {
            "kind": kind,
            "options": chosen,
            "num_nodes": events.num_nodes,
            "num_snapshots": events.num_snapshots,
            "events": events.digest(),
            "versions": [_VERSION, *(version(name) for name in ("numpy", "scipy", "numba"))],
        },
        default=str,
    )


def options(kind: str, **values: object) -> dict[str, Any]:
    """Return all options of a kind, those that are None by their default: what a manifest records.

    Raises ConfigError if the kind or an option is unknown, or ``dim`` is below 1.

    >>> options("degree", seed=1)
    {'dim': 7, 'seed': 1}
    """
    if kind not in KINDS:
        raise ConfigError(f"kind: got {kind!r}, expected one of {', '.join(KINDS)}")
    if kind == "none":
        return {}
    parameters = list(signature(_function(kind)).parameters.values())[1:]  # the first are the events
    hidden = (*_CONTROLS, *_FIXED.get(kind, ()))
    defaults = {parameter.name: parameter.default for parameter in parameters if parameter.name not in hidden}
    chosen = {name: value for name, value in values.items() if value is not None}
    if unknown := sorted(set(chosen) - set(defaults)):
        expected = ", ".join(defaults)
        raise ConfigError(f"{kind} features: got the unknown option {unknown[0]!r}, expected one of {expected}")
    dim = chosen.get("dim", 1)
    if not isinstance(dim, int) or dim < 1:
        raise ConfigError(f"dim: got {dim}, expected at least 1")
    return {**defaults, **chosen}


def _function(kind: str) -> Callable[..., Iterator[np.ndarray]]:
    return getattr(import_module(f"data_prep.features.{_HOMES[kind]}"), _HOMES[kind])


# Libraries, and what does not grow with the data.
_BASE = 256 << 20


def width(options: Mapping[str, Any]) -> int:
    """Return the number of columns that features with these options have."""
    return options["dim"] * np.size(options.get("decay", 1.0))


def in_memory(kind: str, num_nodes: int, num_events: int, options: Mapping[str, Any]) -> int:
    """Return about how many bytes the computation takes at its peak, beside the events.

    The yielded array and the one before, which the caller may still hold, are included. Peaks measured on DBLP and on
    graphs of 0.6 and 2.7 million nodes lay 0 to 30 % below; those of degree features by up to 250 MiB.
    """
    if kind == "none":
        return 0
    yielded = _BASE + 2 * 4 * num_nodes * width(options)
    if kind == "degree":
        return yielded + 80 * num_nodes + 60 * min(num_events, 1 << 22) + 9 * num_events
    links = 2 * num_events
    if kind == "spectral":
        columns = options["dim"] + options["oversample"]
        work = 4 * num_nodes * (width(options) + options["dim"] + 3 * columns)
        correction = 8 * min(10 * links, options["max_paths"])
        return yielded + work + correction + links * (24 * np.size(options["decay"]) + 36)
    return yielded + 2 * 4 * num_nodes * options["dim"] + 80 * links


def check_memory(kind: str, num_nodes: int, num_events: int, options: Mapping[str, Any], free: int | None) -> None:
    """Raise ConfigError, with what would fit, if the estimate is beyond the free memory (None: unknown, enough)."""
    needed = in_memory(kind, num_nodes, num_events, options)
    if free is None or needed <= free:
        return
    fitting = [
        dim
        for dim in range(8, options.get("dim", 0), 8)
        if in_memory(kind, num_nodes, num_events, {**options, "dim": dim}) <= free
    ]
    smaller = f"--dim {fitting[-1]} or less, or " if fitting and kind != "degree" else ""
    remedy = f"give {smaller}--features {'none' if kind == 'degree' else 'degree'}, or free memory"
    raise ConfigError(
        f"{kind} features, {width(options)} wide, of {num_nodes:,} nodes and {num_events:,} events: found "
        f"{free / 2**30:.1f} GiB of free memory, expected about {needed / 2**30:.1f} GiB; {remedy}"
    )


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that can still be used, by the system's count and by limits on this process; None: unknown."""
    return min((*_of_system(root), *_of_groups(root)), default=None)


def _of_system(root: Path) -> Iterator[int]:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) << 10


def _of_groups(root: Path) -> Iterator[int]:
    """Yield what is left of each limit of a control group (version 2) that holds this process."""
    top = root / "sys/fs/cgroup"
    own = [line[len("0::/") :] for line in _lines(root / "proc/self/cgroup") if line.startswith("0::/")]
    for group in [top / own[0], *(top / own[0]).parents] if own else []:
        limit, used = _lines(group / "memory.max"), _lines(group / "memory.current")
        if limit and used and limit[0] != "max":
            cache = [int(line.split()[1]) for line in _lines(group / "memory.stat") if "inactive_file" in line]
            yield int(limit[0]) - int(used[0]) + sum(cache)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
