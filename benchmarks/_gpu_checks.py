"""What `gpu_check.py` checks: each function compares a path on a device with the CPU's, or times it there.

A check returns what it found, or raises ``AssertionError`` where the two differ. Numbers that must be equal to the last
bit are such that no order of sums, and no fused product, can round them. On small sizes all of them run on a CPU too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.neighbor_store import generated, run
from benchmarks.packed_spikes import random_graph
from dgl_dysign import ops
from dgl_dysign.data import distinct_edges
from dgl_dysign.models import DySIGN, LinkScorer, Snapshot, UnderGS, link_loss
from dgl_dysign.nn import LIF, EquilibriumSpikingConv, InfluenceConv, InfluenceMixer, SpikingGraphConv
from dgl_dysign.nn.influence_conv import AGGREGATORS
from dgl_dysign.ops import PackedSpikes, fire_packed
from dgl_dysign.pairs import LinkFeatures
from dgl_dysign.store import NeighborStore

CPU = torch.device("cpu")
Row = dict[str, object]
Call = Callable[[Any, torch.device], Tensor]  # of a module that is on the device -> what it gives


class Place(NamedTuple):
    """Where a check runs, whether on small sizes, and a folder of its own."""

    device: torch.device
    small: bool
    home: Path

    def size(self, full: int, small: int) -> int:
        """Return a size."""
        return small if self.small else full


def _difference(expected: list[Tensor], actual: list[Tensor], tolerance: float) -> float:
    """Return the largest difference, each over its tensor's largest number; raise if it is above the tolerance."""
    gaps = [
        float((there.detach().cpu().double() - here.double()).abs().max() / here.abs().max().clamp(min=1e-30))
        for here, there in zip(expected, actual, strict=True)
    ]
    worst = max(gaps)
    if not worst <= tolerance:  # also of NaN
        raise AssertionError(f"the largest relative difference is {worst:.2g}, expected at most {tolerance:.2g}")
    return worst


def _equal(**pairs: tuple[Tensor, Tensor]) -> None:
    """Raise unless tensors of the CPU and of the device are equal to the last bit."""
    for name, (here, there) in pairs.items():
        others = int((here != there.detach().cpu()).sum())
        if others:
            raise AssertionError(f"{name}: {others} of {here.numel()} numbers differ, expected the same bits")


def _agree(module: nn.Module, call: Call, place: Place, tolerance: float = 1e-9) -> float:
    """Compare what a module gives on both devices, and the gradient of its parameters."""
    results = []
    for device in (CPU, place.device):
        model = copy.deepcopy(module).to(device)
        out = call(model, device)
        gradients = torch.autograd.grad(out.square().sum(), list(model.parameters()), allow_unused=True)
        results.append([out.detach(), *(gradient for gradient in gradients if gradient is not None)])
    return _difference(*results, tolerance)


def _trained_alike(module: nn.Module, loss: Call, place: Place, tolerance: float = 1e-7) -> float:
    """Compare a module's parameters after three steps of training on both devices."""
    results = []
    for device in (CPU, place.device):
        model = copy.deepcopy(module).to(device).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        for _ in range(3):
            optimizer.zero_grad()
            loss(model, device).backward()
            optimizer.step()
        results.append(list(model.parameters()))
    return _difference(*[[parameter.detach() for parameter in parameters] for parameters in results], tolerance)


def _graph(place: Place) -> Any:
    return random_graph(place.size(20_000, 60), place.size(400_000, 300))


def aggregate(place: Place) -> Row:
    """Compare sums over neighbours, and both gradients, with DGL's on the CPU in float64."""
    torch.manual_seed(0)
    graph = _graph(place)
    feat, weight = torch.rand(graph.num_nodes(), place.size(64, 5)), torch.rand(graph.num_edges())

    def sums(graph: Any, device: torch.device, dtype: torch.dtype, norm: str, weighted: bool, kernels: Any) -> Any:
        inputs = [part.to(device, dtype).requires_grad_() for part in ((feat, weight) if weighted else (feat,))]
        out = ops.aggregate(graph, *inputs, norm=norm, kernels=kernels)
        return [out.detach(), *torch.autograd.grad(out.square().sum(), inputs)]

    worst = dict.fromkeys(("float64", "float32"), 0.0)
    for norm in ops.NORMS:
        for weighted in (False, True):
            here = sums(graph, CPU, torch.float64, norm, weighted, "dgl")
            for each, dtype, bound in ((graph, torch.float64, 1e-11), (graph.int(), torch.float32, 1e-4)):
                there = sums(each, place.device, dtype, norm, weighted, None)
                name = str(dtype).removeprefix("torch.")
                worst[name] = max(worst[name], _difference(here, there, bound))
    return {"kernels": ops.backend(), **worst}


