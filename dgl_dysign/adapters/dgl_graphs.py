"""DGL's temporal graphs: one graph with timestamps, or a list of snapshots, in memory or as a ``.bin`` file."""

import os
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from dgl_dysign.adapters._shared import as_float32, counted_ranges, rows_in_order, same, stream_of
from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.events import to_numpy
from dgl_dysign.files import write_file

_EDATA = {
    "time": ("timestamp", "time", "t"),
    "event_label": ("label",),
    "edge_feat": ("feats", "feat"),
    "edge_weight": ("weight", "w", "h"),
    "edge_type": ("rel_type", "type"),
    "edge_id": ("edge_id", "eid"),
}
"""Names in ``edata`` of each field: the one that is written, then others that are read."""
_NDATA = {"node_label": ("label",), "node_feat": ("feat", "feats")}
_NUMBERS = {"directed": bool, "node_offset": int}
_RANGES = ("snapshot_begin", "snapshot_end")
_TEXTS = ("name", "time_unit")
FORMS = ("events", "snapshots", "cumulative")


class Adapter:
    """Streams to and from graphs of DGL, in the forms of its own temporal data sets.

    ``"events"``: one graph, its edges in order of time, as in DGL's TGN example, with ``edata["timestamp"]`` (float64),
    ``["label"]`` (int64), ``["feats"]`` (float32), ``["weight"]`` (float64) and ``["rel_type"]`` (int64), those that
    the stream has; ``ndata["label"]`` and ``["feat"]`` of nodes. ``"snapshots"``: a list of such graphs, one a
    snapshot, empty ones included. ``"cumulative"``: the same, each with all events up to it, as in
    ``dgl.data.BitcoinOTCDataset``. Every graph has all N nodes.

    Graphs go with a dictionary of tensors for what no graph can hold, as the pair ``(graphs, labels)`` that
    ``dgl.load_graphs`` returns: the ranges of the snapshots, whether they are cumulative, and the like.

    Examples
    --------
    >>> stream = EventStream.from_rows([0, 2], [1, 1], [3.0, 8.5], num_nodes=4)
    >>> graphs, labels = Adapter().from_events(stream)
    >>> graphs[0].num_nodes(), graphs[0].edata["timestamp"]
    (4, tensor([3.0000, 8.5000], dtype=torch.float64))
    >>> Adapter().to_events((graphs, labels)).equals(stream)
    True
    """

    name = "dgl"
    extra = None

    def matches(self, obj: Any) -> bool:
        """Tell whether this is a graph, a list or data set of them, ``(graphs, labels)``, or a ``.bin`` file."""
        if isinstance(obj, str | os.PathLike):
            return Path(obj).suffix == ".bin" and Path(obj).is_file()
        if isinstance(obj, tuple) and len(obj) == 2 and isinstance(obj[1], dict):
            return self.matches(obj[0])
        if isinstance(obj, list | tuple):
            return bool(obj) and all(_is(graph, "DGLGraph") for graph in obj)
        return _is(obj, "DGLGraph", "DGLDataset")

    def to_events(
        self,
        obj: Any,
        *,
        cumulative: bool | None = None,
        names: Mapping[str, str] | None = None,
        ignore: Collection[str] = (),
        round_features: bool = False,
        **fields: Any,
    ) -> EventStream:
        """Read graphs, also those of other code.

        Without timestamps graph k of a list happens at time k, in ``[k, k + 1)``. Columns of shape (E, 1) are read as
        (E,) where a field has that shape.

        Parameters
        ----------
        obj : dgl.DGLGraph, list of it, (list, dict), dgl.data.DGLDataset or path
            A graph or the snapshots, alone or with what belongs to all of them; or a file of ``dgl.save_graphs``.
        cumulative : bool, optional
            Whether each snapshot has the events of those before it too, at the front. Needed for lists of other code;
            given for a single graph, that one is a snapshot.
        names : mapping, optional
            Names in ``edata`` and ``ndata`` of some fields of :class:`EventStream`, such as ``{"edge_weight":
            "rating"}``.
        ignore, round_features, **fields
            As for every adapter: :meth:`dgl_dysign.adapters.Adapter.to_events`.
        """
        graphs, labels = _graphs(obj)
        columns, beside = _edges(graphs, names or {}, ignore), _read_labels(labels)
        cumulative = beside.pop("cumulative", cumulative)
        if cumulative is None and len(graphs) > 1:
            raise ConfigError(
                "DGL: found a list of graphs, expected to be told what each holds: cumulative=False for the events "
                "of its own snapshot alone, True for all events up to it, earlier ones first"
            )
        if cumulative:
            columns = _increments(columns)
        joined: dict[str, Any] = {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}
        if cumulative is not None:
            joined["snapshot"] = np.repeat(np.arange(len(columns)), [len(part["src"]) for part in columns])
            beside = _counted("time" in joined, len(graphs), {**beside, **fields}) | beside
        if "time" not in joined:
            if cumulative is None:
                raise DataError("DGL: found no timestamp in edata, expected it; say names={'time': ...} if it is there")
            joined["time"] = joined["snapshot"]
        joined |= _nodes(graphs, names or {}, ignore)
        for name in ("edge_feat", "node_feat"):
            joined[name] = as_float32(name, joined.get(name), round_features)
        nodes = {"num_nodes": max(graph.num_nodes() for graph in graphs)}
        return stream_of("DGL", {**nodes, **joined, **beside}, fields)

    def from_events(
        self,
        stream: EventStream,
        *,
        form: str = "events",
        path: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        names: Mapping[str, str] | None = None,
    ) -> tuple[list[Any], dict[str, Any]]:
        """Make graphs, int64, on the CPU, and tensors for what belongs to all; and a file of them if wanted.

        Parameters
        ----------
        form : str, default "events"
            ``"events"``, ``"snapshots"`` or ``"cumulative"``; the latter takes memory for each event and snapshot.
        path, overwrite
            File to write, for ``dgl.load_graphs``; whether to replace an existing one.
        names : mapping, optional
            Names in ``edata`` and ``ndata`` for some fields, such as ``{"edge_weight": "h"}``.
        """
        if form not in FORMS:
            raise ConfigError(f"form: found {form!r}, expected one of {', '.join(FORMS)}")
        if form != "events" and not stream.num_snapshots:
            raise ConfigError(f"form={form!r}: found a stream without snapshots; make some with adapters.times.binned")
        names = {**{name: known[0] for name, known in {**_EDATA, **_NDATA}.items()}, **(names or {})}
        ranges = [(0, len(stream))]
        if form != "events" and stream.snapshot is not None:
            bounds = np.searchsorted(stream.snapshot, np.arange(stream.num_snapshots + 1)).tolist()
            ranges = [(0 if form == "cumulative" else first, end) for first, end in pairwise(bounds)]
        graphs = [_graph(stream, first, end, names) for first, end in ranges]
        labels = _write_labels(stream, form)
        if path is not None:
            _save(Path(path), graphs, labels, overwrite)
        return graphs, labels


