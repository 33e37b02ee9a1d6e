"""ROLAND's protocols as tables have them: what is fitted when, to what, and what the record says."""

import itertools
from dataclasses import replace

import pytest

from dgl_dysign.data import TemporalGraph
from dgl_dysign.data.temporal_graph import Horizon
from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import RolandSampler, evaluate_links
from dgl_dysign.evaluation.roland import ROLAND_FIGURES
from dgl_dysign.experiments import train
from dgl_dysign.experiments.entry import Entry
from dgl_dysign.experiments.link_entries import default_entries, is_fitted
from dgl_dysign.experiments.link_task import LinkSettings
from dgl_dysign.experiments.roland_task import RolandTask
from dgl_dysign.experiments.train import train_links
from dgl_dysign.training import LinkFitConfig
from tests.generated import generated_links

SETTINGS = LinkSettings(hidden_feats=8, num_negatives=50, num_neighbors=4, training=LinkFitConfig(epochs=1))
ENTRIES = default_entries()
pytestmark = pytest.mark.usefixtures("few_trees")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return generated_links(tmp_path_factory.mktemp("links"), 400)


def _task(folder, protocol):
    return RolandTask(TemporalGraph.load(folder), SETTINGS, protocol=protocol)


class _Noting:
    """Notes what it is fitted to and asked."""

    def __init__(self, view, log):
        self.view, self.log = view, log
        parts = [snapshot for part in view.split for snapshot in part]
        assert parts == list(range(view.data.num_snapshots)) == [edges.snapshot for edges in view.edges]
        log.append(("fit", len(parts)))

    def reset(self):
        self.seen = 0

    def observe(self, edges):
        self.seen += 1

    def score(self, snapshot, src, dst):
        assert self.seen == snapshot == self.view.data.num_snapshots  # nothing of the snapshot, in its data neither
        self.log.append(("score", snapshot))
        return dst.double()


def test_live_entries_are_fitted_to_what_has_passed_and_to_nothing_else(folder):
    task, log = _task(folder, "roland-live"), []
    entry = Entry("noting", lambda view, **_: _Noting(view, log))
    (scoring,) = task.score(task.fitted(entry))
    fits = [number for what, number in log if what == "fit"]
    assert fits[0] >= 2
    assert all(later >= 2 * before for before, later in itertools.pairwise(fits))
    assert log[0] == ("fit", fits[0])  # recent degree has answered until then
    last = fits[0] - 1
    for what, number in log:
        assert number == last + 1 if what == "fit" else number >= last
        last = number if what == "score" else number - 1
    assert scoring.val_scores == {}
    assert set(ROLAND_FIGURES) < set(scoring.scores)
    assert scoring.by_snapshot["test"]["snapshot"][0] == 1


@pytest.mark.parametrize("protocol", ["roland-live", "roland-fixed"])
def test_counting_is_scored_as_it_stands(folder, protocol):
    task, entry = _task(folder, protocol), ENTRIES["recent-degree"]
    assert not is_fitted(entry)
    outcome = task.fitted(entry)
    (scoring,) = task.score(outcome)
    snapshots = range(1, task.data.num_snapshots) if protocol == "roland-live" else task.split[2]
    sampler = RolandSampler(task.data.num_nodes, 50)
    alone = evaluate_links(task.data, {"m": outcome.model}, snapshots, sampler, protocol)["m"]
    assert scoring.scores["mrr"] == pytest.approx(100 * alone.mrr)
    assert scoring.scores["sources"] == alone.summary()["sources"]
    assert bool(scoring.val_scores) is (protocol == "roland-fixed")
    assert scoring.protocol.startswith(protocol)


@pytest.mark.parametrize(("name", "walks"), [("logistic-regression", None), ("undergs", "projected")])
def test_what_learns_is_trained_live(folder, name, walks):
    settings = replace(SETTINGS, walks=walks)
    task = RolandTask(TemporalGraph.load(folder).until(Horizon(12)), settings, protocol="roland-live")
    outcome = task.fitted(ENTRIES[name])
    live, random = (task.score(o)[0] for o in (outcome, task.fitted(ENTRIES["random"])))
    assert len(outcome.model.fits) > 2
    assert live.scores["mrr"] > 1.5 * random.scores["mrr"]


def test_references_that_have_to_be_fitted_can_be_left_out(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "run", lambda table, *_: {entry.name for entry in table.entries})

    def rows(**options):
        return train.train_links(folder, tmp_path / "run", quiet=True, **options)

    for protocol, usual in (("honest", "all"), ("roland-live", "counting")):
        named = {"protocol": protocol, "rows": ["boosted-trees"]}
        counting, every = (rows(**named, references=references) for references in ("counting", "all"))
        assert {"edgebank", "boosted-trees"} <= counting
        assert every - counting == {"logistic-regression", "boosted-trees-all"}
        assert rows(**named) == {"counting": counting, "all": every}[usual]
    assert {"last-degree", "logistic-regression", "boosted-trees-all", "undergs"} <= rows(protocol="roland-live")


def test_tables_of_both_protocols(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train, "_entries", lambda options, kind: [ENTRIES["edgebank"], ENTRIES["undergs-no-counts"]])
    options = {"seeds": 1, "quiet": True, "num_negatives": 20, "epochs": 1}
    for protocol in ("roland-live", "roland-fixed"):
        table = train_links(folder, tmp_path / protocol, protocol=protocol, **options)
        rows = table.frame().set_index("row")
        assert list(rows.index) == ["persistence", "last-degree", "edgebank", "undergs-no-counts"]
        assert ("val_mrr.mean" in rows) is (protocol == "roland-fixed")
        table.show()
        shown = capsys.readouterr().out
        assert "ROLAND's MRR" in shown
        assert protocol in shown


def test_shares_of_historical_negatives_are_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match="--protocol roland-live draws from all nodes"):
        train_links(folder, tmp_path / "run", protocol="roland-live", historical=[0.5])