def packed_sums(place: Place) -> Row:
    """Compare packing, sums of bits and firing, to the last bit."""
    graph = _graph(place)
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(graph.num_edges(), generator=generator)
    for width in (64, 130):
        spikes = (torch.rand(graph.num_nodes(), width, generator=generator) < 0.3).float()
        here, there = PackedSpikes.pack(spikes), PackedSpikes.pack(spikes.to(place.device))
        pairs = {"words": (here.words, there.words), "unpacked": (spikes, there.unpack())}
        for name, edge_weight in (("counts", None), ("weighted sums", weight)):
            both = [ops.aggregate(graph, packed, edge_weight, norm="none") for packed in (here, there)]
            pairs[name] = both[0], both[1]
        memory = torch.rand(3, *spikes.shape, generator=generator)
        ours, theirs = [part.clone() for part in memory], [part.to(place.device) for part in memory]
        fired = [fire_packed(*parts[:2], 0.7, 0.9, parts[2]).words for parts in (ours, theirs)]
        pairs |= {"fired": (fired[0], fired[1]), "potential": (ours[0], theirs[0]), "total": (ours[1], theirs[1])}
        _equal(**pairs)
    return {"kernels": ops.backend()}


def neurons(place: Place) -> Row:
    """Compare LIF neurons over 8 steps, to the last bit, and their gradient: numbers are multiples of an eighth."""
    generator = torch.Generator().manual_seed(0)
    current = torch.randint(-4, 13, (8, place.size(100_000, 50)), generator=generator) / 8
    worst = 0.0
    for reset in ("soft", "hard"):
        results = []
        for device in (CPU, place.device):
            inputs = current.to(device).requires_grad_()
            lif = LIF(leak=0.5, reset=reset)
            spikes, potential = lif.sequence(inputs)
            (gradient,) = torch.autograd.grad(lif.rate(spikes).sum() + potential.square().sum(), [inputs])
            results.append([spikes.detach(), potential.detach(), gradient])
        _equal(spikes=(results[0][0], results[1][0]), potential=(results[0][1], results[1][1]))
        worst = max(worst, _difference(results[0][2:], results[1][2:], 1e-5))
    return {"gradient": worst}


def simulation(place: Place) -> Row:
    """Compare spiking layers under ``no_grad``, packed and in floats; near a threshold spikes may differ."""
    torch.manual_seed(0)
    graph = _graph(place)
    width = place.size(128, 8)
    feat = torch.rand(graph.num_nodes(), width)
    shares = {}
    for backend in ("packed", "float"):
        conv = EquilibriumSpikingConv(width, width, simulate=True, backend=backend).eval()
        with torch.no_grad():
            here, there = (copy.deepcopy(conv).to(d)(graph, feat.to(d))[0].cpu() for d in (CPU, place.device))
        shares[backend] = float(((here - there).abs() < 1e-6).float().mean())
    layers = [SpikingGraphConv(width, width, latency=1, allow_zero_in_degree=True) for _ in range(2)]
    rates = []
    for device in (CPU, place.device):
        first, second = (copy.deepcopy(layer).to(device) for layer in layers)
        with torch.no_grad():
            hidden = first(graph, feat.to(device), return_packed=True)
            rates.append(second(graph, hidden).unpack().cpu())
    shares["layers"] = float((rates[0] == rates[1]).float().mean())
    if min(shares.values()) < 0.999:
        raise AssertionError(f"the shares of rates that are equal are {shares}, expected at least 0.999")
    return {"equal_rates": shares}


def equilibrium(place: Place) -> Row:
    """Compare the solver's rates with the implicit gradient, and those of two other ways, in float64."""
    torch.manual_seed(0)
    graph = random_graph(place.size(5_000, 60), place.size(50_000, 300))
    feat = torch.rand(graph.num_nodes(), 8, dtype=torch.float64)
    rows: Row = {}
    for gradient, bound in (("implicit", 1e-6), ("trace", 1e-3), ("bptt", 1e-3)):
        conv = EquilibriumSpikingConv(8, 8, gradient=gradient, tol=1e-10, max_iter=200, adjoint_tol=1e-10).double()
        rows[gradient] = _agree(conv, lambda conv, device: conv(graph, feat.to(device))[0], place, bound)
    return rows


def store(place: Place) -> Row:
    """Compare the entries of the store, by every importance, what is read of it, and its block."""
    feed = generated(place.size(20_000, 40), place.size(100_000, 120), place.size(20, 3))
    for importance in ("cohesion", "degree", "core"):
        here, there = (NeighborStore(feed.num_nodes, importance=importance, device=d) for d in (CPU, place.device))
        for each in (here, there):
            run(feed, each)
        _equal(slots=(here.slots, there.slots))
    now, nodes = len(feed.snapshots), torch.arange(feed.num_nodes)
    both = [each.neighbors(nodes, now) for each in (here, there)]
    _difference([both[0].influence], [both[1].influence], 1e-5)
    blocks = [each.block(nodes, now) for each in (here, there)]
    _equal(**{name: (blocks[0].edata[name], blocks[1].edata[name]) for name in ("edge_id", "age", "hop")})
    return {"edges": feed.num_edges, "block_on": str(blocks[1].device), "backend": there.active_backend}


