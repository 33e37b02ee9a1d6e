"""The files of TGL: ``edges.csv``, neighbours, features and labels in one folder."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from dgl_dysign.adapters._files import Marker, as_folder, header_of, read_array, read_csv, write_files
from dgl_dysign.adapters._shared import as_float32, last_events, stream_of
from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.files import real_path, regular

_FORM = "TGL"
_ENDS = ["src", "dst", "time"]
_HOLDS = ("event_label", "node_label", "node_feat")


class Adapter:
    """Converts folders of TGL's files to a stream and back.

    ``edges.csv`` (``,src,dst,time,int_roll,ext_roll``) by time; ``ext_full.npz``, ``int_full.npz`` and
    ``int_train.npz``: neighbours of each node by time, both ways where the data is undirected;
    ``edge_features.pt``, ``node_features.pt`` (``.npy`` without PyTorch) and ``labels.csv``. The first 70 % of time are
    for training, the next 15 % for validation. Beside them ``export.json`` says what TGL does not ask for: name, unit
    of time, sides, whether labels are those of nodes, whether the first feature is the weight.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> stream = EventStream.from_rows([0, 1], [2, 2], [0.5, 3], num_nodes=4, directed=False, name="mine")
    >>> with TemporaryDirectory() as home:
    ...     folder = Adapter().from_events(stream, Path(home) / "MINE")
    ...     sorted(path.name for path in folder.iterdir()), Adapter().to_events(folder).equals(stream)
    (['edges.csv', 'export.json', 'ext_full.npz', 'int_full.npz', 'int_train.npz'], True)
    """

    name = "tgl"
    extra = None

    def matches(self, obj: Any) -> bool:
        """Tell whether this is a folder with TGL's ``edges.csv``."""
        try:
            return header_of(Path(obj) / "edges.csv")[:4] == ["", *_ENDS]
        except TypeError:  # no path
            return False

    def to_events(
        self,
        obj: Any,
        *,
        labels: str | None = None,
        weight_as_feature: bool | None = None,
        round_features: bool = False,
        **fields: Any,
    ) -> EventStream:
        """Read a folder of TGL's files; a shift of time in ``export.json`` is undone.

        Events are undirected, unless an option says otherwise, where ``ext_full.npz`` has every event twice.

        Parameters
        ----------
        labels : {"event", "node", "drop"}, optional
            What ``labels.csv`` is: classes of events (of ``node`` at ``time``, in the order of the events), of nodes at
            all times, or to be left out. Needed where the file is there and is not ours.
        weight_as_feature : bool, optional
            Whether the first feature is the weight; default: as ``export.json`` says, else not.
        round_features, **fields
            As for every adapter: :meth:`dgl_dysign.adapters.Adapter.to_events`.
        """
        folder = as_folder(_FORM, obj)
        marker = Marker(folder)
        events = read_csv(folder / "edges.csv", {"src": "integer", "dst": "integer", "time": "number"})
        number = len(events["src"])
        marker.check_rows("edges.csv", number)
        num_nodes, twice = _neighbours(folder, number)
        node_feat = _table(folder, "node_features", num_nodes)
        if num_nodes is None and node_feat is not None:
            num_nodes = len(node_feat)
        weight, feat = marker.weight_and_features(_table(folder, "edge_features", number), weight_as_feature)
        columns = {
            **events,
            "num_nodes": num_nodes,
            "edge_feat": as_float32("edge_features", feat, round_features),
            "edge_weight": weight,
            "node_feat": as_float32("node_features", node_feat, round_features),
            "directed": None if twice is None else not twice,
            "name": real_path(folder).name,
            **marker.fields(),
        }
        path, kind = folder / "labels.csv", labels or marker.about.get("labels")
        if path.exists() and kind != "drop":
            columns.update(_labels(path, kind, columns))
        columns["time"] = events["time"] + marker.shift
        return stream_of(_FORM, columns, fields)

    def from_events(
        self,
        stream: EventStream,
        path: Any,
        *,
        shift_time: bool = False,
        round_times: bool = False,
        weight_as_feature: bool = False,
        lose: Collection[str] = (),
        overwrite: bool = False,
    ) -> Path:
        """Write a folder of TGL's files and return its path.

        Parameters
        ----------
        stream, path, shift_time, weight_as_feature, lose, overwrite
            As for DyGLib's files: :meth:`dgl_dysign.adapters.dyglib.Adapter.from_events`.
        round_times : bool, default False
            Accept that TGL's sampler, which counts in float32, rounds times; the files have them as they are. Unix
            seconds differ only every 128 s there, whole seconds up to 16,777,216.
        """
        stream.check_one_kind_of_labels(_FORM)
        if stream.event_label is not None:
            _check_labelled_together(_FORM, stream.src, stream.time, stream.event_label >= 0)
        if stream.node_label is not None:
            last_events(_FORM, stream, np.flatnonzero(stream.node_label >= 0))
        check = len if round_times else _check_float32
        return write_files(_FORM, _HOLDS, stream, path, shift_time, weight_as_feature, lose, overwrite, check)


