"""The drop-in examples from their command lines: what they say changes is what changes, and it trains."""

import importlib
import json
from pathlib import Path

import pytest

from tests.generated import generated

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    """Return the module, found as Python finds it when the script is run."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("drop_in_graphsage")


def changes(module):
    """Return the lines that the docstring takes away and puts in."""
    lines = [line.strip() for line in module.__doc__.splitlines()]
    return [line[1:].strip() for line in lines if line[:1] in "+-" and line[:2] != "--"]


def test_the_diffs_are_the_program(example):
    source = Path(example.__file__).read_text()
    body = source[source.index('"""', 3) :]
    found = [line for line in changes(example) if line]
    assert len(found) == 7
    assert all(f"{line}\n" in body for line in found)


def test_both_layers_train_on_both_samplers(example, tmp_path, capsys):
    """Faint features alone find the class in half of the cases; with neighbours it is more."""
    out = tmp_path / "figures.json"
    assert example.main(["--epochs", "8", "--hidden", "32", "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert list(found) == ["dgl", "dysign", "dgl-sampler", "dysign-sampler"]
    for row, figures in found.items():
        assert figures["accuracy"]["mean"] > 45, row
        assert figures["cpu_seconds_per_epoch"]["mean"] > 0
    assert "accuracy, %" in capsys.readouterr().out


def test_a_prepared_folder(example, tmp_path):
    prepared, out = generated(tmp_path), tmp_path / "figures.json"
    options = [str(prepared), "--layer", "dgl", "dysign-sampler", "--seeds", "2", "--epochs", "3", "--json", str(out)]
    assert example.main(options) == 0
    found = json.loads(out.read_text())
    assert list(found) == ["dgl", "dysign-sampler"]
    assert all(figures["accuracy"]["runs"] == 2 for figures in found.values())


def test_errors_are_one_line_and_status_2(example, tmp_path, capsys):
    assert example.main([str(tmp_path / "nowhere")]) == 2
    assert example.main(["--seeds", "0"]) == 2
    bare = generated(tmp_path, features="none")
    assert example.main([str(bare)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("drop_in_graphsage: ") for line in lines)
    assert "--features spectral" in lines[2]
