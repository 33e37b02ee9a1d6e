"""Small snapshots in float64 for encoders, and how they are run on them."""

import torch

from dgl_dysign.data import distinct_edges
from tests.evaluation.link_cases import snapshots

NODES, WIDTH = 7, 3
EDGES = snapshots([[(0, 1), (1, 0), (2, 2), (3, 4)], [], [(5, 1), (0, 1), (6, 5)]], num_nodes=NODES)


def encoder(cls, **options):
    """Return an encoder in evaluation mode, none of whose parameters is zero."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = cls(NODES, WIDTH, **options).double().eval()
        for parameter in model.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter)
    return model


def inputs(number=3):
    return torch.randn(number, NODES, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def after(model, edges=EDGES, tables=None):
    """Return the state after some snapshots."""
    state = model.initial()
    for one, table in zip(edges, inputs() if tables is None else tables, strict=True):
        state = model.step(state, one, table)
    return state


def run(model, edges=EDGES, tables=None):
    """Return the vectors after some snapshots."""
    tables = inputs() if tables is None else tables
    return model.embed(after(model, edges, tables), tables[-1])


def assert_some(model, edges=EDGES, tables=None):
    """Demand that some nodes' vectors, gradients and dropout are what they are among those of all nodes."""
    tables = inputs() if tables is None else tables
    state, nodes = after(model, edges, tables), torch.tensor([0, 2, 3, 6])
    assert_same(model, model.embed(state, tables[-1], nodes), model.embed(state, tables[-1])[nodes])
    assert model.embed(state, tables[-1], nodes[:0]).shape == (0, model.out_feats)
    for mixed in (torch.arange(NODES).flip(0), torch.tensor([6, 0, 2]).repeat(NODES)):
        torch.testing.assert_close(model.embed(state, tables[-1], mixed), model.embed(state, tables[-1])[mixed])
    model.train()
    drawn = []
    for some in ((), (nodes,)):
        with torch.random.fork_rng([]):
            torch.manual_seed(4)
            vectors = model.embed(state, tables[-1], *some)
        drawn.append(vectors if some else vectors[nodes])
    assert_same(model, *drawn)
    assert not torch.allclose(drawn[0], model.eval().embed(state, tables[-1], nodes))


def renamed(edges=EDGES, tables=None, seed=3):
    """Return new numbers of nodes, and edges and inputs under them."""
    number = torch.randperm(NODES, generator=torch.Generator().manual_seed(seed))
    ends = [distinct_edges(e.snapshot, number[e.src], number[e.dst], weight=e.weight, num_nodes=NODES) for e in edges]
    return number, ends, (inputs() if tables is None else tables)[:, number.argsort()]


def normalised(edges):
    """Return the dense matrix of graph convolutions."""
    adjacency = torch.eye(NODES, dtype=torch.float64)
    for u, v in zip(edges.src.tolist(), edges.dst.tolist(), strict=True):
        adjacency[u, v] = adjacency[v, u] = 1.0
    root = torch.diag(adjacency.sum(0) ** -0.5)
    return root @ adjacency @ root


def gru(cell, feat, state):
    """Return a step of a GRU, written out."""
    reset_in, update_in, new_in = (feat @ cell.weight_ih.t() + cell.bias_ih).chunk(3, 1)
    reset_of, update_of, new_of = (state @ cell.weight_hh.t() + cell.bias_hh).chunk(3, 1)
    update = torch.sigmoid(update_in + update_of)
    return (1 - update) * torch.tanh(new_in + torch.sigmoid(reset_in + reset_of) * new_of) + update * state


def assert_same(model, actual, expected):
    """Demand the same values and gradients, of which none is zero."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-11)
    slope = torch.randn(actual.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    names, parameters = zip(*model.named_parameters(), strict=True)
    grads = [torch.autograd.grad(value, parameters, slope) for value in (actual, expected)]
    for name, one, two in zip(names, *grads, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-8, atol=1e-11, msg=name)
        assert one.abs().max() > 0, name
