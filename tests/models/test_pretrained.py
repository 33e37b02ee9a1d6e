"""Models in folders: the same numbers again, nothing half-written, and nothing accepted that does not fit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dgl_dysign import __version__
from dgl_dysign.data import schema
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.models import DySIGN, LabelInputs, NodeInputs, SpikingUnderGS, UnderGS, load_snapshots
from dgl_dysign.models import _model_folder as disk
from dgl_dysign.training.predict import predict
from tests.models.pretrained_cases import CLASSES, NODES, WIDTH, folder
from tests.models.snapshot_cases import growing, label_features, made
from tests.models.undergs_cases import N, filled

INPUTS = NodeInputs(decay=0.5, hops=(0, 1))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("data") / "six")


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("data") / "nine", snapshots=9)


def drawn(model):
    """Give every weight a value that matters."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model.eval()


def dysign(**options):
    torch.manual_seed(1)
    return drawn(DySIGN(2 * WIDTH, 8, CLASSES, **{"latency": 4, "label_hidden": 5, **options}))


def labels(data):
    nodes = torch.tensor([4, 1, 9, 17, 12, 2])
    return LabelInputs(nodes, data.labels[nodes], decays=(0.9, 0.2), steps=(1, 2), folds=3, seed=7)


def undergs(**options):
    torch.manual_seed(1)
    given = {"node_feats": WIDTH, "num_classes": CLASSES, "num_neighbors": 4, **options}
    return drawn(UnderGS(NODES, 8, given.pop("aggregator", "gcn"), **given))


def spiking(**options):
    torch.manual_seed(1)
    given = {"node_feats": 2 * WIDTH, "num_classes": CLASSES, "latency": 4, **options}
    return drawn(SpikingUnderGS(NODES, 8, **given))


def of_kind(kind, data):
    """Return a model and how it reads data."""
    if kind == "label-aware":
        return dysign(label_feats=2 * 2 * (CLASSES + 1)), NodeInputs(0.5, (0, 1), labels=labels(data))
    if kind == "spiking-ids":
        return spiking(node_feats=WIDTH, id_feats=3), NodeInputs()
    models = {"dysign": dysign, "undergs": undergs, "spiking": spiking, "mixer": lambda: undergs(aggregator="mixer")}
    return models[kind](), INPUTS


KINDS = ["dysign", "label-aware", "undergs", "mixer", "spiking", "spiking-ids"]
BY_NODE = ["label-aware", "undergs", "mixer", "spiking-ids"]  # models that know nodes by their names


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "options", [{}, {"coupling": True}, {"label_feats": 5}, {"feedback": False, "threshold": 1.5}], ids=str
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


