"""A stranger's model in the three tables: trained, scored, saved, killed and resumed; and what it may do wrong."""

import importlib
import sys

import pytest
import torch

from dgl_dysign.errors import ConfigError, EntryError
from dgl_dysign.experiments import train, train_cli
from dgl_dysign.experiments.record import read_units
from tests.examples.runs import Killed, figures, summary, written
from tests.generated import generated, generated_links
from tests.training.event_cases import stream, write

MODULE = '''
"""Models of somebody else, who has never seen this package's code."""

import torch

epochs, after = [], lambda: None


class Trained:
    """Training in epochs, which goes on from its checkpoint."""

    def __init__(self, length: int = 4):
        self.length = length

    def train(self, weights, step, checkpoint, on_epoch):
        state = torch.load(checkpoint) if checkpoint.exists() else {"epoch": 0, "weights": weights}
        for epoch in range(state["epoch"], self.length):
            state = {"epoch": epoch + 1, "weights": step(state["weights"])}
            torch.save(state, checkpoint)
            epochs.append(epoch)
            on_epoch({"loss": 1.0 / (1 + epoch)})
            after()
        return state["weights"]

    def save(self, folder):
        torch.save(self.weights, folder / "weights.pt")


class Nodes(Trained):
    """Means of classes drift from noise to where the training nodes are."""

    def fit(self, view, *, checkpoint=None, on_epoch=None):
        self.feat = view.data.features(view.data.num_snapshots - 1)
        known = view.train
        means = torch.stack([self.feat[known][view.labels[known] == c].mean(0) for c in range(view.num_classes)])
        self.weights = self.train(torch.rand(means.shape), lambda w: (w + means) / 2, checkpoint, on_epoch)
        return self

    def predict(self, nodes):
        return -torch.cdist(self.feat[nodes], self.weights)


class Links(Trained):
    """Decayed degrees; the decay is learned from nothing."""

    def fit(self, view, *, checkpoint=None, on_epoch=None):
        self.nodes, self.updates = view.data.num_nodes, 0
        self.weights = self.train(torch.rand(1), lambda w: w * w, checkpoint, on_epoch)
        return self

    def reset(self):
        self.degree = torch.zeros(self.nodes)

    def observe(self, edges):
        self.degree = (self.weights * self.degree).index_add(0, edges.dst, edges.count.float())

    def score(self, snapshot, src, dst):
        return self.degree[dst]

    def update(self, edges):
        self.weights = self.weights * 0


class Events(Trained):
    """Events of sources that were positive in training."""

    def fit(self, view, *, checkpoint=None, on_epoch=None):
        positive = torch.cat([view.snapshots[t].src[view.snapshots[t].label == 1] for t in view.ranges["train"]])
        counts = torch.bincount(positive, minlength=view.num_nodes).float()
        self.weights = self.train(torch.rand(counts.shape), lambda w: w / 2 + counts, checkpoint, on_epoch)
        return self

    def reset(self): pass

    def observe(self, events): pass

    def score(self, events):
        return self.weights[events.src]
'''
WRONG = """
import numpy, torch
from theirs import Events as E, Links as L, Nodes as N

class Peeks(N):
    def fit(self, view, **_):
        return view.labels[view.test]
class Spoils(L):
    def fit(self, view, **run):
        for edges in view.edges:
            edges.src.copy_(edges.src.flip(0))
        super().fit(view, **run)
        torch.set_default_dtype(torch.float64)
        return self
class SpoilsNodes(N):
    def fit(self, view, **run):
        super().fit(view, **run)
        view.train.copy_(view.train.flip(0))
        view.val.copy_(view.train[:len(view.val)])
        return self
class SpoilsEvents(E):
    def observe(self, events):
        events.src.copy_(events.src.flip(0))
class Looks(L):
    def fit(self, view, **_):
        return view.data.events(view.data.num_snapshots)
class Raises(N):
    def fit(self, view, **_):
        return self.helper(view)
    def helper(self, view):
        raise KeyError("weights")
class Leaves(N):
    def fit(self, view, **_):
        raise SystemExit(0)
class Checks(N):
    def check(self, view):
        raise ValueError("too few snapshots")
class Nothing(N):
    def fit(self, view, **_): pass
class Mute(N):
    predict = None
class Thin(N):
    def predict(self, nodes): return torch.zeros(len(nodes), 1)
class Whole(N):
    def predict(self, nodes): return torch.zeros(len(nodes), 3, dtype=torch.int64)
class Foreign(N):
    def predict(self, nodes): return numpy.zeros((len(nodes), 3))
class Unknown(N):
    def predict(self, nodes): return torch.zeros(len(nodes), 3).log() * 0
class Deaf(L):
    observe = None
class Listed(L):
    def score(self, snapshot, src, dst): return self.degree[dst].tolist()
class Faint(E):
    def score(self, events): return self.weights[events.src] * float("nan")
class Blind(E):
    score = None
"""
SMALL = {
    "nodes": {"train_ratio": [0.4], "seeds": 2, "rows": ["majority", "theirs:Nodes"], "no_choice": True},
    "links": {"seeds": 1, "num_negatives": 5, "rows": ["theirs:Links"]},
    "events": {"seeds": 2, "rows": ["few-events", "theirs:Events"]},
}
pytestmark = pytest.mark.usefixtures("few_trees")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    home = tmp_path_factory.mktemp("prepared")
    links = generated_links(home / "links", 400)
    return {"nodes": generated(home / "nodes", 90), "links": links, "events": write(home / "e", stream()).folder}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder in which a stranger works; what is imported from there is forgotten afterwards."""
    (tmp_path / "theirs.py").write_text(MODULE)
    (tmp_path / "wrong.py").write_text(WRONG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    yield tmp_path
    for name in ("theirs", "wrong"):
        sys.modules.pop(name, None)


def work(kind, prepared, run, **more):
    return getattr(train, f"train_{kind}")(prepared[kind], run, **{**SMALL[kind], **more})


@pytest.mark.parametrize("kind", list(SMALL))
def test_killed_and_resumed_it_ends_with_the_same_figures(home, prepared, kind):
    table = work(kind, prepared, home / "whole", save_model=home / "models")
    theirs, name = importlib.import_module("theirs"), kind.title()
    seeds = SMALL[kind]["seeds"]
    assert theirs.epochs == [0, 1, 2, 3] * seeds
    records = {key: record for key, record in read_units(home / "whole").items() if record.entry == name}
    assert len(records) == seeds
    assert {path.name for path in (home / "models").glob(f"*-{name}")} == set(records)
    for key, record in records.items():
        assert [epoch["loss"] for epoch in record.history] == [1, 1 / 2, 1 / 3, 1 / 4]
        assert record.source["entry"] == f"theirs:{name}"
        assert (home / "models" / key / "weights.pt").is_file()
    assert table[-1]["row"] == name
    assert name in str(table)
    figure = {"nodes": "macro_f1", "links": "mrr", "events": "auc"}[kind]
    assert table[-1][figure]["mean"] > {"events": 60}.get(kind, table[0][figure]["mean"])  # it learned

    del theirs.epochs[:]

    def dies():
        if len(theirs.epochs) == 4 * seeds - 2:
            raise Killed

    theirs.after = dies
    with pytest.raises(Killed):
        work(kind, prepared, home / "killed")
    done, theirs.after = written(home / "killed"), lambda: None
    work(kind, prepared, home / "killed", resume=True)
    assert theirs.epochs == [0, 1, 2, 3] * seeds
    assert figures(home / "killed") == figures(home / "whole")
    assert done.items() <= written(home / "killed").items()
    assert not [*(home / "killed" / "checkpoints").glob("*.pt"), *(home / "killed" / "checkpoints").glob("*.json")]


def test_an_update_of_its_own_is_used(home, prepared):
    honest, live = (
        work("links", prepared, home / protocol, protocol=protocol) for protocol in ("honest", "live-update")
    )
    moved = [a["row"] for a, b in zip(honest, live, strict=True) if a["mrr"] != b["mrr"]]
    assert moved == ["Links"]


def test_two_versions_are_not_mixed(home, prepared):
    def again(**more):
        sys.modules.pop("theirs", None)
        return work("nodes", prepared, home / "run", resume=True, seeds=1, **more)

    work("nodes", prepared, home / "run", seeds=1)
    kept = written(home / "run")
    (home / "theirs.py").write_text(MODULE + "\n# better\n")
    with pytest.raises(ConfigError, match=r"seed0-Nodes is of another version of its entry \(its code has changed\)"):
        again()
    (home / "theirs.py").write_text(MODULE)
    (home / "rows.toml").write_text("[Nodes]\nlength = 2\n")
    with pytest.raises(ConfigError, match=r"arguments={} then, {'length': 2} now\): delete units/0.4.*--overwrite"):
        again(row_args=home / "rows.toml")
    assert written(home / "run") == kept
    again()
    assert written(home / "run") == kept

    importlib.import_module("theirs").after = lambda: (_ for _ in ()).throw(Killed())
    with pytest.raises(Killed):
        work("nodes", prepared, home / "run", rows=["theirs:Nodes"], seeds=1, overwrite=True)
    assert not written(home / "run")
    (home / "theirs.py").write_text(MODULE + "\n# better\n")
    with pytest.raises(ConfigError, match="another version"):
        again(rows=["theirs:Nodes"])
    (home / "run" / "checkpoints" / "0.4-split0-seed0-Nodes.pt").unlink()
    again(rows=["theirs:Nodes"])


@pytest.mark.parametrize(
    ("kind", "row", "text"),
    [
        ("nodes", "Peeks", "row 'Peeks': 'test' is not in a view: nothing that is tested is, but at_validation, data"),
        ("nodes", "Leaves", "row 'Leaves': SystemExit: 0"),
        ("links", "Looks", "row 'Looks': snapshot 10 does not exist: expected 0 to 9"),
        ("nodes", "Raises", "row 'Raises': KeyError: 'weights'"),
        ("nodes", "Nothing", "row 'Nothing': fit returned None, expected the fitted model or an Outcome"),
        ("nodes", "Mute", "row 'Mute': its model, of the class Mute, has no method predict"),
        ("nodes", "Thin", "row 'Thin': predict gave shape (90, 1), expected (90, 3)"),
        ("nodes", "Whole", "row 'Whole': predict gave torch.int64, expected a tensor of floating-point scores"),
        ("nodes", "Foreign", "row 'Foreign': predict gave ndarray, expected a tensor"),
        ("nodes", "Unknown", "row 'Unknown': it gave 270 NaN or infinite among 270 scores"),
        ("links", "Deaf", "row 'Deaf': its model, of the class Deaf, has no method observe"),
        ("links", "Listed", "model 'Listed', snapshot 8: found scores of type list, expected a torch.Tensor"),
        ("events", "Faint", "model 'Faint', snapshot 0: found"),
        ("events", "Blind", "row 'Blind': its model, of the class Blind, has no method score"),
    ],
)
def test_what_is_wrong_is_one_error_and_the_others_stay(home, prepared, kind, row, text, capsys):
    raises = row in ("Peeks", "Looks", "Raises", "Leaves")
    with pytest.raises(EntryError if raises else Exception) as caught:
        work(kind, prepared, home / "run", rows=["majority"] * (kind == "nodes") + [f"wrong:{row}"], seeds=1)
    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)
    files = [line for line in getattr(caught.value, "trace", "").splitlines() if line.startswith("  File")]
    assert len(files) == {"Raises": 2}.get(row, int(raises))
    assert all("wrong.py" in file for file in files)
    assert all(row not in unit for unit in written(home / "run"))
    assert bool(written(home / "run")) == (kind != "events")


@pytest.mark.parametrize(
    ("kind", "alone", "spoils"),
    [
        ("nodes", ["majority", "logistic-regression"], "SpoilsNodes"),
        ("links", ["random", "recent-degree"], "Spoils"),
        ("events", ["few-events", "long-silent"], "SpoilsEvents"),
    ],
)
def test_what_a_model_changes_in_place_does_not_reach_other_rows(home, prepared, kind, alone, spoils):
    seen = []
    for rows in (alone, [*alone, f"wrong:{spoils}"]):
        work(kind, prepared, home / "run", rows=rows, seeds=2, overwrite=True)
        units = read_units(home / "run").values()
        seen.append({unit.key: unit.scorings for unit in units if unit.entry != spoils})
        assert len(units) - len(seen[-1]) == 2 * (len(rows) > 2)
    assert seen[0] == seen[1]
    assert torch.get_default_dtype() == torch.float32


def test_a_check_is_made_before_anything_is_written(home, prepared):
    with pytest.raises(EntryError, match="row 'Checks': ValueError: too few snapshots"):
        work("nodes", prepared, home / "run", rows=["wrong:Checks"])
    assert not (home / "run").exists()


def test_the_command_line_shows_their_traceback_then_a_line_and_goes_on_where_it_was(home, prepared, capsys):
    info = home / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dgl_dysign.node_entries]\nmeans = theirs:Nodes\n")
    (home / "rows.toml").write_text("[means]\nlength = 1\n")
    argv = ["nodes", str(prepared["nodes"]), "--run-dir", "run", "--train-ratio", "0.4", "--seeds", "1", "--quiet"]
    assert train_cli.main([*argv, "--rows", "majority", "wrong:Raises"]) == 2
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[0] == "Traceback (most recent call last):"
    assert [line for line in lines if line.startswith("  File")] == [line for line in lines if "wrong.py" in line]
    assert lines[-2:] == ["KeyError: 'weights'", "dysign-train: row 'Raises': KeyError: 'weights'"]
    kept = written(home / "run")
    assert train_cli.main([*argv, "--rows", "majority", "means", "--row-args", "rows.toml", "--resume"]) == 0
    assert kept.items() <= written(home / "run").items()
    assert [line["row"] for line in summary(home / "run")] == ["majority", "means"]
    (record,) = (record for record in read_units(home / "run").values() if record.entry == "means")
    assert (record.source["entry"], record.source["arguments"]) == ("theirs:Nodes", {"length": 1})
    assert len(record.history) == 1
    assert train_cli.main([*argv, "--rows", "theirs:Nods", "--overwrite"]) == 2
    assert capsys.readouterr().err == "dysign-train: row 'theirs:Nods': the module 'theirs' has no 'Nods'\n"
    assert len(written(home / "run")) == 2
