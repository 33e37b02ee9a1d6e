"""PyG-Temporal's ``DynamicGraphTemporalSignal``: lists of arrays, one a snapshot."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from dgl_dysign.adapters._shared import as_float32, counted_ranges, ranks, require, rows_in_order, same, stream_of
from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.events import to_numpy

_LISTS = ("edge_indices", "edge_weights", "features", "targets")
_EVENTS = {
    "edge_time": "time", "edge_label": "event_label", "edge_type": "edge_type", "edge_feat": "edge_feat",
    "edge_id": "edge_id",
}  # fmt: skip
_RANGES = {"time_begin": "snapshot_begin", "time_end": "snapshot_end"}
_BESIDE = ("num_nodes", "directed", "name", "time_unit", "node_offset")


class Adapter:
    """Streams to and from ``torch_geometric_temporal.signal.DynamicGraphTemporalSignal`` [1]_.

    Its lists have an entry a snapshot, empty ones included: ``edge_indices`` (int64, shape (2, E_k)), ``edge_weights``
    (float64: the weights of the events, shape (E_k,); or, where there are none, their features, shape (E_k, De)),
    ``features`` and ``targets`` (features and labels of the nodes, the same in each). What it has no list for are
    further lists: ``edge_time``, ``time_begin`` and ``time_end`` (the range of the snapshot), and ``edge_label``,
    ``edge_type``, ``edge_feat``, ``edge_id`` where the stream has such. ``dysign`` has the number of nodes and the like
    as JSON in bytes, which PyG-Temporal keeps and leaves out of its snapshots.

    PyG-Temporal is none of our extras, as it pins an old release of ``decorator``. Without it streams are made into the
    keyword arguments of the signal: ``from_events(stream, as_dict=True)``; what is read is any object with these
    attributes, or that dictionary.

    References
    ----------
    .. [1] Rozemberczki et al., "PyTorch Geometric Temporal: Spatiotemporal Signal Processing with Neural Machine
       Learning Models", CIKM 2021.

    Examples
    --------
    >>> stream = EventStream.from_rows(
    ...     [0, 2], [1, 1], [3.0, 8.5], snapshot=[0, 2], snapshot_begin=[0, 3.5, 7], snapshot_end=[3.5, 7, 10]
    ... )
    >>> lists = Adapter().from_events(stream, as_dict=True)
    >>> [index.tolist() for index in lists["edge_indices"]]
    [[[0], [1]], [[], []], [[2], [1]]]
    >>> Adapter().to_events(lists).equals(stream)
    True
    """

    name = "pyg-temporal"
    extra = None

    def matches(self, obj: Any) -> bool:
        """Tell whether this is such a signal, or the dictionary of its lists."""
        if isinstance(obj, Mapping):
            return all(name in obj for name in _LISTS)
        return any(kind.__name__ == "DynamicGraphTemporalSignal" for kind in type(obj).__mro__)

    def to_events(
        self, obj: Any, *, ignore: Collection[str] = (), round_features: bool = False, **fields: Any
    ) -> EventStream:
        """Read a signal or its lists, also of other code; without ``edge_time`` snapshot k is ``[k, k + 1)``.

        Options as for every adapter: :meth:`dgl_dysign.adapters.Adapter.to_events`, such as ``ignore=["features",
        "targets"]`` where these change with time; the default of ``num_nodes`` is as many as have features or targets,
        else the largest node plus one.
        """
        lists = _lists(obj, ignore)
        index = [np.zeros((2, 0), np.int64) if pair is None else to_numpy(pair) for pair in lists["edge_indices"]]
        for at, pair in enumerate(index):
            if pair.ndim != 2 or len(pair) != 2:
                raise DataError(f"edge_indices: found shape {pair.shape} at snapshot {at}, expected (2, events)")
        sizes = [pair.shape[1] for pair in index]
        src, dst = np.concatenate(index, axis=1) if index else np.zeros((2, 0), np.int64)
        columns: dict[str, Any] = {"src": src, "dst": dst, "snapshot": np.repeat(np.arange(len(sizes)), sizes)}
        columns |= {field: _joined(name, lists[name], sizes) for name, field in _EVENTS.items() if name in lists}
        weight = _joined("edge_weights", lists.get("edge_weights", []), sizes)
        if weight is not None:
            columns["edge_weight" if weight.ndim == 1 else "edge_feat"] = weight
        columns |= _nodes(lists) | _ranges(lists, len(sizes), fields)
        columns.setdefault("time", columns["snapshot"])
        for name in ("edge_feat", "node_feat"):
            columns[name] = as_float32(name, columns.get(name), round_features)
        if columns.get("edge_id") is not None:  # of some of the snapshots these are not 0, 1, 2, ...
            columns["edge_id"] = ranks(columns["edge_id"])
        beside = json.loads(bytes(lists["dysign"][0])) if lists.get("dysign") else {}
        return stream_of("DynamicGraphTemporalSignal", {**columns, **beside}, fields)

    def from_events(
        self,
        stream: EventStream,
        *,
        features: "Callable[[int], Any] | Sequence[Any] | None" = None,
        targets: "Callable[[int], Any] | Sequence[Any] | None" = None,
        as_dict: bool = False,
    ) -> Any:
        """Make a signal of a stream with snapshots; BackendError if PyG-Temporal is not installed.

        Parameters
        ----------
        features, targets : callable or sequence, optional
            Features and targets of the nodes at each snapshot, such as ``features=data.features`` of a
            :class:`dgl_dysign.data.TemporalGraph`; default: those of the stream, the same at all times, or None.
        as_dict : bool, default False
            Make a dictionary of the lists, the keyword arguments of the signal, without PyG-Temporal.
        """
        if stream.snapshot is None or not stream.num_snapshots:
            raise ConfigError(
                "DynamicGraphTemporalSignal: found a stream without snapshots, expected some; make them with "
                "dgl_dysign.adapters.times.binned(stream, rule)"
            )
        number = stream.num_snapshots
        cuts = np.searchsorted(stream.snapshot, np.arange(1, number))
        lists: dict[str, Any] = {"edge_indices": np.split(np.stack([stream.src, stream.dst]), cuts, axis=1)}
        weight = stream.edge_feat if stream.edge_weight is None else stream.edge_weight
        lists["edge_weights"] = [None] * number if weight is None else _split(weight, cuts)
        lists["features"] = _at_each("features", features, stream.node_feat, number)
        lists["targets"] = _at_each("targets", targets, stream.node_label, number)
        for name, field in _EVENTS.items():
            values = getattr(stream, field)
            in_order = field == "edge_id" and rows_in_order(stream)
            if values is not None and values is not weight and not in_order:
                lists[name] = _split(values, cuts)
        for name, field in _RANGES.items():
            lists[name] = _split(getattr(stream, field), np.arange(1, number))
        about = json.dumps({name: getattr(stream, name) for name in _BESIDE})
        lists["dysign"] = [np.array(list(about.encode()), np.uint8)] * number
        if as_dict:
            return lists
        return require("torch_geometric_temporal.signal").DynamicGraphTemporalSignal(**lists)


def _split(values: np.ndarray, cuts: np.ndarray) -> list[np.ndarray]:
    """Cut a copy: PyTorch warns of arrays that cannot be written."""
    return np.split(values.copy(), cuts)


def _lists(obj: Any, ignore: Collection[str]) -> dict[str, Sequence[Any]]:
    """Return the lists that are not left out; refuse what a stream does not hold."""
    if isinstance(obj, Mapping):
        lists = dict(obj)
    else:
        lists = {name: getattr(obj, name) for name in (*_LISTS, *getattr(obj, "additional_feature_keys", []))}
    lists = {name: values for name, values in lists.items() if name not in ignore}
    strange = [name for name in lists if name not in (*_LISTS, *_EVENTS, *_RANGES, "dysign")]
    if strange:
        raise DataError(
            f"DynamicGraphTemporalSignal: found the list {strange[0]!r}, expected some of "
            f"{', '.join((*_LISTS, *_EVENTS, *_RANGES))}; leave it out with ignore={strange}"
        )
    if len({len(values) for values in lists.values()}) > 1:
        sizes = {name: len(values) for name, values in lists.items()}
        raise DataError(f"DynamicGraphTemporalSignal: found lists of {sizes} entries, expected one a snapshot in each")
    return lists


def _joined(name: str, parts: Sequence[Any], sizes: list[int]) -> np.ndarray | None:
    """Join what has a row an event; None where no snapshot has any. Empty snapshots may go without."""
    arrays = [None if part is None else to_numpy(part) for part in parts]
    present = [part for part in arrays if part is not None]
    if not present:
        return None
    empty = present[0][:0]
    for at, (part, size) in enumerate(zip(arrays, sizes, strict=True)):
        if (0 if part is None else len(part)) != size:
            rows = "none" if part is None else len(part)
            raise DataError(f"{name}: found {rows} rows at snapshot {at}, expected {size}, one an event")
    shapes = {part.shape[1:] for part in present}
    if len(shapes) > 1:
        raise DataError(f"{name}: found shapes {sorted(shapes)}, expected the same in each")
    return np.concatenate([empty if part is None else part for part in arrays])


def _nodes(lists: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Read features and labels of the nodes, which must be the same at all times."""
    nodes: dict[str, Any] = {}
    for name, field in (("features", "node_feat"), ("targets", "node_label")):
        parts = [None if part is None else to_numpy(part) for part in lists.get(name, [])]
        if not parts or all(part is None for part in parts):
            continue
        first = parts[0]
        kinds = "iufb" if field == "node_feat" else "iu"
        if first is None or first.dtype.kind not in kinds or any(not same(first, part) for part in parts[1:]):
            wanted = "features" if field == "node_feat" else "whole-numbered classes"
            raise DataError(
                f"{name}: found entries that differ between snapshots, or of another kind, expected {wanted} of the "
                f"nodes that are the same at all times; leave them out with ignore=[{name!r}]"
            )
        nodes |= {field: first, "num_nodes": len(first)}
    return nodes


