"""From the names of rows to entries: our own, installed ones, and strangers' modules; everything that is no entry."""

import json
import sys

import pytest
import torch

from dgl_dysign.errors import ConfigError, EntryError
from dgl_dysign.experiments.entry import FEATURE_ONLY, LABEL_AWARE, Entry, Outcome, View, source_of
from dgl_dysign.experiments.resolve import as_entry, list_rows, resolve_entry, resolve_rows

MODULE = '''
import torch

class Guess:
    """Guesses."""

    protocol = "label-aware: looks"

    def __init__(self, classes: int = 2, sure: float = 0.5):
        self.classes, self.sure, self.fits = classes, sure, 0

    def fit(self, view, *, checkpoint=None, on_epoch=None):
        self.fits += 1
        self.drawn = torch.rand(1)
        for epoch in range(2):
            on_epoch({"val_macro_f1": torch.tensor(0.5)})
        return self

    def save(self, folder):
        (folder / "weights").write_text(str(self.sure))
        if self.sure > 1:
            raise OSError("disk full")


class Named(Guess):
    name = "a-name"

    def save(self, task, outcome, folder):
        folder.write_text("mine")


class NoFit: pass
class Plain(torch.nn.Module):
    def __init__(self, num_nodes): pass
class OddFit:
    def fit(self, data): pass
class Path: name, fit = "../x", Guess.fit
class Taken: name, fit = "majority", Guess.fit
class Raising:
    def __init__(self): raise KeyError("weights")


guess, ready = Guess(), 3
'''


