"""Models that a run is asked to save, a model folder for each unit: ``--save-model``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dgl_dysign.errors import ConfigError
from dgl_dysign.experiments.entry import Entry, Outcome
from dgl_dysign.experiments.options import FolderOptions
from dgl_dysign.experiments.run_folder import RunFolder


class SavedModels:
    """Where the models of a run go: ``DIR/<unit>``, or nowhere.

    Parameters
    ----------
    options : FolderOptions
        With ``save_model`` (None or absent: nowhere), ``resume`` and ``overwrite``.
    keys : iterable of str
        Of the units whose models can be saved.

    Raises
    ------
    ConfigError
        If a model is there already, and the run is neither resumed nor begun anew.
    """

    def __init__(self, options: FolderOptions, keys: Iterable[str]) -> None:
        self.home: Path | None = getattr(options, "save_model", None)
        self.keys = () if self.home is None else tuple(keys)
        for path in map(self.folder, self.keys):
            if path.exists() and not (options.resume or options.overwrite):
                raise ConfigError(f"{path} exists: name another --save-model, or pass --resume or --overwrite")

    def folder(self, key: str) -> Path:
        """Return the model folder of a unit."""
        assert self.home is not None
        return self.home / key

    def check_finished(self, run: RunFolder) -> None:
        """Raise ``ConfigError`` unless every unit that is finished has its model: it is not trained again."""
        for key in self.keys:
            if run.unit(key) is not None and not self.folder(key).exists():
                raise ConfigError(
                    f"{run.path}: {key} is finished, but its model was not saved in {self.folder(key)}: begin the run "
                    f"anew with --overwrite, or leave --save-model out"
                )

    def save(self, key: str, entry: Entry, task: Any, outcome: Outcome) -> None:
        """Save the model of a unit, if it is asked for and can be saved."""
        if key in self.keys and entry.save is not None:
            entry.save(task, outcome, self.folder(key))
