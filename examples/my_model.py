"""A model of your own in our tables: one class, three methods, and it stands beside all others.

    dysign-check my_model:MeanGRU --data PREPARED
    dysign-train links PREPARED --run-dir runs/mine --rows undergs my_model:MeanGRU
    python examples/my_model.py PREPARED --run-dir runs/mine

The commands look for `my_model` in the folder that they are started in, so start them here. The class stands as well in
the tables of `dysign-train nodes` and `events`; heads, training, negatives, scores and resuming are the package's.
"""

import argparse

import torch
from torch import Tensor, nn

from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.experiments.train import train_links
from dgl_dysign.models.snapshot_encoder import SnapshotEncoder


class MeanGRU(SnapshotEncoder):
    """Each node remembers a vector; a snapshot updates it with the mean of what the node's partners send."""

    window = 2  # snapshots that the gradient goes back

    def __init__(self, num_nodes: int, in_feats: int, out_feats: int = 32) -> None:
        super().__init__()
        self.num_nodes, self.out_feats = num_nodes, out_feats
        self.message = nn.Linear(in_feats + out_feats, out_feats)
        self.memory = nn.GRUCell(out_feats, out_feats)
        self.out = nn.Linear(in_feats + out_feats, out_feats)

    def initial(self) -> Tensor:
        """Return the state before the first snapshot: nobody remembers anything."""
        return self.message.weight.new_zeros(self.num_nodes, self.out_feats)

    def step(self, state: Tensor, edges: SnapshotEdges, inputs: Tensor) -> Tensor:
        """Return the state after a snapshot; who has no edge in it stays as they were."""
        sender, receiver = torch.cat([edges.src, edges.dst]), torch.cat([edges.dst, edges.src])
        sent = self.message(torch.cat([inputs, state], dim=1)).relu()
        total = torch.zeros_like(sent).index_add(0, receiver, sent[sender])
        count = sent.new_zeros(self.num_nodes).index_add(0, receiver, sent.new_ones(len(receiver)))[:, None]
        return torch.where(count > 0, self.memory(total / count.clamp(min=1), state), state)

    def embed(self, state: Tensor, inputs: Tensor) -> Tensor:
        """Return the vectors that links, labels and classes are read from."""
        return self.out(torch.cat([inputs, state], dim=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", help="folder written by dysign-prep")
    parser.add_argument("--run-dir", default="runs/mine")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    train_links(args.prepared, args.run_dir, rows=["undergs", MeanGRU], seeds=args.seeds).show()