def _check_float32(time: np.ndarray) -> None:
    rounded = np.flatnonzero(time.astype(np.float32) != time)
    if len(rounded):
        raise ConfigError(
            f"{_FORM}: found {len(rounded)} times that float32 does not hold, such as {time[rounded[0]]}, expected "
            "none, as TGL's sampler counts in float32; let times begin at 0 with shift_time=True, or accept it with "
            "round_times=True: the files have them as they are"
        )


def _neighbours(folder: Path, number: int) -> tuple[int | None, bool | None]:
    """Return number of nodes, and whether every event is there twice."""
    path = folder / "ext_full.npz"
    if not path.exists():
        return None, None
    try:
        with np.load(regular(path), allow_pickle=False) as file:
            indptr, entries = file["indptr"], len(file["indices"])
    except Exception as error:  # a damaged file may raise almost anything
        raise DataError(f"{path}: found no neighbours ({error}), expected indptr and indices; write it again") from None
    if entries not in (number, 2 * number) or not len(indptr):
        raise DataError(f"{path}: found {entries} neighbours, expected {number} or twice that; it is of other edges")
    return len(indptr) - 1, entries == 2 * number


def _table(folder: Path, name: str, rows: int | None) -> np.ndarray | None:
    for path in (folder / f"{name}.pt", folder / f"{name}.npy"):
        if path.exists():
            return read_array(path, rows, f"{name} of TGL")
    return None


def _labels(path: Path, kind: str | None, columns: dict[str, Any]) -> dict[str, np.ndarray]:
    if kind not in ("event", "node"):
        raise ConfigError(
            f"{path}: found labels, but labels={kind!r}, expected 'event' (classes of events), 'node' (of nodes at all "
            "times) or 'drop'"
        )
    rows = read_csv(path, {"node": "integer", "time": "number", "label": "integer"})
    if kind == "event":
        at, size = _events_of(path, rows, columns), len(columns["src"])
    else:
        ends = max(columns["src"].max(initial=-1), columns["dst"].max(initial=-1)) + 1
        at, size = rows["node"], int(columns["num_nodes"] or ends)
    if len(np.unique(at)) < len(at) or at.max(initial=-1) >= size:
        raise DataError(f"{path}: found two labels of one {kind}, or one of none, expected at most one each")
    label = np.full(size, -1)
    label[at] = rows["label"]
    return {f"{kind}_label": label}


def _events_of(path: Path, rows: dict[str, np.ndarray], columns: dict[str, Any]) -> np.ndarray:
    """Find the event of each label; those of one node and time are taken in their order."""
    import pandas as pd

    events = pd.DataFrame({"node": columns["src"], "time": columns["time"]})
    labels = pd.DataFrame({"node": rows["node"], "time": rows["time"]})
    for table in (events, labels):
        table["nth"] = table.groupby(["node", "time"]).cumcount()
    events["row"] = np.arange(len(events))
    row = labels.merge(events, how="left", on=["node", "time", "nth"])["row"]
    if row.isna().any():
        node, time = labels.loc[row.isna(), ["node", "time"]].iloc[0]
        raise DataError(
            f"{path}: found a label of node {node:.0f} at {time}, expected an event of it in edges.csv then"
        )
    at = row.to_numpy(np.int64)
    labelled = np.zeros(len(events), bool)
    labelled[at] = True
    _check_labelled_together(str(path), columns["src"], columns["time"], labelled)
    return at


def _check_labelled_together(where: str, src: np.ndarray, time: np.ndarray, labelled: np.ndarray) -> None:
    """Refuse labels of some, but not all events of one node at one time: the file names node and time only."""
    import pandas as pd

    share = pd.Series(labelled).groupby([src, time]).transform("mean").to_numpy()
    some = np.flatnonzero((share > 0) & (share < 1))
    if len(some):
        raise DataError(
            f"{where}: found events of node {src[some[0]]} at {time[some[0]]}, of which some have a label, some not, "
            "expected all or none, as TGL's labels have a node and a time only; label or unlabel them first"
        )
