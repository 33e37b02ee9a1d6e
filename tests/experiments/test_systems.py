"""What holds of every comparison system: honest and alive, every parameter learns, names of nodes do not matter."""

import inspect

import pytest
import torch

from dgl_dysign.data import distinct_edges
from dgl_dysign.experiments.check import check_entry
from dgl_dysign.experiments.encoder_entries import SYSTEMS, encoder_entry
from tests.evaluation.link_cases import snapshots

TABLES = [(name, kind) for name, (_, tables) in SYSTEMS.items() for kind in tables]
NODES, WIDTH = 7, 3
#: Systems whose vectors depend on how nodes are numbered, as they draw something of each node.
DRAWN = {"dgnn-gru", "dgnn-lstm", "dgnn-tf", "dysat-tgl"}


@pytest.mark.parametrize(("name", "kind"), TABLES)
def test_each_is_honest_and_alive(name, kind):
    cls, tables = SYSTEMS[name]
    entry = name
    if kind == "node":  # its epochs are not those of the check's settings
        entry = encoder_entry(cls, kind, f"{name}-brief", {**tables[kind], "epochs": 3})
    checks = ["finite", "alive", "parameters"]
    if kind == "link" or "link" not in tables:  # what it reads and keeps is the same in each table
        checks += ["future", "state", "order of edges"]
        checks += ["names of nodes"] if name in {*DRAWN, "evolvegcn-o"} else []  # of all others below, to the last bit
    if kind == "node":
        checks += ["labels"]
    report = check_entry(entry, kind=kind, checks=checks)
    assert report.ok, str(report)


@pytest.mark.parametrize("name", [name for name in SYSTEMS if name not in DRAWN])
def test_nodes_under_other_numbers_have_the_same_vectors(name):
    cls, tables = SYSTEMS[name]
    taken = inspect.signature(cls).parameters
    arguments = {key: value for key, value in next(iter(tables.values())).items() if key in taken}
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        encoder = cls(NODES, WIDTH, **arguments).double().eval()
    edges = snapshots([[(0, 1), (1, 0), (2, 2), (3, 4)], [], [(5, 1), (0, 1), (6, 5)], [(1, 2)]], num_nodes=NODES)
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(len(edges), NODES, WIDTH, dtype=torch.float64, generator=generator)
    number = torch.randperm(NODES, generator=generator)
    renamed = [
        distinct_edges(e.snapshot, number[e.src], number[e.dst], weight=e.weight, num_nodes=NODES) for e in edges
    ]
    vectors = []
    for each, rows in ((edges, inputs), (renamed, inputs[:, number.argsort()])):
        state = encoder.initial()
        for one, table in zip(each, rows, strict=True):
            state = encoder.step(state, one, table)
        vectors.append(encoder.embed(state, rows[-1]))
    torch.testing.assert_close(vectors[1][number], vectors[0], rtol=0, atol=1e-12)
