"""Short histories of snapshots, and models that tell what they were asked."""

import torch
from hypothesis import strategies as st

from dgl_dysign.data import SnapshotEdges, distinct_edges

NUM_NODES = 8

#: One list of (source, destination) pairs a snapshot.
HISTORIES = st.lists(
    st.lists(st.tuples(st.integers(0, NUM_NODES - 1), st.integers(0, NUM_NODES - 1)), max_size=7),
    min_size=1,
    max_size=7,
)


def snapshots(history, directed=True, num_nodes=NUM_NODES) -> list[SnapshotEdges]:
    """Return a history as edges; ids go on over the snapshots, weights are made from the ends."""
    made, first = [], 0
    for t, pairs in enumerate(history):
        src, dst = [u for u, _ in pairs], [v for _, v in pairs]
        table = torch.tensor([src, dst], dtype=torch.int64).reshape(2, -1)
        ids, weight = torch.arange(first, first + len(pairs)), (3 * table[0] + table[1] + 1).double() / 7
        made.append(distinct_edges(t, table[0], table[1], ids, ids / 3, weight, num_nodes=num_nodes, directed=directed))
        first += len(pairs)
    return made


def generated(num_snapshots=30, num_nodes=60, edges=25, seed=0, directed=True) -> list[SnapshotEdges]:
    """Return a history in which some nodes are popular, some pairs repeat, and popularity moves."""
    generator = torch.Generator().manual_seed(seed)
    history, pull = [], torch.rand(num_nodes, generator=generator) ** 4
    for _ in range(num_snapshots):
        pull = 0.9 * pull + 0.1 * torch.rand(num_nodes, generator=generator) ** 6
        ends = torch.multinomial(pull + 1e-3, 2 * edges, replacement=True, generator=generator).view(2, -1)
        history.append([tuple(pair) for pair in ends.T.tolist()])
    return snapshots(history, directed, num_nodes)


class Constant:
    """Scores everything alike, and notes every call."""

    def __init__(self, value=0.0):
        self.value = value
        self.calls = []

    def reset(self):
        self.calls.append(("reset",))

    def observe(self, edges):
        self.calls.append(("observe", edges.snapshot))

    def score(self, snapshot, src, dst):
        self.calls.append(("score", snapshot))
        return torch.full(dst.shape, self.value)
