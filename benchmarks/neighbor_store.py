"""Speed and memory of the neighbour store on one core, as JSON lines: K = 16, L = 2.

``speed`` rows: every snapshot is scored and inserted in time order: the neighbours of all roots (both ends of every
edge) are read from the state before it, then it is inserted. Rows that are fed ``events`` get every event of the raw
file, those that are fed ``distinct`` each pair of a snapshot once, as evaluation does; an edge is what is fed.
``least_seconds`` adds up the least time of each snapshot over some runs, which other processes on the machine disturb
less than the ``seconds`` of the best run. A plain dictionary version goes through the same snapshots in the same run,
and its lists are compared with the store's.

``nodes`` rows: the same edges in stores of more and more nodes, their names spread over all. ``memory`` rows: a store
of a million nodes fed edges x 1 and x 10, in a fresh process each. ``gpu`` rows, where there is a GPU: the store there.
``epoch`` rows, of the folders that are named, alone: the seconds of going through each once, compiled.

    python benchmarks/neighbor_store.py                                        # generated edges
    python benchmarks/neighbor_store.py PREPARED ...                           # one pass through each, no more
    python benchmarks/neighbor_store.py --otc PREPARED --wikipedia PREPARED    # and the real ones, which have a bar
    python benchmarks/neighbor_store.py --quick
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dgl_dysign.experiments.memory import in_fresh_process, peak_rss_bytes
from dgl_dysign.store import NeighborStore

BARS = {"bitcoin-otc": 400_000, "wikipedia": 600_000}
"""Edges a second to reach on one core."""
SIZES = (5_000, 100_000, 1_000_000)
UNIT, FINE = 2**20, 2**12
Row = dict[str, object]


class Feed(NamedTuple):
    """Snapshots of edges: (src, dst, edge_id) each."""

    name: str
    num_nodes: int
    directed: bool
    snapshots: list[tuple[Tensor, Tensor, Tensor]]

    @property
    def num_edges(self) -> int:
        """Edges in all snapshots."""
        return sum(len(snapshot[0]) for snapshot in self.snapshots)


def prepared(folder: str, distinct: bool) -> Feed:
    """Read the snapshots of a prepared folder."""
    from dgl_dysign.data import TemporalGraph
    from dgl_dysign.data.snapshot_edges import snapshot_edges

    data, snapshots = TemporalGraph.load(folder), []
    for snapshot in range(data.num_snapshots):
        if distinct:
            edges = snapshot_edges(data, snapshot)
            snapshots.append((edges.src, edges.dst, edges.edge_id))
        else:
            src, dst, _, edge_id = data.events(snapshot)
            snapshots.append((src, dst, edge_id))
    return Feed(data.manifest["dataset"], data.num_nodes, data.directed, snapshots)


def generated(num_nodes: int, num_edges: int, num_snapshots: int, seed: int = 0) -> Feed:
    """Return edges with the skew of real ones: node i is drawn with a probability of about 1 / i."""
    generator = torch.Generator().manual_seed(seed)
    ends = (
        torch.exp(torch.rand(2, num_edges, generator=generator, dtype=torch.float64) * math.log(num_nodes)).long() - 1
    )
    shuffle = torch.randperm(num_nodes, generator=generator)
    parts = torch.arange(num_edges).chunk(num_snapshots)
    src, dst = shuffle[ends.clamp(0, num_nodes - 1)]
    return Feed("generated", num_nodes, True, [(src[part], dst[part], part) for part in parts])


def run(feed: Feed, store: NeighborStore) -> list[float]:
    """Go through all snapshots and return the seconds of each: reading all roots, then inserting."""
    store.reset()
    seconds = []
    device = store.slots.device
    for snapshot, columns in enumerate(feed.snapshots):
        begin = time.perf_counter()
        src, dst, edge_id = (column.to(device) for column in columns)
        store.neighbors(torch.cat([src, dst]), snapshot)
        store.insert(snapshot, src, dst, edge_id)
        wait(device)
        seconds.append(time.perf_counter() - begin)
    return seconds


def timed(feed: Feed, store: NeighborStore, runs: int) -> Row:
    """Return the figures of some runs; one more goes before them, in which the compiled functions are loaded."""
    run(feed, store)
    times = [run(feed, store) for _ in range(runs)]
    least = sum(map(min, zip(*times, strict=True)))
    best = min(map(sum, times))
    return {
        "edges": feed.num_edges, "seconds": round(best, 4), "least_seconds": round(least, 4),
        "edges_per_second": round(feed.num_edges / best), "edges_per_second_undisturbed": round(feed.num_edges / least),
    }  # fmt: skip


class Dictionary:
    """The store as plain dictionaries and lists, as one would write it first."""

    def __init__(self, directed: bool) -> None:
        self.directed, self.lists = directed, defaultdict(list)
        self.hop, self.decay = (round(UNIT * FINE * math.log2(decay)) for decay in (0.1, 0.05))

    def read(self, node: int, now: int) -> list[tuple[int, ...]]:
        """Return the entries of a node, each with its score."""
        return [(2.0 ** ((entry[0] + now * self.decay) / (UNIT * FINE)), *entry) for entry in self.lists[node]]

    def insert(self, snapshot: int, src: list[int], dst: list[int], edge_id: list[int]) -> None:
        """Insert the edges of one snapshot."""
        pairs: dict[tuple[int, int], int] = {}
        for u, v, edge in zip(src, dst, edge_id, strict=True):
            pair = (u, v) if self.directed or u < v else (v, u)
            pairs[pair] = max(edge, pairs.get(pair, edge))
        score, near = cohesion(pairs), defaultdict(list)
        for (u, v), edge in pairs.items():
            if u != v:
                near[u].append((score[v] - snapshot * self.decay, snapshot, -1, -v, edge))
                near[v].append((score[u] - snapshot * self.decay, snapshot, -1, -u, edge))
        self.lists.update([(node, self.best(node, near)) for node in list(near)])

    def best(self, node: int, near: dict[int, list[tuple[int, ...]]]) -> list[tuple[int, ...]]:
        """Return the new list of a node."""
        best = {entry[3:]: entry for entry in self.lists[node]}
        further = (
            (entry[0] + self.hop, entry[1], entry[2] - 1, *entry[3:])
            for other in {-entry[3] for entry in near[node]}
            for entry in itertools.chain(self.lists[other], near[other])
            if entry[2] == -1 and entry[3] != -node
        )
        for entry in itertools.chain(near[node], further):
            if entry[3:] not in best or best[entry[3:]] < entry:
                best[entry[3:]] = entry
        return sorted(best.values(), reverse=True)[:16]


def cohesion(pairs: dict[tuple[int, int], int]) -> dict[int, int]:
    """Return log2 of the cohesion of each node, in units of 2^-20 of a key's."""
    ends: dict[int, int] = defaultdict(int)
    for pair in pairs:
        for node in pair:
            ends[node] += 1
    powers = defaultdict(list)
    for u, v in pairs:
        for node, other in {(u, v), (v, u)}:
            ratio = ends[node] / ends[other]
            powers[node].append(ratio if ratio <= 1 else -ratio)
    logs = {v: max(p) / math.log(2) + math.log2(math.fsum(math.exp(x - max(p)) for x in p)) for v, p in powers.items()}
    return {node: round(UNIT * log) * FINE for node, log in logs.items()}


