"""Run folders: what was asked, what came out, and what a killed run goes on from."""

from __future__ import annotations

import fcntl
import io
import json
import os
import platform
import shutil
import weakref
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.experiments.record import ASKED
from dgl_dysign.files import read_sealed, real_path, regular, sealed, write_file, write_json
from dgl_dysign.training import distributed

_PACKAGES = ("dgl-dysign", "torch", "dgl", "numpy", "scipy", "scikit-learn", "pyarrow", "pandas")


def array_file(folder: Path, key: str, name: str) -> Path:
    """Return where a run folder has an array of a unit, see `dgl_dysign.experiments.entry.Task.arrays`."""
    return folder / "checkpoints" / f"{key}.{name}.npy"


def write_array(folder: Path, key: str, name: str, values: np.ndarray) -> None:
    """Keep an array of a unit in a run folder; it appears whole, and ends in its SHA-256, which NumPy does not read."""
    stream = io.BytesIO()
    np.save(stream, values)
    data = stream.getvalue()
    with write_file(array_file(folder, key, name)) as temporary:
        temporary.write_bytes(data + sha256(data).digest())


def read_array(folder: Path, key: str, name: str) -> np.ndarray:
    """Return what `write_array` has kept; raise ``DataError`` if it is not there, or damaged."""
    file = array_file(folder, key, name)
    try:
        data = regular(file).read_bytes()
        stream = io.BytesIO(data)
        values = np.load(stream, allow_pickle=False)
        if not isinstance(values, np.ndarray):
            raise ValueError("an archive of arrays, expected one")
        end = stream.tell()
        if len(data) > end and data[end:] != sha256(data[:end]).digest():  # earlier versions wrote none
            raise ValueError("it was changed after it was written: its checksum does not fit")
        return values
    except Exception as error:  # NumPy raises almost anything at a damaged file
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{file}: not an array ({reason}); delete units/{key}.json to fit it again") from error


