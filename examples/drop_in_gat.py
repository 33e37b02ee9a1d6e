"""DGL's graph attention network on a whole graph, with the layers of dgl_dysign in the place of DGL's.

    python examples/drop_in_gat.py                                 # generated data, seconds
    python examples/drop_in_gat.py PREPARED --seeds 3

The program is that of DGL's example (``examples/pytorch/gat/train.py``): two layers of attention, dropout, the epoch
that is best on the validation nodes. Row `dgl` is the original. Row `dysign` has one import and one line changed; the
heads come out joined, so that what follows, `.flatten(1)`, stays as it is:

    -import dgl.nn as dglnn
    +from dgl_dysign.nn import InfluenceConv
    ...
    -    return dglnn.GATConv(in_size, out_size, heads)
    +    return InfluenceConv(in_size, heads * out_size, "gat", num_heads=heads)

Row `spikes` has one line changed to neurons that fire: the first layer's output are firing rates, in eighths:

    -    return dglnn.GATConv(in_size, out_size, heads)
    +    return SpikingGraphConv(in_size, heads * out_size) if hidden else dglnn.GATConv(in_size, out_size, heads)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import torch
from _drop_in import Data, Result, measured, parser, run
from torch import Tensor, nn
from torch.nn import functional

import dgl_dysign  # noqa: F401  before dgl, which it lets be imported beside today's PyTorch

# isort: split
import dgl.nn as dglnn

from dgl_dysign.nn import InfluenceConv, SpikingGraphConv

ROWS = ("dgl", "dysign", "spikes")


class GAT(nn.Module):
    """DGL's model: attention with several heads, then attention with one that gives the logits."""

    def __init__(self, in_size: int, hidden: int, out_size: int, heads: int, row: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [layer(in_size, hidden, heads, True, row), layer(heads * hidden, out_size, 1, False, row)]
        )
        self.dropout = nn.Dropout(0.4)

    def forward(self, graph: Any, feat: Tensor) -> Tensor:
        """Return the logits of all nodes."""
        hidden = functional.elu(self.layers[0](graph, self.dropout(feat)).flatten(1))
        logits: Tensor = self.layers[1](graph, self.dropout(hidden)).flatten(1)
        return logits


def layer(in_size: int, out_size: int, heads: int, hidden: bool, row: str) -> nn.Module:
    """Return a layer: the line that changes."""
    if row == "dysign":
        return InfluenceConv(in_size, heads * out_size, "gat", num_heads=heads)
    if row == "spikes" and hidden:
        return SpikingGraphConv(in_size, heads * out_size)
    return dglnn.GATConv(in_size, out_size, heads)


def train(data: Data, row: str, args: argparse.Namespace) -> Result:
    """Train as DGL's example does, and measure on the test nodes after the epoch that is best on the others."""
    graph, feat, labels = data.graph, data.graph.ndata["feat"], data.graph.ndata["label"]
    masks = {part: graph.ndata[f"{part}_mask"] for part in ("train", "val", "test")}
    model = GAT(feat.shape[1], args.hidden, data.num_classes, args.heads, row)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=5e-4)
    best = [0.0, 0.0]

    def epoch() -> None:
        model.train()
        loss = functional.cross_entropy(model(graph, feat)[masks["train"]], labels[masks["train"]])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    @torch.no_grad()
    def score() -> None:
        model.eval()
        right = model(graph, feat).argmax(1) == labels
        val, test = (float(right[masks[part]].float().mean()) for part in ("val", "test"))
        if val > best[0]:
            best[:] = val, test

    return Result(measured(args.epochs, epoch, score), best)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; return the exit status."""
    options = parser(__doc__, ROWS, epochs=40, hidden=8)
    options.add_argument("--heads", type=int, default=8, help="of attention in the first layer (default 8)")
    options.add_argument("--lr", type=float, default=0.01, help="learning rate (default 0.01)")
    return run("drop_in_gat", options.parse_args(argv), train)


if __name__ == "__main__":
    sys.exit(main())
