"""Models that come back: the same numbers again, on later data too, and nothing accepted that does not fit."""

import subprocess

import pytest
import torch

from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.models import DySIGN, LabelInputs, NodeInputs, SpikingUnderGS, UnderGS, load_snapshots
from dgl_dysign.models.predict import predict, predict_links
from dgl_dysign.nn.influence_conv import AGGREGATORS
from tests.models.pretrained_cases import (
    BY_NODE,
    CLASSES,
    INPUTS,
    KINDS,
    NODES,
    drawn,
    dysign,
    events,
    folder,
    labels,
    of_kind,
    scorer,
    undergs,
)
from tests.models.snapshot_cases import growing, label_features, made
from tests.models.undergs_cases import N, filled


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("data") / "six")


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("data") / "nine", snapshots=9)


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({}, torch.float32),
        ({"coupling": True}, torch.float32),
        ({"coupling": True, "label_feats": 5}, torch.float64),
        ({"label_feats": 5, "feedback": False, "threshold": 1.5}, torch.float32),
        ({"input_thresholds": [0.5, 1.0], "keep_inputs": 0.5, "keep_block": 1}, torch.float32),
    ],
    ids=str,
)
def test_dysign_gives_the_same_bits(options, dtype, tmp_path):
    model = made(**options).to(dtype).eval()
    snapshots = [s._replace(feat=s.feat.to(dtype), edge_weight=s.edge_weight.to(dtype)) for s in growing()]
    label_feat = label_features().to(dtype) if model.label_feats else None
    state = torch.get_rng_state()
    again = DySIGN.from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert torch.equal(torch.get_rng_state(), state)
    assert not again.training
    for simulate in (True, False):
        expected = model(snapshots, label_feat, simulate)
        assert expected.dtype == dtype
        assert torch.equal(again(snapshots, label_feat, simulate), expected)
    again.train()(snapshots, label_feat).sum().backward()  # training may go on
    assert all(p.grad is not None for p in again.parameters())


@pytest.mark.parametrize(
    ("aggregator", "dtype"), [*((name, torch.float32) for name in AGGREGATORS), ("mixer", torch.float64)], ids=str
)
def test_undergs_gives_the_same_bits(aggregator, dtype, tmp_path):
    model = drawn(UnderGS(N, 8, aggregator, num_neighbors=4, num_classes=3, preset="paper")).to(dtype)
    again = UnderGS.from_pretrained(model.save_pretrained(tmp_path / "model"))
    for nodes in (torch.arange(N), torch.tensor([[3, 1], [1, 11]])):
        z = model.embed(filled(), nodes, now=3)
        assert z.dtype == dtype
        assert torch.equal(again.embed(filled(), nodes, now=3), z)
        assert torch.equal(again.classify(z), model.classify(z))


def test_a_trained_filter_goes_on_where_it_was(tmp_path):
    model = UnderGS(N, 8, num_neighbors=4).train()
    model.embed(filled(), torch.arange(N), now=3)
    again = UnderGS.from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert again.conv.filter.get_extra_state().tolist() == model.conv.filter.get_extra_state().tolist()


def test_weights_without_gradient_stay_without(tmp_path):
    again = SpikingUnderGS.from_pretrained(SpikingUnderGS(5, 8).save_pretrained(tmp_path / "model"))
    assert not again.readout.requires_grad
    assert again.table.weight.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_stay_when_a_model_is_saved_and_snapshots_are_appended(kind, data, longer, tmp_path):
    model, model.node_inputs = of_kind(kind, data)
    before = [predict(model, data, t) for t in range(6)]
    if kind != "label-aware":  # its smoothing gives scores
        assert torch.allclose(before[0].sum(1), torch.ones(NODES))
    assert len({tuple(found.flatten().tolist()) for found in before}) == 6
    saved = model.save_pretrained(tmp_path / "model", data)
    for target in (data, longer):
        again = type(model).from_pretrained(saved, target)
        for t in range(6):
            assert torch.equal(predict(again, target, t), before[t])
    assert torch.equal(predict(again, longer), predict(again, longer, 8))
    assert not torch.equal(predict(again, longer), before[5])


