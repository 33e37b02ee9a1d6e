"""DGL's attention network with our layers in its place."""

import importlib
import json
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    """Return the module, found as Python finds it when the script is run."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("drop_in_gat")


def test_the_lines_that_change_are_in_the_program(example):
    source = Path(example.__file__).read_text()
    body = source[source.index('"""', 3) :]
    for line in (
        "import dgl.nn as dglnn",
        "return dglnn.GATConv(in_size, out_size, heads)",
        'return InfluenceConv(in_size, heads * out_size, "gat", num_heads=heads)',
        "return SpikingGraphConv(in_size, heads * out_size)",
    ):
        assert line in example.__doc__
        assert line in body


def test_every_row_trains(example, tmp_path):
    out = tmp_path / "figures.json"
    assert example.main(["--epochs", "25", "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert list(found) == ["dgl", "dysign", "spikes"]
    for row, figures in found.items():  # a third by chance, a half from the features alone
        assert figures["accuracy"]["mean"] > 70, row


def test_layers_have_the_same_shapes(example):
    data = importlib.import_module("_drop_in").generated(60)
    shapes = {row: example.GAT(16, 4, 3, 2, row)(data.graph, data.graph.ndata["feat"]).shape for row in example.ROWS}
    assert set(shapes.values()) == {(60, 3)}


def test_errors_are_one_line_and_status_2(example, capsys):
    assert example.main(["--epochs", "0"]) == 2
    assert capsys.readouterr().err.startswith("drop_in_gat: --seeds, --epochs and --hidden must be at least 1")
