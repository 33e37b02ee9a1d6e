"""How the folders of TGL and of DyGLib are written, and what is read of both."""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dgl_dysign import _preparation
from dgl_dysign.adapters._shared import check_kept
from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.files import read_json, regular


def write_files(
    form: str,
    holds: tuple[str, ...],
    stream: EventStream,
    path: Any,
    shift_time: bool,
    weight_as_feature: bool,
    lose: Collection[str],
    overwrite: bool,
    check_times: Callable[[np.ndarray], object] = len,
) -> Path:
    """Write a folder of files, whole or not at all; refuse what they cannot hold.

    `holds` are optional fields that the format holds, features and weights of events aside; `check_times` raises if it
    cannot hold the times; the rest is as for ``from_events``.
    """
    folder = as_folder(form, path)
    if stream.edge_weight is not None and not weight_as_feature:
        raise ConfigError(
            f"{form}: found weights of events, expected none, as the format has features only; make them the first "
            "feature with weight_as_feature=True, or leave them out with stream.without('edge_weight')"
        )
    stream.check_holds(form, ("edge_feat", "edge_weight", *holds))
    check_kept(form, stream, lose, holds=("num_nodes",))
    if not len(stream):
        raise DataError(f"{form}: found no event, expected one or more; such files cannot be read back")
    shift = float(stream.time[0]) if shift_time else 0.0
    if ((stream.time - shift) + shift != stream.time).any():
        raise ConfigError(
            f"{form}: found times that shift_time=True would change in their last digits, expected none; write them "
            "unshifted, or round them first with dgl_dysign.adapters.times.retimed(stream, floor=True)"
        )
    if shift:
        stream = replace(stream, time=stream.time - shift)
    check_times(stream.time)
    _preparation.export_table(stream, folder, form.lower(), time_shift=shift, overwrite=overwrite)
    return folder


class Marker:
    """What ``export.json`` says beside files of ours; nothing where there is none, DataError where it is damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.about, self.shift, self.rows = folder, {}, 0.0, {}
        path = folder / "export.json"
        if not path.exists():
            return
        try:
            marker = read_json(path)
            self.about = {**marker.get("about", {}), "name": marker["dataset"]}
            self.shift, self.rows = float(marker["time_shift"]), dict(marker["rows"])
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(
                f"{path}: found no description of an export ({error}), expected one; export again, or remove it and "
                "say what is needed by options"
            ) from None

    def fields(self) -> dict[str, Any]:
        """Return the fields of the stream that the files themselves do not hold."""
        names = ("name", "directed", "time_unit", "node_offset")
        return {name: self.about[name] for name in names if name in self.about}

    def check_rows(self, name: str, rows: int) -> None:
        """Raise DataError where the marker was written beside other files."""
        expected = self.rows.get(name, rows)
        if expected != rows:
            raise DataError(
                f"{self.folder / name}: found {rows} rows, expected {expected}, as export.json says; export again, or "
                "remove export.json if the files are your own"
            )

    def weight_and_features(
        self, table: np.ndarray | None, weight_as_feature: bool | None
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Split a table of features into weights, if its first column is that, and the others."""
        first = self.about.get("weight_is_first_feature") if weight_as_feature is None else weight_as_feature
        if table is None or not first:
            return None, table
        return table[:, 0].astype(np.float64), table[:, 1:] if table.shape[1] > 1 else None


def as_folder(form: str, path: Any) -> Path:
    """Return a path; raise ConfigError if there is none."""
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(f"{form}: found {type(path).__name__} as path, expected the folder of the files")
    return Path(path)


def header_of(path: Path) -> list[str]:
    """Return the names in the first line of a CSV file; none if it cannot be read."""
    try:
        with open(regular(path), encoding="utf-8") as stream:
            return [name.strip() for name in stream.readline(1 << 16).removeprefix("\ufeff").rstrip("\r\n").split(",")]
    except (OSError, ValueError):  # no file, no text, or no path at all
        return []


def read_csv(path: Path, kinds: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Read some columns of a CSV file, by the names in its header, with ``data_prep``'s own reader.

    `kinds` has ``"integer"`` (int64, from 0 up) or ``"number"`` (finite float64) for each name. A DataError names file
    and line if a column is missing or a value is of another kind.
    """
    header = header_of(path)
    missing = [name for name in kinds if name not in header]
    if missing:
        raise DataError(f"{path}: found columns {', '.join(header)}, expected {missing[0]} among them; see its format")
    columns = [_preparation.Column(name if name in kinds else "", kinds.get(name, "skip")) for name in header]
    names = [name for name in header if name in kinds]
    with open(path, "rb") as stream:
        stream.readline()
        if not stream.read(1 << 12).strip():  # a table of nothing, which the reader of raw files refuses
            return {name: np.empty(0, np.int64 if kinds[name] == "integer" else np.float64) for name in names}
    file = _preparation.RawFile(path, _preparation.Layout(tuple(columns), delimiter=",", header=1))
    return dict(zip(names, _preparation.read_columns(file), strict=True))


def read_array(path: Path, rows: int | None, what: str) -> np.ndarray:
    """Read a table of floats, ``.npy`` or a tensor of PyTorch, without running anything that is in it."""
    try:
        if path.suffix == ".pt":
            from dgl_dysign.data.tensor_file import load_tensors

            values = load_tensors(path, mmap=False).numpy()
        else:
            values = np.load(regular(path), allow_pickle=False)
        if not isinstance(values, np.ndarray):
            raise ValueError("an archive of arrays, expected one")
    except Exception as error:  # a damaged file may raise almost anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path}: found no table of numbers ({reason}), expected {what}; write it again") from None
    if values.ndim != 2 or len(values) != (len(values) if rows is None else rows) or values.dtype.kind not in "fiub":
        raise DataError(
            f"{path}: found {values.dtype} of shape {values.shape}, expected {what}: one row an event or node"
        )
    return values
