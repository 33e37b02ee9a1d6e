"""A prepared folder as snapshots: what is visible at t, and nothing later."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch

from dgl_dysign._dgl import dgl
from dgl_dysign.data import schema
from dgl_dysign.data.edge_reader import EdgeReader
from dgl_dysign.data.feature_cache import load_features
from dgl_dysign.errors import ConfigError, DataError


@dataclass
class Horizon:
    """How far `TemporalGraph.until` lets data be read.

    Parameters
    ----------
    num_snapshots : int
        Snapshots that exist so far.
    """

    num_snapshots: int


class TemporalGraph:
    r"""Immutable, lazy view of a prepared folder, snapshot by snapshot.

    The number of nodes is fixed for all snapshots, an empty snapshot keeps its index, and a file is opened only when
    something in it is needed. Whatever a method returns for snapshot t comes from events of snapshots up to t alone.
    Snapshots are numbered from 0.

    Parameters
    ----------
    folder : path
        A folder written by ``dysign-prep``; the same as :meth:`load`.

    Raises
    ------
    DataError
        If the folder is no prepared folder; from any method, if a file that it reads is missing or damaged.
    ConfigError
        From any method, if there is no such snapshot.

    Examples
    --------
    `prepared` is the folder that ``dysign-prep synth dblp RAW --nodes 100`` and then ``dysign-prep dblp RAW OUT
    --features degree`` write:

    >>> data = TemporalGraph.load(prepared)
    >>> data.num_nodes, data.num_snapshots, data.feature_dim
    (100, 12, 7)
    >>> graph = data.graph(5, decay=0.8)
    >>> graph.num_nodes(), graph.edata["weight"].dtype, data.features(5).shape
    (100, torch.float32, torch.Size([100, 7]))
    """

    _folder: Path
    _manifest: dict[str, Any]
    _rows: EdgeReader
    _pairs: dict[bool, PairIndex]
    _horizon: Horizon
    _limits: tuple[str, ...]  # names of what is less than in the folder

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        # Absolute, so that a later change of the working directory, or a worker process, finds the same folder.
        home, manifest = Path(folder).absolute(), schema.read_manifest(folder)
        schema.check_counts(home, manifest)
        horizon = Horizon(int(manifest["num_snapshots"]))
        vars(self).update(_folder=home, _manifest=manifest, _rows=EdgeReader(home, manifest), _pairs={})
        vars(self).update(_horizon=horizon, _limits=())

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> TemporalGraph:
        """Open a prepared folder; only its manifest is read, and how many nodes and snapshots its tables have."""
        return cls(folder)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"TemporalGraph is immutable: cannot set {name!r}; prepare another folder instead")

    def __reduce__(self) -> tuple[Any, ...]:
        # Workers open the folder themselves instead of copying what was read.
        return _opened, (self._folder, {name: vars(self)[name] for name in self._limits})

    def with_labels(self, labels: torch.Tensor) -> TemporalGraph:
        """Return the data with other labels of nodes ``(num_nodes,)``, and with none of events.

        Examples
        --------
        >>> data = TemporalGraph.load(prepared)
        >>> hidden = data.with_labels(torch.full((100,), -1))
        >>> bool((hidden.labels == data.labels).any()), hidden.features(3).equal(data.features(3))
        (False, True)
        """
        return self._limited(_labels=labels.cpu().clone())

    def until(self, horizon: Horizon) -> TemporalGraph:
        """Return the data up to a moment that its owner moves on: later snapshots do not exist yet.

        Examples
        --------
        >>> horizon = Horizon(3)
        >>> past = TemporalGraph.load(prepared).until(horizon)
        >>> past.num_snapshots, past.features(2).shape
        (3, torch.Size([100, 7]))
        >>> past.features(3)
        Traceback (most recent call last):
            ...
        dgl_dysign.errors.ConfigError: snapshot 3 does not exist: expected 0 to 2
        >>> horizon.num_snapshots = 4
        >>> past.features(3).shape
        torch.Size([100, 7])
        """
        return self._limited(_horizon=horizon)

    def _limited(self, **limits: Any) -> TemporalGraph:
        other = object.__new__(type(self))
        vars(other).update({**vars(self), **limits, "_limits": (*self._limits, *limits)})
        return other

    def __repr__(self) -> str:
        names = ("num_nodes", "num_edges", "num_snapshots", "num_classes", "feature_dim", "directed")
        return f"TemporalGraph({self._manifest['dataset']!r}, {', '.join(f'{n}={getattr(self, n)}' for n in names)})"

    @property
    def folder(self) -> Path:
        """The prepared folder."""
        return self._folder

    @property
    def manifest(self) -> dict[str, Any]:
        """A copy of the manifest."""
        return copy.deepcopy(self._manifest)

    @property
    def num_nodes(self) -> int:
        """Number of nodes in every snapshot."""
        return int(self._manifest["num_nodes"])

    @property
    def num_edges(self) -> int:
        """Number of events in all snapshots, repeated ones included."""
        return int(self._manifest["num_edges"])

    @property
    def num_snapshots(self) -> int:
        """Number of snapshots, empty ones included."""
        return self._horizon.num_snapshots

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 without labels."""
        return int(self._manifest["num_classes"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the raw data, in the order of their numbers."""
        return tuple(self._manifest["class_names"])

    @property
    def directed(self) -> bool:
        """Whether the direction of an event has a meaning."""
        return bool(self._manifest["directed"])

    @property
    def feature_dim(self) -> int | None:
        """Width of the node features, or None where the folder has none."""
        features = self._manifest["features"]
        return None if features is None else int(features["dim"])

    @property
    def edge_feature_dim(self) -> int | None:
        """Width of the features of the events, or None where the folder has none."""
        features = self._manifest.get("edge_features")
        return None if features is None else int(features["dim"])

    @property
    def labels(self) -> torch.Tensor:
        """Class of every node (int64, shape (num_nodes,)); -1: none.

        A label that belongs to an event and not to a node is never here: where the manifest says ``"labels": "event"``
        (Wikipedia, Reddit), all nodes have -1; see :meth:`event_labels`.
        """
        return self._labels.clone()

    @property
    def targets(self) -> torch.Tensor:
        """Number that is to be learnt of every node (float64, shape (num_nodes,)); NaN: none."""
        return self._targets.clone()

    @cached_property
    def _targets(self) -> torch.Tensor:
        if "targets" not in self._manifest:
            return torch.full((self.num_nodes,), torch.nan, dtype=torch.float64)
        return torch.from_numpy(self._rows.by_node("targets", "target", None))

    @cached_property
    def _labels(self) -> torch.Tensor:
        if self._manifest["labels"] != "node":
            return torch.full((self.num_nodes,), -1, dtype=torch.int64)
        return torch.from_numpy(self._rows.by_node("labels", "label", self.num_classes))

    @cached_property
    def _first_snapshot(self) -> torch.Tensor:
        never = int(self._manifest["num_snapshots"])
        first = torch.from_numpy(self._rows.by_node("nodes", "first_snapshot", never, least=-1))
        return torch.where(first < 0, never, first)

    def _check_snapshot(self, snapshot: int) -> int:
        if not 0 <= snapshot < self.num_snapshots:
            raise ConfigError(f"snapshot {snapshot} does not exist: expected 0 to {self.num_snapshots - 1}")
        return int(snapshot)

    def time_range(self, snapshot: int) -> tuple[float, float]:
        """Return begin and end of a snapshot, in the manifest's ``time_unit``.

        The range is half-open, [begin, end), and ends where the next one begins. Where a snapshot is a step, or some
        merged steps, begin and end are the times of the first and last step, which both belong to it.
        """
        return self._rows.time_range(self._check_snapshot(snapshot))

    def events(self, snapshot: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Read the events of one snapshot alone, in the order of the raw file.

        Returns ``src`` and ``dst`` (int64), ``time`` (float64, in the manifest's ``time_unit``) and ``edge_id`` (int64:
        the row in the raw file, from 0), each of shape (events,). Times may go up and down inside a snapshot where the
        raw file is not sorted.

        Examples
        --------
        >>> src, dst, time, edge_id = TemporalGraph.load(prepared).events(0)
        >>> src.shape == dst.shape == time.shape, edge_id[:3]
        (True, tensor([0, 1, 2]))
        """
        arrays = self._rows.columns(self._check_snapshot(snapshot), "src", "dst", "time", "edge_id")
        src, dst, time, edge_id = (torch.from_numpy(array.copy()) for array in arrays)
        return src, dst, time, edge_id

    def edge_weights(self, snapshot: int) -> torch.Tensor:
        """Read the weights of one snapshot's events as the raw file has them: float64 (events,), as :meth:`events`.

        They are data, such as the rating of Bitcoin-OTC from -10 to 10, and have no part in the weights of
        :meth:`graph`, which count events. A folder without weights raises ``DataError``.
        """
        snapshot = self._check_snapshot(snapshot)
        if self._manifest.get("edge_weight") is None:
            raise DataError(f"{self._folder}: found no weights; prepare it again, naming the raw column of the weights")
        (weight,) = self._rows.columns(snapshot, "weight")
        return torch.from_numpy(weight.copy())

    def edge_features(self, snapshot: int) -> torch.Tensor:
        """Read float32 features of one snapshot's events, (events, edge_feature_dim); ``DataError`` without any."""
        snapshot = self._check_snapshot(snapshot)
        if self.edge_feature_dim is None:
            raise DataError(f"{self._folder}: found no edge features; its raw files have none, or were read without")
        return torch.from_numpy(self._rows.features(snapshot).copy())

    def event_labels(self, snapshot: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Read the labels of one snapshot's events: ``edge_id``, ``node`` (the event's source) and ``label``, int64.

        A label says what happens to the node at the event (Wikipedia, Reddit: 1 where the user is banned); a model that
        scores the event must not have seen it, nor anything later. Each has shape (labelled events,), in the order of
        :meth:`events`. If the folder's labels are not those of events, ``DataError`` is raised.
        """
        snapshot = self._check_snapshot(snapshot)
        if "_labels" in self._limits:
            raise ConfigError("labels of events were left out: this is a view, which an entry is fitted to")
        if self._manifest["labels"] != "event":
            kind = self._manifest["labels"] or "no"
            raise DataError(f"{self._folder}: found {kind} labels, expected labels of events; see TemporalGraph.labels")
        edge_id, node, label = (torch.from_numpy(array.astype(np.int64)) for array in self._rows.labels(snapshot))
        return edge_id, node, label

    def graph(
        self,
        snapshot: int,
        cumulative: bool = True,
        decay: float = 1.0,
        symmetric: bool | None = None,
        self_loop: bool = False,
    ) -> dgl.DGLGraph:
        r"""Build the graph that is visible at a snapshot, with repeated events counted and aged.

        .. math:: w_{uv} = \sum_{e = (u, v)} \gamma^{t - t_e}

        over the events of a pair with :math:`t_e \le t`; one edge a pair, in an order that does not depend on earlier
        calls.

        Parameters
        ----------
        snapshot : int
            The snapshot t.
        cumulative : bool, default True
            Whether events of earlier snapshots count; if not, only those of t do, and `decay` has no effect.
        decay : float, default 1.0
            The decay :math:`\gamma` a snapshot, in (0, 1], or ``ConfigError``; 1 counts events whatever their age.
        symmetric : bool, optional
            Whether every event counts in both directions; default: exactly where the data is undirected. An event from
            a node to itself counts once.
        self_loop : bool, default False
            Add 1 to the weight of (v, v) for every node, with an edge where there was none.

        Returns
        -------
        dgl.DGLGraph
            All `num_nodes` nodes; ``edata["weight"]`` is float32 of shape (num_edges,), always positive: what would
            vanish in float32 is held at its smallest normal number.
        """
        snapshot = self._check_snapshot(snapshot)
        if not 0 < decay <= 1:
            raise ConfigError(
                f"decay={decay!r}: expected 0 < decay <= 1; for the events of t alone use cumulative=False"
            )
        both = not self.directed if symmetric is None else bool(symmetric)
        if cumulative:
            src, dst, weight = self._index(both, snapshot).weights(snapshot, decay)
        else:
            alone = PairIndex(self.num_nodes, both)
            alone.append(*self._rows.columns(snapshot, "src", "dst"))
            src, dst, weight = alone.weights(0, decay)
        if self_loop:
            src, dst, weight = _add_identity(src, dst, weight, self.num_nodes)
        if both:
            other = src != dst
            src, dst = np.concatenate([src, dst[other]]), np.concatenate([dst, src[other]])
            weight = np.concatenate([weight, weight[other]])
        graph = dgl.graph((torch.from_numpy(src), torch.from_numpy(dst)), num_nodes=self.num_nodes)
        smallest = np.finfo(np.float32).tiny
        graph.edata["weight"] = torch.from_numpy(np.maximum(weight, smallest).astype(np.float32))
        return graph

    def _index(self, unordered: bool, snapshot: int) -> PairIndex:
        index = self._pairs.setdefault(unordered, PairIndex(self.num_nodes, unordered))
        with index.lock:
            while len(index) <= snapshot:
                index.append(*self._rows.columns(len(index), "src", "dst"))
        return index

    def active(self, snapshot: int) -> torch.Tensor:
        """Return the mask (bool, shape (num_nodes,)) of nodes with an event at or before a snapshot."""
        return self._first_snapshot <= self._check_snapshot(snapshot)

    def features(self, snapshot: int) -> torch.Tensor:
        """Map a snapshot's node features into memory: float32 (num_nodes, feature_dim), zero for nodes not seen yet.

        Changes to it stay private to this tensor. On first use an Arrow IPC file is written beside the Parquet file;
        where that cannot be written, the Parquet file is read each time. A folder without features raises
        ``DataError``.
        """
        snapshot = self._check_snapshot(snapshot)
        if self.feature_dim is None:
            raise DataError(f"{self._folder}: found no features; prepare it again with dysign-prep ... --features KIND")
        digest = self._manifest["files"].get(f"{schema.feature_name(snapshot)}.parquet", "")
        shape, rows = (self.num_nodes, self.feature_dim), schema.num_nodes_of(self._manifest, snapshot)
        return torch.from_numpy(load_features(self._folder, snapshot, shape, digest, rows))


def _opened(folder: Path, limits: dict[str, Any]) -> TemporalGraph:
    """Open a folder under limits, for pickle."""
    return TemporalGraph(folder)._limited(**limits)


def _add_identity(
    src: np.ndarray, dst: np.ndarray, weight: np.ndarray, num_nodes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add 1 to every (v, v): to the edge that is there, or as a new one at the end."""
    loop = src == dst
    weight = weight + loop
    missing = np.ones(num_nodes, bool)
    missing[src[loop]] = False
    nodes = np.flatnonzero(missing)
    return np.concatenate([src, nodes]), np.concatenate([dst, nodes]), np.concatenate([weight, np.ones(len(nodes))])


class PairIndex:
    r"""Numbers node pairs in the order in which they first occur, snapshot by snapshot.

    Pairs known at snapshot t are then numbers ``0 .. P_t - 1``, in any order of calls, and the weight of each pair at t
    for any decay :math:`\gamma` is :math:`\sum_{e} \gamma^{t - t_e}` over its events: one weighted count over their
    numbers. A pair's key is ``src * num_nodes + dst`` in int64; if unordered, (u, v) and (v, u) are one pair, kept as
    (min, max).

    Examples
    --------
    >>> pairs = PairIndex(num_nodes=3, unordered=True)
    >>> pairs.append(np.array([0, 1, 1]), np.array([1, 0, 2]))
    >>> pairs.append(np.array([2]), np.array([1]))
    >>> src, dst, weight = pairs.weights(1, decay=0.5)
    >>> src, dst, weight
    (array([0, 1]), array([1, 2]), array([1. , 1.5]))
    """

    def __init__(self, num_nodes: int, unordered: bool) -> None:
        self.num_nodes = num_nodes
        self.unordered = unordered
        self.lock = Lock()
        self._keys: list[np.ndarray] = []  # of the pairs that are new in each snapshot, in the order of their numbers
        self._numbers: list[np.ndarray] = []  # of each snapshot's events
        self._sorted = np.empty(0, np.int64)  # all keys, to look numbers up
        self._rank = np.empty(0, np.int64)  # number of each key of _sorted

    def __len__(self) -> int:
        return len(self._keys)

    def append(self, src: np.ndarray, dst: np.ndarray) -> None:
        """Add the events of the next snapshot."""
        keys, inverse = np.unique(self._key(src, dst), return_inverse=True)
        place = np.searchsorted(self._sorted, keys)
        known = np.zeros(len(keys), bool)
        inside = place < len(self._sorted)
        known[inside] = self._sorted[place[inside]] == keys[inside]
        numbers = np.empty(len(keys), np.int64)
        numbers[known] = self._rank[place[known]]
        numbers[~known] = np.arange(len(self._sorted), len(self._sorted) + np.count_nonzero(~known))
        self._sorted = np.insert(self._sorted, place[~known], keys[~known])
        self._rank = np.insert(self._rank, place[~known], numbers[~known])
        self._keys.append(keys[~known])
        self._numbers.append(numbers[inverse])

    def _key(self, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
        if self.unordered:
            src, dst = np.minimum(src, dst), np.maximum(src, dst)
        return src.astype(np.int64) * self.num_nodes + dst

    def weights(self, snapshot: int, decay: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return source, destination and float64 weight of the pairs that are known at a snapshot."""
        keys = np.concatenate(self._keys[: snapshot + 1])
        parts = self._numbers[: snapshot + 1]
        age = np.arange(snapshot, -1, -1)
        aged = np.repeat(np.power(float(decay), age), [len(part) for part in parts])
        weight = np.bincount(np.concatenate(parts), weights=aged, minlength=len(keys))
        return keys // self.num_nodes, keys % self.num_nodes, weight
