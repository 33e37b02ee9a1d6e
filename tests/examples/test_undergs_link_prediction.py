"""The example from its command line: figures, pictures, errors, and runs that are killed."""

import json
from dataclasses import replace

import pytest

from dgl_dysign.experiments import plots
from dgl_dysign.experiments.entry import Entry, Outcome
from tests.examples.runs import Killed, figures, load, refused, summary, units
from tests.generated import generated_links

SMALL = ["--hidden", "8", "--num-neighbors", "4", "--epochs", "2", "--seeds", "1", "--num-negatives", "20", "--quiet"]
PICTURES = ("scores.png", "learning_curves.png", "over_time.png")
example = load("undergs_link_prediction")
REFERENCES = [name for name, entry in example.ENTRIES.items() if not entry.learns]
pytestmark = pytest.mark.usefixtures("few_trees")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return generated_links(tmp_path_factory.mktemp("prepared"), 400)


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
    """Return the folder of a run with two seeds and two shares of historical negatives."""
    run = tmp_path_factory.mktemp("runs") / "all"
    options = [*SMALL, "--seeds", "2", "--historical", "0", "0.5", "--rows", "undergs", "--aggregators", "mixer"]
    assert example.main([str(prepared), "--run-dir", str(run), *options]) == 0
    return run


def test_the_summary_has_one_object_a_row_and_share(finished):
    found = summary(finished)
    rows = [*REFERENCES, "undergs", "undergs-mixer"]
    assert [(row["historical"], row["row"]) for row in found] == [(share, row) for share in (0.0, 0.5) for row in rows]
    for row in found:
        for score in ("mrr", "mrr_pooled", "auc", "ap", "hits@1", "hits@3", "hits@10", "val_mrr"):
            assert row[score].keys() == {"mean", "std", "runs"}
            assert 0 <= row[score]["mean"] <= 100
            assert row[score]["runs"] == 2
        assert row["protocol"].startswith("honest")
        assert row["cpu_seconds"] > 0
        assert row["peak_rss_bytes"] > 1 << 20
    pairs = [(a["mrr"]["mean"], b["mrr"]["mean"]) for a, b in zip(found[::2], found[1::2], strict=True)]
    assert all(a != b for a, b in pairs)
    for picture in PICTURES:
        assert (finished / picture).read_bytes().startswith(b"\x89PNG")


def test_every_unit_is_a_line_and_means_are_theirs(finished):
    lines = units(finished)
    assert len(lines) == 2 * (len(REFERENCES) + 2)
    runs = [line["scorings"][1]["scores"]["mrr"] for line in lines if line["entry"] == "undergs"]
    (row,) = (row for row in summary(finished) if row["row"] == "undergs" and row["historical"] == 0.5)
    assert row["mrr"]["mean"] == pytest.approx(sum(runs) / 2)
    assert not list((finished / "checkpoints").iterdir())


def test_one_model_of_each_learned_row_says_what_it_did(finished):
    files = {file.stem: json.loads(file.read_text()) for file in (finished / "diagnostics").iterdir()}
    assert files.keys() == {"seed0-undergs", "seed0-undergs-mixer"}
    for found in files.values():
        assert found["store"]["slots"] == 4
        assert any(entries["neighbor"] for node in found["store"]["nodes"] for entries in node["held"])


def test_killed_in_its_first_epoch_it_ends_with_the_same_figures(prepared, tmp_path, monkeypatch):
    options = ["--run-dir", str(tmp_path / "run"), *SMALL, "--rows", "undergs-no-counts"]
    assert example.main([str(prepared), "--run-dir", str(tmp_path / "whole"), *options[2:]]) == 0
    entry, epochs = example.ENTRIES["undergs-no-counts"], []

    def dies(task, on_epoch, **run):
        def after(epoch):
            raise Killed

        return entry.fit(task, on_epoch=after, **run)

    def goes_on(task, on_epoch, **run):
        return entry.fit(task, on_epoch=epochs.append, **run)

    monkeypatch.setitem(example.ENTRIES, entry.name, replace(entry, fit=dies))
    with pytest.raises(Killed):
        example.main([str(prepared), *options])
    monkeypatch.setitem(example.ENTRIES, entry.name, replace(entry, fit=goes_on))
    assert example.main([str(prepared), *options, "--resume"]) == 0
    assert [epoch["epoch"] for epoch in epochs] == [1]
    assert figures(tmp_path / "run") == figures(tmp_path / "whole")


