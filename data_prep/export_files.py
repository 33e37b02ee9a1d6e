"""The files of TGL, and those of DyGLib and TGN, from arrays of events; and CSV files whose floats come back."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from data_prep.parquet import arrow
from data_prep.writer import new_folder
from dgl_dysign.data import schema
from dgl_dysign.errors import ConfigError

MARKER = "export.json"
"""Written beside the files, so that a later export may replace them; says how they were made."""

Progress = Callable[[str, int], Callable[[int], object]]
ROWS_AT_ONCE = 1 << 16
DYGLIB_WIDTH = 172
"""Most features of an event or node that DyGLib takes; narrower ones it fills with zeros."""
_SHARES = (0.70, 0.85)


def silent(text: str, total: int) -> Callable[[int], object]:
    """Tell nobody of progress."""
    return lambda amount: None


def write_marked(
    dest: Path, write: Callable[[Path], dict[str, Any]], facts: dict[str, Any], overwrite: bool = False
) -> dict[str, Any]:
    """Write a folder, whole or not at all, with :data:`MARKER` in it.

    Parameters
    ----------
    dest : path
        The folder.
    write : callable
        Given the temporary folder, writes the files and returns what is to be said of them.
    facts : dict
        What else stands in the marker.
    overwrite : bool, default False
        Replace `dest` if it was exported before.

    Returns
    -------
    dict
        What stands in the marker.

    Raises
    ------
    DataError
        If `dest` may not be written.
    """
    with new_folder(dest, overwrite, marker=MARKER) as new:
        made = {"schema_version": schema.SCHEMA_VERSION, **facts, **write(new)}
        (new / MARKER).write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    return made


class CsvFile:
    """A CSV file written batch by batch; only what needs quotes has them, and floats come back as they were."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._stream = open(path, "wb")  # noqa: SIM115 (closed in `__exit__`)
        self._stream.write((",".join(names) + "\n").encode())
        self._options = pa.csv.WriteOptions(include_header=False, quoting_style="needed")
        self.rows = 0

    def write(self, *columns: np.ndarray | pa.Array) -> None:
        """Append rows."""
        arrays = [arrow(column) if isinstance(column, np.ndarray) else column for column in columns]
        batch = pa.record_batch(arrays, names=[str(number) for number in range(len(arrays))])
        pa.csv.write_csv(batch, self._stream, self._options)
        self.rows += len(batch)

    def __enter__(self) -> "CsvFile":
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()


@dataclass(frozen=True)
class SortedEvents:
    """Events ascending by time, and what is known of them.

    Parameters
    ----------
    name : str
        Name of the data set.
    src, dst, time : numpy.ndarray
        Ends (int64) and time (float64) of each event, of shape (E,).
    num_nodes : int
        Number of nodes.
    directed : bool
        Whether only sources know their destinations; if not, both ends know each other.
    width : int
        Features an event, its weight included; 0: none.
    copy_features : callable
        Writes them into an array of shape (E, width).
    weighted : bool, default False
        Whether the first feature is the weight.
    event_labels : tuple of numpy.ndarray, optional
        Row, node and class of each labelled event.
    node_labels : tuple of numpy.ndarray, optional
        Node and class of each labelled node.
    node_feat : numpy.ndarray, optional
        Features of the nodes, float32 of shape (num_nodes, Dn).
    time_unit : str
        What a time of 1 means.
    node_offset : int, optional
        First node of the second side of bipartite data.
    """

    name: str
    src: np.ndarray
    dst: np.ndarray
    time: np.ndarray
    num_nodes: int
    directed: bool
    width: int
    copy_features: Callable[[np.ndarray], object]
    weighted: bool = False
    event_labels: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    node_labels: tuple[np.ndarray, np.ndarray] | None = None
    node_feat: np.ndarray | None = None
    time_unit: str = "unknown"
    node_offset: int | None = None

    @property
    def about(self) -> dict[str, Any]:
        """What the files cannot tell a later reader; stands in the marker."""
        return {
            "directed": self.directed,
            "time_unit": self.time_unit,
            "node_offset": self.node_offset,
            "weight_is_first_feature": self.weighted,
            "edge_features": self.width > self.weighted,
            "node_features": self.node_feat is not None,
            "labels": "event" if self.event_labels is not None else "node" if self.node_labels is not None else None,
        }

    def __len__(self) -> int:
        return len(self.time)

    def rolls(self) -> np.ndarray:
        """0 for training, 1 for validation, 2 for testing: up to 70 % and 85 % of the times."""
        ends = np.quantile(self.time, _SHARES) if len(self.time) else np.zeros(2)
        return np.searchsorted(ends, self.time, side="left").astype(np.int64)

    def pieces(self) -> Iterator[slice]:
        """Cut the events into rows to write at once."""
        for first in range(0, len(self.time), ROWS_AT_ONCE):
            yield slice(first, min(first + ROWS_AT_ONCE, len(self.time)))


