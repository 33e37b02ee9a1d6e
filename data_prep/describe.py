"""What a prepared folder holds: counts beside the published ones, and counts over time."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.terminal import Add, plain, silent
from dgl_dysign.data import schema
from dgl_dysign.errors import BackendError, DataError
from dgl_dysign.files import write_file

if TYPE_CHECKING:
    from rich.table import Table

PUBLISHED: dict[str, dict[str, int]] = {
    "dblp": {"num_nodes": 28085, "num_edges": 236894, "num_snapshots": 27, "num_classes": 10},
    "tmall": {"num_nodes": 577314, "num_edges": 4807545, "num_snapshots": 186, "num_classes": 5},
    "patent": {"num_nodes": 2738012, "num_edges": 13960811, "num_snapshots": 25, "num_classes": 6},
    "wikipedia": {
        "num_nodes": 9227, "num_edges": 157474, "num_snapshots": 744, "num_classes": 2, "positive_events": 217,
        "edge_features": 172,
    },
    "reddit": {
        "num_nodes": 10984, "num_edges": 672447, "num_snapshots": 744, "num_classes": 2, "positive_events": 366,
        "edge_features": 172,
    },
    "uci-message": {"num_nodes": 1899, "num_edges": 59835},
    "bitcoin-alpha": {"num_nodes": 3783, "num_edges": 24186},
    "bitcoin-otc": {"num_nodes": 5881, "num_edges": 35592},
}  # fmt: skip
"""Sizes in the papers that introduced or use the data sets."""

_OTHER_NAMES = {"college-msg": "uci-message", "collegemsg": "uci-message"}
_GENERATED = "-generated"
_COUNTS = ("num_nodes", "num_edges", "num_snapshots", "num_classes")


@dataclass(frozen=True)
class Description:
    """Figures of a prepared folder.

    Parameters
    ----------
    manifest : dict
        Its manifest.
    labelled : int
        Number of nodes, or of events, with a label.
    snapshots : dict of numpy.ndarray
        One entry a snapshot: ``snapshot``, ``time`` (where it begins), ``events``, ``active`` (nodes with an event in
        it), ``new`` (nodes never seen before), ``seen`` (nodes with an event so far), and ``classes`` of shape
        (snapshots, classes): active nodes, or events, of each class. Where events have labels 0 and 1 also
        ``positive``, the events of class 1.
    degrees : dict
        For each type of nodes the numbers of events that a node can have, ascending, and how many nodes have so many.
        An event counts at both its ends.
    targets : tuple of float, optional
        The least and the greatest target of a node.
    """

    manifest: dict[str, Any]
    labelled: int
    snapshots: dict[str, np.ndarray] = field(repr=False)
    degrees: dict[str, tuple[np.ndarray, np.ndarray]] = field(repr=False)
    targets: tuple[float, float] | None = None

    @property
    def generated(self) -> bool:
        """Whether the raw files were generated in the format of a real data set."""
        return str(self.manifest["dataset"]).endswith(_GENERATED)

    @property
    def title(self) -> str:
        """Name of the data set, saying so where it was generated."""
        name = str(self.manifest["dataset"])
        return f"{name.removesuffix(_GENERATED)} (generated)" if self.generated else name

    @property
    def published(self) -> dict[str, int]:
        """Published counts of the data set, or of the one that it imitates; empty where there are none."""
        name = str(self.manifest["dataset"]).lower().removesuffix(_GENERATED)
        return PUBLISHED.get(_OTHER_NAMES.get(name, name), {})

    @property
    def positive(self) -> int | None:
        """Number of events of class "1"; None unless events have labels 0 and 1."""
        return int(self.snapshots["positive"].sum()) if "positive" in self.snapshots else None

    def counts(self) -> list[tuple[str, int, int | None]]:
        """Name, count and published count (None where there is none)."""
        here: dict[str, int] = {name: self.manifest[name] for name in _COUNTS}
        if self.positive is not None:
            here["positive_events"] = self.positive
        if "targets" in self.manifest:
            here["targets"] = self.manifest["targets"]["count"]
        features = self.manifest.get("edge_features")
        if features or "edge_features" in self.published:
            here["edge_features"] = int(features["dim"]) if features else 0
        return [(name, count, self.published.get(name)) for name, count in here.items()]

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON-ready values."""
        degrees = {kind: {"degree": d.tolist(), "nodes": n.tolist()} for kind, (d, n) in self.degrees.items()}
        return {
            "manifest": self.manifest,
            "generated": self.generated,
            "counts": {name: count for name, count, _ in self.counts()},
            "published": self.published or None,
            "labelled": self.labelled,
            **(
                {} if self.targets is None else {"targets": dict(zip(("least", "greatest"), self.targets, strict=True))}
            ),
            "snapshots": {name: values.tolist() for name, values in self.snapshots.items()},
            "degrees": degrees,
        }


