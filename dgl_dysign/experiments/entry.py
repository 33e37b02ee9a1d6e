"""What a table compares, and on what: one design for nodes, links and labels of events."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from torch import Tensor

from dgl_dysign.errors import ConfigError
from dgl_dysign.experiments.record import Scoring

T = TypeVar("T")
OnEpoch = Callable[[dict[str, float]], None]

FEATURE_ONLY = "feature-only: training labels enter through the loss alone"
LABEL_AWARE = "label-aware: training labels are an input too, masked so that no node sees its own"


@dataclass
class Outcome:
    """What a fitted entry gives.

    Parameters
    ----------
    prediction : Tensor, optional
        Of nodes the probabilities of classes ``(N, C)``, of events the scores ``(E,)``, the higher the likelier
        positive; of links None: the model is asked.
    history : list of dict
        Records of epochs.
    figures : dict
        Further figures on test.
    extra : dict
        What else is worth a record, such as a setting that was chosen on validation.
    model : optional
        What was trained; of links a `dgl_dysign.evaluation.LinkModel`.
    """

    prediction: Tensor | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    model: Any = None

    @property
    def predicted(self) -> Tensor:
        """The prediction of an entry that has one."""
        if self.prediction is None:
            raise ConfigError("expected an entry that predicts, but its outcome has no prediction")
        return self.prediction


@dataclass(frozen=True)
class Entry:
    """One entry of a table: anything that can be fitted to its task.

    Parameters
    ----------
    name : str
        In records, tables and pictures; nothing is read out of it.
    fit : callable
        ``fit(task, checkpoint=None, on_epoch=None)`` returns an `Outcome`. What is drawn is drawn with ``task.seed``.
        Training goes on from the file `checkpoint`, if it is there, and tells `on_epoch` the record of each epoch.
    protocol : str
        What it sees, in words; where the task says how it scores, that counts.
    learns : bool
        Whether it is a network of this package or a stranger's; the others are references that no table leaves out.
    check : callable, optional
        ``check(task)`` raises for settings that do not fit, before anything is written.
    save : callable, optional
        ``save(task, outcome, folder)`` writes the model; default: it cannot be saved.
    diagnose : callable, optional
        ``diagnose(task, outcome)`` returns what the model did inside, see `dgl_dysign.experiments.diagnostics`.
    bold : bool
        Whether its line is set in bold.
    over_time : bool
        Whether it has a curve over snapshots.
    pictured : bool
        Whether pictures of one model (confusion, spikes) show it; of several the first.

    Examples
    --------
    >>> import torch
    >>> Entry("coin", lambda task, **run: Outcome(torch.rand(task.data.num_nodes, 2))).learns
    False
    """

    name: str
    fit: Callable[..., Outcome]
    protocol: str = ""
    learns: bool = False
    check: Callable[[Any], object] | None = None
    save: Callable[[Any, Outcome, Path], object] | None = None
    diagnose: Callable[[Any, Outcome], dict[str, Any]] | None = None
    bold: bool = False
    over_time: bool = False
    pictured: bool = False


def by_name(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Return entries by their names, in order.

    Raises
    ------
    ConfigError
        If two have the same name.
    """
    named: dict[str, Entry] = {}
    for entry in entries:
        if named.setdefault(entry.name, entry) is not entry:
            raise ConfigError(f"expected entries with names of their own, but got two called {entry.name!r}")
    return named


def chosen(entries: Mapping[str, Entry], names: Iterable[str]) -> list[Entry]:
    """Return the entries of some names, in the order of the table."""
    wanted = set(names)
    return [entry for name, entry in entries.items() if name in wanted]


class Shared(Generic[T]):
    """A value that several tasks share: made when it is first needed, and anew after `release`."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._value: T | None = None

    def get(self) -> T:
        """Return the value."""
        if self._value is None:
            self._value = self._make()
        return self._value

    def release(self) -> None:
        """Give its memory back."""
        self._value = None


class Task:
    """Data, a split of it and a seed: what entries are fitted to and scored on.

    Tasks do not change: ``with_seed`` and the like return another one that shares what does not depend on the change.
    """

    seed = 0

    def _with(self: T, **changes: Any) -> T:
        other = copy.copy(self)
        vars(other).update(changes)
        return other

    def view(self: T) -> Any:
        """Return what entries are given to be fitted to: of what they are tested on nothing is in it."""
        return self

    def score(self, outcome: Outcome) -> Sequence[Scoring]:
        """Return the figures of an outcome, once for each way of scoring."""
        raise NotImplementedError

    def arrays(self, outcome: Outcome) -> dict[str, np.ndarray]:
        """Return what pictures of all entries need beside figures."""
        return {}

    def begin_unit(self) -> None:
        """Begin to count `borrowed_seconds`."""

    @property
    def borrowed_seconds(self) -> float:
        """CPU seconds that went into what this unit used and another one had computed: part of its cost too."""
        return 0.0

    def release(self) -> None:
        """Give back memory: what is dropped is read again when it is needed."""