def write_tgl(events: SortedEvents, new: Path, progress: Progress = silent) -> dict[str, Any]:
    """Write the files of TGL into a folder.

    Parameters
    ----------
    events : SortedEvents
        The events.
    new : path
        The folder, which is there.
    progress : callable, optional
        Given (text, total), returns a function that is told of each advance.

    Returns
    -------
    dict
        ``rows`` of each file; ``rounded_times``: number of events whose time float32 cannot hold; ``about``: what the
        files do not tell.
    """
    roll, rows = events.rolls(), {}
    advance = progress("writing events", len(events))
    with CsvFile(new / "edges.csv", ["", "src", "dst", "time", "int_roll", "ext_roll"]) as file:
        for piece in events.pieces():
            number = np.arange(piece.start, piece.stop)
            ends = events.src[piece], events.dst[piece]
            file.write(number, *ends, events.time[piece], roll[piece], roll[piece])
            advance(len(number))
        rows["edges.csv"] = file.rows
    for name, keep in (("ext_full", slice(None)), ("int_train", roll == 0)):
        rows[f"{name}.npz"] = _write_neighbours(new / f"{name}.npz", events, keep)
    # No event is left to the extrapolation alone (int_roll 3), so that both full graphs are the same.
    shutil.copyfile(new / "ext_full.npz", new / "int_full.npz")
    rows["int_full.npz"] = rows["ext_full.npz"]
    if events.width and len(events):
        path = new / "edge_features.npy"
        values = np.lib.format.open_memmap(path, "w+", np.float32, (len(events), events.width))
        events.copy_features(values)
        rows[_as_tensor(path, values)] = len(events)
    if events.node_feat is not None:
        path = new / "node_features.npy"
        np.save(path, events.node_feat)
        rows[_as_tensor(path, events.node_feat)] = len(events.node_feat)
    if events.event_labels is not None or events.node_labels is not None:
        rows["labels.csv"] = _write_tgl_labels(new / "labels.csv", events, roll)
    rounded = int(np.count_nonzero(events.time.astype(np.float32) != events.time))
    return {"rows": rows, "rounded_times": rounded, "about": events.about}


def _write_neighbours(path: Path, events: SortedEvents, keep: Any) -> int:
    """Write the neighbours of each node by time, with the number of the event, as TGL's T-CSR."""
    src, dst, time = events.src[keep], events.dst[keep], events.time[keep]
    number = np.arange(len(events))[keep]
    if not events.directed:
        src, dst = np.stack([src, dst], 1).ravel(), np.stack([dst, src], 1).ravel()
        time, number = time.repeat(2), number.repeat(2)
    order = np.argsort(src, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(src, minlength=events.num_nodes))])
    np.savez(path, indptr=indptr, indices=dst[order], ts=time[order], eid=number[order])
    return len(order)


def _as_tensor(path: Path, values: np.ndarray) -> str:
    """Put a tensor in the place of an array's file, where there is PyTorch; return the name of what is there."""
    try:
        import torch
    except ImportError:
        if isinstance(values, np.memmap):
            values.flush()
        return path.name
    made = path.with_suffix(".pt")
    torch.save(torch.from_numpy(np.require(values, requirements="W")), made)
    path.unlink()
    return made.name


def _write_tgl_labels(path: Path, events: SortedEvents, roll: np.ndarray) -> int:
    if events.event_labels is not None:
        at, node, label = events.event_labels
    else:
        assert events.node_labels is not None
        node, label = events.node_labels
        last = np.full(events.num_nodes, -1)
        for ends in (events.src, events.dst):
            np.maximum.at(last, ends, np.arange(len(ends)))
        at = last[node]
        node, label, at = node[at >= 0], label[at >= 0], at[at >= 0]
    order = np.argsort(at, kind="stable")
    node, label, at = node[order], label[order], at[order]
    with CsvFile(path, ["", "node", "time", "label", "ext_roll"]) as file:
        file.write(np.arange(len(node)), node, events.time[at], label, roll[at])
    return len(node)


def write_dyglib(events: SortedEvents, new: Path, progress: Progress = silent) -> dict[str, Any]:
    """Write the files of DyGLib (and TGN) into a folder.

    Parameters
    ----------
    events, new, progress
        As for :func:`write_tgl`.

    Returns
    -------
    dict
        ``rows`` of each file; ``about``: what the files do not tell.

    Raises
    ------
    ConfigError
        If there are more features than DyGLib takes.
    """
    widths = {"an event": events.width, "a node": 0 if events.node_feat is None else events.node_feat.shape[1]}
    for what, width in widths.items():
        if width > DYGLIB_WIDTH:
            raise ConfigError(
                f"{events.name}: found {width} features {what}, expected at most {DYGLIB_WIDTH}, which is all that "
                "DyGLib takes; export --to tgl or csv"
            )
    name = "ml_" + re.sub(r"[^\w.-]+", "_", events.name)
    label, rows = np.zeros(len(events)), {}
    if events.event_labels is not None:
        at, _, classes = events.event_labels
        label.fill(-1)
        label[at] = classes
    advance = progress("writing events", len(events))
    with CsvFile(new / f"{name}.csv", ["", "u", "i", "ts", "label", "idx"]) as file:
        for piece in events.pieces():
            number = np.arange(piece.start, piece.stop)
            ends = events.src[piece] + 1, events.dst[piece] + 1
            file.write(number, *ends, events.time[piece], label[piece], number + 1)
            advance(len(number))
        rows[f"{name}.csv"] = file.rows
    for path, shape in (
        (new / f"{name}.npy", (len(events) + 1, events.width or 1)),
        (new / f"{name}_node.npy", (events.num_nodes + 1, widths["a node"] or DYGLIB_WIDTH)),
    ):
        # Mapped, zeros cost neither memory nor, on most disks, space.
        values = np.lib.format.open_memmap(path, "w+", np.float64, shape)
        if not path.name.endswith("_node.npy") and events.width:
            events.copy_features(values[1:])
        elif path.name.endswith("_node.npy") and events.node_feat is not None:
            values[1:] = events.node_feat
        values.flush()
        rows[path.name] = shape[0]
    return {"rows": rows, "about": events.about}
