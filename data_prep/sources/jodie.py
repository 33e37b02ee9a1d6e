"""User-item interactions as JODIE, TGN / DyGLib and TGL share them."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.lib.format import open_memmap

from data_prep.rules import Rule
from data_prep.sources._layout import Column, Layout, short
from data_prep.sources._source import ReadOptions, Source, find_parts, name_of
from data_prep.writer import arrow
from dgl_dysign.errors import DataError
from dgl_dysign.files import regular

_SKIP = Column("", "skip")
_ENDS = (Column("src", "integer"), Column("dst", "integer"), Column("time", "number"))
JODIE = Layout((*_ENDS, Column("label", "integer")), delimiter=",", header=1, vector="rest")
DYGLIB = (_SKIP, *_ENDS, Column("label", "number"), Column("idx", "integer"))
TGL = (_SKIP, *_ENDS, _SKIP, _SKIP)


def open_source(raw: Path, read: ReadOptions, dataset: str = "wikipedia") -> Source:
    """Open ``wikipedia.csv`` (JODIE), ``ml_wikipedia.csv`` and ``.npy`` (TGN, DyGLib) or ``edges.csv`` (TGL).

    Undirected; users first, then items, each in ascending order of their ids; one snapshot an hour; labels of events
    (none in TGL's form). The header's names are ignored: they differ between copies and are fewer than the columns.
    """
    parts = find_parts(raw, f"{dataset}.csv", f"ml_{dataset}.csv", "edges.csv", command=dataset)
    folder, first = parts[0].parent, parts[0].name
    features = folder / f"ml_{dataset}.npy"
    if first.startswith("ml_"):
        layout = Layout(DYGLIB, delimiter=",", header=1, derive=_dyglib(features))
    elif first.startswith("edges"):
        layout = Layout(TGL, delimiter=",", header=1)
    else:
        layout = JODIE
    return Source(
        name_of(dataset, folder),
        parts,
        layout,
        Rule("every", width=3600.0),
        spaces=("user", "item"),
        time_unit="seconds from the first event",
        unix=False,
        beside=(features,) if first.startswith("ml_") else (),
    )


def _dyglib(path: Path) -> "DyGLibColumns":
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how old the file is
            features = open_memmap(regular(path), mode="r")
    except FileNotFoundError:
        raise DataError(f"{path}: found no such file, expected the edges' features; put it beside the csv") from None
    except Exception as error:  # NumPy raises almost anything at a damaged header
        reason = short(" ".join(str(error).split()) or type(error).__name__)
        raise DataError(f"{path}: found no array ({reason}), expected one of NumPy; download it again") from None
    if features.ndim != 2 or features.dtype.kind != "f" or not features.shape[1]:
        raise DataError(f"{path}: found {features.dtype} of shape {features.shape}, expected floats (rows, width)")
    return DyGLibColumns(path, *features.shape)


@dataclass(frozen=True)
class DyGLibColumns:
    """Make whole numbers of the labels, and look up the features of events by their index."""

    path: Path
    rows: int
    width: int

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the batch with ``feat`` in place of ``idx``; raise ValueError if a row does not fit."""
        label = np.from_dlpack(batch.column("label"))
        wrong = np.flatnonzero((label != np.floor(label)) | (label < 0) | (label >= 2**31))
        if len(wrong):
            raise ValueError(f"label {label[wrong[0]]}", "a whole number from 0 up")
        index = np.from_dlpack(batch.column("idx"))
        far = np.flatnonzero(index >= self.rows)
        if len(far):
            raise ValueError(f"idx {index[far[0]]}", f"a row of {self.path.name}, below {self.rows}")
        with np.errstate(over="ignore"):  # refused below
            values = open_memmap(self.path, mode="r")[index].astype(np.float32)
        if not np.isfinite(values).all():
            bad = int(index[np.flatnonzero(~np.isfinite(values).all(axis=1))[0]])
            raise ValueError(f"a feature in row {bad} of {self.path.name} beyond float32", "finite numbers")
        names = ["src", "dst", "time"]
        columns = [batch.column(name) for name in names] + [arrow(label.astype(np.int64)), arrow(values)]
        return pa.record_batch(columns, names=[*names, "label", "feat"])