def _filled(num_nodes: int, num_edges: int) -> tuple[NeighborStore, int]:
    """Return a store that holds three snapshots, and the number of the next."""
    feed = generated(num_nodes, num_edges, 3)
    kept = NeighborStore(num_nodes, num_neighbors=8, snapshot_decay=0.5)
    for snapshot, columns in enumerate(feed.snapshots):
        kept.insert(snapshot, *columns)
    return kept, 3


def influence(place: Place) -> Row:
    """Compare the convolutions over a store's block, and the mixer over its slots, with gradients, in float64."""
    torch.manual_seed(0)
    nodes = place.size(5_000, 40)
    kept, now = _filled(nodes, place.size(50_000, 200))
    feat, rows = torch.rand(nodes, 8, dtype=torch.float64), {}
    neighbors = kept.neighbors(torch.arange(nodes), now)
    edge_feat = torch.rand(*neighbors.node.shape, 2, dtype=torch.float64)

    def convolved(conv: Any, device: torch.device) -> Tensor:
        block = copy.deepcopy(kept).to(device).block(torch.arange(nodes), now)
        extra = edge_feat[neighbors.mask].to(device)
        out: Tensor = conv(block, feat[block.srcdata["_ID"].cpu()].to(device), edge_feat=extra)
        return out

    for aggregator in AGGREGATORS:
        conv = InfluenceConv(8, 8, aggregator, edge_feats=2, time_feats=4).double()
        rows[aggregator] = _agree(conv, convolved, place)
    mixer, slots = InfluenceMixer(8, 8, 8, edge_feats=2, time_feats=4).double(), feat[neighbors.node.clamp(min=0)]

    def mixed(mixer: Any, device: torch.device) -> Tensor:
        out: Tensor = mixer(
            neighbors._make(part.to(device) for part in neighbors), slots.to(device), edge_feat.to(device)
        )
        return out

    return {**rows, "mixer": _agree(mixer, mixed, place)}


def pairs(place: Place) -> Row:
    """Compare scores of links from a store on the device and features of pairs, which are computed on the CPU."""
    torch.manual_seed(0)
    nodes = place.size(2_000, 30)
    feed = generated(nodes, place.size(20_000, 120), 3)
    src, dst = torch.randint(nodes, (50,)), torch.randint(nodes, (50, 20))
    model = UnderGS(nodes, 16, pair_feats=len(LinkFeatures(nodes).names)).eval()
    scores = []
    for device in (CPU, place.device):
        mine = copy.deepcopy(model).to(device)
        scorer = LinkScorer(mine, mine.store().to(device), LinkFeatures(nodes))
        for snapshot, (begin, end, _) in enumerate(feed.snapshots):
            scorer.observe(distinct_edges(snapshot, begin, end, num_nodes=nodes))
        scores.append(scorer.score(3, src, dst).cpu())
    return {"scores": _difference(scores[:1], scores[1:], 1e-4)}


def dysign_steps(place: Place) -> Row:
    """Compare three steps of training of Dy-SIGN on two snapshots, with labels, in float64."""
    torch.manual_seed(0)
    nodes, classes = place.size(5_000, 40), 4
    graphs = [random_graph(nodes, place.size(50_000, 200), seed) for seed in (0, 1)]
    weights, feats = torch.rand(2, graphs[0].num_edges()).double(), torch.randn(2, nodes, 8).double()
    seen, label_feat = torch.rand(nodes) < 0.9, torch.rand(nodes, 5).double()
    labels = torch.randint(classes, (nodes,))
    model = DySIGN(8, 16, classes, 2, label_feats=5, coupling=True, dropout=0.0, tol=1e-10, adjoint_tol=1e-10).double()

    def loss(model: Any, device: torch.device) -> Tensor:
        moved = [(weight.to(device), feat.to(device)) for weight, feat in zip(weights, feats, strict=True)]
        read = [Snapshot(graph, *parts, seen.to(device)) for graph, parts in zip(graphs, moved, strict=True)]
        return nn.functional.cross_entropy(model(read, label_feat.to(device)), labels.to(device))

    return {"parameters": _trained_alike(model, loss, place)}


def undergs_steps(place: Place) -> Row:
    """Compare three steps of training of UnderGS, with every aggregator, in float64."""
    torch.manual_seed(0)
    nodes = place.size(5_000, 30)
    kept, now = _filled(nodes, place.size(50_000, 150))
    candidates, rows = torch.randint(nodes, (place.size(2_000, 20), 6)), {}

    def loss(model: Any, device: torch.device) -> Tensor:
        z = model.embed(copy.deepcopy(kept).to(device), candidates, now)
        return link_loss(model.link(z[:, 0], z[:, 1:]))

    for aggregator in (*AGGREGATORS, "mixer"):
        options: dict[str, Any] = {"num_neighbors": 8, "filter_ratio": 0.3, "embedding_dropout": 0.0}
        model = UnderGS(nodes, 8, aggregator, dropout=0.0, **options).double()
        rows[aggregator] = _trained_alike(model, loss, place)
    return rows