def run_dictionary(feed: Feed) -> tuple[Dictionary, float]:
    """Go through all snapshots in the same way; return the store and the seconds."""
    store, seconds = Dictionary(feed.directed), 0.0
    for snapshot, columns in enumerate(feed.snapshots):
        src, dst, edge_id = (column.tolist() for column in columns)
        begin = time.perf_counter()
        for node in src + dst:
            store.read(node, snapshot)
        store.insert(snapshot, src, dst, edge_id)
        seconds += time.perf_counter() - begin
    return store, seconds


def same_lists(store: NeighborStore, other: Dictionary) -> bool:
    """Tell whether both hold the same entries in the same order."""
    lists = store.neighbors(range(store.num_nodes), store.snapshot)
    columns = [column.tolist() for column in (lists.snapshot, lists.hop, lists.node, lists.edge_id)]
    for node, rows in enumerate(zip(*columns, strict=True)):
        entries = [entry for entry in zip(*rows, strict=True) if entry[2] >= 0]
        if entries != [(time_, -hop, -near, edge) for _, time_, hop, near, edge in other.lists[node]]:
            return False
    return True


def speed_rows(feeds: Sequence[tuple[str, Feed]], runs: int) -> Iterator[Row]:
    """Yield the speed of both backends and of the dictionaries on each feed."""
    for fed, feed in feeds:
        head: Row = {"check": "speed", "data": feed.name, "fed": fed, "snapshots": len(feed.snapshots)}
        head |= {"bar": BARS.get(feed.name)}
        plain, seconds = run_dictionary(feed)
        rate = round(feed.num_edges / seconds)
        for backend in ("compiled", "torch"):
            store = NeighborStore(feed.num_nodes, directed=feed.directed, backend=backend)
            row = head | {"backend": backend} | timed(feed, store, runs if backend == "compiled" else 1)
            times = round(float(str(row["edges_per_second"])) / rate, 1)
            yield row | {"equals_dictionary": same_lists(store, plain), "times_dictionary": times}
        yield head | {"backend": "dictionary", "seconds": round(seconds, 4), "edges_per_second": rate}