def _ranges(lists: Mapping[str, Sequence[Any]], number: int, fields: Mapping[str, Any]) -> dict[str, Any]:
    if all(name in lists for name in _RANGES):
        joined = {field: [to_numpy(part).reshape(-1) for part in lists[name]] for name, field in _RANGES.items()}
        return {field: np.concatenate([np.empty(0), *parts]) for field, parts in joined.items()}
    if "edge_time" in lists and not all(field in fields for field in _RANGES.values()):
        raise ConfigError(
            "DynamicGraphTemporalSignal: found edge_time without time_begin and time_end, expected the ranges of the "
            "snapshots; say snapshot_begin=... and snapshot_end=..., or count them with ignore=['edge_time']"
        )
    return counted_ranges(number)


def _at_each(name: str, chosen: Any, own: np.ndarray | None, number: int) -> list[Any]:
    """Return the features or targets of each snapshot: those that are given, or the stream's own."""
    if chosen is None:
        return [None if own is None else own.copy()] * number
    if own is not None:
        raise ConfigError(
            f"{name}: found some beside those of the stream, expected one of them; leave the stream's out with "
            f"stream.without({'node_feat' if name == 'features' else 'node_label'!r})"
        )
    entries = [to_numpy(chosen(at)) for at in range(number)] if callable(chosen) else list(chosen)
    if len(entries) != number:
        raise ConfigError(f"{name}: found {len(entries)} entries, expected {number}, one a snapshot")
    return entries
