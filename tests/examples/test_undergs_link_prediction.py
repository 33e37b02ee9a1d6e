"""The example from its command line: figures, pictures, errors, and runs that are killed."""

import json
from dataclasses import replace

import pytest

from dgl_dysign.experiments import plots
from dgl_dysign.experiments.link_entries import default_entries
from dgl_dysign.experiments.train import train_links
from tests.examples.runs import Killed, figures, load, refused, summary, units
from tests.generated import generated_links

SMALL = ["--hidden", "8", "--num-neighbors", "4", "--epochs", "2", "--seeds", "1", "--num-negatives", "20", "--quiet"]
PICTURES = ("scores.png", "learning_curves.png", "over_time.png")
example = load("undergs_link_prediction")
ENTRIES = default_entries()
REFERENCES = [name for name, entry in ENTRIES.items() if not entry.learns]
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


def test_killed_in_its_first_epoch_it_ends_with_the_same_figures(prepared, tmp_path):
    entry, epochs = ENTRIES["undergs-no-counts"], []

    def train(folder, after, **more):
        def fit(view, checkpoint, on_epoch):
            return entry.fit(view, checkpoint=checkpoint, on_epoch=after)

        row = replace(entry, name="watched", fit=fit)
        train_links(prepared, tmp_path / folder, rows=[row], seeds=1, hidden=8, num_neighbors=4, epochs=2, **more)

    def dies(epoch):
        raise Killed

    train("whole", lambda epoch: None)
    with pytest.raises(Killed):
        train("run", dies)
    train("run", epochs.append, resume=True)
    assert [epoch["epoch"] for epoch in epochs] == [1]
    assert figures(tmp_path / "run") == figures(tmp_path / "whole")


def test_raw_files_are_prepared_first(tmp_path):
    raw = tmp_path / "raw.csv"
    raw.write_text("".join(f"{i % 7},{i % 5},{i * 100_000}\n" for i in range(60)))  # ten weeks
    options = ["--raw", str(raw), "--run-dir", str(tmp_path / "run"), *SMALL, "--epochs", "1", "--rows", "undergs"]
    assert example.main(options) == 0
    assert (tmp_path / "run-prepared" / "manifest.json").is_file()
    assert example.main([*options, "--resume"]) == 0


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


def test_live_update_moves_learned_entries_only(prepared, tmp_path):
    found = {}
    for protocol in ("honest", "live-update"):
        run = tmp_path / protocol
        assert (
            example.main(
                [str(prepared), "--run-dir", str(run), *SMALL, "--rows", "undergs-no-counts", "--protocol", protocol]
            )
            == 0
        )
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