def describe(folder: Path, progress: Add = silent, rows_at_once: int = 1 << 20) -> Description:
    """Count what a prepared folder holds, in memory that grows with nodes and snapshots, not with events.

    Raises
    ------
    DataError
        If the folder cannot be read.

    Examples
    --------
    >>> description = describe(prepared)
    >>> description.title, description.counts()[0], int(description.snapshots["seen"][-1])
    ('dblp (generated)', ('num_nodes', 100, 28085), 100)
    """
    manifest = schema.read_manifest(folder)
    parts = schema.table(folder, "snapshots")
    first = schema.to_numpy(schema.table(folder, "nodes", ["first_snapshot"])["first_snapshot"])
    schema.check_range(folder / "nodes.parquet", "first_snapshot", first, len(parts), least=-1)
    label, labelled = _node_labels(folder, manifest)
    counter = _Counter(manifest["num_nodes"], len(parts), manifest["num_classes"], label)
    _count_events(folder, counter, progress, rows_at_once)
    new = np.bincount(first[first >= 0], minlength=len(parts))
    snapshots = {
        "snapshot": np.arange(len(parts)),
        "time": schema.to_numpy(parts["time_begin"]),
        "events": schema.to_numpy(parts["num_rows"]),
        "active": counter.active,
        "new": new,
        "seen": np.cumsum(new),
        "classes": counter.classes,
    }
    if manifest["labels"] == "event":
        classes = _event_labels(folder, counter.classes.shape, rows_at_once)
        labelled, snapshots["classes"] = int(classes.sum()), classes
        if all(name in ("0", "1") for name in manifest["class_names"]):
            snapshots["positive"] = classes[:, [name == "1" for name in manifest["class_names"]]].sum(axis=1)
    degrees = _degrees(counter.degree, manifest)
    return Description(manifest, labelled, snapshots, degrees, _targets(folder, manifest))


def _targets(folder: Path, manifest: dict[str, Any]) -> tuple[float, float] | None:
    if not manifest.get("targets", {}).get("count"):
        return None
    target = schema.to_numpy(schema.table(folder, "targets")["target"])
    return float(target.min()), float(target.max())


def _count_events(folder: Path, counter: "_Counter", progress: Add, rows_at_once: int) -> None:
    reader, last = schema.RowReader(folder, "edges"), 0
    advance = progress("counting events", len(reader))
    for batch in reader.batches(["snapshot", "src", "dst"], rows_at_once):
        snapshot, src, dst = (schema.to_numpy(column) for column in batch.columns)
        schema.check_range(reader.path, "snapshot", snapshot, len(counter.active))
        if (np.diff(snapshot, prepend=last) < 0).any():
            raise DataError(f"{reader.path}: found snapshots out of order, expected them ascending; prepare again")
        last = int(snapshot[-1])
        for name, ids in (("src", src), ("dst", dst)):
            schema.check_range(reader.path, name, ids, len(counter.degree))
        counter.add(snapshot, src, dst)
        advance(len(src))


