"""Every convolution in DGL's training pipelines: whole graphs, mini-batches, an equilibrium's ways out, processes."""

import statistics

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from dgl_dysign._dgl import dgl
from dgl_dysign.training import distributed
from tests.nn.dgl_convs import ANYWHERE, CONVS, make
from tests.nn.graph_cases import IDTYPES, random_ends
from tests.processes import together


def communities(num_nodes=120, classes=3):
    """Return a graph whose nodes mostly hear their own class, with a hint of it as features, and the classes."""
    src, dst = random_ends(num_nodes, num_nodes, 600, seed=3)
    keep = (src % classes == dst % classes) | (torch.arange(len(src)) % 8 == 0)
    graph = dgl.add_self_loop(dgl.to_bidirected(dgl.graph((src[keep], dst[keep]), num_nodes=num_nodes)))
    labels = torch.arange(num_nodes) % classes
    noise = torch.rand(num_nodes, 6, generator=torch.Generator().manual_seed(4))
    graph.ndata["feat"] = 0.3 * noise + 0.7 * nn.functional.one_hot(labels, 6)
    graph.ndata["label"] = labels
    return graph


class Network(nn.Module):
    """Two convolutions and a readout, as in DGL's examples: one graph for all layers, or a block for each."""

    def __init__(self, conv):
        super().__init__()
        self.layers = nn.ModuleList([make(conv, 6, 16), make(conv, 16, 16)])
        self.readout = nn.Linear(16, 3)

    def forward(self, graphs, feat):
        for layer, graph in zip(self.layers, graphs, strict=True):
            feat = layer(graph, feat)
        return self.readout(feat)


def descends(losses):
    """Tell whether the loss fell by a tenth and more; the median, as DGL's samplers are not seeded in every thread."""
    third = len(losses) // 3
    return statistics.median(losses[-third:]) < 0.9 * statistics.median(losses[:3])


def step(optimizer, logits, labels):
    loss = nn.functional.cross_entropy(logits, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@pytest.mark.parametrize("conv", CONVS)
def test_training_on_the_whole_graph(conv):
    graph, model = communities(), Network(conv)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    losses = [step(optimizer, model([graph] * 2, graph.ndata["feat"]), graph.ndata["label"]) for _ in range(25)]
    assert descends(losses)


@pytest.mark.parametrize(("conv", "idtype"), [*zip(ANYWHERE, 3 * IDTYPES, strict=True)])
def test_training_on_blocks(conv, idtype):
    graph, model = communities().astype(idtype), Network(conv)
    dgl.seed(0)
    # Degrees of the fused sampler's blocks crash DGL 1.1.3 with int32 ids, in GraphConv too.
    options = {"prefetch_node_feats": ["feat"], "prefetch_labels": ["label"], "fused": idtype == torch.int64}
    sampler = dgl.dataloading.NeighborSampler([5, 5], **options)
    loader = dgl.dataloading.DataLoader(graph, graph.nodes(), sampler, batch_size=40, shuffle=True, num_workers=0)
    optimizer, losses = torch.optim.Adam(model.parameters(), 0.03), []
    for _ in range(24):
        for _, _, blocks in loader:
            losses.append(step(optimizer, model(blocks, blocks[0].srcdata["feat"]), blocks[-1].dstdata["label"]))
    assert descends(losses)


@pytest.mark.parametrize("conv", [conv for conv in CONVS if conv not in ANYWHERE])
def test_training_an_equilibrium_on_induced_subgraphs(conv):
    """The way out that the error names: mini-batches of subgraphs, as DGL's own samplers of subgraphs give them."""
    graph, model = communities(), Network(conv)
    sampler = dgl.dataloading.SAINTSampler("node", 60)
    loader = dgl.dataloading.DataLoader(graph, torch.arange(4), sampler, num_workers=0)
    optimizer, losses = torch.optim.Adam(model.parameters(), 0.03), []
    for _ in range(4):
        for part in loader:
            losses.append(step(optimizer, model([part] * 2, part.ndata["feat"]), part.ndata["label"]))
    assert descends(losses)


@pytest.mark.parametrize("conv", [conv for conv in ANYWHERE if conv.startswith("influence")])
def test_blocks_with_all_neighbors_give_the_rows_of_the_whole_graph(conv):
    graph, model = communities(), Network(conv).eval()
    sampler = dgl.dataloading.MultiLayerFullNeighborSampler(2)
    loader = dgl.dataloading.DataLoader(graph, graph.nodes(), sampler, batch_size=50, num_workers=0)
    with torch.no_grad():
        rows = [model(blocks, graph.ndata["feat"][nodes]) for nodes, _, blocks in loader]
        torch.testing.assert_close(torch.cat(rows), model([graph] * 2, graph.ndata["feat"]))


def gradients(model, nodes, steps=2):
    """Return the gradients of some nodes' loss, in a step whose buffers a step before it has left something in."""
    graph = communities()
    for _ in range(steps):
        model.zero_grad()
        torch.manual_seed(1)
        logits = model([graph] * 2, graph.ndata["feat"])
        nn.functional.cross_entropy(logits[nodes], graph.ndata["label"][nodes]).backward()
    return [parameter.grad for parameter in model.parameters()]


def half_of_the_nodes():
    """Compare the mean over processes, each with its half of the nodes, with one process that has all of them."""
    for conv in CONVS:
        shared = DistributedDataParallel(Network(conv))
        of_halves = gradients(shared, torch.arange(60) + 60 * distributed.rank())
        for one, other in zip(of_halves, gradients(Network(conv), torch.arange(120)), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
    return distributed.world()


def test_processes_agree():
    """Two processes with half of the nodes each take the step of one process with all of them."""
    with together(2) as processes:
        assert processes.run(half_of_the_nodes) == [2, 2]
