"""SpikingUnderGS: the store as a graph, the dense equilibrium on it, gradients, Dy-SIGN's training, errors."""

import copy
import pickle

import pytest
import torch

from dgl_dysign._dgl import dgl
from dgl_dysign.errors import ConfigError
from dgl_dysign.models import SpikingUnderGS, link_loss, preset_store, store_graph
from dgl_dysign.training import EquilibriumCache, FitConfig, fit, late_snapshot_step, snapshot_batches
from tests.models.undergs_cases import N, edges, filled

FEAT = torch.randn(N, 3, generator=torch.Generator().manual_seed(1))
TIGHT = {"tol": 1e-13, "adjoint_tol": 1e-13, "max_iter": 300, "adjoint_max_iter": 300}


def made(seed=0, **options):
    torch.manual_seed(seed)
    return SpikingUnderGS(N, 8, **{"id_feats": 5, "embedding_dropout": 0, **options}).double()


def dense_shares(store, now, symmetric=False):
    near, matrix = store.neighbors(torch.arange(N), now), torch.zeros(N, N, dtype=torch.float64)
    for v in range(N):
        total = float(near.influence[v].sum())
        for other, score in zip(near.node[v].tolist(), near.influence[v].tolist(), strict=True):
            if other >= 0:
                matrix[v, other] += score / total
                if symmetric:
                    matrix[other, v] += score / total
    return matrix


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("hops", [1, 2])
def test_the_graph_holds_each_nodes_shares(symmetric, hops):
    store = filled(num_hops=hops)
    graph, expected = store_graph(store, 4, symmetric=symmetric), dense_shares(store, 4, symmetric)
    src, dst = graph.edges()
    found = torch.zeros(N, N, dtype=torch.float64).index_put((dst, src), graph.edata["weight"].double(), True)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    near = store.neighbors(torch.arange(N), 4)
    torch.testing.assert_close(graph.ndata["mass"], near.influence.sum(1).log1p())
    assert graph.ndata["active"].tolist() == [v != N - 1 for v in range(N)]
    assert graph.num_edges() <= N * store.num_neighbors * (1 + symmetric)


@pytest.mark.parametrize("symmetric", [False, True])
def test_some_nodes_give_the_induced_subgraph(symmetric):
    store, nodes = filled(), torch.tensor([5, 0, 11, 3, 7])
    found = store_graph(store, 3, nodes, symmetric)
    expected = dgl.node_subgraph(store_graph(store, 3, symmetric=symmetric), nodes)
    for one, other in ((found, expected), (expected, found)):
        src, dst = one.edges()
        assert other.has_edges_between(src, dst).all()
    key = [sorted(zip(*(x.tolist() for x in (*g.edges(), g.edata["weight"])), strict=True)) for g in (found, expected)]
    assert key[0] == key[1]
    assert torch.equal(found.ndata["mass"], expected.ndata["mass"])


def test_nothing_was_inserted_yet():
    graph = store_graph(preset_store(N), 0)
    assert (graph.num_nodes(), graph.num_edges(), int(graph.ndata["active"].sum())) == (N, 0, 0)
    z = made().embed(preset_store(N), torch.arange(N), 0)
    assert (z == 0).all()


@pytest.mark.parametrize("symmetric", [False, True])
def test_rates_are_the_dense_equilibrium(symmetric):
    model, store = made(node_feats=3, symmetric=symmetric, **TIGHT), filled()
    share = dense_shares(store, 3, symmetric)
    root = [torch.where(total > 0, total, 1.0).rsqrt() for total in (share.sum(1), share.sum(0))]
    matrix = root[0][:, None] * share * root[1]
    active = (torch.arange(N) < N - 1).double()[:, None]
    weight = model.conv.effective_weights()[0]
    drive = torch.cat([FEAT.double(), model.table.weight], 1) @ model.conv.injection_weight.t() + model.conv.biases[0]
    rate = torch.zeros(N, 8, dtype=torch.float64)
    for _ in range(300):
        rate = (matrix @ rate @ weight.t() + drive).clamp(0, 1) * active
    found = model.embed(store, torch.arange(N), 3, FEAT)
    torch.testing.assert_close(found[:, :-1], (rate - 0.5) * active, rtol=0, atol=1e-6)
    mass = store.neighbors(torch.arange(N), 3).influence.sum(1).log1p().double()
    torch.testing.assert_close(found[:, -1], mass)


