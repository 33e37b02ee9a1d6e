"""UnderGS: embeddings node by node, no padding and no neighbours in the batch, gradients, presets, errors."""

import copy
import io

import pytest
import torch

from dgl_dysign.errors import ConfigError
from dgl_dysign.models import PRESETS, UnderGS, link_loss
from tests.models.undergs_cases import K, N, edges, filled

AGGREGATORS = ("gcn", "sage", "gat", "gin", "mixer")
NODE_FEAT = torch.randn(N, 3, generator=torch.Generator().manual_seed(1))
EDGE_FEAT = torch.randn(24, 2, generator=torch.Generator().manual_seed(2))
EXTRAS = {"node_feats": 3, "edge_feats": 2, "pair_feats": 2, "num_classes": 3}


def made(aggregator="gcn", seed=0, **options):
    torch.manual_seed(seed)
    model = UnderGS(N, 8, aggregator, num_neighbors=K, **options).double()
    for name, parameter in model.named_parameters():
        if name.endswith(("bias", "eps")):  # biases of zero hide where they are missing
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def given(model):
    """Return the features that a model wants."""
    return {"node_feat": NODE_FEAT if model.node_feats else None, "edge_feat": EDGE_FEAT if model.edge_feats else None}


@pytest.mark.parametrize("options", [{}, EXTRAS, {"mass": False}], ids=["plain", "extras", "no mass"])
@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_each_node_is_embedded_as_it_is_alone(aggregator, options):
    model, store = made(aggregator, **options).eval(), filled()
    nodes = torch.tensor([[3, 0, 3], [N - 1, 5, 0]])
    found = model.embed(store, nodes, 3, **given(model))
    assert found.shape == (2, 3, model.out_feats)
    for row in range(2):
        for column in range(3):
            alone = model.embed(store, nodes[row, column][None], 3, **given(model))[0]
            torch.testing.assert_close(found[row, column], alone, rtol=0, atol=1e-12)
    assert model.embed(store, nodes[:0], 3, **given(model)).shape == (0, 3, model.out_feats)


def test_the_formula_of_gcn():
    model, store = made(**EXTRAS).eval(), filled()
    found = model.embed(store, torch.arange(N), 4, NODE_FEAT, lambda ids: EDGE_FEAT[ids])
    entry = model.inputs.table.weight + model.inputs.fc(NODE_FEAT.double())
    for v in range(N):
        message, total = torch.zeros(8 + 2 + 16, dtype=torch.float64), 0.0
        near = store.neighbors([v], 4)
        for other, edge, age, score in zip(
            *(x[0] for x in (near.node, near.edge_id, near.age, near.influence)), strict=True
        ):
            if other < 0:
                continue
            phi = torch.cos(model.conv.time.frequency * age + model.conv.time.phase)
            message = message + score * torch.cat([entry[other], EDGE_FEAT[edge].double(), phi])
            total += float(score)
        gathered = model.conv.fc(message / total if total else message)
        torch.testing.assert_close(found[v, :-1], model.join(torch.cat([entry[v], gathered])), rtol=0, atol=1e-6)
        assert found[v, -1].item() == pytest.approx(torch.tensor(1 + total).log().item(), abs=1e-6)


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_node_zero_is_no_padding(aggregator):
    model, store = made(aggregator, **EXTRAS).eval(), filled()
    hears_zero = (store.neighbors(torch.arange(N), 3).node == 0).any(1) | (torch.arange(N) == 0)
    assert 2 <= int(hears_zero.sum()) < N - 2
    before = model.embed(store, torch.arange(N), 3, **given(model))
    with torch.no_grad():
        model.inputs.table.weight[0] += 5
    moved = (model.embed(store, torch.arange(N), 3, **given(model)) - before).abs().amax(1) > 1e-9
    assert moved.tolist() == hears_zero.tolist()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_every_parameter_gets_a_gradient_from_both_heads_together(aggregator, preset):
    model, store = made(aggregator, preset=preset, **EXTRAS), filled()
    z = model.embed(store, torch.arange(N).repeat(2).reshape(8, 3), 3, **given(model))
    logits = model.link(z[:, 0], z[:, 1:], torch.randn(8, 2, 2).double())
    classes = torch.nn.functional.cross_entropy(model.classify(z[:, 0]), torch.arange(8) % 3)
    (link_loss(logits, model.loss) + classes).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 1e-12, name


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_embedding_changes_neither_the_store_nor_the_next_embedding(aggregator):
    model, store = made(aggregator).eval(), filled()
    before = copy.deepcopy(store.state_dict())
    first = model.embed(store, torch.arange(N), 3)
    torch.testing.assert_close(model.embed(store, torch.arange(N), 3), first, rtol=0, atol=0)
    assert torch.equal(store.state_dict()["slots"], before["slots"])
    assert store.snapshot == 2


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_what_is_not_inserted_is_not_seen_and_what_is_counts(aggregator):
    model, store = made(aggregator).eval(), filled()
    before = model.embed(store, torch.arange(N), 3)
    store.insert(3, *edges(3))
    after = model.embed(store, torch.arange(N), 4)
    assert not torch.allclose(before, after)
    again = filled(4)
    torch.testing.assert_close(model.embed(again, torch.arange(N), 4), after, rtol=0, atol=0)


