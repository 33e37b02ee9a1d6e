"""Small prepared folders, and others that differ from them where a model may not look: what `check_entry` fits to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.data import TemporalGraph, schema
from dgl_dysign.errors import ConfigError
from dgl_dysign.events import EVENT_FIELDS

#: What becomes of what a model may not see.
HOW = ("change", "delete", "shuffle")
MOST_NODES, MOST_EVENTS, MOST_SNAPSHOTS = 300, 3000, 12


@dataclass(frozen=True)
class Sample:
    """A prepared folder in memory, small enough to be fitted to many times; nothing of it changes.

    Parameters
    ----------
    events : EventStream
        With snapshots, and labels of nodes or of events.
    node_feat : numpy.ndarray, optional
        Features of the nodes at each snapshot, float32 ``(T, N, D)``.
    about : str
        What it is, and what was cut.
    """

    events: EventStream
    node_feat: np.ndarray | None = None
    about: str = ""

    @classmethod
    def of(cls, data: TemporalGraph) -> Sample:
        """Read a part of a prepared folder: the busiest nodes, their events, snapshots put together.

        Nodes with an event that is labelled positive come before all others, as these are few; classes of nodes alike.
        """
        whole, T = EventStream.of(data, node_features="drop", edge_features=False), data.num_snapshots
        if T < 4:
            raise ConfigError(f"{data.folder}: found {T} snapshots, expected 4 or more to check a model on")
        nodes = _busiest(whole)
        number = np.full(whole.num_nodes, -1)
        number[nodes] = np.arange(len(nodes))
        rows = _thinned(whole, np.flatnonzero((number[whole.src] >= 0) & (number[whole.dst] >= 0)))
        parts = np.array_split(np.arange(T), min(T, MOST_SNAPSHOTS))
        first, last = [part[0] for part in parts], [part[-1] for part in parts]
        columns = _rows_of(whole, rows)
        columns |= {
            "num_nodes": len(nodes),
            "src": number[columns["src"]],
            "dst": number[columns["dst"]],
            "snapshot": np.searchsorted(last, columns["snapshot"]),
            "edge_feat": None if data.edge_feature_dim is None else _edge_features(data, whole.edge_id[rows]),
            "node_label": None if whole.node_label is None else whole.node_label[nodes],
            "snapshot_begin": np.asarray(whole.snapshot_begin)[first],
            "snapshot_end": np.asarray(whole.snapshot_end)[last],
            "node_offset": None if whole.node_offset is None else np.searchsorted(nodes, whole.node_offset),
        }
        feat = None if data.feature_dim is None else np.stack([data.features(int(t)).numpy()[nodes] for t in last])
        sizes = f"{len(rows)} of {len(whole)} events, {len(nodes)} of {whole.num_nodes} nodes"
        about = f"{whole.name}: {sizes}, {T} snapshots put together to {len(parts)}"
        return cls(whole, feat, about)._with(**columns)

    @property
    def snapshot(self) -> np.ndarray:
        """Snapshot of each event."""
        return np.asarray(self.events.snapshot)

    def write(self, folder: Path) -> TemporalGraph:
        """Write a prepared folder, and read it."""
        self.events.prepare(folder)
        if self.node_feat is not None:
            (folder / "features").mkdir()
            manifest, kind = schema.read_manifest(folder), schema.feature_schema(self.node_feat.shape[2])
            for t, rows in enumerate(self.node_feat):
                name = f"{schema.feature_name(t)}.parquet"
                values = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), type=kind.field(0).type)
                pq.write_table(pa.table([values], schema=kind), folder / name, write_page_checksum=True)
                manifest["files"][name] = schema.sha256(folder / name)
            schema.write_manifest(folder, {**manifest, "features": {"kind": "check", "dim": self.node_feat.shape[2]}})
        return TemporalGraph.load(folder)

    def after(self, first: int, how: str, queried: bool = False) -> Sample:
        """Change, delete or shuffle (`how`, of `HOW`) everything at and after the snapshot `first`.

        With `queried`, a model is asked about the events of `first`: of these, labels alone change.
        """
        table, rng, later = self.events, np.random.default_rng(first), self.snapshot >= first + queried
        if table.event_label is not None:
            table = self.with_labels(self.snapshot >= first, how).events
        columns = _rows_of(table, ~later if how == "delete" else slice(None))
        if how != "delete":
            for name in ("src", "dst", "edge_feat", "edge_weight"):
                if name in columns:
                    columns[name][later] = _moved(columns[name][later], name, how, table, rng)
            bounds = table.snapshot_begin, table.snapshot_end
            begin, end = (np.asarray(bound)[self.snapshot[later]] for bound in bounds)
            columns["time"][later] = begin + 0.999 * rng.random(len(begin)) * (end - begin)
        feat = self.node_feat
        if feat is not None:
            old = feat[first:]
            new = {"change": rng.normal(size=old.shape), "delete": 0 * old, "shuffle": rng.permuted(old, axis=1)}[how]
            feat = np.concatenate([feat[:first], new]).astype(np.float32)
        return self._with(feat, **columns)

    def with_labels(self, rows: np.ndarray, how: str) -> Sample:
        """Change, delete or shuffle the labels of some nodes or events.

        Those of events are changed where others are deleted, as both have to be there.
        """
        name = "node_label" if self.events.event_label is None else "event_label"
        label = np.array(getattr(self.events, name))
        some = label[rows]
        if how == "shuffle":
            label[rows] = np.random.default_rng(len(some)).permutation(some)
        elif how == "delete" and name == "node_label":
            label[rows] = -1
        else:
            label[rows] = np.where(some >= 0, (some + 1) % (label.max() + 1), some)
        return self._with(**{name: label})

    def renamed(self, names: np.ndarray) -> Sample:
        """Give every node another number."""
        old, table = names.argsort(), self.events
        feat = None if self.node_feat is None else self.node_feat[:, old]
        label = None if table.node_label is None else table.node_label[old]
        return self._with(feat, src=names[table.src], dst=names[table.dst], node_label=label)

    def with_one_more(self) -> Sample:
        """Add a node without events, features and label."""
        label, feat = self.events.node_label, self.node_feat
        label = None if label is None else np.append(label, -1)
        feat = None if feat is None else np.pad(feat, ((0, 0), (0, 1), (0, 0)))
        return self._with(feat, num_nodes=self.events.num_nodes + 1, node_label=label)

    def paired(self) -> list[int]:
        """Return the rows of the events of pairs, the first ones, in which neither end has another partner."""
        partner: dict[int, int] = {}
        rows = []
        for row, (u, v) in enumerate(np.stack([self.events.src, self.events.dst], 1).tolist()):
            if partner.get(u, v) == v and partner.get(v, u) == u:
                partner[u], partner[v] = v, u
                rows.append(row)
        return rows

    def only(self, rows: list[int]) -> Sample:
        """Keep some events."""
        return self._with(**_rows_of(self.events, rows))

    def names(self) -> np.ndarray:
        """Draw a new number for each node, on its own side where there are two."""
        rng, table = np.random.default_rng(0), self.events
        middle = table.node_offset or 0
        return np.concatenate([rng.permutation(middle), middle + rng.permutation(table.num_nodes - middle)])

    def reordered(self) -> Sample:
        """Let the events of a snapshot stand in another order in the raw file; those of one pair keep theirs."""
        rng, table = np.random.default_rng(0), self.events
        ends = np.stack([table.src, table.dst])
        low, high = ends if table.directed else np.sort(ends, axis=0)
        place = rng.permutation(table.num_nodes**2)[low * table.num_nodes + high]
        old, new = (np.lexsort((*keys, self.snapshot)) for keys in ((table.edge_id,), (table.edge_id, place)))
        ids = np.empty_like(table.edge_id)
        ids[new] = table.edge_id[old]
        return self._with(edge_id=ids)

    def _with(self, node_feat: np.ndarray | None = None, **columns: Any) -> Sample:
        """Return one with other columns."""
        stream = EventStream.from_rows(**{**vars(self.events), **columns})
        return Sample(stream, self.node_feat if node_feat is None else node_feat, self.about)


def _rows_of(table: EventStream, rows: Any) -> dict[str, Any]:
    """Return the columns of some events; ids count from 0 up again."""
    arrays = {name: getattr(table, name) for name in EVENT_FIELDS}
    columns = {name: values[rows].copy() for name, values in arrays.items() if values is not None}
    return {**columns, "edge_id": columns["edge_id"].argsort().argsort()}


def _busiest(table: EventStream) -> np.ndarray:
    """Return the nodes to keep, ascending."""
    ends = np.concatenate([table.src, table.dst])
    rank = np.bincount(ends, minlength=table.num_nodes).astype(float)
    if table.event_label is not None:
        positive = np.tile(table.event_label > 0, 2)
        rank += len(ends) * np.bincount(ends[positive], minlength=table.num_nodes)
    if table.node_label is not None:  # as many of each class as there are
        for label in range(int(table.node_label.max(initial=-1)) + 1):
            nodes = np.flatnonzero(table.node_label == label)
            rank[nodes[np.argsort(-rank[nodes], kind="stable")]] = 2 * len(ends) - np.arange(len(nodes))
    return np.sort(np.argsort(-rank, kind="stable")[:MOST_NODES])


def _thinned(table: EventStream, rows: np.ndarray) -> np.ndarray:
    """Return at most so many rows: all with a positive label, of the others every so many-th."""
    positive = np.zeros(len(rows), bool) if table.event_label is None else table.event_label[rows] > 0
    rest, most = rows[~positive], max(MOST_EVENTS - int(positive.sum()), 1)
    if len(rest) > most:
        rest = rest[np.linspace(0, len(rest) - 1, most).astype(np.int64)]
    return np.sort(np.concatenate([rows[positive], rest]))


def _edge_features(data: TemporalGraph, ids: np.ndarray) -> np.ndarray:
    """Read the features of some events, a snapshot at a time."""
    own = [data.events(t)[3].numpy() for t in range(data.num_snapshots)]
    kept = [np.isin(some, ids) for some in own]
    feat = [data.edge_features(t).numpy()[rows] for t, rows in enumerate(kept)]
    order = np.concatenate([some[rows] for some, rows in zip(own, kept, strict=True)]).argsort()
    return np.concatenate(feat)[order][ids.argsort().argsort()]


def _moved(values: np.ndarray, name: str, how: str, table: EventStream, rng: np.random.Generator) -> np.ndarray:
    """Return other values in place of a column's: drawn, or those of other events."""
    if how == "shuffle" or not len(values):
        return values if name == "src" else rng.permutation(values)
    if name in ("src", "dst"):
        middle, N = table.node_offset, table.num_nodes
        low, high = (0, N) if middle is None else (0, middle) if name == "src" else (middle, N)
        return rng.integers(low, high, len(values))
    return (rng.permutation(values) + rng.normal(size=values.shape)).astype(values.dtype)