def _node_labels(folder: Path, manifest: dict[str, Any]) -> tuple[np.ndarray, int]:
    """Class of each node, and how many have one; others get a class of their own, one after the last."""
    label = np.full(manifest["num_nodes"], manifest["num_classes"], np.int32)
    if manifest["labels"] != "node":
        return label, 0
    table, path = schema.table(folder, "labels"), folder / "labels.parquet"
    node, value = schema.to_numpy(table["node"]), schema.to_numpy(table["label"])
    schema.check_range(path, "node", node, manifest["num_nodes"])
    schema.check_range(path, "label", value, manifest["num_classes"])
    label[node] = value
    return label, len(node)


def _event_labels(folder: Path, shape: tuple[int, ...], rows_at_once: int) -> np.ndarray:
    """Count the labelled events of each snapshot and class."""
    counts, path = np.zeros(shape, np.int64), folder / "labels.parquet"
    for batch in schema.RowReader(folder, "labels", schema.EVENT_LABELS).batches(["snapshot", "label"], rows_at_once):
        snapshot, label = schema.to_numpy(batch["snapshot"]), schema.to_numpy(batch["label"])
        schema.check_range(path, "snapshot", snapshot, shape[0])
        schema.check_range(path, "label", label, shape[1])
        np.add.at(counts, (snapshot, label), 1)
    return counts


class _Counter:
    """Counts nodes over events that come in the order of their snapshots."""

    def __init__(self, num_nodes: int, num_snapshots: int, num_classes: int, label: np.ndarray) -> None:
        self.active = np.zeros(num_snapshots, np.int64)
        self.classes = np.zeros((num_snapshots, num_classes), np.int64)
        self.degree = np.zeros(num_nodes, np.int64)
        self._label = label
        self._last = np.full(num_nodes, -1, np.int32)  # the snapshot in which each node was counted last

    def add(self, snapshot: np.ndarray, src: np.ndarray, dst: np.ndarray) -> None:
        """Take the next events."""
        nodes = len(self.degree)
        for ends in (src, dst):
            self.degree += np.bincount(ends, minlength=nodes)
        # Each pair of snapshot and node once; int64 holds any product of the two.
        keys = np.concatenate([snapshot.astype(np.int64) * nodes + ends for ends in (src, dst)])
        keys.sort()
        keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
        when, node = np.divmod(keys, nodes)
        fresh = self._last[node] != when
        when, node = when[fresh], node[fresh]
        self._last[node] = when
        first, last = int(snapshot[0]), int(snapshot[-1])
        self.active[first : last + 1] += np.bincount(when - first, minlength=last - first + 1)
        labelled = self._label[node] < self.classes.shape[1]
        np.add.at(self.classes, (when[labelled], self._label[node[labelled]]), 1)


