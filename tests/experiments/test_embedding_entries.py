"""Embeddings and SimpleDyG as rows: honest, alive, and read out of edges up to the snapshot that is asked about."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.experiments.check import check_entry
from dgl_dysign.experiments.choice import choose
from dgl_dysign.experiments.embedding_entries import EMBEDDINGS, embedding_entry, read_out
from dgl_dysign.experiments.link_entries import simpledyg_entry
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
from dgl_dysign.experiments.resolve import resolve_rows
from tests.generated import generated

WALKS = {"num_walks": 1, "walk_length": 10, "window": 2, "out_feats": 8}
BRIEF = {
    "deepwalk": WALKS,
    "node2vec": WALKS,
    "htne": {"out_feats": 8, "epochs": 2},
    "m2dne": {"out_feats": 8, "hidden_feats": 8, "epochs": 2},
    "dynamic-triad": {"out_feats": 8, "epochs": 1},
}
CHECKS = ["finite", "alive", "parameters", "order of edges", "labels"]


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_each_embedding_is_honest_and_alive(name):
    entry = replace(embedding_entry(name, BRIEF[name]), name=f"{name}-brief")
    report = check_entry(entry, kind="node", checks=CHECKS)
    assert report.ok, str(report)


BRIEF_DYG = replace(simpledyg_entry({"width": 8, "heads": 2, "layers": 1}), name="simpledyg-brief")


@pytest.mark.parametrize("entry", ["tpnet", BRIEF_DYG])
def test_links_are_scored_from_the_past(entry):
    checks = ["finite", "future", "validation", "alive", "parameters", "state", "order of questions", "order of edges"]
    report = check_entry(entry, kind="link", checks=checks)
    assert report.ok, str(report)


def test_they_are_rows_that_are_named():
    for kind, names in (("node", list(EMBEDDINGS)), ("link", ["tpnet", "simpledyg"])):
        entries = {entry.name: entry for entry in resolve_rows(names, kind)}
        assert all(entries[name].control and entries[name].learns for name in names)
        assert not {entry.name for entry in resolve_rows(None, kind)} & set(names)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    data = TemporalGraph.load(generated(tmp_path_factory.mktemp("embeddings"), nodes=120))
    return NodeTask(data, NodeSettings()).with_split(*stratified_split(data.labels, 0.4, 42))


def test_all_splits_share_vectors_and_their_cost(task):
    """They are made once a seed and kind, and whoever reads them later is charged for them, too."""
    entry, other = embedding_entry("deepwalk", WALKS), embedding_entry("deepwalk", {**WALKS, "window": 1})
    second = task.with_split(*stratified_split(task.data.labels, 0.6, 43))
    anew = NodeTask(task.data, task.settings).with_split(second.train, second.val, second.test)
    first, shared, alone = (entry.fitted(each.view()) for each in (task, second, anew))
    assert torch.equal(shared.prediction, alone.prediction)
    assert not torch.equal(shared.prediction, first.prediction)
    assert first.borrowed_seconds == alone.borrowed_seconds == 0
    assert shared.borrowed_seconds > 0
    for unlike in (other.fitted(task.view()), entry.fitted(task._with(seed=1).view())):
        assert unlike.borrowed_seconds == 0
        assert not torch.equal(unlike.prediction, first.prediction)


def test_the_read_out_tells_classes_apart_and_its_regularisation_is_chosen(task):
    entry = embedding_entry("deepwalk", {**WALKS, "num_walks": 5})
    (scoring,) = task.score(entry.fitted(task.view()))
    assert scoring.scores["macro_f1"] > 50  # of three classes
    choice = choose(entry, task, budget=4)
    assert choice["compared"] == 3
    assert set(choice["chosen"]) <= {"C"}


def test_the_regularisation_that_was_chosen_is_the_one_that_acts(task):
    vectors = torch.randn(task.data.num_nodes, 8, generator=torch.Generator().manual_seed(0))
    chosen = task.with_settings(task.settings.with_choice(C=0.01))
    strong, usual = read_out(task.view(), vectors, C=0.01), read_out(task.view(), vectors)
    assert torch.equal(read_out(chosen.view(), vectors), strong)
    assert strong.std() < usual.std()  # nearer to the shares of the classes
    torch.testing.assert_close(usual.sum(1), torch.ones(len(vectors)))


def test_where_training_has_one_class_all_nodes_are_of_it(task):
    only = task.train[task.data.labels[task.train] == 2]
    prediction = read_out(task.with_split(only, task.val, task.test).view(), torch.rand(task.data.num_nodes, 4))
    assert (prediction == functional.one_hot(torch.tensor(2), task.view().num_classes)).all()


def test_p_and_q_are_chosen_together(task):
    entry = embedding_entry("node2vec", WALKS)
    chosen = task.with_settings(task.settings.with_choice(p=4.0, q=1.0))
    fixed = embedding_entry("node2vec", {**WALKS, "p": 4.0, "q": 1.0})
    plain, other, expected = (
        each.fitted(of.view()).prediction for each, of in ((entry, task), (entry, chosen), (fixed, task))
    )
    assert torch.equal(other, expected)
    assert not torch.equal(other, plain)


def test_less_is_trained_while_settings_are_chosen(task):
    epochs = []
    brief = task.with_settings(task.settings.with_share(0.5))
    embedding_entry("htne", BRIEF["htne"]).fit(brief.view(), on_epoch=epochs.append)
    assert [record["epoch"] for record in epochs] == [0]
