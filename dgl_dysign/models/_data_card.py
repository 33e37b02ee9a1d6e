"""What a model folder remembers of the data: enough to refuse data of another shape, and to know nodes again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dgl_dysign.data import schema
from dgl_dysign.errors import DataError

if TYPE_CHECKING:
    from dgl_dysign.data import TemporalGraph

ALWAYS = ("dataset", "directed", "snapshot_rule", "edge_weight")
_SHAPES = (*ALWAYS, "num_nodes", "num_snapshots", "num_edges", "class_names", "features", "edge_features")
_REMEDY = {
    "snapshot_rule": "prepare it with the rule that the model knows",
    "features": "prepare it with the same --features and their options",
    "class_names": "prepare it with the labels that the model was trained on, or train a model on this data",
}


def data_card(data: TemporalGraph) -> dict[str, Any]:
    """Return what a config says of a folder: the hash of its manifest, which has those of all files, and shapes."""
    manifest = data.manifest
    return {
        "manifest_sha256": schema.sha256(data.folder / schema.MANIFEST),
        **{key: manifest.get(key) for key in _SHAPES},
        "num_classes": data.num_classes,
        "feature_dim": data.feature_dim,
    }


def check_card(card: dict[str, Any], data: TemporalGraph, keys: Sequence[str]) -> bool:
    """Raise unless a prepared folder is of the shape that a model was made for.

    Parameters
    ----------
    card : dict
        What `data_card` said of the folder that the model was trained on.
    data : TemporalGraph
        The folder in question.
    keys : sequence of str
        What has to be equal.

    Returns
    -------
    bool
        Whether it is another folder.

    Raises
    ------
    DataError
        Naming the first thing that is not.
    """
    found = data_card(data)
    if found["manifest_sha256"] == card.get("manifest_sha256"):
        return False
    for key in keys:
        if not _alike(found[key], card.get(key)):
            remedy = _REMEDY.get(key, "give it the data that it was trained on, with later snapshots")
            raise DataError(
                f"{data.folder}: found {key} = {found[key]!r}, but the model was trained on {card.get(key)!r}: {remedy}"
            )
    return True


def _alike(found: Any, expected: Any) -> bool:
    """Tell whether values are equal; the step of a grid, which is worked out from rounded times, only nearly."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return {**found, "step": 0} == {**expected, "step": 0} and math.isclose(
            found.get("step", 0), expected.get("step", 0), rel_tol=1e-3
        )
    return bool(found == expected)


def node_names(data: TemporalGraph) -> list[list[str | None]]:
    """Return type and raw id of each node: what makes it known again under another number."""
    table = schema.table(data.folder, "nodes", ["raw_id", "type"])
    return [list(pair) for pair in zip(table["type"].to_pylist(), table["raw_id"].to_pylist(), strict=True)]


def new_places(before: Sequence[Sequence[str | None]], data: TemporalGraph) -> Tensor | None:
    """Return the number that each node of the training has in the data, int64; None where all have kept theirs.

    Raises
    ------
    DataError
        If a node is not there any more.
    """
    now = node_names(data)
    if [list(pair) for pair in before] == now:
        return None
    known = {tuple(pair): node for node, pair in enumerate(now)}
    gone = [pair for pair in before if tuple(pair) not in known]
    if gone:
        kind, raw_id = gone[0]
        raise DataError(
            f"{data.folder}: found no node with raw id {raw_id!r}{f' of type {kind!r}' if kind else ''} ({len(gone)} "
            f"such), but the model has learned something of it: give it the data that it was trained on, with later "
            f"snapshots"
        )
    return torch.tensor([known[tuple(pair)] for pair in before], dtype=torch.int64)
