"""Rows of tables, saved by their runs, on a folder to which later events and new nodes have been appended."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from data_prep import PrepareOptions, append, prepare
from dgl_dysign import models
from dgl_dysign.baselines import CountLinks
from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.data.snapshot_events import read_events
from dgl_dysign.experiments import event_entries, link_entries, node_entries
from dgl_dysign.experiments.event_task import EventSettings, EventTask
from dgl_dysign.experiments.link_task import LinkSettings, LinkTask
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
from dgl_dysign.models.event_inputs import EventReader
from dgl_dysign.models.event_scorer import EventScorer
from dgl_dysign.models.predict import predict, predict_links
from dgl_dysign.models.snapshot_encoder import EncoderEventScorer, EncoderScorer
from dgl_dysign.training.events import EventFitConfig
from dgl_dysign.training.links import LinkFitConfig

OLD, NEW, TODAY, TOMORROW = 80, 8, 9, 12
CLOSE = {"rtol": 0, "atol": 1e-5}  # sums over more rows round differently


def raw(path, nodes, steps, labelled):
    """Write events in which all nodes meet; those with a label say whether both ends are odd."""
    lines = []
    for t in steps:
        rng = np.random.default_rng(t)
        src, dst = np.r_[rng.permutation(nodes), rng.integers(nodes, size=20)], rng.integers(nodes, size=nodes + 20)
        lines += [f"{u},{v},{t}" + f",{u % 2 * v % 2}" * labelled for u, v in zip(src, dst, strict=True)]
    path.write_text("\n".join(["src,dst,time" + ",label" * labelled, *lines]) + "\n")
    return path


def folders(home, labelled, **more):
    """Return a prepared folder, and a copy of it to which three snapshots with new nodes were appended."""
    options = PrepareOptions(src="src", dst="dst", time="time", label="label" if labelled else None, time_unit="none")
    today = raw(home / "today.csv", OLD, range(TODAY), labelled)
    prepare("edges", today, home / "before", replace(options, **more))
    shutil.copytree(home / "before", home / "after")
    append(home / "after", raw(home / "tomorrow.csv", OLD + NEW, range(TODAY, TOMORROW), labelled), options)
    before, after = TemporalGraph.load(home / "before"), TemporalGraph.load(home / "after")
    assert (before.num_nodes, before.num_snapshots) == (OLD, TODAY)
    assert (after.num_nodes, after.num_snapshots) == (OLD + NEW, TOMORROW)
    return before, after


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    home = tmp_path_factory.mktemp("nodes")
    (home / "classes.txt").write_text("".join(f"{node} {node % 3}\n" for node in range(OLD)))
    return folders(home, False, features="degree", labels=home / "classes.txt", undirected=True)


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    return folders(tmp_path_factory.mktemp("events"), True)


def saved(entries, row, task, home):
    """Return the folder that a trained row was saved in, and the class that reads it."""
    entries[row].save(task, entries[row].fit(task), home / row)
    name = json.loads((home / row / "config.json").read_text())["class"]
    return home / row, CountLinks if name == "CountLinks" else getattr(models, name)


@pytest.mark.parametrize("row", ["dysign", "dysign-label-aware", "undergs", "spiking-undergs", "evolvegcn-o"])
def test_rows_of_nodes(row, nodes, tmp_path):
    before, after = nodes
    settings = NodeSettings(hidden=8, label_hidden=6, folds=3, label_steps=(1, 2), store_hidden=8, model={"latency": 4})
    for kind in ("feature_only", "label_aware"):
        recipe = getattr(settings, kind)
        training = replace(recipe.training, epochs=1, batch_size=32)
        settings = replace(settings, **{kind: replace(recipe, training=training)})
    task = NodeTask(before, settings).with_split(*stratified_split(before.labels, 0.5, 42), seed=1)
    entries = node_entries.default_entries()
    folder, cls = saved(entries, row, task, tmp_path)
    again, old = cls.from_pretrained(folder, after), cls.from_pretrained(folder, before)
    close = CLOSE | ({"atol": 0.1} if row == "dysign-label-aware" else {})  # labels are standardised over all nodes
    torch.testing.assert_close(predict(again, after, TODAY - 1)[:OLD], predict(old, before, TODAY - 1), **close)
    found = predict(again, after)
    assert found.shape == (OLD + NEW, 3)
    assert torch.isfinite(found).all()


@pytest.mark.usefixtures("few_trees")
@pytest.mark.parametrize(
    "row", ["logistic-regression", "boosted-trees", "undergs", "spiking-undergs", "evolvegcn-o-counts"]
)
def test_rows_of_links(row, events, tmp_path):
    before, after = events
    families = ("pair", "shared", "walks", "activity")  # none that the number of nodes moves
    training = LinkFitConfig(epochs=1, num_negatives=3, val_negatives=5)
    task = LinkTask(before, LinkSettings(families=families, hidden_feats=8, training=training))
    folder, cls = saved(link_entries.default_entries(), row, task, tmp_path)
    again, old = (cls.from_pretrained(folder, data) for data in (after, before))
    if row == "evolvegcn-o-counts":
        again, old = EncoderScorer(again), EncoderScorer(old)
    src, dst = torch.arange(OLD), torch.arange(OLD).expand(OLD, OLD)
    expected = predict_links(old, before, TODAY, src, dst)
    torch.testing.assert_close(predict_links(again, after, TODAY, src, dst), expected, **CLOSE)
    every = torch.arange(OLD + NEW)
    assert torch.isfinite(predict_links(again, after, TOMORROW, every, every.expand(OLD + NEW, -1))).all()


@pytest.mark.parametrize("row", ["undergs", "evolvegcn-o"])
def test_rows_of_labels_of_events(row, events, tmp_path):
    before, after = events
    task = EventTask(before, settings=EventSettings(hidden=8, training=EventFitConfig(epochs=1)))
    entry, train = event_entries.default_entries()[row], task.ranges["train"]
    outcome = entry.fit(task.view())
    entry.save(task, outcome, tmp_path / row)
    name = type(outcome.model.model).__name__
    scores = []
    for data in (before, after):
        model = getattr(models, name).from_pretrained(tmp_path / row, data)
        snapshots = read_events(data)
        reader = EventReader(data.num_nodes, snapshots[: train.stop])  # scales are those of the training
        if row == "undergs":
            scorer = EventScorer(model, model.undergs.store(), reader)
        else:
            scorer = EncoderEventScorer(model, reader)
        with torch.no_grad():
            scores.append([(scorer.score(now), scorer.observe(now))[0] for now in snapshots])
    assert [len(each) for each in scores] == [TODAY, TOMORROW]
    torch.testing.assert_close(scores[1][:TODAY], scores[0], **CLOSE)
    assert torch.isfinite(scores[1][-1]).all()
