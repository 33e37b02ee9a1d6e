"""What a prepared folder holds: counts beside the published ones, one row a snapshot, and a picture over time."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dgl_dysign.data import schema
from dgl_dysign.errors import BackendError

PUBLISHED = {
    "dblp": {"num_nodes": 28085, "num_edges": 236894, "num_snapshots": 27, "num_classes": 10},
    "tmall": {"num_nodes": 577314, "num_edges": 4807545, "num_snapshots": 186, "num_classes": 5},
    "patent": {"num_nodes": 2738012, "num_edges": 13960811, "num_snapshots": 25, "num_classes": 6},
    "wikipedia": {"num_nodes": 9227, "num_edges": 157474, "num_snapshots": 744, "num_classes": 2},
    "reddit": {"num_nodes": 10984, "num_edges": 672447, "num_snapshots": 744, "num_classes": 2},
}
"""Sizes in the papers that introduced or use the data sets."""

_COUNTS = ("num_nodes", "num_edges", "num_snapshots", "num_classes")


@dataclass(frozen=True)
class Description:
    """Figures of a prepared folder.

    Parameters
    ----------
    manifest : dict
        Its manifest.
    labelled : int
        Number of nodes with a label.
    snapshots : list of dict
        One a snapshot: ``snapshot``, ``time``, ``events``, ``active`` (nodes with an event in it), ``new`` (nodes never
        seen before), ``seen`` (nodes with an event so far), ``classes`` (active nodes of each class).
    """

    manifest: dict[str, Any]
    labelled: int
    snapshots: list[dict[str, Any]] = field(repr=False)

    def counts(self) -> list[tuple[str, int, int | None]]:
        """Name, count and published count (None where the data set is not a published one)."""
        published = PUBLISHED.get(self.manifest["dataset"], {})
        return [(name, self.manifest[name], published.get(name)) for name in _COUNTS]

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON-ready values."""
        published = PUBLISHED.get(self.manifest["dataset"])
        return {**asdict(self), "published": published}


def describe(folder: Path) -> Description:
    """Count what a prepared folder holds.

    Parameters
    ----------
    folder : path
        A prepared folder.

    Returns
    -------
    Description
        Counts for the whole folder and for each snapshot.

    Raises
    ------
    DataError
        If the folder cannot be read.
    """
    manifest = schema.read_manifest(folder)
    edges = schema.table(folder, "edges", ["src", "dst"])
    src, dst = (edges[name].to_numpy() for name in ("src", "dst"))
    parts = schema.table(folder, "snapshots").to_pylist()
    first = schema.table(folder, "nodes", ["first_snapshot"])["first_snapshot"].to_numpy()
    new = np.bincount(first[first >= 0], minlength=len(parts))
    classes, labels = manifest["num_classes"], schema.table(folder, "labels")
    # Unlabelled nodes get a class of their own, which is then cut off.
    label = np.full(manifest["num_nodes"], classes)
    label[labels["node"].to_numpy()] = labels["label"].to_numpy()
    rows, seen = [], np.cumsum(new)
    for t, part in enumerate(parts):
        span = slice(part["first_row"], part["first_row"] + part["num_rows"])
        active = np.unique(np.concatenate([src[span], dst[span]]))
        rows.append(
            {
                "snapshot": t,
                "time": part["time_begin"],
                "events": part["num_rows"],
                "active": len(active),
                "new": int(new[t]),
                "seen": int(seen[t]),
                "classes": np.bincount(label[active], minlength=classes + 1)[:classes].tolist(),
            }
        )
    return Description(manifest, labels.num_rows, rows)


def draw(description: Description, path: Path) -> None:
    """Draw events, nodes and classes over time to a PNG.

    Raises
    ------
    BackendError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BackendError("matplotlib is missing; install it with `pip install dgl-dysign[viz]`") from error

    rows = description.snapshots
    t = [row["snapshot"] for row in rows]
    figure = Figure(figsize=(8, 9), layout="constrained")
    events, nodes, classes = figure.subplots(3, sharex=True)
    name = description.manifest["dataset"]
    events.bar(t, [row["events"] for row in rows], width=1.0, color="#4477aa")
    events.set(ylabel="events", title=f"{name}: {sum(row['events'] for row in rows):,} events")
    nodes.plot(t, [row["seen"] for row in rows], color="#222222", label="seen so far")
    nodes.plot(t, [row["active"] for row in rows], color="#4477aa", label="active in the snapshot")
    nodes.plot(t, [row["new"] for row in rows], color="#ee6677", label="new")
    nodes.set(ylabel="nodes")
    nodes.legend(loc="upper left", frameon=False)
    share = np.array([row["classes"] for row in rows], dtype=float).T
    share /= np.maximum(share.sum(axis=0), 1)
    classes.stackplot(t, share, labels=description.manifest["class_names"], colors=_colours(len(share)))
    classes.set(ylabel="share of active labelled nodes", xlabel="snapshot", ylim=(0, 1))
    if len(share) <= 20:
        classes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, title="class", reverse=True)
    partial = path.with_name(f".{path.name}.new")
    figure.savefig(partial, dpi=120, format="png")
    partial.replace(path)


def _colours(count: int) -> list[Any]:
    from matplotlib import colormaps

    return [colormaps["tab20"](i % 20) for i in range(count)]
