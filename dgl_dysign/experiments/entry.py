"""What a table compares, and on what: one design for nodes, links and labels of events."""

from __future__ import annotations

import copy
import hashlib
import importlib
import inspect
import json
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.errors import ConfigError, DataError, DGLDySignError, EntryError
from dgl_dysign.evaluation import EventModel, LinkModel
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
        positive. Default: the model is asked.
    history : list of dict
        Records of epochs; default: what ``on_epoch`` was told.
    variants : dict of str to Tensor
        Further predictions of nodes, whose figures on test are recorded with the key at the end of their names.
    finishes : iterable of (dict, Tensor)
        Predictions of nodes under further settings that cost no training, such as ``({"alpha": 0.0}, prediction)``:
        where settings are chosen, each is a candidate of its own, and the first one is preferred where it is level.
        They are read once, and only there: a generator need not compute what is not read.
    figures : dict
        Further figures on test.
    later : callable, optional
        ``later(view)`` returns the outcome of the same fitted entry on a view of nodes as of a later snapshot, see
        `dgl_dysign.experiments.node_task.NodeView.at_validation`.
    forward : callable, optional
        ``forward()`` asks the model once for all nodes, as it was scored, and returns a row for each: the pass whose
        operations are counted. Default: they are not.
    extra : dict
        What else is worth a record, such as a setting that was chosen on validation.
    borrowed_seconds : float
        CPU seconds that went into what this fit used and an earlier one had computed: part of its cost too.
    model : optional
        What was trained; of links a `dgl_dysign.evaluation.LinkModel`.
    entry : str
        Name of the entry, for errors; `Entry.fitted` writes it.
    """

    prediction: Tensor | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    variants: dict[str, Tensor] = field(default_factory=dict)
    finishes: Iterable[tuple[dict[str, Any], Tensor]] = ()
    later: Callable[[Any], Outcome] | None = None
    forward: Callable[[], Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    borrowed_seconds: float = 0.0
    model: Any = None
    entry: str = ""

    @property
    def predicted(self) -> Tensor:
        """The prediction of an entry; ``ConfigError`` if it has none."""
        if self.prediction is None:
            raise ConfigError("expected an entry that predicts, but its outcome has no prediction")
        return self.prediction

    def check_model(self, *methods: str) -> None:
        """Raise ``DataError``, which names the row, unless the model has some methods."""
        for method in methods:
            if not callable(getattr(self.model, method, None)):
                kind = type(self.model).__name__
                raise DataError(f"row {self.entry!r}: its model, of the class {kind}, has no method {method}")


@dataclass(frozen=True)
class Entry:
    """One entry of a table: anything that can be fitted to its task.

    Parameters
    ----------
    name : str
        In records, tables and pictures; nothing is read out of it.
    fit : callable
        ``fit(view, checkpoint=None, on_epoch=None)`` returns the fitted model, or an `Outcome`. What is drawn is drawn
        with ``view.seed``. Training goes on from the file `checkpoint`, if it is there, and tells `on_epoch` the record
        of each epoch.
    protocol : str
        What it sees, in words; where the task says how it scores, that counts.
    learns : bool
        Whether it is a network of this package or a stranger's; the others are references that no table leaves out.
    compares : bool
        Of one that learns, whether it is a comparison system of this package: see `control`.
    check : callable, optional
        ``check(view)`` raises for settings that do not fit, before anything is written.
    save : callable, optional
        ``save(task, outcome, folder)`` writes the model; default: it cannot be saved.
    diagnose : callable, optional
        ``diagnose(task, outcome)`` returns what the model did inside, see `dgl_dysign.experiments.diagnostics`.
    over_time : bool
        Of a control, whether its curve over snapshots is drawn; that of any other row is.
    pictured : bool
        Whether pictures of one model (confusion, spikes) show it; of several the first.
    about : str
        What it is, in a line; default: the docstring of `fit`.
    usual : bool
        Whether a table has it unless rows are named.
    source : dict, optional
        What `source_of` returns; default: of `fit`.
    stranger : bool
        Whether it is not this package's: what it raises names the row, and shows its own traceback alone.
    choices : mapping of str to sequence, optional
        Values of settings that a table of nodes chooses from, see `dgl_dysign.experiments.choice`; empty: from
        `Outcome.finishes` alone. Default: there is nothing to choose. Others raise ``ConfigError``.
    defaults : mapping, optional
        What stands for the choices until they are made, for reports; default: what the settings of the table have.
    verified : bool
        Whether it is fitted here. Of what is not, answers come from a file: its protocol is its own, whatever the
        table's is, and its cost is not known.

    Examples
    --------
    >>> import torch
    >>> Entry("coin", lambda view, **run: Outcome(torch.rand(view.data.num_nodes, 2))).learns
    False
    """

    name: str
    fit: Callable[..., Any]
    protocol: str = ""
    learns: bool = False
    compares: bool = False
    check: Callable[[Any], object] | None = None
    save: Callable[[Any, Outcome, Path], object] | None = None
    diagnose: Callable[[Any, Outcome], dict[str, Any]] | None = None
    over_time: bool = False
    pictured: bool = False
    about: str = ""
    usual: bool = True
    source: Mapping[str, Any] = field(default_factory=dict, hash=False)
    stranger: bool = False
    choices: Mapping[str, Sequence[Any]] | None = field(default=None, hash=False)
    defaults: Mapping[str, Any] | None = field(default=None, hash=False)
    verified: bool = True

    def __post_init__(self) -> None:
        if self.choices is not None and not isinstance(self.choices, Mapping):
            raise ConfigError(
                f"row {self.name!r}: choices are {self.choices!r}, expected lists of values by their names"
            )
        for name, values in (self.choices or {}).items():
            if isinstance(values, str) or not isinstance(values, Sequence) or not values:
                raise ConfigError(f"row {self.name!r}: choices of {name!r} are {values!r}, expected a list of values")
            plain_values(self.name, list(values))
        if not self.source:
            object.__setattr__(self, "source", source_of(self.name, self.fit))

    @property
    def control(self) -> bool:
        """Whether rows are compared with it: a reference, or a comparison system; never a stranger's."""
        return not self.stranger and (self.compares or not self.learns)

    @property
    def file_name(self) -> str:
        """The name as it is part of names of files: ``mine-not-verified`` of ``mine (not verified)``."""
        return self.name.replace(" (", "-").replace(" ", "-").removesuffix(")")

    def without_choices_of(self, names: Collection[str]) -> Entry:
        """Return the entry for which some settings are not chosen, alone or together with others."""
        if self.choices is None:
            return self

        def without(values: Mapping[str, Any]) -> dict[str, Any]:
            return {name: value for name, value in values.items() if name not in names}

        kept = without(self.choices).items()
        choices = {n: [without(v) if isinstance(v, Mapping) else v for v in values] for n, values in kept}
        return replace(self, choices=choices)

    def fitted(self, view: Any, checkpoint: Path | None = None, on_epoch: OnEpoch | None = None) -> Outcome:
        """Fit, and return the outcome whatever `fit` returned; its history defaults to what `on_epoch` was told.

        Raises ``DataError`` if `fit` returned None, and what `running` raises.
        """
        history: list[dict[str, float]] = []

        def noted(epoch: Mapping[str, float]) -> None:
            plain = {name: value if isinstance(value, int) else float(value) for name, value in epoch.items()}
            history.append({"epoch": len(history), **plain})
            if on_epoch is not None:
                on_epoch(history[-1])

        with self.running():
            fitted = self.fit(view, checkpoint=checkpoint, on_epoch=noted)
        if fitted is None:
            raise DataError(f"row {self.name!r}: fit returned None, expected the fitted model or an Outcome")
        outcome = fitted if isinstance(fitted, Outcome) else Outcome(model=fitted)
        outcome.history, outcome.entry = outcome.history or history, self.name
        return outcome

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run code of the entry.

        An error of a stranger's is an ``EntryError`` that names the row, and shows the stranger's traceback alone.
        """
        dtype = torch.get_default_dtype()
        try:
            yield
        except (Exception, SystemExit) as error:
            trace = own_traceback(error)
            if isinstance(error, DGLDySignError) and not trace and self.name not in str(error):
                error.args = (f"row {self.name!r}: {error}",)  # such as of a loss, which knows nothing of rows
            if not self.stranger or (isinstance(error, DGLDySignError) and not trace):
                raise
            raise EntryError(f"row {self.name!r}: {_reason(error)}", trace) from error
        finally:
            torch.set_default_dtype(dtype)  # or other rows would be trained in another


class NodeEntry(Protocol):
    """What a stranger writes to stand in a table about nodes; see `dgl_dysign.experiments.resolve.as_entry`.

    The model that `fit` returns has ``predict(nodes)``: of nodes ``(n,)``, int64, the scores of classes ``(n, C)``,
    higher: likelier. Where parts are split by time, ``view.data`` has grown by later snapshots when it is called.
    Further attributes that count, if they are there:

    ``name``
        Default: the name of the class.
    ``protocol``
        `FEATURE_ONLY`, the default, or `LABEL_AWARE`, or other words.
    ``check(view)``
        Raises where its arguments do not fit the data, before anything is written.
    ``save(task, outcome, folder)``
        Writes ``outcome.model``. With one argument, ``save(folder)``, it is the model's own.
    ``diagnose(task, outcome)``
        As of `Entry`.
    ``choices``
        Values by name of a setting, see `dgl_dysign.experiments.choice.choose`; what was chosen is in
        ``view.settings.chosen``.
    """

    def fit(self, view: Any, *, checkpoint: Path | None = None, on_epoch: OnEpoch | None = None) -> Any:
        """Fit to a `dgl_dysign.experiments.node_task.NodeView`; return the model, or an `Outcome`.

        An object is fitted once, and torch draws with ``view.seed`` meanwhile. A training that was killed goes on from
        the file `checkpoint`, if it wrote that, and tells `on_epoch` the figures of each epoch, such as ``val_mrr``.
        """


class LinkEntry(Protocol):
    """What a stranger writes to stand in a table about links; further attributes are those of `NodeEntry`."""

    def fit(self, view: Any, *, checkpoint: Path | None = None, on_epoch: OnEpoch | None = None) -> LinkModel | Outcome:
        """Fit to a `dgl_dysign.experiments.link_task.LinkView`; return the model, or an `Outcome`."""


class EventEntry(Protocol):
    """What a stranger writes to stand in a table about labels of events; further attributes: see `NodeEntry`."""

    def fit(
        self, view: Any, *, checkpoint: Path | None = None, on_epoch: OnEpoch | None = None
    ) -> EventModel | Outcome:
        """Fit to a `dgl_dysign.models.event_inputs.EventView`; return the model, or an `Outcome`."""


def comparison_entry(
    name: str,
    cls: type,
    fit: Callable[..., Outcome],
    arguments: Mapping[str, Any] | None = None,
    remark: str = "",
    **more: Any,
) -> Entry:
    """Return a comparison system as an entry: of its class, arguments and a remark are told, `more` is of `Entry`."""
    source = source_of(name, cls, arguments)
    about = about_of(cls, remark)
    return Entry(name, fit, learns=True, compares=True, about=about, usual=False, source=source, **more)


def about_of(cls: type, remark: str = "") -> str:
    """Return the first line of a class's docstring, and a remark.

    Examples
    --------
    >>> about_of(Entry, "of ours")
    'One entry of a table: anything that can be fitted to its task (of ours).'
    """
    about = (inspect.getdoc(cls) or cls.__name__).split("\n")[0]
    return f"{about.rstrip('.')} ({remark})." if remark else about


def source_of(name: str, defined_by: Any, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return which entry this is, in which version: what a unit that was fitted to another one is not mixed with.

    Parameters
    ----------
    name : str
        ``module:name``; of an entry of this package its name.
    defined_by : class or callable
        Whose file counts; of a `functools.partial` that of its function.
    arguments : mapping, optional
        What it was made with.

    Returns
    -------
    dict
        ``entry``, ``arguments`` (as JSON holds them) and ``sha256`` of the file, empty where there is none.

    Examples
    --------
    >>> source_of("majority", by_name, {"hidden": 8})["arguments"]
    {'hidden': 8}
    """
    while isinstance(defined_by, partial):
        defined_by = defined_by.func
    code = inspect.unwrap(getattr(defined_by, "__func__", defined_by))
    sha256 = _sha256(code) if isinstance(code, type | FunctionType) else ""
    plain = json.loads(json.dumps(dict(arguments or {}), default=str))
    return {"entry": name, "arguments": plain, "sha256": sha256}


