"""From what a user names to the entries of a table: our own rows, installed ones, and ``module:Name``."""

from __future__ import annotations

import copy
import inspect
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import FunctionType
from typing import Any

from torch import nn

from dgl_dysign.errors import ConfigError, EntryError, check_choice
from dgl_dysign.experiments import event_entries, link_entries, node_entries
from dgl_dysign.experiments.encoder_entries import encoder_entry
from dgl_dysign.experiments.entry import FEATURE_ONLY, Entry, Outcome, by_name, own_traceback, source_of
from dgl_dysign.experiments.link_entries import is_fitted
from dgl_dysign.experiments.unfitted import with_fit
from dgl_dysign.files import read_toml
from dgl_dysign.models.snapshot_encoder import SnapshotEncoder
from dgl_dysign.training.loop import seeded

_OURS: dict[str, Callable[[], dict[str, Entry]]] = {
    "node": node_entries.default_entries,
    "link": link_entries.default_entries,
    "event": event_entries.default_entries,
}
_FIT = "fit(view, *, checkpoint=None, on_epoch=None)"
_NAME = re.compile(r"\w[\w.+-]*")  # names of entries are in names of files


def list_rows(kind: str) -> list[tuple[str, str]]:
    """Return the name of every row that needs no module to be named, and a line about it.

    Examples
    --------
    >>> dict(list_rows("node"))["majority"]
    'Answer with the most frequent class.'
    """
    rows = {name: entry.about or _about(entry.fit) for name, entry in _OURS[kind]().items()}
    for point in _entry_points(kind):
        rows.setdefault(point.name, f"{point.value}, installed by {point.dist.name if point.dist else 'a package'}")
    return [(name, re.sub(r":\w+:(?=`)", "", about).replace("``", "`")) for name, about in rows.items()]


def _about(fit: Any) -> str:
    """Return the first line of a function's docstring, and what it was given."""
    options = []
    while isinstance(fit, partial):
        options += [f"{name}={value!r}" for name, value in fit.keywords.items() if not callable(value)]
        fit = fit.func
    return (inspect.getdoc(fit) or "").split("\n")[0] + (f" ({', '.join(options)})" if options else "")


def resolve_rows(
    specs: Sequence[str | object] | None, kind: str, row_args: Path | None = None, fit_references: bool = True
) -> list[Entry]:
    """Return the entries of a table: our own in their order, then strangers'.

    Parameters
    ----------
    specs : sequence of str or object, optional
        As `resolve_entry` takes them; of a table about links, references stand beside them. Default: the usual ones.
    kind : {"node", "link", "event"}
        Of the table.
    row_args : Path, optional
        A TOML file with a table of arguments for each row that has some, by what names the row or by its own name.
    fit_references : bool, default True
        Whether references that have to be fitted stand beside rows that are named, too: on large graphs, or as time
        passes, they cost more than the rows.

    Raises
    ------
    ConfigError
        If a row or an argument cannot be used; names it.

    Examples
    --------
    >>> [entry.name for entry in resolve_rows(["dysign", "majority"], "node")]
    ['majority', 'dysign']
    """
    check_choice("kind", kind, _OURS)
    ours, arguments = _OURS[kind](), _read_arguments(row_args)
    specs = list(specs or (name for name, entry in ours.items() if entry.usual))
    specs = [spec for place, spec in enumerate(specs) if spec not in specs[:place]]
    beside = [e.name for e in ours.values() if kind == "link" and not e.learns and (fit_references or not is_fitted(e))]
    kept = [entry for name, entry in ours.items() if name in specs or name in beside]
    own = [(spec, _object(spec, kind)) for spec in specs if spec not in ours]
    strangers = [as_entry(thing, kind, _arguments_of(spec, thing, arguments), _installed(spec)) for spec, thing in own]
    if arguments:
        names = ", ".join(str(spec) for spec, _ in own) or "none"
        raise ConfigError(
            f"{row_args}: found arguments of {next(iter(arguments))!r}, expected tables of rows that are not this "
            f"package's, which are here: {names}"
        )
    return list(by_name([*kept, *strangers]).values())


def _read_arguments(file: Path | None) -> dict[str, dict[str, Any]]:
    arguments = {} if file is None else read_toml(file)
    for name, values in arguments.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{file}: found the key {name!r} outside of a table, expected a table for each row")
    return arguments