def epoch_rows(folders: Sequence[str], runs: int) -> Iterator[Row]:
    """Yield the seconds of one pass through the distinct edges of each folder, compiled."""
    for folder in folders:
        feed = prepared(folder, distinct=True)
        head: Row = {"check": "epoch", "data": feed.name, "snapshots": len(feed.snapshots)}
        yield head | timed(feed, NeighborStore(feed.num_nodes, directed=feed.directed), runs)


def spread(feed: Feed, num_nodes: int) -> Feed:
    """Return the same edges between nodes whose names are spread over `num_nodes`, in the same order."""
    step = num_nodes // feed.num_nodes
    snapshots = [(src * step, dst * step, edge_id) for src, dst, edge_id in feed.snapshots]
    return feed._replace(num_nodes=num_nodes, snapshots=snapshots)


def node_rows(feed: Feed, sizes: Sequence[int], runs: int) -> Iterator[Row]:
    """Yield the speed on the same edges in stores of more nodes; runs take turns, so that all meet the same machine."""
    feeds = [spread(feed, size) for size in sizes]
    stores = [NeighborStore(size) for size in sizes]
    for pair in zip(feeds, stores, strict=True):
        run(*pair)
    times: list[list[list[float]]] = [[] for _ in sizes]
    for _ in range(runs):
        for kept, *pair in zip(times, feeds, stores, strict=True):
            kept.append(run(*pair))
    for size, kept in zip(sizes, times, strict=True):
        least = sum(map(min, zip(*kept, strict=True)))
        yield {
            "check": "nodes", "nodes": size, "edges": feed.num_edges,
            "edges_per_second": round(feed.num_edges / min(map(sum, kept))),
            "edges_per_second_undisturbed": round(feed.num_edges / least),
        }  # fmt: skip


def resident_bytes() -> int:
    """Return the resident memory of this process; where the system does not say, its peak."""
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
    except OSError:
        return peak_rss_bytes()


