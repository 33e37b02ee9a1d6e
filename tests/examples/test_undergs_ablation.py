"""The ablation of UnderGS from its command line: studies, resuming, and what it calls noise."""

from dataclasses import asdict, replace

import pytest

from data_prep.cli import app
from dgl_dysign.experiments.ablations import LinkSettings
from tests.examples.runs import figures, load, refused, summary, written

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


def test_killed_and_resumed_ends_with_the_same_figures(prepared, tmp_path, monkeypatch):
    options = "--studies", "hops"
    assert ask(prepared, tmp_path / "whole", *options) == 0
    done, work = [], example.fit_and_score

    def killed(*args):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        return work(*args)

    with monkeypatch.context() as patch:
        patch.setattr(example, "fit_and_score", killed)
        assert ask(prepared, tmp_path / "part", *options) == 130
    assert not (tmp_path / "part" / "summary.json").exists()
    assert ask(prepared, tmp_path / "part", *options, "--resume") == 0
    assert figures(tmp_path / "part") == figures(tmp_path / "whole")


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
            field for s in made.values.values() for field, value in asdict(s).items() if value != getattr(base, field)
        }
        if study not in ("modules", "presets"):
            assert len(changed) == 1 or changed <= free.get(study, set()), study
        assert made.reference in made.values
        if study not in free:
            assert made.values[made.reference] == base
    whole = known["presets"].values.pop("all")
    singly = [*known["modules"].values.values(), *known["presets"].values.values()]
    assert all(sum(v != getattr(base, f) for f, v in asdict(s).items()) <= 1 for s in singly)
    other = LinkSettings.base("paper" if name != "paper" else "no-counts", ())
    assert whole == replace(other, families=base.families)
    assert list(known["counts"].values) == [
        "+ activity", "+ pair", "all", "all but activity", "all but pair", "all but walks",
    ]  # fmt: skip


def record(*mrr):
    return {"by_snapshot": {"mrr": list(mrr), "val_mrr": list(mrr)}, "scores": {"mrr": sum(mrr) / len(mrr)}}


def test_a_difference_is_taken_snapshot_by_snapshot():
    reference = {0: record(10.0, 50.0, 90.0), 1: record(20.0, 60.0, 100.0)}
    shifted = {seed: record(*(v + 5 for v in run["by_snapshot"]["mrr"])) for seed, run in reference.items()}
    assert example.compare(shifted, reference, "mrr") == {"delta": 5.0, "noise": 0.0}  # whatever the spread of both
    one = {0: record(12.0, 52.0, 96.0)}
    found = example.compare(one, {0: reference[0]}, "mrr")
    assert found["delta"] == pytest.approx(10 / 3)
    assert found["noise"] == pytest.approx(2 * (16 / 3 / 3) ** 0.5)
    unlike = {0: record(13.0, 53.0, 93.0), 1: record(21.0, 61.0, 101.0)}  # differences of 3 and of 1: a matter of seeds
    assert example.compare(unlike, reference, "mrr") == pytest.approx({"delta": 2.0, "noise": 2.0})


@pytest.mark.parametrize(
    ("val", "test", "expected"),
    [
        ((1, 2), (-1, 2), "within noise"),
        ((3, 2), (-1, 2), "better"),
        ((1, 2), (-3, 2), "worse"),
        ((3, 2), (-3, 2), "mixed"),
    ],
)
def test_verdicts(val, test, expected):
    row = {key: {"delta": d, "noise": n, "runs": 3} for key, (d, n) in (("val_mrr", val), ("mrr", test))}
    assert example.verdict(row) == expected
    row["mrr"]["runs"] = 1  # noise of training is not seen
    assert example.verdict(row) == expected + (" (one seed)" if expected != "within noise" else "")


def test_bad_input_is_one_clear_error(prepared, tmp_path, capsys):
    run = tmp_path / "run"
    refused(example, words(prepared, run, "--studies", "hopps"), "'hopps'", capsys)
    refused(example, words(prepared, run, "--seeds", "0"), "--seeds must be at least 1", capsys)
    refused(example, words(tmp_path / "none", run), "none", capsys)
    assert not (tmp_path / "run").exists()
    with pytest.raises(SystemExit):  # neither prepared nor raw
        example.main(["--run-dir", str(tmp_path / "run")])
    assert ask(prepared, tmp_path / "run", "--studies", "pipeline") == 0
    again = words(prepared, run, "--studies", "pipeline", "--resume", "--base", "paper")
    refused(example, again, "was made with base=", capsys)
