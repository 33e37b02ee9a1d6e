"""Every kind of graph that a DGL pipeline hands to a convolution, made small; all convolutions run on all of them.

A case has a name and labels. ``homogeneous``: source nodes are destination nodes; ``bipartite``: they are of another
type; ``block``: a block of a mini-batch. ``silent``: some node has no incoming edge; ``empty``: there are no edges.
``sharp``: one of each kind, and the most awkward, for what does not hang on how the graph was come by.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from dgl_dysign._dgl import dgl

IDTYPES = (torch.int32, torch.int64)


class Case(NamedTuple):
    make: Callable[[], Any]
    labels: frozenset[str]


CASES: dict[str, Case] = {}


def _case(*labels):
    def register(make):
        CASES[make.__name__] = Case(make, frozenset(labels))
        return make

    return register


def cases(*labels):
    """Return the names of the cases that have all of some labels."""
    return [name for name, case in CASES.items() if case.labels.issuperset(labels)]


def graph_of(name, idtype):
    """Return a case's graph."""
    return CASES[name].make().astype(idtype)


def ring(size=6):
    """Return a directed ring with chords."""
    nodes = torch.arange(size)
    return dgl.graph((torch.cat([nodes, nodes]), torch.cat([(nodes + 1) % size, (nodes + 3) % size])))


def random_ends(num_src, num_dst, num_edges, seed):
    """Return ends of random edges, of which every destination has one at least."""
    generator = torch.Generator().manual_seed(seed)
    src = torch.randint(num_src, (num_edges + num_dst,), generator=generator)
    return src, torch.cat([torch.arange(num_dst), torch.randint(num_dst, (num_edges,), generator=generator)])


@_case("homogeneous")
def directed_ring():
    return ring()


@_case("homogeneous")
def undirected_star():
    return dgl.to_bidirected(dgl.graph(([0, 0, 0, 0], [1, 2, 3, 4])))


@_case("homogeneous", "sharp")
def clique_with_self_loops():
    return dgl.graph((torch.arange(5).repeat_interleave(5), torch.arange(5).repeat(5)))


@_case("homogeneous")
def random_graph():
    return dgl.graph(random_ends(20, 20, 60, seed=1))


@_case("homogeneous", "sharp")
def repeated_edges():
    return dgl.graph(([0, 0, 0, 1, 2, 2], [1, 1, 1, 2, 0, 0]))


@_case("homogeneous", "sharp")
def edges_in_order():
    return dgl.graph(([0, 0, 1, 2, 2], [1, 2, 0, 0, 1]), row_sorted=True, col_sorted=True)


@_case("homogeneous")
def one_node_with_a_self_loop():
    return dgl.graph(([0], [0]))


@_case("homogeneous")
def batch_of_graphs():
    return dgl.batch([ring(3), ring(5), ring(4)])


@_case("homogeneous")
def line_graph():
    return dgl.line_graph(ring(4))


@_case("homogeneous")
def relation_within_one_type():
    return social()["follows"]


@_case("homogeneous", "silent")
def induced_subgraph():
    return dgl.node_subgraph(random_graph(), torch.tensor([2, 3, 5, 7, 11]))


@_case("homogeneous", "silent")
def directed_path():
    return dgl.graph(([0, 1, 2], [1, 2, 3]))


@_case("homogeneous", "silent", "sharp")
def isolated_nodes():
    return dgl.graph(([0, 1], [1, 0]), num_nodes=5)


@_case("homogeneous", "silent", "empty", "sharp")
def no_edges():
    return dgl.graph(([], []), num_nodes=4)


@_case("homogeneous", "empty", "sharp")
def no_nodes():
    return dgl.graph(([], []), num_nodes=0)


@_case("bipartite", "sharp")
def random_bipartite():
    return dgl.heterograph({("user", "buys", "item"): random_ends(7, 5, 12, seed=2)}, {"user": 7, "item": 5})


@_case("bipartite")
def relation_between_two_types():
    return social()["user", "plays", "game"]


@_case("bipartite")
def relation_of_a_batch():
    return dgl.batch([social(), social()])["plays"]


@_case("bipartite", "silent", "sharp")
def bipartite_with_an_idle_node():
    return dgl.heterograph({("user", "buys", "item"): ([0, 1, 1], [0, 0, 2])}, {"user": 4, "item": 4})


@_case("bipartite", "silent", "empty", "sharp")
def bipartite_without_edges():
    return dgl.heterograph({("user", "buys", "item"): ([], [])}, {"user": 3, "item": 2})


@_case("block")
def block_of_some_nodes():
    nodes = torch.tensor([3, 0, 5])
    return dgl.to_block(dgl.in_subgraph(random_graph(), nodes), nodes)


@_case("block")
def block_of_all_nodes():
    return dgl.to_block(random_graph())


@_case("block", "sharp")
def sampled_block():
    loader = dgl.dataloading.DataLoader(
        random_graph(), torch.arange(8), dgl.dataloading.NeighborSampler([2]), batch_size=8, num_workers=0
    )
    ((_, _, (block,)),) = loader
    return block


@_case("block")
def block_of_a_relation():
    return dgl.to_block(social())["plays"]


@_case("block", "silent", "sharp")
def block_with_a_silent_node():
    nodes = torch.tensor([0, 2])
    return dgl.to_block(dgl.in_subgraph(directed_path(), nodes), nodes)


@_case("block", "silent", "empty", "sharp")
def block_without_edges():
    return dgl.to_block(no_edges(), torch.tensor([1, 2]))


def social():
    """Return a graph of two types of nodes and three of edges."""
    return dgl.heterograph(
        {
            ("user", "follows", "user"): ([0, 1, 2, 2], [1, 2, 0, 1]),
            ("user", "plays", "game"): ([0, 1, 1, 2], [0, 0, 1, 1]),
            ("game", "made by", "user"): ([0, 1, 1], [2, 0, 1]),
        }
    )
