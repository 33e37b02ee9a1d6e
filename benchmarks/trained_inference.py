"""Inference of trained networks: layers that send packed spikes, beside float layers of the same widths, and their F1.

    python benchmarks/trained_inference.py PREPARED --seeds 3   # a folder with labels; minutes
    python benchmarks/trained_inference.py --quick              # generated data

Each JSON line is a number of layers and a seed. Networks read the last snapshot: its features, scaled, and all edges so
far, both ways and with loops, without weights. ``graphconv`` are DGL's ``GraphConv`` with ReLU; ``spikes`` are layers
of `SpikingGraphConv` at latency 1 on the spikes of a `ThresholdEncoder`, which send bits to each other; ``eight`` are
the same with weights rounded to eight bits, once they are trained. Both networks take means over neighbours, and are
trained alike, on the full batch: Adam, 40 % of the nodes for training. ``macro_f1`` is on test and on validation, of
what is timed; ``seconds`` are CPU seconds of a pass over all nodes, the least of several that take turns, and ``times``
those of ``graphconv`` by each; features are packed once, before.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from frozen_features import generated
from spiking_inference import measured
from torch import Tensor, nn
from torch.nn import functional

from dgl_dysign._dgl import dgl
from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.evaluation import f1_scores
from dgl_dysign.models.inputs import graph_at, scaled_features
from dgl_dysign.nn import SpikingGraphConv, ThresholdEncoder
from dgl_dysign.ops import PackedSpikes, packed_linear

DIM, THRESHOLD = 128, 0.5


class Network(nn.Module):
    """Layers, of spikes or of floats, and a read-out."""

    def __init__(self, in_feats: int, num_classes: int, num_layers: int, spiking: bool) -> None:
        super().__init__()
        widths = [in_feats] + [DIM] * num_layers
        own: dict[str, Any] = {"latency": 1, "threshold": THRESHOLD} if spiking else {"activation": torch.relu}
        kind = SpikingGraphConv if spiking else dgl.nn.GraphConv
        self.layers = nn.ModuleList(kind(*pair, norm="right", **own) for pair in pairwise(widths))
        self.encoder = ThresholdEncoder(in_feats) if spiking else None
        self.readout = nn.Linear(DIM, num_classes)

    def forward(self, graph: Any, hidden: Tensor) -> Tensor:
        """Return class scores ``(N, C)`` of float features."""
        hidden = hidden if self.encoder is None else self.encoder(hidden)
        for layer in self.layers:
            hidden = layer(graph, functional.dropout(hidden, 0.5, self.training))
        return self.readout(functional.dropout(hidden, 0.5, self.training))

    def packed(self, graph: Any, read: PackedSpikes, weight_bits: int = 32) -> Tensor:
        """Return those of packed ones."""
        for layer in self.layers:
            read = layer(graph, read, weight_bits=weight_bits)
        return packed_linear(read, self.readout.weight, self.readout.bias)


def fitted(model: Network, graph: Any, feat: Tensor, labels: Tensor, train: Tensor, epochs: int) -> Network:
    """Train a network."""
    if model.encoder is not None:
        model.encoder.fit(feat[train])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    for _ in range(epochs):
        loss = functional.cross_entropy(model(graph, feat)[train], labels[train])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def rows(data: TemporalGraph, layers: Sequence[int], seeds: int, epochs: int, runs: int) -> Iterator[dict[str, object]]:
    """Yield a row for each number of layers and seed."""
    last = data.num_snapshots - 1
    feat, graph = scaled_features(data, last), dgl.add_self_loop(graph_at(data, last, 1.0)[0])
    graph.create_formats_()
    train, *scored = stratified_split(data.labels, 0.4, 42)
    for count, seed in ((count, seed) for seed in range(seeds) for count in layers):
        networks = []
        for spiking in (False, True):
            torch.manual_seed(seed)
            network = Network(feat.shape[1], data.num_classes, count, spiking)
            networks.append(fitted(network, graph, feat, data.labels, train, epochs))
        with torch.no_grad():
            yield {"layers": count, "seed": seed, **timed(*networks, graph, feat, data.labels, scored, runs)}


def timed(
    floats: Network, spiking: Network, graph: Any, feat: Tensor, labels: Tensor, scored: Sequence[Tensor], runs: int
) -> dict[str, object]:
    """Return scores and seconds of two networks."""
    assert spiking.encoder is not None
    signed = spiking.encoder.pack(feat)
    passes = {
        "graphconv": lambda: floats(graph, feat),
        "spikes": lambda: spiking.packed(graph, signed),
        "eight": lambda: spiking.packed(graph, signed, 8),
    }
    scores = {
        name: [round(f1_scores(labels, work().argmax(1), nodes)["macro_f1"], 1) for nodes in reversed(scored)]
        for name, work in passes.items()
    }
    seconds, _ = measured(passes, runs)
    rates, read = [], signed
    for layer in spiking.layers:
        read = layer(graph, read)
        rates.append(round(float(read.counts().sum()) / read.shape[0] / DIM, 3))
    return {
        "macro_f1": scores, "rates": rates, "seconds": seconds,
        "times": {name: round(seconds["graphconv"] / seconds[name], 2) for name in ("spikes", "eight")},
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path, nargs="?", help="a folder written by dysign-prep (default: generated)")
    parser.add_argument("--layers", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--quick", action="store_true", help="two epochs: to see that it works")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as home:
        data = TemporalGraph.load(args.prepared or generated(Path(home)))
        for row in rows(
            data, args.layers, args.seeds, 2 if args.quick else args.epochs, 1 if args.quick else args.runs
        ):
            print(json.dumps({"benchmark": "trained_inference", "nodes": data.num_nodes, **row}), flush=True)


if __name__ == "__main__":
    main()
