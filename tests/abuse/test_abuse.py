"""A part of `python -m tests.abuse`, which tries all of it from the command line."""

import os

import pytest

from tests.abuse import hostile
from tests.abuse.attempts import CPU_SECONDS, End, attempt, attempts
from tests.abuse.samples import events, read_model, saved_model, targets
from tests.abuse.tampering import ODD, SPECIAL, odd_values, put, tampered


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return events(tmp_path_factory.mktemp("data") / "events")


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    return saved_model(tmp_path_factory.mktemp("model"), data)


def test_ends_of_work_are_told_apart():
    def die():
        os.kill(os.getpid(), 9)

    def fail():
        raise KeyError("x")

    ends = attempts([lambda: 0, die, fail, lambda: 2])
    assert [end.status for end in ends] == [0, -9, 1, 2]
    assert [bool(end.wrong) for end in ends] == [False, True, True, True]  # the last says nothing
    assert End(2, "one line\n").wrong == ""
    assert attempt(lambda: sum(iter(int, 1)), kill_after=0.02).status == -9
    assert CPU_SECONDS == 20  # the limit that is promised


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_what_is_no_file_of_a_model_is_refused_at_once(data, model, tmp_path, name):
    works = []
    for place, what in enumerate(SPECIAL):
        folder = tmp_path / str(place)
        folder.mkdir()
        for file in model.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        put(folder / name, what)
        works.append(read_model(folder, data))
    assert [(end.status, end.wrong) for end in attempts(works)] == [(2, "")] * len(SPECIAL)


def test_a_raw_file_that_is_a_link_to_itself_is_refused_in_one_line(data, tmp_path):
    made = {"events": data, "nodes": data}
    found = next(each for each in targets(tmp_path, made, run=False) if each.name == "raw files: tmall")
    works = [work for name, work in tampered(found, tmp_path, ("special",), 1, 0) if "a link to itself" in name]
    assert [(end.status, end.wrong) for end in attempts(works)] == [(2, "")] * len(found.files())


def test_json_files_with_an_object_a_line_have_no_odd_values():
    assert list(odd_values(b"[1, 2]\n[3, 4]\n")) == []
    assert len(list(odd_values(b'{"a": 1}'))) == len(ODD) + 1


def test_nothing_that_is_read_runs(data, model, tmp_path):
    mark = tmp_path / "mark"
    tried = list(hostile.readings(tmp_path, model, data, mark))
    for (name, _), end in zip(tried, attempts([work for _, work in tried]), strict=True):
        assert (end.status, end.wrong, mark.exists()) == (2, "", False), (name, end)


def test_damaged_folders_are_read_or_refused_in_one_line(data, tmp_path):
    """Some of the damages of three folders; a run folder takes too long for each change."""
    made, tried = {"events": data, "nodes": data}, []
    for target in targets(tmp_path, made, run=False):
        if target.name in ("prepared folder of events", "saved model", "raw files: dyglib"):
            tried += list(tampered(target, tmp_path, ("special", "flips", "values"), 3, 0))[::90]
    assert len(tried) > 20
    for (name, _), end in zip(tried, attempts([work for _, work in tried]), strict=True):
        assert end.wrong == "", name