class AView(View):
    device = "cpu"

    def __init__(self, seed=0):
        self.seed = seed


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder in which a stranger works; what is imported from there is forgotten afterwards."""
    (tmp_path / "theirs.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import theirs\n\n1 / 0\n")
    (tmp_path / "half.py").write_text("import not_installed_here\n")
    (tmp_path / "typed.py").write_text("def f(:\n")
    (tmp_path / "leaves.py").write_text("import sys\n\nsys.exit(5)\n")
    info = tmp_path / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dgl_dysign.node_entries]\nguess = theirs:Guess\nlost = gone:Guess\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    yield tmp_path
    for name in ("theirs", "broken", "half", "typed", "leaves"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("spec", "name"), [("theirs:Guess", "Guess"), ("guess", "guess")])
def test_a_strangers_class_is_an_entry(home, spec, name):
    entry = resolve_entry(spec, "node", {"sure": 0.25})
    assert (entry.name, entry.protocol, entry.learns) == (name, "label-aware: looks", True)
    assert entry.source["entry"] == "theirs:Guess"
    assert entry.source["arguments"] == {"sure": 0.25}
    outcome = entry.fitted(AView(), home / "checkpoint")
    assert (outcome.entry, outcome.model.sure, outcome.model.fits) == (name, 0.25, 1)
    assert outcome.history == [{"epoch": 0, "val_macro_f1": 0.5}, {"epoch": 1, "val_macro_f1": 0.5}]
    assert entry.fitted(AView()).model.fits == 1  # no object is fitted twice


def test_torch_draws_with_the_seed_of_the_view(home):
    entry = resolve_entry("theirs:Guess", "node")
    drawn = [entry.fitted(AView(seed)).model.drawn for seed in (0, 1, 0)]
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])
    state = torch.get_rng_state()
    entry.fitted(AView())
    assert torch.equal(torch.get_rng_state(), state)


def test_objects_and_entries_stand_for_themselves(home):
    entry = resolve_entry("theirs:guess", "link")
    assert [entry.fitted(AView()).model.fits for _ in range(2)] == [1, 1]
    assert resolve_entry("theirs:Named", "node").name == "a-name"
    coin = as_entry(Entry("coin", lambda view, **run: Outcome(extra={"seed": view.seed}), LABEL_AWARE), "event")
    assert (coin.name, coin.protocol, coin.fitted(AView(4)).extra) == ("coin", LABEL_AWARE, {"seed": 4})
    assert coin.source["entry"] == "coin"

    class Bare:
        def fit(self, view, checkpoint, on_epoch):
            return self

    bare = as_entry(Bare, "node")
    assert (bare.name, bare.protocol, bare.save) == ("Bare", FEATURE_ONLY, None)


def test_a_source_changes_with_arguments_and_code_alone(home):
    source = resolve_entry("theirs:Guess", "node").source
    assert resolve_entry("theirs:Guess", "link").source == source
    assert resolve_entry("theirs:Guess", "node", {"sure": 0.5}).source != source
    (home / "theirs.py").write_text(MODULE + "# changed\n")
    assert resolve_entry("theirs:Guess", "node").source == source  # what was loaded counts
    del sys.modules["theirs"]
    changed = resolve_entry("theirs:Guess", "node").source
    assert {name for name in source if changed[name] != source[name]} == {"sha256"}
    assert json.loads(json.dumps(changed)) == changed
    assert source_of("typed", eval("lambda: 0"))["sha256"] == ""


def test_models_are_saved_whole_or_not_at_all(home):
    for sure, left in ((0.5, ["weights"]), (0.75, ["weights"])):
        entry = resolve_entry("theirs:Guess", "node", {"sure": sure})
        entry.save(None, entry.fitted(AView()), home / "models" / "unit")
        assert [f.name for f in (home / "models" / "unit").iterdir()] == left
        assert (home / "models" / "unit" / "weights").read_text() == str(sure)
    full = resolve_entry("theirs:Guess", "node", {"sure": 2.0})
    with pytest.raises(OSError, match="disk full"):
        full.save(None, full.fitted(AView()), home / "models" / "unit")
    assert [(f.name, f.read_text()) for f in (home / "models").rglob("weights")] == [("weights", "0.75")]
    resolve_entry("theirs:Named", "node").save(None, None, home / "file")
    assert (home / "file").read_text() == "mine"


def test_rows_are_ours_in_their_order_then_strangers(home):
    arguments = home / "rows.toml"
    arguments.write_text('["theirs:Guess"]\nclasses = 5\n[a-name]\nclasses = 7\n')
    rows = resolve_rows(["theirs:Named", "gcn", "theirs:Guess", "majority", "gcn"], "node", arguments)
    assert [entry.name for entry in rows] == ["majority", "gcn", "a-name", "Guess"]
    assert [entry.fitted(AView()).model.classes for entry in rows[2:]] == [7, 5]
    assert [entry.name for entry in resolve_rows(None, "node")] == [name for name, _ in list_rows("node")][:11]
    links = [entry.name for entry in resolve_rows(["theirs:Guess"], "link")]
    assert links[-1] == "Guess"
    assert "edgebank" in links  # references always stand beside
    assert "undergs" not in links
    usual = [entry.name for entry in resolve_rows(None, "link") if entry.learns]
    assert usual == ["undergs-paper", "undergs-no-counts", "undergs"]


def test_rows_are_listed_with_a_line_about_each(home):
    for kind in ("node", "link", "event"):
        about = dict(list_rows(kind))
        assert [name for name, text in about.items() if not text or "\n" in text or "``" in text or ":`" in text] == []
    rows = dict(list_rows("node"))
    assert rows["guess"] == "theirs:Guess, installed by their-package"
    assert rows["majority"] == "Answer with the most frequent class."


@pytest.mark.parametrize(
    ("spec", "arguments", "text"),
    [
        ("magic", {}, "row 'magic': expected majority, .* guess, lost or module:Name"),
        ("theirs:", {}, "or module:Name$"),
        ("Majority", {}, "or module:Name; did you mean 'majority'[?]$"),
        ("theirs.Guess", {}, "or module:Name; did you mean 'theirs:Guess'[?]$"),
        ("my.theirs.Guess", {}, "or module:Name; did you mean 'my.theirs:Guess'[?]$"),
        ("./theirs.py", {}, "or module:Name$"),
        ("nowhere.at:All", {}, "row 'nowhere.at:All': there is no module 'nowhere', neither installed nor in"),
        ("theirs.at:All", {}, "row 'theirs.at:All': there is no module 'theirs.at'"),
        ("lost", {}, "row 'lost': there is no module 'gone'"),
        ("theirs:Gues", {}, "row 'theirs:Gues': the module 'theirs' has no 'Gues'"),
        ("theirs:NoFit", {}, "row 'NoFit': found no method fit, expected fit.view, "),
        ("theirs:Plain", {}, "row 'Plain': found no method fit, .* or a class derived from SnapshotEncoder"),
        ("theirs:ready", {}, "row 'int': found no method fit"),
        ("theirs:OddFit", {}, r"row 'OddFit': found fit\(data\), expected fit\(view, "),
        ("theirs:Guess", {"width": 3}, r"row 'Guess': got an unexpected keyword argument 'width'; it takes \(classes"),
        ("theirs:guess", {"sure": 3}, "row 'Guess': found arguments, but it is an object"),
        ("majority", {"sure": 3}, "row 'majority': found arguments, but the options of the table"),
        ("theirs:Path", {}, "row '../x': its name cannot be part of the name of a file"),
        ("theirs:Taken", {}, "row 'majority': its name is one of this package's"),
    ],
)
def test_what_is_no_entry_is_one_error(home, spec, arguments, text):
    with pytest.raises(ConfigError, match=text) as caught:
        resolve_entry(spec, "node", arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "text", "line"),
    [
        ("broken:Guess", r"could not be imported \(ZeroDivisionError: division by zero\)", "broken.py"),
        (
            "half:Guess",
            r"\(ModuleNotFoundError: No module named 'not_installed_here'\)",
            "half.py",
        ),
        ("typed:Guess", r"could not be imported \(SyntaxError", "typed.py"),
        ("leaves:Guess", r"could not be imported \(SystemExit: 5\)", "leaves.py"),
        ("theirs:Raising", r"could not be made \(KeyError: 'weights'\)", "theirs.py"),
    ],
)
def test_code_that_raises_shows_its_own_traceback(home, spec, text, line):
    with pytest.raises(EntryError, match=text) as caught:
        resolve_entry(spec, "node")
    assert "\n" not in str(caught.value)
    files = [row for row in caught.value.trace.splitlines() if row.startswith("  File")]
    assert len(files) == 1
    assert line in files[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sure = 1", "found the key 'sure' outside of a table"),
        ("[guess]\nsure = 1\n[gess]\nsure = 2", "found arguments of 'gess', expected .* which are here: guess"),
        ("[majority]\nsure = 1", "found arguments of 'majority'"),
        ("[guess]\nsure = 1\n[Guess]\nsure = 2", "both 'guess' and 'Guess', which are one row"),
        ("[guess", r"rows.toml: cannot be read as TOML \("),
        ("[guess]\nheight = 1", "unexpected keyword argument 'height'"),
    ],
)
def test_a_file_of_arguments_that_does_not_fit(home, text, message):
    (home / "rows.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        resolve_rows(["majority", "guess"], "node", home / "rows.toml")


def test_two_rows_of_one_name_are_refused(home):
    with pytest.raises(ConfigError, match="two called 'Guess'"):
        resolve_rows(["theirs:Guess", "theirs:guess"], "node")
    with pytest.raises(ConfigError, match="kind must be one of 'node', 'link', 'event', but got 'edge'"):
        resolve_rows(None, "edge")