def plain_values(row: str, values: Any) -> Any:
    """Return values of settings of a row as JSON holds them; raise ``ConfigError`` if it cannot."""
    try:
        return json.loads(json.dumps(values, allow_nan=False, default=lambda number: number.item()))
    except (TypeError, ValueError, AttributeError, RuntimeError):
        raise ConfigError(
            f"row {row!r}: there is a choice of {values!r}, expected finite numbers, names, and lists and mappings of "
            f"these, which a record can hold: give what is none of them a name, and look it up in fit"
        ) from None


@cache  # what was loaded counts, though its file may change before the last unit
def _sha256(code: Any) -> str:
    try:
        return hashlib.sha256(Path(inspect.getfile(code)).read_bytes()).hexdigest()
    except (TypeError, OSError):  # typed into a notebook, or compiled
        return ""


def own_traceback(error: BaseException) -> str:
    """Return the traceback of an error from the first frame that is neither ours nor the import system's, or ""."""
    home = str(Path(__file__).parents[1])
    ours = (home, "<frozen importlib", str(Path(importlib.__file__).parent), str(Path(torch.__file__).parent / "utils"))
    trace = traceback.TracebackException.from_exception(error)
    while trace.stack and trace.stack[0].filename.startswith(ours):
        del trace.stack[0]
    while trace.stack and isinstance(error, DGLDySignError) and trace.stack[-1].filename.startswith(home):
        del trace.stack[-1]  # where we raise what the message says
    return "".join(trace.format(chain=False)) if trace.stack or isinstance(error, SyntaxError) else ""