@pytest.mark.parametrize("gradient", ["implicit", "one-step", "trace", "bptt"])
@pytest.mark.parametrize("preset", ["default", "paper"])
def test_every_parameter_gets_a_gradient_from_both_heads_together(preset, gradient):
    model = made(node_feats=3, num_classes=3, pair_feats=2, preset=preset, gradient=gradient, num_snapshots=2)
    stores = [filled(2), filled(3)]
    z = model.embed(stores[1], torch.arange(N).repeat(2).reshape(8, 3), 3, FEAT)
    link = link_loss(model.link(z[:, 0], z[:, 1:], torch.randn(8, 2, 2).double()), model.loss)
    logits = model([model.snapshot(store, 3, FEAT) for store in stores])
    (link + torch.nn.functional.cross_entropy(logits, torch.arange(N) % 3)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 1e-12, name


def test_gradcheck_through_the_equilibrium():
    model, store = made(**TIGHT).eval(), filled()
    names = ["table.weight", "conv.feedback_weight", "conv.injection_weight"]
    values = [dict(model.named_parameters())[name].detach().clone().requires_grad_() for name in names]
    args = (store, torch.arange(N), 3)

    class Embed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self):
            return self.model.embed(*args)

    names = [f"model.{name}" for name in names]
    assert torch.autograd.gradcheck(
        lambda *v: torch.func.functional_call(Embed(), dict(zip(names, v, strict=True)), ()), values, fast_mode=True
    )


def test_spikes_tend_to_the_rates_and_the_store_is_not_changed():
    model, store = made().eval(), filled()
    before = copy.deepcopy(store.state_dict())
    exact = model.embed(store, torch.arange(N), 3)
    model.conv.latency = 256
    with torch.no_grad():
        spiking = model.embed(store, torch.arange(N), 3, simulate=True)
    assert (spiking - exact).abs().max() < 0.02
    assert torch.equal(store.state_dict()["slots"], before["slots"])
    store.insert(3, *edges(3))
    assert not torch.allclose(model.embed(store, torch.arange(N), 4), exact)


def test_the_training_of_dysign_works_on_it():
    torch.manual_seed(0)
    model = SpikingUnderGS(N, 8, node_feats=3, num_classes=2, dropout=0.0)
    read = model.snapshot(filled(), 3, FEAT)
    labels = (FEAT[:, 0] > 0).long()
    assert model.table is None
    history = fit(model, EquilibriumCache(model, [read]), labels, torch.arange(N - 1), torch.arange(N - 1),
                  FitConfig(epochs=30, batch_size=4, lr=0.05, weight_decay=0.0))  # fmt: skip
    assert history[-1]["val_accuracy"] > 0.9
    found = model([read]).argmax(1)[: N - 1]
    assert (found == labels[: N - 1]).float().mean() > 0.9


def test_links_are_learnt_snapshot_by_snapshot():
    torch.manual_seed(0)
    model, losses = SpikingUnderGS(N, 8, id_feats=8, embedding_dropout=0.0, head_dropout=0.0), []
    store = filled()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    src, dst, _ = edges(3)
    candidates = torch.stack([dst, (dst + 3) % (N - 1), (dst + 5) % (N - 1)], 1)

    def loss(batch):
        z = model.embed(store, torch.arange(N), 3)
        return link_loss(model.link(z[batch.tensors[0]], z[batch.tensors[1]]), model.loss)

    for _ in range(40):
        losses.append(late_snapshot_step(optimizer, snapshot_batches(3, 3, src, candidates), loss, 5.0).loss)
    assert losses[-1] < 0.3 * losses[0]


def test_copies_reset_and_presets():
    model, store = made(num_classes=3).eval(), filled()
    expected = model.embed(store, torch.arange(N), 3)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(other.embed(store, torch.arange(N), 3), expected, rtol=0, atol=0)
    before = {name: p.clone() for name, p in model.named_parameters()}
    model.reset_parameters()
    assert not [n for n, p in model.named_parameters() if p.dim() > 1 and torch.equal(p, before[n])]
    paper = made(preset="paper")
    assert (paper.out_feats, paper.loss, paper.store().importance) == (8, "bce", "cohesion")
    assert (model.out_feats, model.loss, model.store().snapshot_decay) == (9, "softmax", 0.8)
    assert SpikingUnderGS(N).embedding_dropout == 0.9


def test_errors():
    with pytest.raises(ConfigError, match="both 0"):
        made(id_feats=0)
    model, store = made(), filled()
    with pytest.raises(ConfigError, match="num_classes"):
        model([model.snapshot(store, 3)])
    with pytest.raises(ConfigError, match="node_feats=0, but got some"):
        model.snapshot(store, 3, FEAT)
    with pytest.raises(ConfigError, match="named twice"):
        store_graph(store, 3, torch.tensor([1, 2, 1]))
