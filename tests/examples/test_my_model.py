"""The example of a model of one's own: on one screen, above chance with links and events, the same as on its page."""

import ast

import pytest

from dgl_dysign.experiments.train import train_events, train_links
from tests.docs.blocks import blocks_of
from tests.examples.runs import FOLDER, load
from tests.generated import generated_links
from tests.training.event_cases import stream, write

example = load("my_model")
pytestmark = pytest.mark.usefixtures("few_trees")
PAGE = FOLDER.parent / "docs" / "your-model.md"


def row(table, name):
    (line,) = [line for line in table if line["row"] == name]
    return line


def test_it_fits_on_one_screen():
    assert len((FOLDER / "my_model.py").read_text(encoding="utf-8").splitlines()) < 60


def the_class(source):
    """Return the class of a source as text, without annotations."""
    (found,) = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    for node in ast.walk(found):
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef):
            node.returns = None
    return ast.unparse(found)


def test_the_page_shows_the_class_of_the_example():
    (shown,) = [block.text for block in blocks_of(PAGE) if block.value == "my_model.py"]
    assert the_class(shown) == the_class((FOLDER / "my_model.py").read_text(encoding="utf-8"))


def test_it_predicts_links(tmp_path):
    prepared = generated_links(tmp_path, events=1500, snapshots=30)
    options = {"seeds": 1, "epochs": 4, "num_negatives": 20, "quiet": True}
    table = train_links(prepared, tmp_path / "run", rows=["random", example.MeanGRU], **options)
    assert row(table, "MeanGRU")["mrr"]["mean"] > row(table, "random")["mrr"]["mean"] + 10


def test_it_predicts_labels_of_events(tmp_path):
    prepared = write(tmp_path / "data", stream(each=24)).folder
    table = train_events(prepared, tmp_path / "run", rows=["always-no", example.MeanGRU], seeds=1, quiet=True)
    assert row(table, "MeanGRU")["auc"]["mean"] > 60 > row(table, "always-no")["auc"]["mean"] == pytest.approx(50)
