"""The files of DyGLib (and TGN): ``ml_NAME.csv``, ``ml_NAME.npy`` and ``ml_NAME_node.npy``."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from dgl_dysign.adapters._files import Marker, as_folder, header_of, read_array, read_csv, write_files
from dgl_dysign.adapters._shared import as_float32, stream_of
from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.errors import DataError
from dgl_dysign.events import exact

_FORM = "DyGLib"
_HEADER = ["", "u", "i", "ts", "label", "idx"]
_KINDS = {"u": "integer", "i": "integer", "ts": "number", "label": "number", "idx": "integer"}


class Adapter:
    """Converts folders of DyGLib's files to a stream and back.

    ``ml_NAME.csv`` (``,u,i,ts,label,idx``) by time, nodes and ``idx`` counted from 1; ``ml_NAME.npy`` with the features
    of event ``idx`` in row ``idx``, and ``ml_NAME_node.npy`` with those of node ``u`` in row ``u``, row 0 all zeros,
    float64, at most 172 wide. Where there are no features the tables hold zeros, where there are no labels the column
    does. Beside them ``export.json`` says what DyGLib does not ask for: name, direction, unit of time, sides, and
    whether zeros are features.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> stream = EventStream.from_rows([0, 1], [2, 2], [0.5, 3], num_nodes=4, edge_weight=[0.1, -1], name="mine")
    >>> with TemporaryDirectory() as home:
    ...     folder = Adapter().from_events(stream, Path(home) / "mine", weight_as_feature=True)
    ...     sorted(path.name for path in folder.iterdir()), Adapter().to_events(folder).equals(stream)
    (['export.json', 'ml_mine.csv', 'ml_mine.npy', 'ml_mine_node.npy'], True)
    """

    name = "dyglib"
    extra = None

    def matches(self, obj: Any) -> bool:
        """Tell whether this is a folder with one ``ml_NAME.csv`` of DyGLib, or that file."""
        try:
            return any(header_of(path) == _HEADER for path in _tables(Path(obj)))
        except (TypeError, OSError, ValueError):  # no path
            return False

    def to_events(
        self,
        obj: Any,
        *,
        zeros: bool | None = None,
        weight_as_feature: bool | None = None,
        round_features: bool = False,
        **fields: Any,
    ) -> EventStream:
        """Read a folder of the files, or its ``ml_NAME.csv``; a shift of time in ``export.json`` is undone.

        Parameters
        ----------
        zeros : bool, optional
            Whether features and labels that are all 0 count as such; default: as ``export.json`` says, else not, as
            they stand for none.
        weight_as_feature : bool, optional
            Whether the first feature is the weight; default: as ``export.json`` says, else not.
        round_features, **fields
            As for every adapter: :meth:`dgl_dysign.adapters.Adapter.to_events`.
        """
        path = _table(as_folder(_FORM, obj))
        marker, rows = Marker(path.parent), read_csv(path, _KINDS)
        marker.check_rows(path.name, len(rows["u"]))
        edges = read_array(path.with_suffix(".npy"), None, "features of events")
        nodes = read_array(path.with_name(f"{path.stem}_node.npy"), None, "features of nodes")
        _check_ids(path, rows, len(edges), len(nodes))
        weight, feat = marker.weight_and_features(edges[rows["idx"]], weight_as_feature)

        def unless_zeros(values: np.ndarray | None, name: str, present: Any = True) -> np.ndarray | None:
            """Return values unless they stand for none, as `zeros` or the marker says."""
            counts = marker.about[name] == present if zeros is None and name in marker.about else zeros
            return None if values is None or not (values.any() if counts is None else counts) else values

        labels = unless_zeros(rows["label"], "labels", "event")
        columns = {
            "src": rows["u"] - 1,
            "dst": rows["i"] - 1,
            "time": rows["ts"] + marker.shift,
            "num_nodes": len(nodes) - 1,
            "edge_weight": weight,
            "event_label": None if labels is None else exact(f"{path}, label", labels, np.int64),
            "edge_feat": as_float32("edge_feat", unless_zeros(feat, "edge_features"), round_features),
            "node_feat": as_float32("node_feat", unless_zeros(nodes[1:], "node_features"), round_features),
            "name": path.stem.removeprefix("ml_"),
            **marker.fields(),
        }
        return stream_of(_FORM, columns, fields)

    def from_events(
        self,
        stream: EventStream,
        path: Any,
        *,
        shift_time: bool = False,
        weight_as_feature: bool = False,
        lose: Collection[str] = (),
        overwrite: bool = False,
    ) -> Path:
        """Write a folder of the files, whole or not at all, and return its path.

        Parameters
        ----------
        stream : EventStream
            The stream; its name becomes that of the files, with other signs than letters, digits, ``.`` and ``-`` as
            ``_``.
        path : path
            The folder.
        shift_time : bool, default False
            Write times from 0 at the first event.
        weight_as_feature : bool, default False
            Make weights the first feature.
        lose, overwrite
            As for every adapter: :meth:`dgl_dysign.adapters.Adapter.from_events`.
        """
        holds = ("event_label", "node_feat")
        return write_files(_FORM, holds, stream, path, shift_time, weight_as_feature, lose, overwrite)


def _tables(path: Path) -> list[Path]:
    return sorted(path.glob("ml_*.csv")) if path.is_dir() else [path]


def _table(path: Path) -> Path:
    tables = [table for table in _tables(path) if header_of(table) == _HEADER]
    if len(tables) != 1:
        names = ", ".join(table.name for table in tables) or "none"
        raise DataError(
            f"{path}: found {names}, expected one ml_NAME.csv with columns {','.join(_HEADER)}; name the file itself"
        )
    return tables[0]


def _check_ids(path: Path, rows: dict[str, np.ndarray], edges: int, nodes: int) -> None:
    for name, limit in (("u", nodes), ("i", nodes), ("idx", edges)):
        values = rows[name]
        if len(values) and (values.min() < 1 or values.max() >= limit):
            raise DataError(
                f"{path}: found {name} {values.min()} to {values.max()}, expected 1 to {limit - 1}: a row of the table "
                "of features"
            )
