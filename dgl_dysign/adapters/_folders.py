"""Streams from prepared folders and back, through ``data_prep``'s own pipeline."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.data import schema
from dgl_dysign.errors import ConfigError, DataError

if TYPE_CHECKING:
    from data_prep.rules import Binning, Rule

_HOLDS = ("edge_feat", "edge_weight", "event_label", "node_label", "snapshot")
_COLUMNS = {"edge_weight": "weight", "event_label": "label", "edge_feat": "feat"}


def read_folder(data: Any, node_features: str | None) -> EventStream:
    """Do the work of :meth:`EventStream.of`."""
    folder = Path(data if isinstance(data, str | os.PathLike) else data.folder)
    manifest = schema.read_manifest(folder)
    rows = _columns(folder, "edges", schema.edge_schema(manifest))
    if "weight" in rows:
        rows["edge_weight"] = rows.pop("weight")
    if manifest.get("edge_features"):
        rows["edge_feat"] = _columns(folder, "edge_features")["feat"]
    ranges, offsets = _columns(folder, "snapshots", schema.SNAPSHOTS), list(manifest["id_offsets"].values())
    if len(offsets) > 2:
        raise DataError(f"{folder}: found {len(offsets)} types of nodes, expected one or two; adapters know no more")
    return EventStream.from_rows(
        num_nodes=manifest["num_nodes"],
        **rows,
        **_labels(folder, manifest, rows["edge_id"]),
        node_feat=_node_features(folder, manifest, node_features),
        snapshot_begin=ranges["time_begin"],
        snapshot_end=ranges["time_end"],
        directed=manifest["directed"],
        name=manifest["dataset"],
        time_unit=manifest["time_unit"],
        node_offset=offsets[1] if len(offsets) == 2 else None,
    )


def _columns(folder: Path, name: str, expected: Any = None) -> dict[str, np.ndarray]:
    table = schema.table(folder, name, None if expected is None else expected.names, expected)
    return {column: schema.to_numpy(table[column]) for column in table.column_names}


def _labels(folder: Path, manifest: Mapping[str, Any], edge_id: np.ndarray) -> dict[str, np.ndarray]:
    """Give the labels of the events, in the order of `edge_id`, or those of the nodes."""
    if manifest["labels"] is None:
        return {}
    event = manifest["labels"] == "event"
    rows = _columns(folder, "labels", schema.EVENT_LABELS if event else schema.LABELS)
    number, key = (len(edge_id), "edge_id") if event else (manifest["num_nodes"], "node")
    schema.check_range(folder / "labels.parquet", key, rows[key], number)
    label = np.full(number, -1)
    label[rows[key]] = rows["label"]
    return {"event_label": label[edge_id]} if event else {"node_label": label}


def _node_features(folder: Path, manifest: Mapping[str, Any], chosen: str | None) -> np.ndarray | None:
    if chosen not in (None, "drop", "last"):
        raise ConfigError(f"node_features: found {chosen!r}, expected 'drop', 'last' or None")
    if manifest["features"] is None or chosen == "drop":
        return None
    if chosen is None:
        raise ConfigError(
            f"{folder}: found node features ({manifest['features']['kind']}) of each snapshot, expected none, as a "
            "stream has one table for all times; choose node_features='drop' (they are made of the events, and can be "
            "made again), or 'last' for those of the last snapshot"
        )
    return _columns(folder, schema.feature_name(manifest["num_snapshots"] - 1))["feat"]


def write_folder(
    stream: EventStream,
    folder: Path,
    rule: "Rule | None",
    features: str,
    feature_options: Mapping[str, Any] | None,
    names_of: str | os.PathLike[str] | None,
    overwrite: bool,
) -> dict[str, Any]:
    """Do the work of :meth:`EventStream.prepare`."""
    from data_prep.arrays import Arrays, prepare_arrays
    from data_prep.features import options
    from data_prep.pipeline import Options
    from data_prep.rules import Rule

    stream.check_holds("a prepared folder", _HOLDS)
    if stream.event_label is not None and stream.node_label is not None:
        raise ConfigError(
            "a prepared folder: found labels of events and of nodes, expected one of them; leave the others out on "
            "purpose with stream.without('node_label') or stream.without('event_label')"
        )
    rows = stream.in_raw_order()
    columns = {name: rows[name] for name in ("src", "dst", "time")}
    columns |= {name: rows[field] for field, name in _COLUMNS.items() if field in rows}
    arrays = Arrays(
        columns,
        stream.num_nodes,
        stream.node_label,
        stream.node_offset,
        binning=None if rule else _binning(stream),
        dataset=stream.name,
        directed=stream.directed,
        time_unit=stream.time_unit,
        unix=stream.time_unit.startswith("seconds since 1970"),
    )
    if names_of is not None:
        arrays = replace(arrays, **_names(stream, Path(names_of)))
    chosen = options(features, **dict(feature_options or {}))
    made = Options(rule or Rule("step"), features=features, feature_options=chosen, overwrite=overwrite)
    return prepare_arrays(arrays, folder, made)


def _names(stream: EventStream, folder: Path) -> dict[str, Any]:
    """Read the names of nodes, types and classes of a folder with the same nodes."""
    manifest = schema.read_manifest(folder)
    offsets = [0] if stream.node_offset is None else [0, stream.node_offset]
    found = manifest["num_nodes"], list(manifest["id_offsets"].values())
    if found != (stream.num_nodes, offsets):
        raise DataError(
            f"{folder}: found {found[0]} nodes, types from {found[1]}, expected {stream.num_nodes} and {offsets}, as "
            "in the stream; name the folder that the stream was read from"
        )
    names = {
        "raw_id": schema.table(folder, "nodes", ["raw_id"])["raw_id"].combine_chunks(),
        "id_order": manifest.get("id_order") or "as in the file",
        "class_names": tuple(manifest["class_names"]),
    }
    return names if stream.node_offset is None else {**names, "types": tuple(manifest["id_offsets"])}


def _binning(stream: EventStream) -> "Binning | None":
    from data_prep.rules import Binning

    if stream.snapshot_begin is None or stream.snapshot_end is None:
        return None
    # Readers know by the rule whether a snapshot's end belongs to it: a step's does.
    kind = {"kind": "rank", "given": True} if stream.closed else {"kind": "given"}
    return Binning(stream.snapshot_begin, stream.snapshot_end, kind, closed=stream.closed)