@cache
def generated(kind: str) -> Sample:
    """Return a directed network in which most sources go back to their last destination, and few to who came to them.

    Parameters
    ----------
    kind : {"node", "link", "event"}
        What is labelled: of nodes one of three groups, which their features and their partners tell; of events whether
        the source was active in the snapshot before, in nine of ten cases.
    """
    rng = np.random.default_rng(0)
    N, T, each = 100, 10, 60
    group = rng.permutation(N) % 3
    last, visitor, active = rng.integers(N, size=N), rng.integers(N, size=N), np.zeros(N, bool)
    rows: list[tuple[int, int, int, int]] = []
    for t in range(T):
        src = rng.integers(N, size=each)
        own = np.array([rng.choice(np.flatnonzero(group == group[node])) for node in src])
        kind_of = rng.choice(3, size=each, p=[0.7, 0.1, 0.2])
        dst = np.choose(kind_of, [last[src], visitor[src], own])
        label = active[src] ^ (rng.random(each) < 0.1)
        rows += zip([t] * each, src, dst, label, strict=True)
        last[src], visitor[dst] = dst, src
        active[:] = False
        active[src] = True
    snapshot, src, dst, label = np.array(rows, np.int64).T
    events = len(snapshot)
    feat = rng.normal(size=(T, N, 4)).astype(np.float32)
    feat[:, :, :3] += 2 * np.eye(3, dtype=np.float32)[group]
    more: dict[str, Any] = {"node": {"node_label": group}, "event": {"event_label": label}}.get(kind, {})
    stream = EventStream.from_rows(
        src,
        dst,
        np.sort(snapshot + 0.99 * rng.random(events)),
        num_nodes=N,
        edge_weight=rng.normal(size=events),
        edge_feat=rng.normal(size=(events, 2)).astype(np.float32),
        snapshot=snapshot,
        snapshot_begin=np.arange(T),
        snapshot_end=np.arange(T) + 1,
        name="generated",
        **more,
    )
    return Sample(stream, feat if kind != "event" else None, f"generated: {events} events, {N} nodes, {T} snapshots")