def _is(obj: Any, *names: str) -> bool:
    return any(kind.__name__ in names and kind.__module__.startswith("dgl.") for kind in type(obj).__mro__)


def _graphs(obj: Any) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Return the graphs, and the dictionary of what belongs to all of them."""
    labels: Mapping[str, Any] = {}
    if isinstance(obj, str | os.PathLike):
        from dgl_dysign._dgl import dgl

        if not Path(obj).is_file():
            raise DataError(f"{obj}: found no such file, expected one of dgl.save_graphs")
        obj = dgl.load_graphs(os.fspath(obj))
    if isinstance(obj, tuple) and len(obj) == 2 and isinstance(obj[1], Mapping):
        obj, labels = obj
    graphs = [obj] if _is(obj, "DGLGraph") else [obj[at] for at in range(len(obj))]
    for graph in graphs:
        if not _is(graph, "DGLGraph") or not graph.is_homogeneous:
            raise DataError("DGL: found no homogeneous graph, expected some; convert it with dgl.to_homogeneous first")
    if not graphs:
        raise DataError("DGL: found an empty list of graphs, expected one or more")
    return graphs, labels


def _named(frame: Any, known: Mapping[str, tuple[str, ...]], names: Mapping[str, str], ignore: Any) -> dict[str, str]:
    """Return the name in a frame of each field that is there; refuse what a stream does not hold."""
    fields: dict[str, str] = {}
    kept = [key for key in frame if key not in ignore]
    for field, spellings in known.items():
        spellings = (names[field],) if field in names else spellings
        present = [key for key in spellings if key in kept and key not in fields.values()]
        if present:
            fields[field] = present[0]
    strange = [key for key in kept if key not in fields.values()]
    if strange:
        raise DataError(
            f"DGL: found the data {strange[0]!r} on a graph, expected names of {', '.join(known)}; leave it out with "
            f"ignore={strange}, or say which field it is, such as names={{'edge_weight': {strange[0]!r}}}"
        )
    return fields


def _edges(graphs: Sequence[Any], names: Mapping[str, str], ignore: Any) -> list[dict[str, np.ndarray]]:
    """Read the edges of each graph, in the order of their numbers."""
    columns: list[dict[str, np.ndarray]] = []
    for graph in graphs:
        src, dst = graph.formats(["coo", "csr", "csc"]).edges(order="eid")  # also where COO is not allowed
        part = {"src": to_numpy(src), "dst": to_numpy(dst)}
        for field, key in _named(graph.edata, _EDATA, names, ignore).items():
            values = to_numpy(graph.edata[key])
            if field == "edge_feat":
                part[field] = values.reshape(len(values), -1) if values.ndim == 1 else values
            else:
                part[field] = values.reshape(-1) if values.ndim == 2 and values.shape[1] == 1 else values
        if columns and set(part) != set(columns[0]):
            raise DataError(f"DGL: found graphs with {sorted(part)} and with {sorted(columns[0])}, expected the same")
        columns.append(part)
    return columns


def _increments(columns: list[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    """Take from each graph the events of those before it."""
    increments, before = [columns[0]], columns[0]
    for at, part in enumerate(columns[1:], 1):
        number = len(before["src"])
        for name, values in part.items():
            if not same(values[:number], before[name]):
                raise DataError(
                    f"DGL: found graph {at} without the edges of graph {at - 1} at its front (in {name}), expected "
                    "cumulative snapshots; add edges at the end, or read them with cumulative=False"
                )
        increments.append({name: values[number:] for name, values in part.items()})
        before = part
    return increments


def _counted(timed: bool, number: int, known: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the ranges of snapshots that are counted; those of timestamps must be known."""
    if all(name in known for name in _RANGES):
        return {}
    if timed:
        raise ConfigError(
            "DGL: found snapshots with timestamps, expected their ranges too: say snapshot_begin=... and "
            "snapshot_end=..., or leave the timestamps out with ignore=['timestamp'], so that graph k happens at time k"
        )
    return counted_ranges(number)


