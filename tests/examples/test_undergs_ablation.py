"""The ablation of UnderGS from its command line: studies, resuming, and what it calls noise."""

from dataclasses import replace

import pytest

from data_prep.cli import app
from dgl_dysign.experiments.link_task import LinkSettings
from tests.examples.runs import load, refused, summary, written

FAMILIES = ("activity", "pair", "walks")
example = load("undergs_ablation")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    raw = tmp_path_factory.mktemp("made") / "raw"
    app(["synth", "bitcoin-alpha", str(raw), "--events", "400", "--quiet"], standalone_mode=False)
    app(["edges", str(raw), str(raw.parent / "prepared"), "--snapshots", "10", "--quiet"], standalone_mode=False)
    return raw.parent / "prepared"


def words(prepared, folder, *more):
    options = ["--seeds", "1", "--epochs", "1", "--base", "no-counts", "--quiet"]
    return [str(prepared), "--run-dir", str(folder), *options, *more]


def ask(*given):
    return example.main(words(*given))


def test_studies_share_units_and_a_run_is_extended(prepared, tmp_path):
    run = tmp_path / "run"
    assert ask(prepared, run, "--studies", "history") == 0
    first = summary(run)
    assert [row["value"] for row in first] == ["0", "1", "3", "5", "all"]
    assert first[0]["historical_share"]["mean"] == 0 < first[-1]["historical_share"]["mean"]
    made = written(run)
    assert ask(prepared, run, "--studies", "hops", "history", "pipeline", "--resume") == 0
    second = {row["row"]: row for row in summary(run)}
    now = written(run)
    assert made.items() <= now.items()
    assert len(now) == len(made) + 2 + 3  # two hops is the base, which was there
    assert second["hops: 2"]["mrr"] == second["history: all"]["mrr"]
    assert {"mean", "std", "runs"} <= second["hops: 1"]["mrr"].keys()
    for name in ("hops", "history", "pipeline"):
        assert (run / f"{name}.png").stat().st_size > 10_000


def test_raw_data_is_prepared_beside_the_run(tmp_path):
    raw = tmp_path / "raw.csv"
    raw.write_text("".join(f"{i % 7},{i % 5},{i * 100_000}\n" for i in range(60)))  # ten weeks
    run = ["--raw", str(raw), "--run-dir", str(tmp_path / "run"), "--seeds", "1", "--epochs", "1", "--quiet"]
    assert example.main([*run, "--studies", "pipeline", "--base", "paper"]) == 0
    assert (tmp_path / "run-prepared" / "manifest.json").exists()
    assert [row["value"] for row in summary(tmp_path / "run")] == ["64", "256", "whole"]


@pytest.mark.parametrize("name", ["paper", "no-counts", "default"])
def test_values_differ_from_the_base_in_their_ingredient_alone(name):
    base = LinkSettings.base(name, FAMILIES)
    free = {"counts": {"families", "embeddings"}, "counts_and_embeddings": {"families"}}
    known = example.studies(base, FAMILIES)
    for study, made in known.items():
        changed = {
            field for s in made.values.values() for field, value in vars(s).items() if value != getattr(base, field)
        }
        if study not in ("modules", "presets"):
            assert len(changed) == 1 or changed <= free.get(study, set()), study
        assert made.reference in made.values
        if study not in free:
            assert made.values[made.reference] == base
    whole = known["presets"].values.pop("all")
    singly = [*known["modules"].values.values(), *known["presets"].values.values()]
    assert all(sum(v != getattr(base, f) for f, v in vars(s).items()) <= 1 for s in singly)
    other = LinkSettings.base("paper" if name != "paper" else "no-counts", ())
    assert whole == replace(other, families=base.families)
    assert list(known["counts"].values) == [
        "+ activity", "+ pair", "all", "all but activity", "all but pair", "all but walks",
    ]  # fmt: skip


def test_bad_input_is_one_clear_error(prepared, tmp_path, capsys):
    run = tmp_path / "run"
    refused(example, words(prepared, run, "--studies", "hopps"), "'hopps'", capsys)
    refused(example, words(prepared, run, "--seeds", "0"), "--seeds must be at least 1", capsys)
    refused(example, words(tmp_path / "none", run), "none", capsys)
    assert not (tmp_path / "run").exists()
    refused(example, ["--run-dir", run], "expected a prepared folder, or raw files by --raw", capsys)
    assert ask(prepared, tmp_path / "run", "--studies", "pipeline") == 0
    again = words(prepared, run, "--studies", "pipeline", "--resume", "--base", "paper")
    refused(example, again, "was made with base.", capsys)
