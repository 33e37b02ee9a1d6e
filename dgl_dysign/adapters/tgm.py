"""TGM (tgm-lib): its ``DGData``, from which a ``DGraph`` is made."""

from collections.abc import Collection
from typing import Any

import numpy as np

from dgl_dysign.adapters._shared import check_kept, last_events, require, stream_of, whole_times
from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.events import exact

_FORM = "TGM"
_INT32 = 2**31 - 1
_LABELS = ("event", "node")
_DROPPED = ("node_x", "node_y", "node_type")


class Adapter:
    """Converts TGM's ``DGData`` to a stream and back.

    TGM holds times as whole numbers from 0 to 2^31 - 2, nodes as int32, features as float32. Every node gets a type
    there (``node_type``): 0, or 1 on the second side of bipartite data, so that nodes without an event and the sides
    survive. Labels become ``node_y``, one column of class numbers: of an event, at its source and right after it; of a
    node, which has no time, at its last event (as in the files of TGL).

    Events are handed over in order: TGM sorts what is unsorted by an unstable sort, and then leaves ``edge_type``
    behind.

    Examples
    --------
    >>> Adapter().extra
    'tgm'
    """

    name = "tgm"
    extra = "tgm"

    def matches(self, obj: Any) -> bool:
        """Tell whether this is a ``DGData``."""
        return type(obj).__module__.startswith("tgm.") and type(obj).__name__ == "DGData"

    def to_events(
        self, obj: Any, *, labels: str | None = None, drop: Collection[str] = (), **fields: Any
    ) -> EventStream:
        """Read a ``DGData``; nodes end with the largest one unless ``node_type`` or ``static_node_x`` has more.

        Parameters
        ----------
        labels : {"event", "node"}, optional
            What ``node_y`` is: classes of the events right before them, or of the nodes at all times. Needed where
            there is some.
        drop : collection of str
            What of ``"node_x"``, ``"node_y"`` and ``"node_type"`` to leave out.
        **fields
            As for every adapter: :meth:`dgl_dysign.adapters.Adapter.to_events`.
        """
        wrong = set(drop) - set(_DROPPED)
        if wrong:
            raise ConfigError(f"{_FORM}: found drop={list(drop)}, expected some of {', '.join(map(repr, _DROPPED))}")
        if obj.node_x_mask is not None and "node_x" not in drop:
            raise ConfigError(
                f"{_FORM}: found node_x, features of nodes that change, expected static ones (static_node_x), as a "
                "stream has no others; leave them out with drop=['node_x']"
            )
        time, edges = obj.time.numpy(), obj.edge_mask.numpy()
        src, dst = obj.edge_index.numpy().T
        columns = {
            "src": src,
            "dst": dst,
            "time": time[edges],
            "edge_feat": _array(obj.edge_x),
            "edge_type": _array(obj.edge_type),
            "node_feat": _array(obj.static_node_x),
            **_nodes(obj, src, dst, "node_type" in drop),
        }
        if obj.node_y_mask is not None and "node_y" not in drop:
            columns.update(_read_labels(obj, labels, columns))
        return stream_of(_FORM, columns, fields)

    def from_events(self, stream: EventStream, *, time_delta: str | None = None, lose: Collection[str] = ()) -> Any:
        """Make a ``DGData`` of a stream with whole times from 0 to 2^31 - 2.

        Parameters
        ----------
        time_delta : str, optional
            TGM's unit of time: ``"s"``, ``"m"``, ``"h"``, ``"D"``, ..., or ``"r"``, order only. Default: ``"s"`` where
            ``stream.time_unit`` begins with "seconds", else ``"r"``.
        lose : collection of str
            ``"edge_id"``, if the order of the raw rows may be lost.
        """
        stream.check_holds(_FORM, ("edge_feat", "edge_type", "event_label", "node_label", "node_feat"))
        check_kept(_FORM, stream, lose, holds=("num_nodes",))
        _check_bounds(stream)
        time = whole_times(_FORM, stream, 0, _INT32 - 1)
        if time_delta is None:
            time_delta = "s" if stream.time_unit.startswith("seconds") else "r"
        torch, data = require("torch"), require("tgm.data", self.extra)

        def tensor(values: np.ndarray | None, kind: Any) -> Any:
            return None if values is None else torch.from_numpy(values.astype(kind))

        at, node, label = _labels(stream)
        # A label comes right after its event, also among equal times: by its row and a half.
        order = np.argsort(np.concatenate([np.arange(len(stream)), at + 0.5]), kind="stable")
        place = np.argsort(order)
        edges, labels = np.split(place, [len(stream)])
        return data.DGData(
            time_delta=time_delta,
            time=tensor(np.concatenate([time, time[at]])[order], np.int64),
            edge_mask=tensor(edges, np.int32),
            edge_index=tensor(np.stack([stream.src, stream.dst], axis=1), np.int32),
            edge_x=tensor(stream.edge_feat, np.float32),
            node_y_mask=tensor(labels, np.int32) if len(at) else None,
            node_y_nids=tensor(node, np.int32) if len(at) else None,
            node_y=tensor(label[:, None], np.float32) if len(at) else None,
            static_node_x=tensor(stream.node_feat, np.float32),
            edge_type=tensor(stream.edge_type, np.int32),
            node_type=tensor(np.arange(stream.num_nodes) >= _middle(stream), np.int32),
        )


