"""The state between two snapshots, kept in a folder so that a killed computation can go on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dgl_dysign.files import write_file

#: Arrays by name.
State = Mapping[str, np.ndarray]


class Checkpoints:
    """Keeps the state that a snapshot starts from, the two newest ones, in a folder that the first one makes.

    A file that cannot be read, or that was written under another `key` (what the state depends on: options, events,
    versions), counts as absent. Work between two is `every` seconds, or so many times what writing one takes if that is
    longer.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as home:
    ...     Checkpoints(home, "a").save(3, {"x": np.arange(2)})
    ...     [Checkpoints(home, key).load(limit)[0] for key, limit in [("a", 5), ("a", 2), ("b", 5)]]
    [3, 0, 0]
    """

    def __init__(self, folder: str | os.PathLike[str], key: str, every: float = 20.0) -> None:
        self.folder, self.key, self.every = Path(folder), key, every
        self._newest: Path | None = None
        self._cost, self._since = 0.0, time.monotonic()

    def load(self, limit: int) -> tuple[int, State]:
        """Return the newest state for a snapshot up to ``limit``, and that snapshot; without one: 0 and no arrays."""
        numbers = {int(path.stem): path for path in self.folder.glob("[0-9]*.npz") if path.stem.isdecimal()}
        for snapshot in sorted((n for n in numbers if n <= limit), reverse=True):
            arrays = self._read(numbers[snapshot])
            if arrays is not None:
                self._newest = numbers[snapshot]
                return snapshot, arrays
        return 0, {}

    def _read(self, path: Path) -> State | None:
        try:
            with np.load(path, allow_pickle=False) as file:
                # The key first: what is not ours may be large. Reading to the end checks the CRC of each array.
                return {name: file[name] for name in file.files} if file["key"].item() == self.key else None
        except Exception:  # a damaged file makes zipfile and NumPy raise almost anything; all of it means: no use
            return None

    def save_if_due(self, snapshot: int, state: Callable[[], State]) -> None:
        """Write the state that a snapshot starts from, unless little was done since the last time."""
        if time.monotonic() - self._since >= self.every * max(1.0, self._cost):
            before = time.monotonic()
            self.save(snapshot, state())
            self._since = time.monotonic()
            self._cost = self._since - before

    def save(self, snapshot: int, state: State) -> None:
        """Write the state that a snapshot starts from; a reader sees all of it or nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{snapshot:05d}.npz"
        arrays: dict[str, Any] = {"key": np.array(self.key), **state}
        with write_file(path) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, **arrays)
        for old in {*self.folder.glob("[0-9]*.npz"), *self.folder.glob(".*.tmp")} - {path, self._newest}:
            old.unlink()
        self._newest = path


def of_generator(rng: np.random.Generator) -> np.ndarray:
    """Return the state of a generator as an array."""
    return np.array(json.dumps(rng.bit_generator.state))


def set_generator(rng: np.random.Generator, state: np.ndarray) -> None:
    """Put a generator into a state that :func:`of_generator` returned."""
    rng.bit_generator.state = json.loads(state.item())