def _reason(error: BaseException) -> str:
    """Return an error in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, DGLDySignError) else f"{type(error).__name__}: {text}"


def by_name(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Return entries by their names, in order; raise ``ConfigError`` if two have the same."""
    named: dict[str, Entry] = {}
    for entry in entries:
        if named.setdefault(entry.name, entry) is not entry:
            raise ConfigError(f"expected entries with names of their own, but got two called {entry.name!r}")
    return named


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


class Recent(Generic[T]):
    """A least-recently-used cache that several tasks share; the last value stays whatever its size.

    Parameters
    ----------
    size : callable
        Bytes of a value.
    most : int, default 2 ** 28
        Bytes of all.

    Examples
    --------
    >>> squares = Recent(lambda value: 1, most=2)
    >>> [squares.get(k, lambda: k * k) for k in (2, 3, 2, 4)], [squares.get(k, lambda: 0) for k in (2, 4, 3)]
    ([4, 9, 4, 16], [4, 16, 0])
    """

    def __init__(self, size: Callable[[T], int], most: int = 1 << 28) -> None:
        self._size, self._most = size, most
        self._values: dict[Any, T] = {}

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """Return the value of a key, computed unless it is there."""
        value = self._values.pop(key) if key in self._values else make()
        self._values[key] = value
        while len(self._values) > 1 and sum(map(self._size, self._values.values())) > self._most:
            del self._values[next(iter(self._values))]
        return value

    def release(self) -> None:
        """Give the memory back."""
        self._values.clear()


