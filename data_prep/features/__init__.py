"""Node features per snapshot, each computed from that snapshot's past alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from data_prep.features._past import checked_events
from dgl_dysign.errors import ConfigError

__all__ = ["KINDS", "features", "options"]

# The module of each kind is imported when the kind is used: SciPy and Numba take seconds to load.
_MODULES = {"spectral": "spectral", "degree": "degree", "deepwalk": "deepwalk", "node2vec": "deepwalk"}

#: The kinds of features, ``"none"`` last.
KINDS = (*_MODULES, "none")


def features(
    kind: str,
    snapshot: ArrayLike,
    src: ArrayLike,
    dst: ArrayLike,
    num_nodes: int,
    num_snapshots: int,
    dim: int | None = None,
    seed: int = 0,
    **params: object,
) -> Iterator[np.ndarray]:
    """Return an iterator over the node features of each snapshot, computed from the events up to it.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`. ``"none"`` gives an empty iterator.
    snapshot, src, dst : array_like of int, shape (E,)
        Snapshot and end points of each event, in any order. Events are taken as undirected.
    num_nodes, num_snapshots : int
        Node ids lie in ``0..num_nodes-1``, snapshots in ``0..num_snapshots-1``.
    dim : int, optional
        Width d of the features: by default 128 for walks, and 256 for each decay of ``"spectral"``; ``"degree"`` has a
        fixed width of its own.
    seed : int, default 0
        The same seed gives the same array, whatever the number of cores.
    **params
        Options of the kind: the keyword arguments of :func:`data_prep.features.spectral.spectral` and the like;
        every kind takes ``progress``, a callable that is told the fraction done.

    Returns
    -------
    iterator of numpy.ndarray, shape (N, d), float32
        One array a snapshot; rows of nodes not seen yet are zero.

    Raises
    ------
    ConfigError
        If the kind or an option is unknown, or a value is outside its range.

    Examples
    --------
    >>> last = list(features("degree", [0, 1], [0, 1], [1, 2], num_nodes=4, num_snapshots=2))[-1]
    >>> last.shape, bool(last[3].any())
    ((4, 7), False)
    """
    events = checked_events(snapshot, src, dst, num_nodes, num_snapshots)
    chosen = options(kind, dim=dim, seed=seed, **{k: v for k, v in params.items() if k != "progress"})
    if kind == "none":
        return iter(())
    if "progress" in params:
        chosen["progress"] = params["progress"]
    return _function(kind)(events, **chosen)


def options(kind: str, **given: object) -> dict[str, Any]:
    """Return all options of a kind, as given (None: not given) or else the default: what a manifest records.

    Raises
    ------
    ConfigError
        If the kind or an option is unknown, or ``dim`` is below 1.

    Examples
    --------
    >>> options("degree", seed=1)
    {'dim': 7, 'seed': 1}
    """
    if kind not in KINDS:
        raise ConfigError(f"kind: got {kind!r}, expected one of {', '.join(KINDS)}")
    if kind == "none":
        return {}
    named = list(signature(_function(kind)).parameters.values())[1:]  # the first are the events
    known = {p.name: p.default for p in named if p.name != "progress"}
    asked = {name: value for name, value in given.items() if value is not None}
    unknown = sorted(set(asked) - set(known))
    if unknown:
        raise ConfigError(f"{kind} features: got the unknown option {unknown[0]!r}, expected one of {', '.join(known)}")
    dim = asked.get("dim", 1)
    if not isinstance(dim, int) or dim < 1:
        raise ConfigError(f"dim: got {dim}, expected at least 1")
    return {**known, **asked}


def _function(kind: str) -> Callable[..., Iterator[np.ndarray]]:
    return getattr(import_module(f"data_prep.features.{_MODULES[kind]}"), kind)
