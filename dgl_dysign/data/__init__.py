"""Reading prepared folders: :class:`TemporalGraph`, splits, and the schema that ``data_prep`` writes by.

Names load on first use, so that :mod:`dgl_dysign.data.schema` can be had without PyTorch and DGL. A function
that has the name of its module, :func:`dgl_dysign.data.snapshot_edges.snapshot_edges`, is imported from there.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dgl_dysign.data.snapshot_edges import SnapshotEdges, distinct_edges
    from dgl_dysign.data.splits import split_by_time, stratified_split
    from dgl_dysign.data.temporal_graph import TemporalGraph

_HOMES = {
    "SnapshotEdges": "snapshot_edges",
    "TemporalGraph": "temporal_graph",
    "distinct_edges": "snapshot_edges",
    "split_by_time": "splits",
    "stratified_split": "splits",
}

__all__ = ["SnapshotEdges", "TemporalGraph", "distinct_edges", "split_by_time", "stratified_split"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "schema"]