class _Fixed:
    """What does not change: ``with_seed`` and the like return another one that shares what does not depend on it."""

    def _with(self: T, **changes: Any) -> T:
        other = copy.copy(self)
        vars(other).update(changes)
        return other

    def with_settings(self: T, settings: Any) -> T:
        """Return another one under other settings."""
        return self._with(settings=settings)  # type: ignore[attr-defined]


class NotInView(ConfigError, AttributeError):
    """A view has no such attribute."""


class View(_Fixed):
    """What an entry is fitted to: data, a seed, and nothing of what the entry is tested on."""

    seed = 0

    if not TYPE_CHECKING:  # else any name would do

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            names = sorted(known for known in {*vars(self), *dir(type(self))} if not known.startswith("_"))
            raise NotInView(f"{name!r} is not in a view: nothing that is tested is, but {', '.join(names)}")


class Task(_Fixed):
    """Data, a split of it and a seed: what entries are scored on, and what a view is a part of."""

    seed = 0

    def with_seed(self: T, seed: int) -> T:
        """Return the task with the seed of everything drawn."""
        return self._with(seed=seed)  # type: ignore[attr-defined]

    def view(self: T) -> Any:
        """Return what entries are given to be fitted to, a `View`."""
        return self

    def fitted(self, entry: Entry, checkpoint: Path | None = None, on_epoch: OnEpoch | None = None) -> Outcome:
        """Fit an entry to the view, and return its outcome."""
        return entry.fitted(self.view(), checkpoint, on_epoch)

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
