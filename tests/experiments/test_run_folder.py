"""Run folders: files appear whole, a run goes on under the same config alone, nothing else is ever deleted."""

import json
from pathlib import Path

import numpy as np
import pytest

from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.experiments import RunFolder, run_folder

CONFIG = {"seeds": 3, "hops": (0, 1), "settings": {"decay": 0.1}}


class Killed(BaseException):
    """What no `except Exception` catches."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "one"


def files(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_config_and_versions_are_written(path):
    RunFolder(path, CONFIG)
    made = json.loads((path / "config.json").read_text())
    assert made["config"] == {"seeds": 3, "hops": [0, 1], "settings": {"decay": 0.1}}
    assert {"python", "torch", "dgl", "numpy"} <= made["versions"].keys()
    assert (path / "units").is_dir()
    assert (path / "checkpoints").is_dir()


def test_units_and_their_list(path):
    folder = RunFolder(path, CONFIG)
    assert folder.unit("b") is None
    folder.save_unit("b", {"f1": 2.0})
    folder.save_unit("a", {"f1": 1.0})
    assert folder.unit("b") == {"f1": 2.0}
    lines = (path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"f1": 1.0}, {"f1": 2.0}]
    assert folder.checkpoint("0.4-b") == path / "checkpoints" / "0.4-b.pt"


def test_resume_goes_on_and_changes_nothing(path):
    RunFolder(path, CONFIG).save_unit("a", {"f1": 1.0})
    before = files(path)
    later = {**CONFIG, "settings": {"decay": 0.1, "unknown_to_an_earlier_version": None}}
    folder = RunFolder(path, later, resume=True)
    assert folder.unit("a") == {"f1": 1.0}
    assert files(path) == before


@pytest.mark.parametrize(
    ("change", "was", "now"),
    [
        ({"seeds": 4}, "seeds=3", "seeds=4"),
        ({"settings": {"decay": 0.2}}, "settings.decay=0.1", "settings.decay=0.2"),
        ({"settings": {"decay": 0.1, "new": 1}}, "settings.new=None", "settings.new=1"),
    ],
)
def test_resume_under_another_config(path, change, was, now):
    RunFolder(path, CONFIG).save_unit("a", {"f1": 1.0})
    before = files(path)
    with pytest.raises(ConfigError, match=f"was made with {was}, but {now} was asked; .*--overwrite"):
        RunFolder(path, {**CONFIG, **change}, resume=True)
    assert files(path) == before


def test_a_folder_that_is_there(path):
    RunFolder(path, CONFIG)
    with pytest.raises(ConfigError, match="pass --resume to go on with it or --overwrite to begin anew"):
        RunFolder(path, CONFIG)


def test_overwrite_begins_anew(path):
    folder = RunFolder(path, CONFIG)
    folder.save_unit("a", {"f1": 1.0})
    folder.checkpoint("a").write_bytes(b"old")
    (path / "scores.png").write_bytes(b"old")
    folder = RunFolder(path, {"seeds": 9}, overwrite=True)
    assert folder.unit("a") is None
    assert json.loads((path / "config.json").read_text())["config"] == {"seeds": 9}
    assert set(files(path)) == {"config.json", "metrics.jsonl"}
    assert (path / "metrics.jsonl").read_text() == ""


@pytest.mark.parametrize("left", ["precious.txt", "units/a.json", "config.json"])
@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}], ids=str)
def test_what_is_no_run_folder_is_left_alone(path, left, how):
    (path / left).parent.mkdir(parents=True)
    (path / left).write_text('{"config": 3}')
    before = files(path)
    with pytest.raises(ConfigError, match=r"is there and is no run folder .*; name another --run-dir"):
        RunFolder(path, CONFIG, **how)
    assert files(path) == before


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}], ids=str)
def test_a_file_in_its_place(tmp_path, how):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ConfigError, match="is no run folder"):
        RunFolder(tmp_path / "file", CONFIG, **how)
    assert (tmp_path / "file").read_text() == "precious"


def test_an_empty_folder_is_taken(path):
    path.mkdir(parents=True)
    RunFolder(path, CONFIG).save_unit("a", {})
    assert RunFolder(path, CONFIG, resume=True).unit("a") == {}


@pytest.mark.parametrize(
    ("file", "do"), [("units/a.json", "delete it and resume"), ("config.json", "put it back .* or remove the folder")]
)
def test_a_damaged_file_is_named(path, file, do):
    RunFolder(path, CONFIG).save_unit("a", {"f1": 1.0})
    (path / file).write_text('{"f1": ')
    with pytest.raises(DataError, match=rf"{file}: not readable as JSON .*; {do}"):
        RunFolder(path, CONFIG, resume=True)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("moment", range(1, 5))
def test_killed_at_any_file_it_goes_on(path, monkeypatch, moment, when):
    """A run is one config, two units and their list; each file is put in its place by one rename."""
    replace, count = Path.replace, 0

    def dying(self, target):
        nonlocal count
        count += 1
        if when == "after":
            replace(self, target)
        if count == moment:
            raise Killed
        return target if when == "after" else replace(self, target)

    def work(**how):
        folder = RunFolder(path, CONFIG, **how)
        for key in ("a", "b"):
            if folder.unit(key) is None:
                folder.save_unit(key, {"key": key})

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying)
        with pytest.raises(Killed):
            work()
    for file in files(path):
        if file.endswith(".json"):
            json.loads((path / file).read_text())
    work(resume=True)
    assert [json.loads(line)["key"] for line in (path / "metrics.jsonl").read_text().splitlines()] == ["a", "b"]


def test_killed_while_overwriting_it_is_still_a_run(path, monkeypatch):
    folder = RunFolder(path, CONFIG)
    folder.save_unit("a", {})
    unlink, count = Path.unlink, 0

    def dying(self, *args, **options):
        nonlocal count
        count += 1
        if count == 2:
            raise Killed
        return unlink(self, *args, **options)

    (path / "scores.png").write_bytes(b"")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", dying)
        with pytest.raises(Killed):
            RunFolder(path, CONFIG, overwrite=True)
    RunFolder(path, CONFIG, overwrite=True)
    assert set(files(path)) == {"config.json", "metrics.jsonl"}


def test_two_processes_share_a_run_but_none_begins_it_anew_under_the_other(path):
    """The lock goes with its process; in one process a folder can be opened twice."""
    begun = RunFolder(path, CONFIG)
    RunFolder(path, CONFIG, resume=True).save_unit("a", {})
    (path / "units" / ".b.json.1.tmp").touch()  # what the first is writing
    before = files(path)
    run_folder._HELD.clear()  # as in another process
    joined = RunFolder(path, CONFIG, resume=True)
    assert joined.unit("a") == {}
    with pytest.raises(ConfigError, match="another process is writing this run; wait until it ends, or name another"):
        RunFolder(path, CONFIG, overwrite=True)
    assert files(path) == before
    del begun
    RunFolder(path, CONFIG, resume=True)
    assert not (path / "units" / ".b.json.1.tmp").exists()
    RunFolder(path, CONFIG, overwrite=True)


def test_without_locks_it_goes_on(path, monkeypatch):
    def no_locks(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(run_folder.fcntl, "flock", no_locks)
    RunFolder(path, CONFIG).save_unit("a", {"f1": 1.0})
    assert RunFolder(path, CONFIG, resume=True).unit("a") == {"f1": 1.0}
    RunFolder(path, CONFIG, overwrite=True)


@pytest.mark.parametrize("data", [b"", b"x" * 99, b"\x93NUMPY\x01\x00", None], ids=["empty", "text", "head", "pickle"])
def test_a_damaged_array_is_named(path, data):
    RunFolder(path, CONFIG)
    run_folder.write_array(path, "a", "scores", np.arange(3.0))
    assert run_folder.read_array(path, "a", "scores").tolist() == [0, 1, 2]
    file = run_folder.array_file(path, "a", "scores")
    if data is None:
        np.save(file, np.array([{}]), allow_pickle=True)
    else:
        file.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.scores\.npy: not an array \(.*\); delete units/a\.json to fit it again"):
        run_folder.read_array(path, "a", "scores")


@pytest.mark.parametrize(("file", "old", "new"), [("units/a.json", "76.25", "76.26"), ("config.json", "0.1", "0.2")])
def test_a_figure_that_was_changed_is_noticed(path, file, old, new):
    RunFolder(path, CONFIG).save_unit("a", {"f1": 76.25, "none": float("nan")})
    text = (path / file).read_text()
    assert old in text
    (path / file).write_text(text.replace(old, new))
    with pytest.raises(DataError, match=rf"{file}: it was changed after it was written: .*"):
        RunFolder(path, CONFIG, resume=True)
    old_record = {"f1": 1.0}  # of a version without checksums
    (path / file).write_text(text)
    (path / "units/b.json").write_text(json.dumps(old_record))
    assert RunFolder(path, CONFIG, resume=True).unit("b") == old_record


def test_each_bit_of_an_array_is_watched(path):
    RunFolder(path, CONFIG)
    values = np.arange(6.0).reshape(2, 3)
    run_folder.write_array(path, "a", "scores", values)
    file = run_folder.array_file(path, "a", "scores")
    data = file.read_bytes()
    assert (np.load(file) == values).all()  # for whoever reads it without us
    for at in range(len(data)):
        file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(DataError, match="not an array"):
            run_folder.read_array(path, "a", "scores")
    np.save(file, values)  # of a version without checksums
    assert (run_folder.read_array(path, "a", "scores") == values).all()


def test_a_record_that_is_no_object_is_named(path):
    RunFolder(path, CONFIG).save_unit("a", {"f1": 1.0})
    (path / "units/a.json").write_text("[1]")
    with pytest.raises(DataError, match=r"units/a\.json: found a JSON list, expected an object; delete it and resume"):
        RunFolder(path, CONFIG, resume=True)


def test_what_a_killed_run_left_is_removed(path):
    """Killed after the record of a unit, and while it wrote a checkpoint."""
    folder = RunFolder(path, CONFIG)
    folder.save_unit("a", {})
    for name in ("a.pt", "a.json", ".b.pt.0123abcd.tmp", "b.pt"):
        (path / "checkpoints" / name).write_bytes(b"old")
    RunFolder(path, CONFIG, resume=True)
    assert [file.name for file in (path / "checkpoints").iterdir()] == ["b.pt"]
