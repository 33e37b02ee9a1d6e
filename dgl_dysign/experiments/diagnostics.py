"""What a fitted entry did inside: firing rates, spikes, solver, store, confusion; one JSON file beside its unit."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dgl_dysign.data.row_store import IN_MEMORY, RowStore
from dgl_dysign.data.snapshot_edges import SnapshotEdges, distinct_edges, snapshot_edges
from dgl_dysign.evaluation import confusion
from dgl_dysign.experiments.entry import Outcome
from dgl_dysign.experiments.event_task import EventTask, best_threshold
from dgl_dysign.experiments.link_task import LinkTask
from dgl_dysign.experiments.node_task import NodeTask
from dgl_dysign.experiments.record import DIAGNOSTICS_VERSION
from dgl_dysign.experiments.run_folder import RunFolder
from dgl_dysign.models import (
    DySIGN,
    LinkScorer,
    Snapshot,
    SpikingUnderGS,
    UnderGS,
    evenly_spaced,
    load_snapshots,
    preset_store,
)
from dgl_dysign.models.event_scorer import EventScorer
from dgl_dysign.models.inputs import store_snapshots
from dgl_dysign.store import NeighborStore

RASTER_NODES, RASTER_NEURONS = 6, 64
STORE_NODES, SNAPSHOTS = 8, 40
_FILLED = 12  # snapshots of rows of nodes that fill a store anew for each

Read = Callable[[int], Snapshot]
Edges = Callable[[int], SnapshotEdges]


def save_diagnostics(folder: RunFolder, key: str, diagnostics: Mapping[str, Any]) -> Path:
    """Write what an entry's diagnosis returned to ``diagnostics/<key>.json`` of a run folder, whole or not at all.

    Call it before `RunFolder.save_unit`, so that a finished unit has its diagnostics.
    """
    (folder.path / "diagnostics").mkdir(exist_ok=True)
    name = f"diagnostics/{key}.json"
    folder.write_json(name, {"schema": DIAGNOSTICS_VERSION, "unit": key, **diagnostics})
    return folder.path / name


def node_diagnostics(task: NodeTask, outcome: Outcome) -> dict[str, Any]:
    """Return what an entry of a node-classification table did.

    ``confusion`` (test nodes); of a spiking model ``firing``, ``solver`` and ``spikes``, unless its rows are on disk:
    they need those of a whole snapshot in memory; of a model that reads a store, ``store``. The task's inputs are
    released, and read again when they are needed.
    """
    predicted, data = outcome.predicted.argmax(1), task.data
    counts = confusion(task.labels, predicted, task.test, task.num_classes)
    diagnostics: dict[str, Any] = {"confusion": [_confusion("test nodes", counts.tolist(), data.class_names)]}
    store = None
    if isinstance(outcome.model, UnderGS | SpikingUnderGS):
        store = preset_store(data.num_nodes, **(task.store_inputs.store or {}))
    if isinstance(outcome.model, DySIGN) and task.files is None:
        nodes = task.test[:: max(1, len(task.test) // RASTER_NODES)][:RASTER_NODES]
        task.release()
        indices = _some(data.num_snapshots, SNAPSHOTS if store is None else _FILLED)
        diagnostics |= spiking_diagnostics(outcome.model, _node_reader(task, store), indices, nodes)
    if store is not None:
        diagnostics["store"] = store_contents(store, partial(snapshot_edges, data), data.num_snapshots)
    return diagnostics


def _node_reader(task: NodeTask, store: NeighborStore | None) -> Read:
    s, data = task.settings, task.data
    if store is None:
        return lambda t: load_snapshots(data, [t], s.decay, s.hops, s.scaling, task.device)[0]
    return lambda t: store_snapshots(data, store, [t], hops=s.hops, device=task.device)[0]


def link_diagnostics(task: LinkTask, outcome: Outcome) -> dict[str, Any]:
    """Return what a link scorer did: ``store``, and of spiking ones what their neurons did; its state is empty then."""
    scorer: LinkScorer = outcome.model
    store, network, snapshots = scorer.store, scorer.model, len(task.edges)
    diagnostics: dict[str, Any] = {}
    if isinstance(network, SpikingUnderGS):
        nodes = torch.tensor(busy_nodes(task.edges.__getitem__, snapshots, store.num_nodes, RASTER_NODES)[0])
        store.reset()

        def read(t: int) -> Snapshot:
            for earlier in range(store.snapshot + 1, t + 1):
                store.insert(task.edges[earlier])
            return network.snapshot(store, t + 1)

        diagnostics |= spiking_diagnostics(network, read, _some(snapshots, SNAPSHOTS), nodes)
    diagnostics["store"] = store_contents(store, task.edges.__getitem__, snapshots)
    scorer.reset()
    return diagnostics


def event_diagnostics(task: EventTask, outcome: Outcome) -> dict[str, Any]:
    """Return what an entry of a table about labels of events did.

    ``confusion`` of the test events, called positive by the threshold that was most often right on validation, and as
    the 1 % with the highest scores; of UnderGS also ``store``.
    """
    scores, test, val = outcome.predicted, task.parts["test"], task.parts["val"]
    true, rated = (task.label[test] == 1).long(), scores[test].double()
    threshold = best_threshold(scores[val].double(), task.label[val] == 1)
    top = torch.zeros_like(true)
    top[rated.argsort(descending=True, stable=True)[: max(1, round(0.01 * len(test)))]] = 1
    rules = {"threshold chosen on validation": (rated >= threshold).long(), "the 1 % with the highest scores": top}
    every, names = torch.arange(len(true)), ("no", "yes")
    diagnostics: dict[str, Any] = {
        "confusion": [
            _confusion(f"test events, {rule}", confusion(true, called, every, 2).tolist(), names)
            for rule, called in rules.items()
        ],
    }
    if isinstance(outcome.model, EventScorer):
        diagnostics["store"] = store_contents(outcome.model.store, partial(_distinct, task), len(task.snapshots))
    return diagnostics


def _distinct(task: EventTask, snapshot: int) -> SnapshotEdges:
    events = task.snapshots[snapshot]
    return distinct_edges(snapshot, events.src, events.dst, events.edge_id, num_nodes=task.data.num_nodes)


def _confusion(about: str, counts: list[list[int]], classes: Iterable[str]) -> dict[str, Any]:
    return {"about": about, "classes": list(classes), "counts": counts}


@torch.no_grad()
def spiking_diagnostics(model: DySIGN, read: Read, indices: Sequence[int], nodes: Tensor) -> dict[str, Any]:
    """Return what the neurons of a trained model did, each snapshot by itself (without the current of ``coupling``).

    The model is in evaluation mode; ``read(index)`` returns the `Snapshot` of each index, asked in order of time; of
    ``nodes`` the spikes at the last of them are kept. ``firing`` has for each snapshot the number of active nodes, the
    mean rate, and the shares of their neurons by rate, one bin for each number of spikes; ``solver`` (absent for a leak
    above 1) steps, relative gap, whether the tolerance was met, the gaps of all steps, and the gap of the simulated
    rates; ``spikes`` for each node and step of the latency the neurons that fired.
    """
    firing: dict[str, list[Any]] = {name: [] for name in ("snapshot", "active", "mean", "shares")}
    solver: dict[str, list[Any]] = {name: [] for name in ("snapshot", "steps", "gap", "converged", "trace", "spiking")}
    spikes = None
    frozen = gc.get_freeze_count()  # by whoever calls: it stays so
    gc.freeze()  # what is there by now: to look through all of it took .4 s a snapshot
    for index in indices:
        snapshot = read(index)
        if index == indices[-1]:
            spikes = {"snapshot": index, **_raster(model, snapshot, nodes)}
        snapshot = _active_part(snapshot)
        ((rate, state),) = model.rates([snapshot], simulate=True)
        firing["snapshot"].append(index)
        firing["active"].append(len(rate))
        firing["mean"].append(_short(float(rate.mean())) if len(rate) else 0.0)
        share = torch.histc(rate, model.conv.latency + 1, 0, 1) / max(rate.numel(), 1)
        firing["shares"].append([_short(value) for value in share.tolist()])
        if model.conv.lif.leak <= 1 and state.info is not None:
            _add_solver(solver, model, snapshot, index, state.info.gap)
        del snapshot
        gc.collect()  # DGL's graphs lie in cycles: without this those of many snapshots pile up
    if not frozen:
        gc.unfreeze()
    diagnostics: dict[str, Any] = {"firing": firing, "spikes": spikes}
    if solver["snapshot"]:
        diagnostics["solver"] = {"tol": model.conv.tol, "max_iter": model.conv.max_iter, **solver}
    return diagnostics


def _active_part(whole: Snapshot) -> Snapshot:
    """Return the subgraph of the active nodes: the others are silent, and most of the work early on."""
    nodes = whole.active.nonzero().flatten()
    whole.graph.edata["weight"] = whole.edge_weight.cpu()
    graph = whole.graph.subgraph(nodes.cpu())
    return Snapshot(graph, graph.edata.pop("weight").to(whole.feat), whole.feat[nodes], whole.active[nodes])


def _add_solver(solver: dict[str, list[Any]], model: DySIGN, snapshot: Snapshot, index: int, spiking: float) -> None:
    ((_, state),) = model.rates([snapshot], simulate=False)
    info = state.info
    if info is not None:
        for name, value in (
            ("snapshot", index),
            ("steps", info.steps),
            ("gap", _short(info.gap)),
            ("converged", info.converged),
            ("trace", [_short(gap) for gap in info.trace]),
            ("spiking", _short(spiking)),
        ):
            solver[name].append(value)


def _raster(model: DySIGN, snapshot: Snapshot, nodes: Tensor) -> dict[str, Any]:
    spikes = spikes_of(model, snapshot, nodes)[:, :, :RASTER_NEURONS]
    fired = [[step.nonzero().flatten().tolist() for step in spikes[:, place]] for place in range(len(nodes))]
    rows = [{"node": int(node), "fired": steps} for node, steps in zip(nodes, fired, strict=True)]
    return {"latency": len(spikes), "neurons": spikes.shape[2], "nodes": rows}


@torch.no_grad()
def spikes_of(model: DySIGN, snapshot: Snapshot, nodes: Tensor, rows: RowStore = IN_MEMORY) -> Tensor:
    """Return the spikes of some nodes at a snapshot, ``(latency, nodes, neurons)``, of the last layer."""
    lif, num_nodes, first = model.conv.lif, len(snapshot.active), 0
    if not bool(((nodes >= 0) & (nodes < num_nodes)).all()):
        raise IndexError(f"nodes must lie in 0 to {num_nodes - 1}, but got {nodes.tolist()}")
    seen: list[Tensor] = []

    def recorded(x: Tensor) -> Tensor:
        nonlocal first  # a layer steps in blocks of nodes where there are many
        fired, here = spiking(x), (nodes >= first) & (nodes < first + len(x))
        if not first:
            seen.append(fired.new_zeros(len(nodes), fired.shape[1]))
        seen[-1][here] = fired[nodes[here] - first]
        first = (first + len(x)) % num_nodes
        return fired

    spiking, lif.spiking = lif.spiking, recorded
    try:
        for _ in model.rates([snapshot], simulate=True, rows=rows):
            pass
    finally:
        lif.spiking = spiking
    return torch.stack(seen[model.conv.num_layers - 1 :: model.conv.num_layers])


def store_contents(
    store: NeighborStore, edges: Edges, num_snapshots: int, nodes: Sequence[int] | None = None
) -> dict[str, Any]:
    """Return what a store holds for some nodes after some snapshots, aged to the beginning of the next one.

    The store is emptied, and filled with the snapshots' edges. Nodes are by default `STORE_NODES`, from the busiest to
    those with few events, see `busy_nodes`. Returned are ``slots`` (K), ``snapshot`` (at most `SNAPSHOTS`, evenly
    spaced, the last included) and ``nodes``: for each its id, its number of events and, for each snapshot,
    ``neighbor``, ``influence``, ``hop`` and ``age``.
    """
    busy, counts = busy_nodes(edges, num_snapshots, store.num_nodes, STORE_NODES)
    chosen = busy if nodes is None else list(nodes)
    held: list[list[dict[str, list[Any]]]] = [[] for _ in chosen]
    indices = _some(num_snapshots, SNAPSHOTS)
    store.reset()
    for t in range(num_snapshots):
        store.insert(edges(t))
        if t in indices:
            for place, entries in enumerate(_entries(store, chosen, t + 1)):
                held[place].append(entries)
    store.reset()
    return {
        "slots": store.num_neighbors,
        "snapshot": indices,
        "nodes": [
            {"node": node, "events": int(counts[node]), "held": entries}
            for node, entries in zip(chosen, held, strict=True)
        ],
    }


def _entries(store: NeighborStore, nodes: Sequence[int], now: int) -> list[dict[str, list[Any]]]:
    held = store.neighbors(nodes, now)
    return [
        {
            "neighbor": held.node[place][kept].tolist(),
            "influence": [_short(value) for value in held.influence[place][kept].tolist()],
            "hop": held.hop[place][kept].tolist(),
            "age": [int(age) for age in held.age[place][kept].tolist()],
        }
        for place, kept in enumerate(held.mask)
    ]


def busy_nodes(edges: Edges, num_snapshots: int, num_nodes: int, count: int) -> tuple[list[int], Tensor]:
    """Return nodes at evenly spaced orders of magnitude of rank by number of events, and all nodes' numbers of events.

    The first is the busiest, the last the one with the fewest events (at least one); ties go to the smaller id.
    """
    counts = torch.zeros(num_nodes, dtype=torch.int64)
    for part in map(edges, range(num_snapshots)):
        for ends in (part.src, part.dst):
            counts.index_add_(0, ends, part.count)
    order = counts.argsort(descending=True, stable=True)[: int((counts > 0).sum())]
    if not len(order):
        return [], counts
    ranks = torch.logspace(0, torch.log10(torch.tensor(float(len(order)))).item(), count).round().long() - 1
    return order[ranks.clamp(0, len(order) - 1).unique()].tolist(), counts


def _some(num_snapshots: int, count: int) -> list[int]:
    return evenly_spaced(num_snapshots, min(num_snapshots, count))


def _short(value: float) -> float | None:
    """Round to 4 digits that count: a file for people, not for further work. JSON knows no infinity."""
    return float(f"{value:.4g}") if math.isfinite(value) else None