@pytest.mark.parametrize("aggregator", ["gcn", "sage", "gat", "gin", "mixer"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
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


def test_a_fresh_process_gives_the_same_bits(data, tmp_path):
    for kind in KINDS:
        model, inputs = of_kind(kind, data)
        model.save_pretrained(tmp_path / kind / type(model).__name__, data, inputs)
        torch.save(predict(model, data, 4), tmp_path / kind / "expected.pt")
    code = """
import sys, torch
from pathlib import Path
from dgl_dysign import models
from dgl_dysign.data import TemporalGraph
from dgl_dysign.training.predict import predict
data = TemporalGraph.load(sys.argv[1])
for expected in Path(sys.argv[2]).glob("*/expected.pt"):
    folder, = (path for path in expected.parent.iterdir() if path.is_dir())
    model = getattr(models, folder.name).from_pretrained(folder, data)
    assert torch.equal(predict(model, data, 4), torch.load(expected)), folder
    print(folder.parent.name)
"""
    root = str(Path(__file__).parents[2])
    made = subprocess.run(
        [sys.executable, "-c", code, str(data.folder), str(tmp_path)],
        check=True,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
    )
    assert sorted(made.stdout.split()) == sorted(KINDS)


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
    from tests.models.pretrained_cases import events

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


def test_the_config_says_what_it_is(data, tmp_path):
    model, inputs = of_kind("label-aware", data)
    config = json.loads((model.save_pretrained(tmp_path / "model", data, inputs) / "config.json").read_text())
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["config.json", "model.safetensors"]
    assert config["format"] == "dgl_dysign model"
    assert config["format_version"] == 1
    assert config["dgl_dysign"] == __version__
    assert config["class"] == "DySIGN"
    assert config["arguments"]["latency"] == 4
    assert config["arguments"]["dropout"] == 0.5  # a default
    assert config["settings"]["conv.max_norm"] == 0.9  # a default of another class
    assert config["preprocessing"]["decay"] == 0.5
    assert config["preprocessing"]["labels"]["folds"] == 3
    assert config["data"]["manifest_sha256"] == schema.sha256(data.folder / "manifest.json")
    assert config["data"]["num_nodes"] == NODES
    assert config["data"]["feature_dim"] == WIDTH
    assert config["data"]["num_classes"] == CLASSES
    assert config["files"] == {"model.safetensors": schema.sha256(tmp_path / "model" / "model.safetensors")}


def test_equal_models_give_equal_bytes(data, tmp_path):
    for name in ("a", "b"):
        undergs().save_pretrained(tmp_path / name, data, INPUTS)
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_folder_is_replaced_only_where_that_is_asked_for_and_only_a_model(data, tmp_path):
    target = tmp_path / "new" / "model"
    first = dysign()
    first.save_pretrained(target, data)
    with pytest.raises(ConfigError, match=r"model exists: name another folder, or pass overwrite=True"):
        dysign().save_pretrained(target, data)
    second = drawn(dysign())
    second.save_pretrained(target, data, overwrite=True)
    assert torch.equal(DySIGN.from_pretrained(target).bias, second.bias)
    assert [path.name for path in target.parent.iterdir()] == ["model"]
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("notes", "file"):
        with pytest.raises(ConfigError, match="no model folder, so it is not overwritten"):
            second.save_pretrained(tmp_path / name, data, overwrite=True)
    assert (tmp_path / "notes" / "a.txt").read_text() == "mine"


@pytest.mark.parametrize("step", ["write", "rename"])
def test_what_fails_half_way_leaves_the_old_model(step, data, tmp_path, monkeypatch):
    first = dysign()
    first.save_pretrained(tmp_path / "model", data)

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        if step == "write":
            patched.setattr(disk.os, "fsync", fail)
        else:
            rename = Path.rename
            patched.setattr(Path, "rename", lambda path, to: fail() if ".new-" in path.name else rename(path, to))
        with pytest.raises(OSError, match="No space"):
            drawn(dysign()).save_pretrained(tmp_path / "model", data, overwrite=True)
    assert torch.equal(DySIGN.from_pretrained(tmp_path / "model").bias, first.bias)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_save_that_was_killed_at_its_last_step_is_named(tmp_path):
    dysign().save_pretrained(tmp_path / "model")
    (tmp_path / "model").rename(tmp_path / ".model.old-x")
    with pytest.raises(DataError, match=r"a save was killed here and left the model before it in .*\.model\.old-x"):
        DySIGN.from_pretrained(tmp_path / "model")


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_missing_and_damaged_files_are_named(data, tmp_path):
    with pytest.raises(DataError, match=r"found no config.json, expected a model folder"):
        DySIGN.from_pretrained(tmp_path / "none")
    saved = dysign().save_pretrained(tmp_path / "model", data, INPUTS)
    weights, config = (saved / name for name in ("model.safetensors", "config.json"))
    whole, text = weights.read_bytes(), config.read_text()
    for bad in (whole[:-1], whole[:100] + bytes([whole[100] ^ 1]) + whole[101:], b""):
        weights.write_bytes(bad)
        with pytest.raises(DataError, match=r"model.safetensors: found SHA-256 .*damaged"):
            DySIGN.from_pretrained(saved)
    weights.unlink()
    with pytest.raises(DataError, match=r"model.safetensors: cannot be read \(No such file"):
        DySIGN.from_pretrained(saved)
    weights.write_bytes(whole)
    for bad in (text[:-20], "", "[]", "\xff", '{"format": "other"}'):
        config.write_bytes(bad.encode("latin-1"))
        with pytest.raises(DataError, match=r"config.json: (cannot be read as JSON|found no format)"):
            DySIGN.from_pretrained(saved)
    for key in ("class", "arguments", "settings", "data", "preprocessing", "files"):
        broken = json.loads(text)
        del broken[key]
        config.write_text(json.dumps(broken))
        with pytest.raises(DataError, match=f"config.json: found {key} = None"):
            DySIGN.from_pretrained(saved)
    config.write_text(text)
    DySIGN.from_pretrained(saved)


def test_weights_that_are_not_those_of_the_arguments_are_refused(tmp_path):
    saved = dysign().save_pretrained(tmp_path / "model")
    arguments = json.loads((saved / "config.json").read_text())["arguments"]
    for bad in ({**arguments, "hidden_feats": 9}, {**arguments, "unknown": 1}, {**arguments, "latency": 0}, {}):
        change_config(saved, arguments=bad)
        with pytest.raises(DataError, match=r"config.json: makes no DySIGN"):
            DySIGN.from_pretrained(saved)


@pytest.mark.parametrize("version", [2, 99])
def test_a_later_format_asks_for_an_upgrade(version, tmp_path):
    saved = dysign().save_pretrained(tmp_path / "model")
    change_config(saved, format_version=version, dgl_dysign="9.1")
    with pytest.raises(DataError, match=rf"format_version {version}, written by dgl-dysign 9.1, .* upgrade it"):
        DySIGN.from_pretrained(saved)
    change_config(saved, format_version="x")
    with pytest.raises(DataError, match="format_version 'x'"):
        DySIGN.from_pretrained(saved)


def test_another_class_is_named(tmp_path):
    saved = spiking().save_pretrained(tmp_path / "model")
    with pytest.raises(
        DataError, match=r"found a SpikingUnderGS, expected a DySIGN: load it with SpikingUnderGS.from_"
    ):
        DySIGN.from_pretrained(saved)


def test_another_version_with_other_defaults_is_refused(tmp_path):
    saved = dysign().save_pretrained(tmp_path / "model")
    settings = json.loads((saved / "config.json").read_text())["settings"]
    change_config(saved, settings={**settings, "conv.max_iter": 49})
    with pytest.raises(DataError, match=r"conv.max_iter is 50, but dgl-dysign .* saved it with 49"):
        DySIGN.from_pretrained(saved)


def test_what_a_folder_cannot_hold_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"surrogate=.* cannot be saved: .* no code"):
        dysign(surrogate=lambda x: (x > 0).to(x)).save_pretrained(tmp_path / "model")
    model = dysign()
    model.conv.latency = 9
    with pytest.raises(ConfigError, match=r"conv.latency is 9, but its arguments make 4"):
        model.save_pretrained(tmp_path / "model")
    assert not list(tmp_path.iterdir())


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
