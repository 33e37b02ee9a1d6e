"""The runner on entries that take no time: strangers' entries, resuming, kills at any file, costs, errors, pictures."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dgl_dysign.cli import option
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.experiments.entry import Entry, Outcome, Task, by_name
from dgl_dysign.experiments.options import RunOptions
from dgl_dysign.experiments.record import Scoring, read_units
from dgl_dysign.experiments.runner import Study, Unit, run
from dgl_dysign.experiments.train_cli import run_study
from dgl_dysign.files import read_sealed
from tests.examples.runs import Killed, figures, summary, units

EPOCHS = 3


class Guess(Task):
    """Guess a number from 0 to 9; a seed is the number."""

    def __init__(self):
        self.borrowed = 0.0

    def with_seed(self, seed):
        return self._with(seed=seed)

    def score(self, outcome):
        hit = 100.0 * (outcome.prediction == self.seed)
        return [Scoring({"hits": float(hit), **outcome.figures}, {"hits": 50.0}, {"share": s}) for s in (0.1, 0.2)]

    def arrays(self, outcome):
        return {"guess": outcome.prediction.numpy()}

    def begin_unit(self):
        self.borrowed = 7.0

    @property
    def borrowed_seconds(self):
        return self.borrowed


class Table(Study):
    kind, by = "other", "share"

    def __init__(self, entries, seeds=2):
        self.entries, self.seeds = entries, seeds

    def units(self):
        for seed in range(self.seeds):
            for entry in self.entries:
                yield Unit(f"seed{seed}-{entry.name}", entry, Guess().with_seed(seed), {"fold": 1}, inspect=seed == 0)

    def tables(self, summary):
        yield f"{len(summary)} lines"

    def draw(self, records, summary, folder):
        (folder / "scores.png").write_text(str(len(records)))
        return [folder / "scores.png"]


def constant(task, **_):
    return Outcome(torch.tensor(1), extra={"decay": 0.3})


def learned(task, checkpoint=None, on_epoch=None):
    """Count epochs in a checkpoint."""
    done = int(checkpoint.read_text()) if checkpoint.exists() else 0
    history = [{"epoch": k, "val_hits": 0.1 * k, "cpu_seconds": 100.0 + k} for k in range(EPOCHS)]
    for epoch in range(done, EPOCHS):
        temporary = checkpoint.with_suffix(".tmp")
        temporary.write_text(str(epoch + 1))
        temporary.replace(checkpoint)
        on_epoch(history[epoch])
    return Outcome(torch.tensor(0), history, {"sure": 1.0}, model="weights")


def save(task, outcome, folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model").write_text(outcome.model)


ENTRIES = [
    Entry("constant", constant, "sees nothing"),
    Entry("stranger", learned, learns=True, save=save, diagnose=lambda task, outcome: {"seen": task.seed}),
]


@dataclass(kw_only=True)
class Options(RunOptions):
    save_model: Path | None = option("Where to save models.", None)


def main(folder, *more, study=None, config=None, quiet=True):
    def work(options):
        run(study or Table(ENTRIES), config or {}, options).show()

    return run_study("guess", "", Options, work, ["--run-dir", str(folder), *["--quiet"] * quiet, *map(str, more)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert main(folder) == 0
    return folder


def test_without_a_terminal_each_unit_that_was_fitted_is_a_line(whole, tmp_path, capsys):
    folder = shutil.copytree(whole, tmp_path / "run")
    units = sorted(folder.glob("units/*.json"))
    units[-1].unlink()
    assert main(folder, "--resume", quiet=False) == 0
    told = capsys.readouterr().err
    assert re.fullmatch(rf"\d of {len(units)}: {units[-1].stem}, \d+ CPU s\n", told), told


def test_the_summary_is_over_seeds_for_each_entry_and_condition(whole, tmp_path, capsys):
    capsys.readouterr()
    assert main(tmp_path / "run") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "4 lines"
    assert [Path(line).name for line in printed[1:]] == ["summary.json", "metrics.jsonl", "scores.png"]
    lines = summary(whole)
    assert [(line["share"], line["row"]) for line in lines] == [
        (0.1, "constant"), (0.1, "stranger"), (0.2, "constant"), (0.2, "stranger"),
    ]  # fmt: skip
    assert lines[0]["hits"] == {"mean": 50.0, "std": pytest.approx(50 * 2**0.5), "runs": 2}
    assert [line["protocol"] for line in lines[:2]] == ["sees nothing", ""]
    assert lines[1]["cpu_seconds"] >= 100 + EPOCHS - 1 + 7  # of the history, and what was borrowed
    assert 7 <= lines[0]["cpu_seconds"] < 20
    assert lines[0]["peak_rss_bytes"] > 1 << 20


@pytest.mark.parametrize("held", [0, 1, 2, 3])
def test_the_weights_of_a_network_are_counted_wherever_a_model_holds_it(held, tmp_path):
    model = torch.nn.Linear(3, 2)  # 3 x 2 weights and 2 biases
    for _ in range(held):  # by a scorer, and that by what is fitted anew as time passes
        model = SimpleNamespace(model=model)
    entry = Entry("network", lambda task, **_: Outcome(torch.tensor(0), model=model))
    assert main(tmp_path / "run", study=Table([entry])) == 0
    expected = {8} if held < 3 else {None}
    assert {unit.cost.get("parameters") for unit in read_units(tmp_path / "run").values()} == expected
    assert {line.get("parameters") for line in summary(tmp_path / "run")} == expected


def test_operations_are_counted_once_a_fit_and_means_over_seeds(tmp_path):
    passes = []

    def fit(task, **_):
        network = torch.nn.Linear(3 + task.seed, 2)

        def forward():
            passes.append(task.seed)
            return network(torch.rand(5, 3 + task.seed))

        return Outcome(torch.tensor(0), model=network, forward=forward)

    entries = [Entry("counted", fit), Entry("not", lambda task, **_: Outcome(torch.tensor(0)))]
    assert main(tmp_path / "run", study=Table(entries)) == 0
    lines = {line["row"]: line for line in summary(tmp_path / "run")}
    assert (lines["counted"]["macs"], lines["counted"]["parameter_bytes"]) == (7.0, 4 * (8 + 10) / 2)
    assert "macs" not in lines["not"]
    assert sorted(passes) == [0, 1]


def test_units_leave_records_arrays_and_diagnostics(whole):
    records = read_units(whole)
    assert list(records) == ["seed0-constant", "seed0-stranger", "seed1-constant", "seed1-stranger"]
    assert [unit["key"] for unit in units(whole)] == list(records)
    stranger = records["seed1-stranger"]
    assert (stranger.kind, stranger.entry, stranger.seed, len(stranger.history)) == ("other", "stranger", 1, EPOCHS)
    assert stranger.scorings[0] == Scoring({"hits": 0.0, "sure": 1.0}, {"hits": 50.0}, {"fold": 1, "share": 0.1})
    assert records["seed0-constant"].extra == {"decay": 0.3}
    assert {f.name for f in (whole / "checkpoints").iterdir()} == {f"{key}.guess.npy" for key in records}
    assert np.load(whole / "checkpoints" / "seed0-constant.guess.npy") == 1
    (file,) = (whole / "diagnostics").iterdir()
    assert read_sealed(file) == {"schema": 1, "unit": "seed0-stranger", "row": "stranger", "seen": 0}


def test_killed_at_any_file_it_ends_with_the_same_figures(whole, tmp_path, monkeypatch):
    replace, moment = Path.replace, 0
    while True:
        moment += 1
        folder, count = tmp_path / str(moment), 0

        def dying(self, target, moment=moment):
            nonlocal count
            count += 1
            if count == moment:
                raise Killed
            return replace(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", dying)
            try:
                main(folder)
                break  # there is no such moment: the run is over
            except Killed:
                pass
        assert main(folder, "--resume") == 0
        assert figures(folder) == figures(whole), moment
    assert moment > 2 + 2 * 4 + 1 + 2 * EPOCHS + 1  # config, lists, units, diagnostics, checkpoints, summary


def test_ctrl_c_says_how_to_go_on_and_finished_units_stay(whole, tmp_path, capsys):
    def interrupted(task, **run):
        if task.seed:
            raise KeyboardInterrupt
        return learned(task, **run)

    stopped = Table([ENTRIES[0], Entry("stranger", interrupted)])
    assert main(tmp_path / "run", study=stopped) == 130
    assert capsys.readouterr().err == f"guess: interrupted; go on with: --run-dir {tmp_path / 'run'} --resume\n"
    written = {f.name: f.stat().st_mtime_ns for f in (tmp_path / "run" / "units").iterdir()}
    assert len(written) == 3
    assert main(tmp_path / "run", "--resume") == 0
    assert written.items() <= {f.name: f.stat().st_mtime_ns for f in (tmp_path / "run" / "units").iterdir()}.items()
    assert figures(tmp_path / "run") == figures(whole)


def test_a_run_is_resumed_with_more_entries_and_seeds(whole, tmp_path):
    assert main(tmp_path / "run", study=Table(ENTRIES[1:], seeds=1)) == 0
    assert main(tmp_path / "run", "--resume") == 0
    assert figures(tmp_path / "run") == figures(whole)


def test_units_of_version_0_are_finished(tmp_path):
    assert main(tmp_path / "run", study=Table(ENTRIES[:1], 1)) == 0
    file = tmp_path / "run" / "units" / "seed0-constant.json"
    old = {"row": "constant", "key": "seed0-constant", "seed": 0, "hits": 3.0, "cpu_seconds": 1.0, "peak_rss_bytes": 2}
    file.write_text(json.dumps(old))
    assert main(tmp_path / "run", "--resume", study=Table(ENTRIES[:1], 1)) == 0
    (line,) = summary(tmp_path / "run")
    assert (line["hits"]["mean"], line["cpu_seconds"], line["peak_rss_bytes"]) == (3.0, 1.0, 2)
    file.write_text('{"version": 1}')
    assert main(tmp_path / "run", "--resume", study=Table(ENTRIES[:1], 1)) == 2


def refused(folder, text, capsys, *more, **study):
    capsys.readouterr()
    assert main(folder, *more, **study) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("guess: ")
    assert printed.err.count("\n") == 1
    assert text in printed.err


def test_what_does_not_fit_is_refused_before_anything_is_written(whole, tmp_path, capsys):
    def check(task):
        raise ConfigError("epochs must be at least 1")

    refused(tmp_path / "run", "epochs must", capsys, study=Table([Entry("wrong", constant, check=check)]))
    (tmp_path / "saved" / "seed0-stranger").mkdir(parents=True)
    refused(tmp_path / "run", "exists: name another --save-model", capsys, "--save-model", tmp_path / "saved")
    assert not (tmp_path / "run").exists()
    before = {f: f.stat().st_mtime_ns for f in whole.rglob("*")}
    refused(whole, "pass --resume to go on with it or --overwrite", capsys)
    refused(whole, "was made with hidden=None, but hidden=5", capsys, "--resume", config={"hidden": 5})
    assert {f: f.stat().st_mtime_ns for f in whole.rglob("*")} == before
    refused(whole, "its model was not saved", capsys, "--resume", "--save-model", tmp_path / "models")
    (tmp_path / "file").touch()
    refused(tmp_path / "file" / "run", "file", capsys)


def test_models_are_saved_where_an_entry_can(tmp_path):
    assert main(tmp_path / "run", "--save-model", tmp_path / "models") == 0
    assert {f.name for f in (tmp_path / "models").iterdir()} == {"seed0-stranger", "seed1-stranger"}
    shutil.rmtree(tmp_path / "models")
    assert main(tmp_path / "run", "--resume") == 0


def test_a_damaged_unit_is_named(tmp_path, capsys):
    assert main(tmp_path / "run") == 0
    (tmp_path / "run" / "units" / "seed0-constant.json").write_text('{"version": 2}')
    refused(tmp_path / "run", "seed0-constant.json: found a unit of version 2", capsys, "--resume")


def test_entries_have_names_of_their_own():
    assert list(by_name(ENTRIES).values()) == ENTRIES
    with pytest.raises(ConfigError, match="two called 'constant'"):
        by_name([ENTRIES[0], Entry("constant", learned)])
    with pytest.raises(ConfigError, match="no prediction"):
        _ = Outcome().predicted


def test_errors_of_an_entry_pass_as_they_are(tmp_path):
    def broken(task, **_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        main(tmp_path / "run", study=Table([Entry("broken", broken)]))

    def damaged(task, **_):
        raise DataError("cut short")

    assert main(tmp_path / "run", "--resume", study=Table([Entry("damaged", damaged)])) == 2