def test_a_fresh_process_gives_the_same_bits(data, commands, tmp_path):
    for kind in KINDS:
        model, inputs = of_kind(kind, data)
        model.save_pretrained(tmp_path / kind / type(model).__name__, data, inputs)
        torch.save(predict(model, data, 4), tmp_path / kind / "expected.pt")
    nodes = torch.arange(NODES)
    for kind in ("links", "links-features"):
        links = scorer(kind.removeprefix("links-"), data)
        links.catch_up(data, 4)
        links.save_pretrained(tmp_path / kind / "LinkScorer", data)
        torch.save(predict_links(links, data, 5, nodes, nodes.expand(NODES, -1)), tmp_path / kind / "expected.pt")
    code = """
import sys, torch
from pathlib import Path
from dgl_dysign import models
from dgl_dysign.data import TemporalGraph
from dgl_dysign.models.predict import predict, predict_links
data = TemporalGraph.load(sys.argv[1])
for expected in Path(sys.argv[2]).glob("*/expected.pt"):
    folder, = (path for path in expected.parent.iterdir() if path.is_dir())
    model = getattr(models, folder.name).from_pretrained(folder, data)
    if folder.name == "LinkScorer":
        assert model.store.snapshot == 3
        nodes = torch.arange(data.num_nodes)
        found = predict_links(model, data, 5, nodes, nodes.expand(len(nodes), -1))
    else:
        found = predict(model, data, 4)
    assert torch.equal(found, torch.load(expected)), folder
    print(folder.parent.name)
"""
    made = subprocess.run(
        [commands / "python", "-c", code, str(data.folder), str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert sorted(made.stdout.split()) == sorted([*KINDS, "links", "links-features"])


@pytest.mark.parametrize("kind", KINDS)
def test_new_nodes_are_welcome_and_old_ones_are_known_by_name(kind, data, tmp_path):
    model, inputs = of_kind(kind, data)
    saved = model.save_pretrained(tmp_path / "model", data, inputs)
    before = predict(model, data, 5)
    grown = folder(tmp_path / "grown", snapshots=7, nodes=NODES + 5)
    if kind in BY_NODE:
        with pytest.raises(DataError, match=r"found other nodes than the model has; load it anew .*from_pretrained"):
            predict(model, grown)
    again = type(model).from_pretrained(saved, grown)
    found = predict(again, grown, 5)
    assert found.shape == (NODES + 5, CLASSES)
    # Label features are standardised over all nodes, those that nothing is known of included.
    close = {"rtol": 0, "atol": 0.1 if kind == "label-aware" else 1e-6}
    torch.testing.assert_close(found[:NODES], before, **close)
    # Raw ids in ascending order put new nodes between old ones, which are known by their raw ids.
    places = torch.randperm(NODES + 5, generator=torch.Generator().manual_seed(3))
    order = torch.cat([places[:NODES].sort()[0], places[NODES:]])
    turned = folder(tmp_path / "turned", snapshots=7, nodes=NODES + 5, order=order)
    again = type(model).from_pretrained(saved, turned)
    torch.testing.assert_close(predict(again, turned, 5)[order[:NODES]], before, **close)
    torch.testing.assert_close(predict(again, turned, 5)[order], found, rtol=0, atol=1e-6)
    # It may be saved for these nodes, and asked again.
    third = type(model).from_pretrained(again.save_pretrained(tmp_path / "third"), turned)
    assert torch.equal(predict(third, turned), predict(again, turned))


def test_new_nodes_have_a_vector_of_zeros(data, tmp_path):
    model = undergs()
    saved = model.save_pretrained(tmp_path / "model", data)
    grown = folder(tmp_path / "grown", nodes=NODES + 2)
    table = UnderGS.from_pretrained(saved, grown).inputs.table.weight
    assert torch.equal(table[:NODES], model.inputs.table.weight)
    assert not table[NODES:].any()


def test_a_model_that_was_saved_without_data_keeps_its_nodes(data, tmp_path):
    saved = undergs().save_pretrained(tmp_path / "model")
    model = UnderGS.from_pretrained(saved, data)
    model.node_inputs = INPUTS
    assert predict(model, data).shape == (NODES, CLASSES)
    grown = folder(tmp_path / "grown", nodes=NODES + 1)
    with pytest.raises(DataError, match="found 31 nodes, but the model has 30, and was saved without the data"):
        UnderGS.from_pretrained(saved, grown)
    with pytest.raises(DataError, match="found other nodes than the model has"):
        predict(model, grown)


def test_nodes_of_the_training_must_be_there(data, tmp_path):
    saved = undergs().save_pretrained(tmp_path / "model", data)
    names = [str(1000 + node) for node in range(NODES - 1)] + ["new"]
    with pytest.raises(DataError, match=r"found no node with raw id '1029' \(1 such\)"):
        UnderGS.from_pretrained(saved, folder(tmp_path / "other", raw_ids=names))


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_later_changes_nothing(kind, data, tmp_path):
    model, model.node_inputs = of_kind(kind, data)
    model.save_pretrained(tmp_path / "model", data)
    other = [row for row in events() if row[0] < 4] + [
        (*row[:4], number) for number, row in enumerate(events(seed=9)) if row[0] >= 4
    ]
    other = [(*row[:4], number) for number, row in enumerate(other)]
    changed = folder(tmp_path / "changed", rows=other)
    assert torch.equal(predict(model, changed, 3), predict(model, data, 3))
    assert not torch.equal(predict(model, changed, 5), predict(model, data, 5))


def test_labels_that_come_later_are_not_read(data, tmp_path):
    model, model.node_inputs = of_kind("label-aware", data)
    model.save_pretrained(tmp_path / "model", data)
    turned = folder(tmp_path / "turned", node_labels={node: (node // 2) % CLASSES for node in range(NODES)})
    assert torch.equal(predict(model, turned), predict(model, data))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 3}, r"found features = .*'dim': 3.*trained on .*'dim': 4"),
        ({"node_labels": {0: 0, 1: 1}}, r"found class_names = \['0', '1'\].*trained on \['0', '1', '2'\]"),
        ({"directed": True}, "found directed = True"),
        ({"dataset": "other"}, "found dataset = 'other', but the model was trained on 'test'"),
        ({"snapshot_rule": {"kind": "calendar", "unit": "week"}}, "found snapshot_rule = .*'week'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_data_of_another_shape_is_refused(change, said, data, tmp_path):
    saved = dysign().save_pretrained(tmp_path / "model", data, INPUTS)
    other = folder(tmp_path / "other", **change)
    with pytest.raises(DataError, match=said):
        DySIGN.from_pretrained(saved, other)
    model = DySIGN.from_pretrained(saved)
    with pytest.raises(DataError, match=said):
        predict(model, other)


def test_the_step_of_a_grid_is_compared_up_to_the_rounding_of_times(tmp_path):
    def grid(name, step):
        return folder(tmp_path / name, snapshot_rule={"kind": "grid", "origin": 0.0, "step": step})

    saved = dysign().save_pretrained(tmp_path / "model", grid("a", 1 / 11), INPUTS)
    DySIGN.from_pretrained(saved, grid("b", 0.0909091))
    with pytest.raises(DataError, match=r"'step': 0.0833.*prepare it with the rule that the model knows"):
        DySIGN.from_pretrained(saved, grid("c", 1 / 12))


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (NodeInputs(hops=(0, 1, 2)), "in_feats=8, but data and inputs give 12"),
        (NodeInputs(hops=(0,)), "in_feats=8, but data and inputs give 4"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_before_anything_is_written(inputs, said, data, tmp_path):
    with pytest.raises(ConfigError, match=said):
        dysign().save_pretrained(tmp_path / "model", data, inputs)
    with pytest.raises(ConfigError, match="label_feats=0, but data and inputs give 16"):
        dysign().save_pretrained(tmp_path / "model", data, NodeInputs(labels=labels(data)))
    with pytest.raises(ConfigError, match="num_nodes=7, but data and inputs give 30"):
        UnderGS(7).save_pretrained(tmp_path / "model", data)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", [{"decay": 0.0}, {"scaling": "none"}, {"hops": ()}, {"hops": (-1,)}])
def test_inputs_are_checked(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        NodeInputs(**change)
    with pytest.raises(ConfigError, match="training nodes"):
        LabelInputs(torch.tensor([1, 2]), torch.tensor([1]))


def test_predict_says_what_it_needs(data, tmp_path):
    with pytest.raises(ConfigError, match=r"pass inputs=NodeInputs"):
        predict(dysign(), data)
    model = dysign(num_snapshots=3)
    model.node_inputs = INPUTS
    with pytest.raises(ConfigError, match="reads 3 snapshots, but up to snapshot 1 there are 2"):
        predict(model, data, 1)
    for snapshot in (-1, 6):
        with pytest.raises(ConfigError, match=f"snapshot {snapshot} does not exist: expected 0 to 5"):
            predict(model, data, snapshot)


def test_a_loop_of_ones_own_reads_what_predict_reads(data, tmp_path):
    model = dysign(num_snapshots=2).train()
    model.node_inputs = NodeInputs(decay=0.5, hops=(0, 1), scaling="unit", simulate=False)
    snapshots = load_snapshots(data, [2, 5], decay=0.5, hops=(0, 1), scaling="unit")
    with torch.no_grad():
        expected = model.eval()(snapshots, simulate=False).softmax(1)
    model.train()
    assert torch.equal(predict(model, data), expected)
    assert model.training