def memory_row(nodes: int, edges: int, repeat: int) -> Row:
    """Return the memory of a store before and after it is fed `repeat` times the edges."""
    torch.set_num_threads(1)
    feed = generated(nodes, edges * repeat, 20 * repeat)
    store = NeighborStore(nodes)
    src, dst, edge_id = feed.snapshots[0]
    store.insert(0, src[:10], dst[:10], edge_id[:10])  # loads the compiled functions
    before = resident_bytes()
    for snapshot, columns in enumerate(feed.snapshots, 1):
        store.insert(snapshot, *columns)
    return {
        "check": "memory", "nodes": nodes, "edges": edges * repeat, "store_bytes": store.num_bytes,
        "resident_bytes_grown": resident_bytes() - before, "resident_bytes": resident_bytes(),
    }  # fmt: skip


def memory_rows(nodes: int, edges: int) -> Iterator[Row]:
    """Yield the memory for edges x 1 and x 10, each from a fresh process."""
    for repeat in (1, 10):
        yield in_fresh_process(memory_row, nodes, edges, repeat)


def wait(device: torch.device) -> None:
    """Wait until a device has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy_bandwidth(device: torch.device, num_bytes: int = 1 << 28) -> float:
    """Return the bytes a second that a copy on the device reads and writes."""
    source = torch.zeros(num_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    wait(device)
    begin = time.perf_counter()
    for _ in range(10):
        target.copy_(source)
    wait(device)
    return 20 * num_bytes / (time.perf_counter() - begin)


def device_row(feed: Feed, device: torch.device, runs: int, bandwidth: float) -> Row:
    """Return the speed on a device, and its share of the memory bandwidth that the lists alone need."""
    here, there = (NeighborStore(feed.num_nodes, directed=feed.directed, device=each) for each in ("cpu", device))
    run(feed, here)
    row = timed(feed, there, runs)
    # Per edge: two lists read by roots and written as columns, two read, two read through, and two written.
    lists = feed.num_edges * 16 * (2 * (24 + 48) + 2 * 24 + 2 * 24 + 2 * 24)
    return row | {
        "equals_cpu": torch.equal(here.slots, there.slots.cpu()),
        "copy_bytes_per_second": round(bandwidth),
        "share_of_bandwidth": round(lists / float(str(row["seconds"])) / bandwidth, 4),
    }


def gpu_rows(feeds: Sequence[Feed], runs: int) -> Iterator[Row]:
    """Yield the speed on the GPU, where there is one."""
    if not torch.cuda.is_available():
        yield {"check": "gpu", "skipped": "no GPU"}
        return
    device = torch.device("cuda")
    head, bandwidth = {"check": "gpu", "device": torch.cuda.get_device_name(device)}, copy_bandwidth(device)
    for feed in feeds:
        yield head | {"data": feed.name} | device_row(feed, device, runs, bandwidth)


def main(argv: Sequence[str] | None = None) -> int:
    """Print one JSON line for each row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", metavar="PREPARED", help="one pass through each, no more")
    parser.add_argument("--otc", help="prepared folder of Bitcoin-OTC, weekly")
    parser.add_argument("--wikipedia", help="prepared folder of Wikipedia, hourly")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--edges", type=int, default=60_000, help="generated edges")
    parser.add_argument("--quick", action="store_true", help="few edges and small stores")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    if args.quick:
        args.edges, args.runs = 4_000, 2
    if args.folders:
        for row in epoch_rows(args.folders, args.runs):
            print(json.dumps({"benchmark": "neighbor_store", **row}), flush=True)
        return 0
    sizes = tuple(size // 100 for size in SIZES) if args.quick else SIZES
    skewed = generated(sizes[0], args.edges, max(2, args.edges // 250))
    feeds = [("events", skewed)]
    for folder in filter(None, (args.otc, args.wikipedia)):
        feeds += [("events", prepared(folder, distinct=False)), ("distinct", prepared(folder, distinct=True))]
    large = generated(sizes[-1], args.edges * 10, 20)
    rows = (
        speed_rows(feeds, args.runs),
        node_rows(skewed, sizes, args.runs),
        memory_rows(sizes[-1], args.edges),
        gpu_rows([*(feed for _, feed in feeds), large], args.runs),
    )
    for row in itertools.chain(*rows):
        print(json.dumps({"benchmark": "neighbor_store", **row}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