def _nodes(graphs: Sequence[Any], names: Mapping[str, str], ignore: Any) -> dict[str, np.ndarray]:
    """Read the data of the nodes, which must be the same in all graphs."""
    named = _named(graphs[0].ndata, _NDATA, names, ignore)
    columns = {field: to_numpy(graphs[0].ndata[key]) for field, key in named.items()}
    for at, graph in enumerate(graphs[1:], 1):
        if _named(graph.ndata, _NDATA, names, ignore) != named:
            raise DataError(f"DGL: found other data of nodes in graph {at} than in graph 0, expected the same")
        for field, key in named.items():
            values = to_numpy(graph.ndata[key])
            if not same(values, columns[field]):
                raise DataError(
                    f"DGL: found ndata[{key!r}] of graph {at} to differ from graph 0, expected the same at all times; "
                    f"leave it out with ignore=[{key!r}]"
                )
    return columns


def _graph(stream: EventStream, first: int, end: int, names: Mapping[str, str]) -> Any:
    import torch

    from dgl_dysign._dgl import dgl

    src, dst = (torch.from_numpy(ids[first:end].copy()) for ids in (stream.src, stream.dst))
    graph = dgl.graph((src, dst), num_nodes=stream.num_nodes, idtype=torch.int64)
    in_order = rows_in_order(stream)
    for frame, known, rows in ((graph.edata, _EDATA, slice(first, end)), (graph.ndata, _NDATA, slice(None))):
        for field in known:
            values = getattr(stream, field)
            if values is not None and not (field == "edge_id" and in_order):
                frame[names[field]] = torch.from_numpy(values[rows].copy())
    return graph


def _write_labels(stream: EventStream, form: str) -> dict[str, Any]:
    import torch

    # DGL's files keep tensors only, and of those without a dimension not the value.
    numbers = {name: getattr(stream, name) for name in _NUMBERS}
    labels = {name: torch.tensor([int(value)]) for name, value in numbers.items() if value is not None}
    labels |= {name: torch.tensor(list(getattr(stream, name).encode()), dtype=torch.uint8) for name in _TEXTS}
    if form != "events":
        labels["cumulative"] = torch.tensor([int(form == "cumulative")])
    for name in _RANGES:
        if getattr(stream, name) is not None:
            labels[name] = torch.from_numpy(getattr(stream, name).copy())
    return labels


def _read_labels(labels: Mapping[str, Any]) -> dict[str, Any]:
    """Read what goes with our own graphs; labels of other code's graphs belong to tasks, not to the events."""
    kinds: dict[str, Any] = {
        **_NUMBERS,
        **dict.fromkeys(_TEXTS, lambda tensor: bytes(to_numpy(tensor)).decode()),
        **dict.fromkeys(_RANGES, to_numpy),
        "cumulative": bool,
    }
    return {name: kind(labels[name]) for name, kind in kinds.items() if name in labels}


def _save(path: Path, graphs: list[Any], labels: dict[str, Any], overwrite: bool) -> None:
    """Write the file in one step: a reader sees the whole file or none."""
    from dgl_dysign._dgl import dgl

    if path.exists() and not overwrite:
        raise DataError(f"{path}: found an existing file, expected a new one; choose another or set overwrite=True")
    with write_file(path) as temporary:
        dgl.save_graphs(os.fspath(temporary), graphs, labels)