def _array(values: Any) -> np.ndarray | None:
    return None if values is None else values.numpy()


def _middle(stream: EventStream) -> int:
    return stream.num_nodes if stream.node_offset is None else stream.node_offset


def _check_bounds(stream: EventStream) -> None:
    if not len(stream):
        raise DataError(f"{_FORM}: found no event, expected one or more, as TGM has no empty graphs")
    if stream.num_nodes > _INT32:
        raise DataError(f"{_FORM}: found {stream.num_nodes} nodes, expected at most {_INT32}: TGM's ids are int32")
    for name, most in (("edge_type", _INT32), ("event_label", 2**24), ("node_label", 2**24)):
        values = getattr(stream, name)
        if values is not None and values.max(initial=0) > most:
            raise DataError(f"{_FORM}: found {name} {values.max()}, expected at most {most}; number them from 0 up")
    for name in ("edge_feat", "node_feat"):
        values = getattr(stream, name)
        if values is not None and np.isnan(values).any():
            raise DataError(f"{_FORM}: found NaN in {name}, expected numbers, as TGM takes no others; fill them first")


def _labels(stream: EventStream) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, node and class of each label, ascending by row."""
    stream.check_one_kind_of_labels(_FORM)
    if stream.node_label is None:
        label = np.empty(0, np.int64) if stream.event_label is None else stream.event_label
        at = np.flatnonzero(label >= 0)
        return at, stream.src[at], label[at]
    node = np.flatnonzero(stream.node_label >= 0)
    at = last_events(_FORM, stream, node)
    order = np.argsort(at, kind="stable")
    return at[order], node[order], stream.node_label[node[order]]


def _nodes(data: Any, src: np.ndarray, dst: np.ndarray, no_types: bool) -> dict[str, Any]:
    """Return number and sides of the nodes, where the data tells them."""
    kinds = None if no_types else _array(data.node_type)
    sizes = [len(table) for table in (kinds, _array(data.static_node_x)) if table is not None]
    if kinds is None:
        return {"num_nodes": max(sizes)} if sizes else {}
    middle = int(np.searchsorted(kinds, 1))
    if not np.array_equal(kinds, np.arange(len(kinds)) >= middle):
        raise ConfigError(
            f"{_FORM}: found node_type with other types than 0, then 1, expected the two sides of bipartite data, as a "
            "stream has no other types of nodes; leave them out with drop=['node_type']"
        )
    sides = 0 < middle < len(kinds) and src.max() < middle <= dst.min()
    if middle < len(kinds) and not sides:
        raise ConfigError(
            f"{_FORM}: found node_type with two types, and events within one of them, expected events from the first "
            "to the second; leave them out with drop=['node_type']"
        )
    return {"num_nodes": max(sizes), "node_offset": middle if sides else None}


def _read_labels(data: Any, labels: str | None, columns: dict[str, Any]) -> dict[str, Any]:
    if labels not in _LABELS:
        raise ConfigError(
            f"{_FORM}: found labels={labels!r} and data with node_y, expected 'event' (each is the class of the event "
            "right before it) or 'node' (of a node at all times); or leave them out with drop=['node_y']"
        )
    place, node, label = data.node_y_mask.numpy(), data.node_y_nids.numpy(), data.node_y.numpy()
    if label.shape[1] != 1:
        raise DataError(
            f"{_FORM}: found node_y of width {label.shape[1]}, expected 1: class numbers; or add drop=['node_y']"
        )
    if labels == "event":
        edges, time = data.edge_mask.numpy(), data.time.numpy()
        at, number = np.searchsorted(edges, place) - 1, len(edges)
        fits = (at >= 0) & (columns["src"][at] == node) & (time[edges[at]] == time[place])
        where = "right after an event of its node"
    else:
        at, number = node, columns.get("num_nodes") or int(data.num_nodes)
        fits, where = np.ones(len(node), bool), "once for a node"
    if not fits.all() or len(np.unique(at)) < len(at):
        raise DataError(f"{_FORM}: found a label elsewhere, expected each {where}, as labels={labels!r} says")
    classes = np.full(number, -1)
    classes[at] = exact("node_y", label[:, 0], np.int64)
    return {f"{labels}_label": classes}