def test_raw_files_are_prepared_first(tmp_path, prepared, monkeypatch):
    monkeypatch.setattr(example, "ENTRIES", {"undergs-no-counts": example.ENTRIES["undergs-no-counts"]})
    raw = prepared.with_name("raw-links")  # by weeks there are hundreds of snapshots
    options = ["--raw", str(raw), "--run-dir", str(tmp_path / "run"), *SMALL, "--epochs", "1"]
    assert example.main(options) == 0
    assert (tmp_path / "run-prepared" / "manifest.json").is_file()
    assert example.main([*options, "--resume"]) == 0


def test_a_stranger_is_an_entry(prepared, tmp_path, monkeypatch):
    class Backwards:
        """Destinations of high number are likely."""

        def reset(self):
            self.seen = 0

        def observe(self, edges):
            self.seen += len(edges)

        def score(self, snapshot, src, dst):
            return dst.double() + self.seen

    stranger = Entry("stranger", lambda task, **run: Outcome(model=Backwards()), over_time=True)
    monkeypatch.setattr(example, "ENTRIES", {"random": example.ENTRIES["random"], "stranger": stranger})
    assert example.main([str(prepared), "--run-dir", str(tmp_path / "run"), *SMALL]) == 0
    assert [line["row"] for line in summary(tmp_path / "run")] == ["random", "stranger"]


def test_the_leaking_protocol_says_so_everywhere(prepared, finished, tmp_path, capsys, monkeypatch):
    titles = []
    for name in ("score_bars", "learning_curves", "over_time"):
        monkeypatch.setattr(plots, name, lambda *words, **_: titles.append("".join(map(str, words))))
    options = [*SMALL, "--rows", "undergs-no-counts", "--protocol", "undergs-released"]
    assert example.main([str(prepared), "--run-dir", str(tmp_path / "run"), *options]) == 0
    assert capsys.readouterr().out.count("LEAKS") >= 2
    assert all("LEAKS, for reproduction only" in title for title in titles)
    assert len(titles) == 3
    found = summary(tmp_path / "run")
    assert all("LEAKS" in row["protocol"] for row in found)
    leaking, fair = (next(r for r in rows if r["row"] == "destination-recency") for rows in (found, summary(finished)))
    assert leaking["auc"]["mean"] > fair["auc"]["mean"] + 5


def test_live_update_moves_learned_entries_only(prepared, tmp_path, monkeypatch):
    names = ("recent-degree", "undergs-no-counts")
    monkeypatch.setattr(example, "ENTRIES", {name: example.ENTRIES[name] for name in names})
    found = {}
    for protocol in ("honest", "live-update"):
        run = tmp_path / protocol
        assert example.main([str(prepared), "--run-dir", str(run), *SMALL, "--protocol", protocol]) == 0
        found[protocol] = {row["row"]: row["mrr"]["mean"] for row in summary(run)}
    moved = [row for row, value in found["honest"].items() if found["live-update"][row] != value]
    assert moved == ["undergs-no-counts"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--historical", "1.5"], "--historical must lie in 0 .. 1"),
        (["--device", "cuda:77"], "pass --device cpu"),
        (["--epochs", "0"], "epochs must be at least 1"),
        (["--num-neighbors", "0"], "num_neighbors"),
        (["--snapshot-decay", "2"], "snapshot_decay"),
        (["--importance", "fame"], "importance"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(prepared, tmp_path, capsys, options, text):
    refused(example, [str(prepared), "--run-dir", str(tmp_path / "run"), *SMALL, *options], text, capsys)
    assert not (tmp_path / "run").exists()
