"""The folder of a model: what its files say, that it is there whole or not at all, and what is refused."""

import json
import os
from pathlib import Path

import pytest
import torch

from dgl_dysign import __version__
from dgl_dysign.data import schema
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.models import DySIGN
from tests.models.pretrained_cases import (
    CLASSES,
    INPUTS,
    NODES,
    WIDTH,
    drawn,
    dysign,
    folder,
    of_kind,
    spiking,
    undergs,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("data") / "six")


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
            patched.setattr(os, "fsync", fail)
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
