"""Temporal Graph Benchmark (py-tgb): the arrays of ``LinkPropPredDataset.full_data``."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from dgl_dysign.adapters._shared import as_float32, check_kept, stream_of, whole_times
from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.events import exact

_FORM = "TGB"
_KEYS = ("sources", "destinations", "timestamps")


class Adapter:
    """Converts TGB's ``full_data`` to a stream and back.

    ``full_data`` is a dict of arrays with a row an event, ascending by time: ``sources``, ``destinations`` and
    ``timestamps`` (int64), ``edge_idxs`` (int64), ``edge_feat`` (float64 of shape (E, De), or None), ``w`` (float64),
    ``edge_label`` (1 for every event, as it is true) and, for knowledge and heterogeneous graphs, ``edge_type``
    (int64). TGB has no place for labels of events, which it drops from Wikipedia; they are written as an array more,
    ``event_label``, which TGB does not look at.

    Reading needs NumPy alone; py-tgb is needed to have its data sets, and for its evaluator
    (:func:`dgl_dysign.adapters.tgb_eval.evaluate_tgb`).

    Examples
    --------
    >>> stream = EventStream.from_rows([0, 1, 0], [2, 3, 3], [10.0, 20.0, 20.0], directed=False, name="mine")
    >>> data = Adapter().from_events(stream)
    >>> data["timestamps"], data["w"], data["edge_feat"]
    (array([10, 20, 20]), array([1., 1., 1.]), None)
    >>> Adapter().to_events(data, directed=False, name="mine").equals(stream)
    True
    """

    name = "tgb"
    extra = "tgb"

    def matches(self, obj: Any) -> bool:
        """Tell whether this is ``full_data``, or a data set of py-tgb."""
        if isinstance(obj, Mapping):
            return all(key in obj for key in _KEYS)
        return type(obj).__module__.startswith("tgb.linkproppred") and hasattr(obj, "full_data")

    def to_events(
        self, obj: Any, *, weights: bool | None = None, round_features: bool = False, **fields: Any
    ) -> EventStream:
        """Read ``full_data``, or a ``LinkPropPredDataset``, of which features of nodes and the name are read as well.

        Parameters
        ----------
        weights : bool, optional
            Whether ``w`` counts as weights of the events; default: unless all are 1, as TGB writes them where there are
            none.
        round_features, **fields
            As for every adapter: :meth:`dgl_dysign.adapters.Adapter.to_events`. ``edge_idxs`` is the row in the raw
            data, counted from 0 or from 1.
        """
        data = obj if isinstance(obj, Mapping) else obj.full_data
        missing = [key for key in _KEYS if key not in data]
        if missing:
            raise DataError(f"{_FORM}: found no array {missing[0]!r}, expected {', '.join(_KEYS)}; see full_data")
        columns = _columns(data, weights, round_features)
        if data is not obj:
            columns.update(name=getattr(obj, "name", None), node_feat=_node_features(obj, round_features))
        return stream_of(_FORM, columns, fields)

    def from_events(self, stream: EventStream, *, lose: Collection[str] = ()) -> dict[str, Any]:
        """Make ``full_data`` of a stream with whole times: arrays that may be written to.

        As TGB counts nodes by events, ``lose="num_nodes"`` is needed if nodes after the last one that has an event are
        to go.
        """
        stream.check_holds(_FORM, ("edge_feat", "edge_weight", "edge_type", "event_label"))
        check_kept(_FORM, stream, lose, holds=("edge_id",))
        weight, feat = stream.edge_weight, stream.edge_feat
        data = {
            "sources": stream.src.copy(),
            "destinations": stream.dst.copy(),
            "timestamps": whole_times(_FORM, stream),
            "edge_idxs": stream.edge_id.copy(),
            "edge_feat": None if feat is None else feat.astype(np.float64),
            "w": np.ones(len(stream)) if weight is None else weight.copy(),
            "edge_label": np.ones(len(stream)),
        }
        for name in ("edge_type", "event_label"):
            if getattr(stream, name) is not None:
                data[name] = getattr(stream, name).copy()
        return data


def _columns(data: Mapping[str, Any], weights: bool | None, round_features: bool) -> dict[str, Any]:
    rows = len(data["sources"])
    columns = {
        "src": data["sources"],
        "dst": data["destinations"],
        "time": data["timestamps"],
        "edge_id": _raw_rows(data.get("edge_idxs"), rows),
        "edge_type": data.get("edge_type"),
        "event_label": data.get("event_label"),
        "edge_feat": as_float32("edge_feat", data.get("edge_feat"), round_features),
    }
    weight = data.get("w")
    if weight is not None and (weights or (weights is None and np.any(np.asarray(weight) != 1))):
        columns["edge_weight"] = weight
    return columns


def _raw_rows(ids: Any, rows: int) -> np.ndarray | None:
    if ids is None or not rows:
        return None
    numbers = exact("edge_idxs", ids, np.int64)
    return numbers - numbers.min()


def _node_features(dataset: Any, round_features: bool) -> np.ndarray | None:
    if getattr(dataset, "node_type", None) is not None:
        raise ConfigError(
            f"{_FORM}: found node_type, expected none, as a stream has no types of nodes; pass dataset.full_data "
            "instead of the data set to leave them out"
        )
    return as_float32("node_feat", getattr(dataset, "node_feat", None), round_features)