def test_dropout_of_learned_ids_draws_once_for_a_node_and_batch():
    model, store = made(dropout=0, filter_ratio=0), filled()
    z = model.embed(store, torch.tensor([2, 7, 2]), 3)
    torch.testing.assert_close(z[0], z[2], rtol=0, atol=0)
    assert not torch.allclose(z[0], model.embed(store, torch.tensor([2]), 3)[0])
    assert made(preset="paper").inputs.dropout == 0


def test_presets():
    default, paper = made(), made(preset="paper")
    assert (default.out_feats, default.loss, default.conv.filter.filter_ratio) == (9, "softmax", 0.3)
    assert (paper.out_feats, paper.loss, paper.conv.time.scale) == (8, "bce", "paper")
    overruled = made(preset="paper", mass=True, embedding_dropout=0.5, filter_ratio=0.1, time_scale=7)
    assert overruled.out_feats == 9
    assert (overruled.inputs.dropout, overruled.conv.filter.filter_ratio, overruled.conv.time.scale) == (0.5, 0.1, 7)


def test_state_goes_through_a_file_and_reset_draws_anew():
    model, store = made("gat", **EXTRAS), filled()
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    other = made("gat", seed=4, **EXTRAS)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    for one in (model, other):
        torch.manual_seed(3)
        one.out = one.embed(store, torch.arange(N), 3, **given(model))
    torch.testing.assert_close(model.out, other.out, rtol=0, atol=0)
    before = {name: p.clone() for name, p in model.named_parameters()}
    model.reset_parameters()
    same = [n for n, p in model.named_parameters() if p.dim() > 1 and torch.equal(p, before[n])]
    assert not same


def test_errors():
    for wrong in ({"aggregator": "lstm"}, {"preset": "best"}, {"filter_ratio": 2.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            UnderGS(N, 8, **wrong)
    model, store, nodes = made(edge_feats=2), filled(), torch.arange(N)
    with pytest.raises(ConfigError, match="edge_feat: this model was made with edge_feats=2, but got none"):
        model.embed(store, nodes, 3)
    with pytest.raises(ConfigError, match="node_feat: this model was made with node_feats=0, but got some"):
        model.embed(store, nodes, 3, NODE_FEAT, EDGE_FEAT)
    with pytest.raises(ConfigError, match=r"edge_feat has 5 rows, but id \d+ was asked for"):
        model.embed(store, nodes, 3, None, EDGE_FEAT[:5])
    with pytest.raises(ConfigError, match=r"edge_feat must give shape"):
        model.embed(store, nodes, 3, None, lambda ids: EDGE_FEAT[ids, :1])
    with pytest.raises(ConfigError, match="num_classes"):
        model.classify(torch.zeros(2, 9))
