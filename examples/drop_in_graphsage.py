"""DGL's GraphSAGE on mini-batches, with a layer or the sampler of dgl_dysign in the place of DGL's.

    python examples/drop_in_graphsage.py                            # generated data, seconds
    python examples/drop_in_graphsage.py PREPARED --seeds 3

The program is that of DGL's example of node classification (``examples/pytorch/graphsage/node_classification.py``).
Row `dgl` is the original. Row `dysign` has one import and one line changed:

    -import dgl.nn as dglnn
    +from dgl_dysign.nn import InfluenceConv
    ...
    -    return dglnn.SAGEConv(in_size, out_size, "mean")
    +    return InfluenceConv(in_size, out_size)

Row `dgl-sampler` has DGL's layer, unchanged, and hears the most influential past neighbours instead of random ones:

    +from dgl_dysign.store import InfluenceSampler, NeighborStore
    ...
    -    return NeighborSampler(FANOUTS, **prefetch)
    +    return InfluenceSampler(filled_store(data), len(FANOUTS), **prefetch)

where the store is filled snapshot by snapshot. Row `dysign-sampler` has both changes: the layer finds the influence on
the blocks and weighs by it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from _drop_in import Data, Result, measured, parser, run
from torch import Tensor, nn
from torch.nn import functional

import dgl_dysign  # noqa: F401  before dgl, which it lets be imported beside today's PyTorch

# isort: split
import dgl.nn as dglnn
from dgl.dataloading import DataLoader, NeighborSampler

from dgl_dysign.nn import InfluenceConv
from dgl_dysign.store import InfluenceSampler, NeighborStore

ROWS = ("dgl", "dysign", "dgl-sampler", "dysign-sampler")
FANOUTS = [10, 10]


class SAGE(nn.Module):
    """DGL's model: convolutions with relu and dropout between them."""

    def __init__(self, in_size: int, hidden: int, out_size: int, row: str) -> None:
        super().__init__()
        sizes = [in_size, *[hidden] * (len(FANOUTS) - 1), out_size]
        self.layers = nn.ModuleList(layer(*widths, row) for widths in pairwise(sizes))
        self.dropout = nn.Dropout(0.5)

    def forward(self, blocks: Sequence[Any], feat: Tensor) -> Tensor:
        """Return the logits of the last block's destination nodes."""
        for number, (conv, block) in enumerate(zip(self.layers, blocks, strict=True)):
            feat = conv(block, feat)
            if number + 1 < len(self.layers):
                feat = self.dropout(functional.relu(feat))
        return feat


def layer(in_size: int, out_size: int, row: str) -> nn.Module:
    """Return a layer: the line that changes."""
    if row.startswith("dgl"):
        return dglnn.SAGEConv(in_size, out_size, "mean")
    return InfluenceConv(in_size, out_size)


def sampler(data: Data, row: str) -> Any:
    """Return a sampler of blocks: the other line that may change."""
    prefetch: dict[str, Any] = {"prefetch_node_feats": ["feat"], "prefetch_labels": ["label"]}
    if row.endswith("sampler"):
        return InfluenceSampler(filled_store(data), len(FANOUTS), **prefetch)
    return NeighborSampler(FANOUTS, **prefetch)


def filled_store(data: Data) -> NeighborStore:
    """Return a store that has seen all snapshots, in their order."""
    store = NeighborStore(data.graph.num_nodes(), num_neighbors=FANOUTS[0], snapshot_decay=0.9, directed=False)
    for snapshot, (src, dst, edge_id) in enumerate(data.events):
        store.insert(snapshot, src, dst, edge_id)
    return store


def train(data: Data, row: str, args: argparse.Namespace) -> Result:
    """Train as DGL's example does, and measure on the test nodes after the epoch that is best on the others."""
    graph, feats = data.graph, data.graph.ndata["feat"].shape[1]
    model, blocks_of = SAGE(feats, args.hidden, data.num_classes, row), sampler(data, row)
    loaders = {}
    for part in ("train", "val", "test"):
        nodes = graph.ndata[f"{part}_mask"].nonzero().flatten()
        options = {"batch_size": args.batch_size, "shuffle": part == "train", "num_workers": 0}
        loaders[part] = DataLoader(graph, nodes, blocks_of, **options)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=5e-4)
    best = [0.0, 0.0]

    def epoch() -> None:
        model.train()
        for _, _, blocks in loaders["train"]:
            loss = functional.cross_entropy(model(blocks, blocks[0].srcdata["feat"]), blocks[-1].dstdata["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def score() -> None:
        found = accuracy(model, loaders["val"])
        if found > best[0]:
            best[:] = found, accuracy(model, loaders["test"])

    return Result(measured(args.epochs, epoch, score), best)


@torch.no_grad()
def accuracy(model: nn.Module, loader: Any) -> float:
    """Return the share of a loader's nodes whose class is found."""
    model.eval()
    right = total = 0
    for _, _, blocks in loader:
        found = model(blocks, blocks[0].srcdata["feat"]).argmax(1)
        right += int((found == blocks[-1].dstdata["label"]).sum())
        total += len(found)
    return right / total


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; return the exit status."""
    options = parser(__doc__, ROWS, epochs=10, hidden=64)
    options.add_argument("--batch-size", type=int, default=256, help="(default 256)")
    options.add_argument("--lr", type=float, default=0.01, help="learning rate (default 0.01)")
    return run("drop_in_graphsage", options.parse_args(argv), train)


if __name__ == "__main__":
    sys.exit(main())
