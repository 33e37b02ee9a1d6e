"""PyG's ``TemporalData``: a stream of events as tensors."""

from collections.abc import Collection
from typing import Any

import numpy as np

from dgl_dysign.adapters._shared import as_float32, ranks, require, rows_in_order, stream_of, whole_times
from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.errors import DataError
from dgl_dysign.events import to_numpy

_EVENTS = {
    "src": "src", "dst": "dst", "t": "time", "msg": "edge_feat", "y": "event_label", "w": "edge_weight",
    "edge_type": "edge_type", "edge_id": "edge_id", "snapshot": "snapshot",
}  # fmt: skip
_BESIDE = (
    "num_nodes", "node_label", "node_feat", "snapshot_begin", "snapshot_end", "directed", "name", "time_unit",
    "node_offset",
)  # fmt: skip


class Adapter:
    """Streams to and from ``torch_geometric.data.TemporalData`` [1]_.

    What has a row an event is a tensor attribute, by PyG's name where there is one: ``src``, ``dst`` (int64), ``t``
    (int64), ``msg`` (float32, shape (E, De)), ``y`` (int64: the label of the event), and ``w`` (float64: the weight, as
    py-tgb has it), ``edge_type``, ``snapshot`` and, where the raw data was not in the order of time, ``edge_id``.
    What belongs to nodes, snapshots or all is in the dictionary ``data.dysign``, as PyG cuts every tensor attribute
    when it cuts the events: slices, copies and pickles of `data` keep it.

    References
    ----------
    .. [1] https://pytorch-geometric.readthedocs.io/en/latest/generated/torch_geometric.data.TemporalData.html

    Examples
    --------
    >>> stream = EventStream.from_rows([0, 2], [1, 1], [3.0, 8.0], edge_feat=[[0.5], [1.5]], num_nodes=4)
    >>> data = Adapter().from_events(stream)  # doctest: +SKIP
    >>> data  # doctest: +SKIP
    TemporalData(src=[2], dst=[2], t=[2], msg=[2, 1])
    >>> Adapter().to_events(data).equals(stream)  # doctest: +SKIP
    True
    """

    name = "pyg"
    extra = "pyg"

    def matches(self, obj: Any) -> bool:
        """Tell whether this is a ``TemporalData``."""
        kinds = type(obj).__mro__
        return any(kind.__name__ == "TemporalData" and kind.__module__.startswith("torch_geometric") for kind in kinds)

    def to_events(
        self, obj: Any, *, ignore: Collection[str] = (), round_features: bool = False, **fields: Any
    ) -> EventStream:
        """Read a ``TemporalData``, also one of other code; the events of a slice are renumbered, in their order.

        Events may be in any order of time. Options as for every adapter: :meth:`dgl_dysign.adapters.Adapter.to_events`;
        the default of ``num_nodes`` for data of other code is the largest node plus one.
        """
        values = {name: value for name, value in obj.to_dict().items() if name not in ignore and value is not None}
        strange = sorted(set(values) - set(_EVENTS))
        if strange:
            raise DataError(
                f"TemporalData: found the attribute {strange[0]!r}, expected some of {', '.join(_EVENTS)}; leave it "
                f"out with ignore={strange}"
            )
        missing = [name for name in ("src", "dst", "t") if name not in values]
        if missing:
            raise DataError(f"TemporalData: found no {missing[0]}, expected src, dst and t; add it")
        columns: dict[str, Any] = {_EVENTS[name]: to_numpy(value) for name, value in values.items()}
        if "edge_feat" in columns:
            feat = columns["edge_feat"]
            columns["edge_feat"] = as_float32("msg", feat[:, None] if feat.ndim == 1 else feat, round_features)
        if "edge_id" in columns:  # of a slice these are not 0, 1, 2, ...
            columns["edge_id"] = ranks(columns["edge_id"])
        beside = dict(vars(obj).get("dysign", {}))
        if "snapshot" not in columns:
            beside = {name: value for name, value in beside.items() if not name.startswith("snapshot")}
        return stream_of("TemporalData", {**columns, **beside}, fields)

    def from_events(self, stream: EventStream, *, float_time: bool = False) -> Any:
        """Make a ``TemporalData``, its events in order of time, on the CPU; BackendError if PyG is not installed.

        With `float_time`, ``t`` is float64; else a time that is not whole is a ConfigError. PyG's own memory and
        loaders take whole times only.
        """
        kind = require("torch_geometric.data", self.extra).TemporalData
        arrays = {name: getattr(stream, field) for name, field in _EVENTS.items()}
        arrays["t"] = stream.time if float_time else whole_times("TemporalData", stream)
        if rows_in_order(stream):
            del arrays["edge_id"]
        data = kind(**{name: _tensor(value) for name, value in arrays.items() if value is not None})
        # Not an attribute of the data, which PyG would cut with the events.
        vars(data)["dysign"] = {name: _tensor(getattr(stream, name)) for name in _BESIDE}
        return data


def _tensor(value: Any) -> Any:
    import torch

    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value
