"""Whole or not at all: what a failing or killed writer leaves, and what stays."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dgl_dysign import files
from dgl_dysign.errors import ConfigError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fail(*_, **__):
    raise OSError(28, "No space left on device")


def test_needs_nothing_but_the_standard_library():
    code = "import sys, dgl_dysign.files; print([m for m in ('torch', 'dgl', 'numpy', 'pyarrow') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with files.write_file(str(path)) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path
        temporary.write_text("new")
    assert (path.read_text(), names(tmp_path)) == ("new", ["a.txt"])
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a.txt"
    with files.write_file(path) as first, files.write_file(path) as second:
        first.write_text("first, which ends last")
        second.write_text("second")
        assert first != second
    assert (path.read_text(), names(tmp_path)) == ("first, which ends last", ["a.txt"])


def overwrite(path, error=None):
    with files.write_file(path) as temporary:
        temporary.write_text("new")
        if error:
            raise error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)):
        overwrite(path, error)
    monkeypatch.setattr(os, "fsync", fail)  # the disk is full, but it shows only now
    with pytest.raises(OSError, match="No space"):
        overwrite(path)
    assert (path.read_text(), names(tmp_path)) == ("old", ["a.txt"])


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), files.write_file(tmp_path / "a.txt"):
        pass
    with pytest.raises(FileNotFoundError), files.write_file(tmp_path / "no" / "a.txt") as temporary:
        temporary.write_text("x")
    assert names(tmp_path) == []


def test_json_has_the_bytes_of_json_dumps_and_a_newline(tmp_path):
    path, value = tmp_path / "a.json", {"b": "é", "a": [1, 2.5]}
    files.write_json(path, value)
    assert path.read_bytes() == json.dumps(value, indent=2).encode() + b"\n"
    files.write_json(path, value, indent=None, sort_keys=True, ensure_ascii=False)
    assert path.read_bytes() == '{"a": [1, 2.5], "b": "é"}\n'.encode()
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, float("nan"), allow_nan=False)
    assert json.loads(path.read_text()) == value
    assert names(tmp_path) == ["a.json"]


def folder(path, text):
    (path / "deep").mkdir(parents=True)
    (path / "deep" / "a.txt").write_text(text)
    (path / "marker").touch()
    return path


@pytest.mark.parametrize("old", [True, False])
def test_a_folder_takes_the_place_of_another_or_of_none(tmp_path, monkeypatch, old):
    target, new = tmp_path / "target", folder(tmp_path / "new", "new")
    (new / "deep" / ".b.0123abcd.tmp").write_text("of a writer that was killed")
    if old:
        folder(target, "old")
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.readlink(f"/proc/self/fd/{file}")), fsync(file)))
    files.replace_folder(new, target, tmp_path / "aside", "marker")
    assert (target / "deep" / "a.txt").read_text() == "new"
    assert names(tmp_path) == ["target"]
    assert names(target / "deep") == ["a.txt"]
    assert {Path(path).relative_to(tmp_path).as_posix() for path in synced} == {
        "new/deep/a.txt", "new/deep", "new/marker", "new", "."
    }  # fmt: skip


@pytest.mark.parametrize("step", ["sync", "move"])
def test_a_folder_that_cannot_be_replaced_stays(tmp_path, monkeypatch, step):
    target, new = folder(tmp_path / "target", "old"), folder(tmp_path / "new", "new")
    with monkeypatch.context() as patch:
        if step == "sync":
            patch.setattr(os, "fsync", fail)
        else:
            rename = Path.rename
            patch.setattr(Path, "rename", lambda path, to: fail() if path == new else rename(path, to))
        with pytest.raises(OSError, match="No space"):
            files.replace_folder(new, target, tmp_path / "aside", "marker")
    assert (target / "deep" / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["new", "target"]


def test_a_lock_ends_with_its_descriptor_or_its_process(tmp_path):
    held = files.lock(tmp_path)
    with pytest.raises(BlockingIOError):
        files.lock(tmp_path)
    os.close(held)
    code = f"from dgl_dysign import files; files.lock({str(tmp_path)!r}); print('locked', flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as process:
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(BlockingIOError):
            files.lock(tmp_path)
        process.kill()
    os.close(files.lock(tmp_path))
    with pytest.raises(FileNotFoundError):
        files.lock(tmp_path / "none")


def test_only_what_has_an_end_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for name, kind in (("pipe", "a named pipe"), ("folder", "a folder"), ("zeros", "a device")):
        with pytest.raises(OSError, match=f"found {kind}, expected a regular file"):
            files.read_json(tmp_path / name)
        with pytest.raises(ConfigError, match=f"{name}: cannot be read as TOML .*found {kind}"):
            files.read_toml(tmp_path / name)
    with pytest.raises(IsADirectoryError):
        files.regular(tmp_path / "folder")
    (tmp_path / "link").symlink_to("deep")
    (tmp_path / "deep").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deep"):
        files.read_json(tmp_path / "link")