def _degrees(degree: np.ndarray, manifest: dict[str, Any]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    runs: dict[str, list[np.ndarray]] = {}
    for kind, start, end in schema.node_ranges(manifest):
        runs.setdefault(kind, []).append(degree[start:end])
    return {kind: np.unique(np.concatenate(parts), return_counts=True) for kind, parts in runs.items()}


_LONGEST = 40


def show_description(description: Description, png: Path) -> None:
    """Print counts beside the published ones, then one row a snapshot (the middle is left out of long ones)."""
    from rich.console import Console
    from rich.table import Table

    console, manifest = Console(), description.manifest
    table = Table(title=description.title)
    for heading in ("", "here", *(("published", "difference") if description.published else ())):
        table.add_column(heading, justify="right" if heading else "left")
    for name, here, published in description.counts():
        beside = () if published is None else (f"{published:,}", f"{here - published:+,}")
        table.add_row(plain(name), f"{here:,}", *beside)
    table.add_row(f"labelled {manifest['labels'] or 'node'}s", f"{description.labelled:,}")
    if description.targets:
        low, high = description.targets
        table.add_row("least and greatest target", f"{low:,.6g} to {high:,.6g}")
    table.add_row("repeated events", f"{manifest['duplicate_rows']:,}")
    table.add_row("rejected rows", f"{manifest['rejected_rows']:,}")
    if appended := manifest.get("appended"):
        table.add_row("appended to, times", f"{len(appended):,}")
        table.add_row("last append: first snapshot", f"{appended[-1]['first_snapshot']:,}")
        table.add_row("parent", manifest["parent"][:16])
    console.print(table)
    console.print(_degree_table(description))
    console.print(_snapshot_table(description))
    if description.generated:
        console.print("The raw files were generated: the published counts are those of the data set they imitate.")
    console.print(f"picture: {png}", soft_wrap=True)


def _degree_table(description: Description) -> "Table":
    from rich.table import Table

    table = Table(title="events of a node")
    for heading in ("type", "nodes", "without", "median", "mean", "99 %", "most"):
        table.add_column(heading, justify="left" if heading == "type" else "right")
    for kind, (degree, nodes) in description.degrees.items():
        total = int(nodes.sum())
        if not total:
            continue
        up_to = nodes.cumsum()
        middle, high = (int(degree[up_to.searchsorted(share * total)]) for share in (0.5, 0.99))
        without = int(nodes[degree == 0].sum())
        mean = f"{float(degree @ nodes) / total:,.4g}"
        table.add_row(kind, f"{total:,}", f"{without:,}", f"{middle:,}", mean, f"{high:,}", f"{int(degree[-1]):,}")
    return table


def _snapshot_table(description: Description) -> "Table":
    from rich.table import Table

    rows = description.snapshots
    names = [name for name in ("snapshot", "time", "events", "active", "new", "seen", "positive") if name in rows]
    unix = description.manifest["time_unit"] == "seconds since 1970-01-01 UTC"
    table = Table(title="snapshots")
    for name in names:
        table.add_column(name, justify="right")
    number = len(rows["snapshot"])
    shown: Sequence[int] = range(number)
    if number > _LONGEST:
        shown = [*range(_LONGEST // 2), -1, *range(number - _LONGEST // 2, number)]
    for row in shown:
        cells = ["…"] * len(names) if row < 0 else [_cell(name, rows[name][row].item(), unix) for name in names]
        table.add_row(*cells)
    return table


def _cell(name: str, value: float, unix: bool) -> str:
    if name == "time" and unix:
        with suppress(OverflowError):  # before the year 1 or after 9999
            return (datetime(1970, 1, 1) + timedelta(seconds=value)).isoformat(" ", "seconds")
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}"


_MOST_BARS = 1000
_FEW = 60
_NUMBER = "{x:,.10g}"
_BLUE, _RED, _BLACK = "#4477aa", "#ee6677", "#222222"


def draw(description: Description, path: Path) -> None:
    """Draw events, nodes, labels (where there are any) over time, and the distribution of degrees, to a PNG.

    Raises
    ------
    BackendError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BackendError("matplotlib is missing; install it with `pip install dgl-dysign[viz]`") from error

    over_time = 3 if description.labelled else 2
    figure = Figure(figsize=(8, 3 * over_time + 3), layout="constrained")
    axes = [figure.add_subplot(over_time + 1, 1, 1)]
    axes += [figure.add_subplot(over_time + 1, 1, place, sharex=axes[0]) for place in range(2, over_time + 1)]
    rows = _Thinned(description.snapshots)
    total = int(description.snapshots["events"].sum())
    axes[0].stairs(rows.mean("events"), rows.edges, fill=True, color=_BLUE)
    axes[0].set(ylabel=f"events{rows.note}", title=f"{description.title}: {total:,} events")
    _draw_nodes(axes[1], rows)
    if description.positive is not None and description.labelled:
        _draw_positive(axes[2], rows, description)
    elif description.labelled:
        _draw_classes(axes[2], rows, description)
    axes[-1].set(xlabel="snapshot", xlim=(rows.edges[0], rows.edges[-1]))
    for panel in axes:
        panel.yaxis.set_major_formatter(_NUMBER)
    _draw_degrees(figure.add_subplot(over_time + 1, 1, over_time + 1), description)
    with write_file(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


class _Thinned:
    """Snapshots in at most 1,000 bins of neighbouring ones: more bars than pixels show nothing."""

    def __init__(self, snapshots: dict[str, np.ndarray]) -> None:
        self._snapshots = snapshots
        number = len(snapshots["snapshot"])
        width = -(-number // _MOST_BARS) or 1
        self._starts = np.arange(0, number, width)
        self._sizes = np.diff(self._starts, append=number)
        # A bar stands over the number of its snapshot.
        self.edges = np.append(self._starts, number) - 0.5
        self.note = "" if width == 1 else f"\n(mean of {width} snapshots)"

    def total(self, name: str) -> np.ndarray:
        return np.add.reduceat(self._snapshots[name], self._starts, axis=0)

    def mean(self, name: str) -> np.ndarray:
        return self.total(name) / self._sizes

    def last(self, name: str) -> np.ndarray:
        return self._snapshots[name][self._starts + self._sizes - 1]

    @property
    def middle(self) -> np.ndarray:
        return (self.edges[1:] + self.edges[:-1]) / 2


def _draw_nodes(axes: Any, rows: _Thinned) -> None:
    marker = "." if len(rows.middle) < _FEW else ""
    active = axes.plot(rows.middle, rows.mean("active"), marker=marker, color=_BLUE, label="active in the snapshot")
    new = axes.plot(rows.middle, rows.mean("new"), marker=marker, color=_RED, label="new")
    axes.set(ylabel=f"nodes{rows.note}", ylim=(0, None))
    total = _second_axis(axes, "seen so far")
    seen = total.plot(rows.middle, rows.last("seen"), marker=marker, color=_BLACK, label="seen so far (right)")
    total.set(ylim=(0, None))
    # Above the panel: inside, whatever the corner, some curve runs through it.
    place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 3, "frameon": False}
    total.legend(handles=[*active, *new, *seen], **place)


def _second_axis(axes: Any, label: str) -> Any:
    second = axes.twinx()
    second.set(ylabel=label)
    second.yaxis.set_major_formatter(_NUMBER)
    return second


def _draw_positive(axes: Any, rows: _Thinned, description: Description) -> None:
    positive, labelled = rows.total("positive"), rows.total("classes").sum(axis=1)
    axes.stairs(100 * positive / np.maximum(labelled, 1), rows.edges, fill=True, color=_RED)
    axes.set(ylabel="positive events, %")
    axes.set_title(f"{int(positive.sum()):,} of {description.labelled:,} events are positive", fontsize="medium")
    so_far = _second_axis(axes, "positive so far")
    so_far.plot(rows.middle, np.cumsum(positive), color=_BLACK)
    so_far.set(ylim=(0, None))


def _draw_classes(axes: Any, rows: _Thinned, description: Description) -> None:
    from matplotlib import colormaps

    share = rows.total("classes").T.astype(float)
    share /= np.maximum(share.sum(axis=0), 1)
    colours = [colormaps["tab20"](i % 20) for i in range(len(share))]
    axes.stackplot(
        np.repeat(rows.edges, 2)[1:-1],
        np.repeat(share, 2, axis=1),
        labels=description.manifest["class_names"],
        colors=colours,
    )
    what = "active labelled nodes" if description.manifest["labels"] == "node" else "labelled events"
    axes.set(ylabel=f"share of {what}", ylim=(0, 1))
    if len(share) <= 20:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, title="class", reverse=True)


def _draw_degrees(axes: Any, description: Description) -> None:
    for (kind, (degree, nodes)), colour in zip(description.degrees.items(), (_BLUE, _RED), strict=False):
        at_least = np.cumsum(nodes[::-1])[::-1]
        seen = degree > 0
        axes.plot(degree[seen], at_least[seen], ".", markersize=4, color=colour, label=kind)
    axes.set(xlabel="events of a node (k)", ylabel="nodes with k or more")
    if any(degree[-1:].any() for degree, _ in description.degrees.values()):  # nothing else has a logarithm
        axes.set(xscale="log", yscale="log")
    if len(description.degrees) > 1:
        axes.legend(loc="upper right", frameon=False)