def _arguments_of(spec: Any, thing: Any, arguments: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Take the arguments of a row out of those of all."""
    names = [name for name in dict.fromkeys((str(spec), _name_of(thing))) if name in arguments]
    if len(names) > 1:
        raise ConfigError(f"found arguments of both {names[0]!r} and {names[1]!r}, which are one row: keep one table")
    return arguments.pop(names[0]) if names else {}


def resolve_entry(spec: Any, kind: str, arguments: Mapping[str, Any] | None = None) -> Entry:
    """Return the entry that a name stands for.

    Parameters
    ----------
    spec : str or object
        One of our own rows; the name of an entry point of the group ``dgl_dysign.KIND_entries``; ``module:Name``, where
        modules of the working directory count, too; or what such a name may stand for, see `as_entry`.
    kind : {"node", "link", "event"}
        Of the table.
    arguments : mapping, optional
        Of a class that is not ours.

    Raises
    ------
    ConfigError
        If there is no such entry, it is none, or its arguments are wrong.
    EntryError
        If its own code raises while it is imported or made; holds its traceback.

    Examples
    --------
    >>> resolve_entry("majority", "node").name
    'majority'
    >>> resolve_entry("magic", "node")
    Traceback (most recent call last):
        ...
    dgl_dysign.errors.ConfigError: row 'magic': expected majority, ... or module:Name
    """
    check_choice("kind", kind, _OURS)
    ours = _OURS[kind]()
    if isinstance(spec, str) and spec in ours:
        if arguments:
            raise ConfigError(f"row {spec!r}: found arguments, but the options of the table are what it is made with")
        return ours[spec]
    return as_entry(_object(spec, kind), kind, arguments, _installed(spec))


def _entry_points(kind: str) -> Iterable[EntryPoint]:
    return entry_points(group=f"dgl_dysign.{kind}_entries")


def _installed(spec: Any) -> str | None:
    """Return the name of an installed entry: its row is called as `list_rows` lists it."""
    return spec if isinstance(spec, str) and ":" not in spec else None


def _object(spec: Any, kind: str) -> Any:
    """Return what the name of a row that is not ours stands for."""
    if not isinstance(spec, str):
        return spec
    installed = {point.name: point.value for point in _entry_points(kind)}
    module, colon, name = installed.get(spec, spec).partition(":")
    if not (module and colon and name):
        names = [*_OURS[kind](), *installed]
        parts = spec.split(".")
        dotted = not colon and len(parts) > 1 and all(map(str.isidentifier, parts))
        meant = [":".join(spec.rsplit(".", 1))] if dotted else get_close_matches(spec.lower(), names, 1)
        hint = f"; did you mean {meant[0]!r}?" if meant else ""
        raise ConfigError(f"row {spec!r}: expected {', '.join(names)} or module:Name{hint}")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # an installed command does not look there; last, so that it hides nothing
    try:
        thing = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise _broken(spec, "could not be imported", error) from error
        where = f"there is no module {error.name!r}, neither installed nor in {Path.cwd()}"
        raise ConfigError(f"row {spec!r}: {where}: install it, or run where it is") from error
    except (Exception, SystemExit) as error:
        raise _broken(spec, "could not be imported", error) from error
    for part in name.split("."):
        if not hasattr(thing, part):
            raise ConfigError(f"row {spec!r}: the module {module!r} has no {name!r}")
        thing = getattr(thing, part)
    return thing


def _broken(name: str, what: str, error: BaseException) -> EntryError:
    text = " ".join(str(error).split())
    return EntryError(f"row {name!r}: {what} ({type(error).__name__}: {text})", own_traceback(error))


def as_entry(thing: Any, kind: str, arguments: Mapping[str, Any] | None = None, name: str | None = None) -> Entry:
    """Return a stranger's model as an entry.

    Parameters
    ----------
    thing : Entry, class or object
        An `Entry`; a `SnapshotEncoder` class; another class, which is made with the arguments; or an object. The last
        two have ``fit``, see `NodeEntry`, `LinkEntry` and `EventEntry`; each fit is that of a new one. Of links also a
        link model that is not fitted, or a function, see `dgl_dysign.experiments.unfitted.OfThePast`.
    kind : {"node", "link", "event"}
        Of the table.
    arguments : mapping, optional
        Of a class.
    name : str, optional
        Of the row; default: its attribute ``name``, or that of the class.

    Raises
    ------
    ConfigError
        If it is no entry, its arguments are wrong, or its name is one of ours.
    EntryError
        If the class raises; holds its traceback.

    Examples
    --------
    >>> class Coin:
    ...     def __init__(self, bias=0.5):
    ...         self.bias = bias
    ...
    ...     def fit(self, view, *, checkpoint=None, on_epoch=None):
    ...         return self
    >>> entry = as_entry(Coin, "node", {"bias": 0.9})
    >>> entry.name, entry.source["arguments"]
    ('Coin', {'bias': 0.9})
    """
    check_choice("kind", kind, _OURS)
    arguments, cls = dict(arguments or {}), thing if isinstance(thing, type | FunctionType) else type(thing)
    source = source_of(f"{cls.__module__}:{cls.__qualname__}", cls, arguments)
    thing = with_fit(thing) if kind == "link" and not isinstance(thing, type) else thing
    called, name = name, name or _name_of(thing)
    if isinstance(thing, type) and issubclass(thing, SnapshotEncoder):
        thing = replace(encoder_entry(thing, kind, name, arguments), source=source)
    elif isinstance(thing, type):
        if issubclass(thing, nn.Module):  # before it is made: arguments are not what a plain module lacks
            _check_has_fit(thing, name)
        make = partial(_made, thing, name, arguments)
        thing = make()
        name = called or _name_of(thing)
    elif arguments:
        raise ConfigError(f"row {name!r}: found arguments, but it is an object and no class: none can be passed")
    else:
        make = partial(copy.deepcopy, thing)
    if name in _OURS[kind]() or not _NAME.fullmatch(name):
        reason = "is one of this package's" if name in _OURS[kind]() else "cannot be part of the name of a file"
        raise ConfigError(f"row {name!r}: its name {reason}: give it another attribute `name`")
    if isinstance(thing, Entry):
        return replace(thing, name=name, stranger=True)
    _check_fit(thing, name)
    optional = {part: getattr(thing, part) for part in ("check", "diagnose", "choices") if hasattr(thing, part)}
    entry = Entry(
        name,
        partial(_fit_anew, make),
        getattr(thing, "protocol", FEATURE_ONLY),
        learns=True,
        save=_saver(getattr(thing, "save", None)),
        source=source,
        stranger=True,
        **optional,
    )
    return entry.without_choices_of(arguments)


def _name_of(thing: Any) -> str:
    cls = thing if isinstance(thing, type) else type(thing)
    name = getattr(thing, "name", cls.__name__)
    return name if isinstance(name, str) else cls.__name__


def _made(cls: type, name: str, arguments: Mapping[str, Any]) -> Any:
    """Make an object of a class with the arguments of its row."""
    try:
        inspect.signature(cls).bind(**arguments)
    except TypeError as error:
        raise ConfigError(f"row {name!r}: {error}; it takes {inspect.signature(cls)}") from error
    except ValueError:  # a class without a signature, such as a compiled one
        pass
    try:
        return cls(**arguments)
    except (Exception, SystemExit) as error:
        raise _broken(name, "could not be made", error) from error


def _fit_anew(make: Callable[[], Any], view: Any, **run: Any) -> Any:
    """Fit an object that no other unit has fitted, so that no split knows what another one was shown."""
    with seeded(view.seed, view.device):
        return make().fit(view, **run)


def _saver(save: Any) -> Callable[[Any, Outcome, Path], object] | None:
    """Return what saves a stranger's outcome: ``save(task, outcome, folder)``, or its model's ``save(folder)``."""
    if save is None:
        return None
    try:
        inspect.signature(save).bind(None, None, None)
    except TypeError:
        return _save_model
    return save


def _save_model(task: Any, outcome: Outcome, folder: Path) -> None:
    """Let a model write a folder, which appears whole or not at all."""
    outcome.check_model("save")
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        outcome.model.save(temporary)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_has_fit(thing: Any, name: str) -> None:
    if not callable(getattr(thing, "fit", None)):
        raise ConfigError(
            f"row {name!r}: found no method fit, expected {_FIT}, or a class derived from SnapshotEncoder; "
            "docs/your-model.md shows both"
        )


def _check_fit(thing: Any, name: str) -> None:
    _check_has_fit(thing, name)
    try:
        inspect.signature(thing.fit).bind(None, checkpoint=None, on_epoch=None)
    except TypeError as error:
        raise ConfigError(f"row {name!r}: found fit{inspect.signature(thing.fit)}, expected {_FIT}") from error