class RunFolder:
    """A folder ``runs/<name>/`` with ``config.json``, ``metrics.jsonl``, ``units/`` and ``checkpoints/``.

    A run is cut into units, each finished or not: ``units/<key>.json`` appears whole when its unit is done, and a
    checkpoint holds what is under way. Killed at any moment, a run that is resumed skips finished units, takes up the
    checkpoint and ends with the same figures. Of several processes of torchrun the first one writes and reads.

    Parameters
    ----------
    path : path
        The folder.
    config : mapping
        What was asked, as JSON; a run is resumed only under the same.
    resume, overwrite : bool, default False
        What to do with a folder that is there: go on, or begin anew.

    Raises
    ------
    ConfigError
        If the folder is there and neither is given, holds something else or was made under another config, or if it is
        to begin anew while another process writes it, which a lock tells for as long as the object lives.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "run"
    >>> RunFolder(path, {"seeds": 3}).save_unit("dysign-0", {"macro_f1": 76.0})
    >>> RunFolder(path, {"seeds": 3}, resume=True).unit("dysign-0")
    {'macro_f1': 76.0}
    """

    def __init__(
        self, path: str | os.PathLike[str], config: Mapping[str, Any], resume: bool = False, overwrite: bool = False
    ) -> None:
        self.path = Path(path)
        if distributed.rank() == 0:
            self._open(json.loads(json.dumps(config)), resume, overwrite)
        distributed.from_first(lambda: None)  # the others wait for it

    def _open(self, config: dict[str, Any], resume: bool, overwrite: bool) -> None:
        if not self.path.exists():
            self.path.mkdir(parents=True, exist_ok=True)
        alone = self._enter() if self.path.is_dir() else None
        try:
            if overwrite and alone is False:
                raise ConfigError(
                    f"{self.path}: another process is writing this run; wait until it ends, or name another --run-dir"
                )
            if self._begun():
                self._take_over(config, resume, overwrite)
            if not (self.path / "config.json").exists():  # before all else: it marks a run folder
                self.write_json("config.json", {"config": config, "versions": _versions()})
            for folder in ("units", "checkpoints"):
                (self.path / folder).mkdir(exist_ok=True)
            if alone:
                self._tidy()
        finally:
            if alone:
                self._lock.share()
        self._list_units()

    def _enter(self) -> bool | None:
        """Return whether no other process has the folder, and let none in; None where the file system cannot tell."""
        try:
            self._lock = _hold(real_path(self.path))
            return self._lock.enter()
        except OSError:  # as over some networks
            return None

    def _tidy(self) -> None:
        """Remove what a killed run left: temporary files, and checkpoints of units that are done."""
        for left in self.path.rglob(".*.tmp"):
            left.unlink()
        for unit in (self.path / "units").glob("*.json"):
            self.end_unit(unit.stem)

    def _begun(self) -> bool:
        if not self.path.is_dir():
            return self.path.exists()
        # Killed at its first file, a run has left nothing but a temporary one.
        return any(not (f.name.startswith(".config.json.") and f.suffix == ".tmp") for f in self.path.iterdir())

    def _take_over(self, config: dict[str, Any], resume: bool, overwrite: bool) -> None:
        file = self.path / "config.json"
        run = read_sealed(file, ASKED) if file.is_file() else None
        if not isinstance(run, dict) or not isinstance(run.get("config"), dict) or "versions" not in run:
            raise ConfigError(
                f"{self.path} is there and is no run folder (no config.json of a run); name another --run-dir"
            )
        if overwrite:
            self._clear(file)
            return
        if not resume:
            raise ConfigError(f"{self.path} holds a run; pass --resume to go on with it or --overwrite to begin anew")
        changed = next(_differences(run["config"], config), None)
        if changed:
            option, before, now = changed
            raise ConfigError(
                f"{self.path} was made with {option}={_short(before)}, but {option}={_short(now)} was asked; "
                f"resume it with the same options, or pass --overwrite"
            )

    def _clear(self, last: Path) -> None:
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry != last:
                entry.unlink()
        last.unlink()  # killed before this, the folder is still known as a run, and what is left of it is whole

    def checkpoint(self, key: str) -> Path:
        """Return where the checkpoint of a unit goes."""
        return self.path / "checkpoints" / f"{key}.pt"

    def unit(self, key: str) -> dict[str, Any] | None:
        """Return the record of a finished unit, or None."""
        file = self.path / "units" / f"{key}.json"
        return distributed.from_first(lambda: read_sealed(file) if file.exists() else None)

    def check_source(self, key: str, source: Mapping[str, Any]) -> None:
        """Raise ``ConfigError`` if a unit is of another source; what was written without one passes."""
        old = distributed.from_first(lambda: self._source(key)) or source
        changed = [name for name in source if old.get(name) != source[name]]
        if changed:
            was = f"{changed[0]}={old.get(changed[0])!r} then, {source[changed[0]]!r} now"
            raise ConfigError(
                f"{self.path}: {key} is of another version of its entry "
                f"({'its code has changed' if changed[0] == 'sha256' else was}): delete units/{key}.json and "
                f"checkpoints/{key}.pt to fit it again, or begin the run anew with --overwrite"
            )

    def _source(self, key: str) -> dict[str, Any] | None:
        unit, checkpoint = self.path / "units" / f"{key}.json", self.checkpoint(key)
        if unit.exists():
            source = read_sealed(unit).get("source")
            if not isinstance(source, dict | None):
                raise DataError(f"{unit}: found source={source!r}, expected an object; delete it and resume the run")
            return source
        begun = checkpoint.with_suffix(".json")
        return read_sealed(begun) if checkpoint.exists() and begun.exists() else None

    def begin_unit(self, key: str, source: Mapping[str, Any]) -> None:
        """Note beside the checkpoint of a unit of which source it is."""
        self.write_json(f"checkpoints/{key}.json", source)

    def end_unit(self, key: str) -> None:
        """Drop the checkpoint of a finished unit."""
        self.checkpoint(key).unlink(missing_ok=True)
        self.checkpoint(key).with_suffix(".json").unlink(missing_ok=True)

    def save_unit(self, key: str, record: Mapping[str, Any]) -> None:
        """Finish a unit: its record appears whole, and ``metrics.jsonl`` lists all records in order of their keys."""
        if distributed.rank() == 0:
            self.write_json(f"units/{key}.json", record)
            self._list_units()

    def _list_units(self) -> None:
        lines = (json.dumps(read_sealed(file)) for file in sorted((self.path / "units").glob("*.json")))
        with write_file(self.path / "metrics.jsonl") as temporary:
            temporary.write_text("".join(line + "\n" for line in lines), encoding="utf-8")

    @property
    def choices(self) -> Path:
        """Where settings go that were chosen, and what their search has fitted."""
        return self.path / "choices"

    def choice(self, key: str) -> dict[str, Any] | None:
        """Return the settings that were chosen under a key, or None."""
        file = self.choices / f"{key}.json"
        return distributed.from_first(lambda: read_sealed(file) if file.exists() else None)

    def save_choice(self, key: str, choice: Mapping[str, Any]) -> None:
        """Keep a choice, which appears whole, and drop what its search has fitted."""
        if distributed.rank() == 0:
            self.choices.mkdir(exist_ok=True)
            self.write_json(f"choices/{key}.json", choice)
            shutil.rmtree(self.choices / key, ignore_errors=True)

    def write_json(self, name: str, value: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Write a JSON file that appears whole: an object, or a list of objects, each with its checksum."""
        if distributed.rank() == 0:
            write_json(self.path / name, sealed(value) if isinstance(value, Mapping) else list(map(sealed, value)))


class _Lock:
    """A share of a folder's lock, until nothing in this process refers to it any more."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def enter(self) -> bool:
        """Return whether no other process is there, and let none in; or else share the folder with it."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.share()
            return False
        return True

    def share(self) -> None:
        """Let others in."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)


_HELD: weakref.WeakValueDictionary[Path, _Lock] = weakref.WeakValueDictionary()


def _hold(path: Path) -> _Lock:
    """Return this process's lock of a folder, which two objects share."""
    held = _HELD.get(path)
    if held is None:
        held = _HELD[path] = _Lock(path)
    return held


def _differences(old: Any, new: Any, option: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield options that differ, with both values; one that an earlier version did not know counts as None."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{option}.{key}" if option else key)
    elif old != new:
        yield option, old, new


def _short(value: Any) -> str:
    """Return a value as messages show it."""
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]} ..."


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # run from a checkout that is not installed
            versions[name] = "not installed"
    return versions
