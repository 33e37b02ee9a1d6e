"""What adapters share: packages that only they need, streams from what a format holds, what it does not hold."""

from collections.abc import Collection, Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any

import numpy as np

from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.errors import BackendError, ConfigError, DataError
from dgl_dysign.events import to_numpy

_LOSABLE = ("edge_id", "num_nodes")
_FIELDS = {field.name for field in fields(EventStream)}


def require(module: str, extra: str | None = None) -> Any:
    """Import a module of another package; `extra` is the extra of dgl-dysign that installs it, None: there is none.

    A BackendError, which is an ImportError, says how to install the package, if it is missing or cannot be imported.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == package
        found = f"no package {package}" if missing else f"an import that fails ({error})"
        wanted = f"dgl-dysign[{extra}]" if extra else package.replace("_", "-")
        raise BackendError(f"{module}: found {found}, expected it; install it with `pip install {wanted}`") from error


def stream_of(form: str, columns: Mapping[str, Any], options: Mapping[str, Any]) -> EventStream:
    """Make a stream of the `columns` that a format holds (None: it does not) and of `options`, which replace them.

    Events are in any order; of snapshots the ranges suffice. A ConfigError names an option that is no field.
    """
    unknown = sorted(set(options) - _FIELDS)
    if unknown:
        raise ConfigError(
            f"{form}: found the option {unknown[0]!r}, expected an option of this adapter or a field of EventStream: "
            f"{', '.join(sorted(_FIELDS))}"
        )
    known = {**{name: value for name, value in columns.items() if value is not None}, **options}
    if known.get("snapshot_begin") is not None and known.get("snapshot") is None:
        known["snapshot"] = np.searchsorted(known["snapshot_begin"], known["time"], side="right") - 1
    return EventStream.from_rows(**known)


def counted_ranges(number: int) -> dict[str, np.ndarray]:
    """Return the ranges of snapshots without times: snapshot k happens at time k, in ``[k, k + 1)``."""
    steps = np.arange(number + 1.0)
    return {"snapshot_begin": steps[:-1], "snapshot_end": steps[1:]}


def rows_in_order(stream: EventStream) -> bool:
    """Tell whether the raw rows (`edge_id`) are in the order of time, so that a format need not hold them."""
    return bool((np.diff(stream.edge_id) > 0).all())


def check_kept(form: str, stream: EventStream, lose: Collection[str], holds: tuple[str, ...] = ()) -> None:
    """Refuse to lose the rows of events in the raw data, or nodes after the last one that has an event.

    `lose` names those of ``"edge_id"`` and ``"num_nodes"`` that may be lost, `holds` those that the format holds.
    """
    lose = (lose,) if isinstance(lose, str) else lose
    unknown = [name for name in lose if name not in _LOSABLE]
    if unknown:
        raise ConfigError(f"{form}: found lose={unknown[0]!r}, expected some of {', '.join(map(repr, _LOSABLE))}")
    kept = {*lose, *holds}
    if "edge_id" not in kept and not rows_in_order(stream):
        raise ConfigError(
            f"{form}: found raw rows (edge_id) in another order than time, expected 0, 1, 2, ..., as the format has no "
            "place for them; add lose=['edge_id'], and give edge_id=stream.edge_id when you read it back"
        )
    last = max(stream.src.max(initial=-1), stream.dst.max(initial=-1))
    if "num_nodes" not in kept and stream.num_nodes > last + 1:
        raise ConfigError(
            f"{form}: found {stream.num_nodes} nodes, expected {last + 1}, as the format counts the nodes by their "
            f"events; add lose=['num_nodes'], and give num_nodes={stream.num_nodes} when you read it back"
        )


def last_events(form: str, stream: EventStream, nodes: np.ndarray) -> np.ndarray:
    """Return the last event of each of some labelled nodes, for a format that has labels at times only."""
    last = np.full(stream.num_nodes, -1)
    for ends in (stream.src, stream.dst):
        np.maximum.at(last, ends, np.arange(len(stream)))
    silent = nodes[last[nodes] < 0]
    if len(silent):
        raise DataError(
            f"{form}: found a label of node {silent[0]}, expected none of a node without an event, as {form} has "
            "labels at times only; leave such labels out"
        )
    return last[nodes]


def whole_times(form: str, stream: EventStream, low: int = -(2**53), high: int = 2**53) -> np.ndarray:
    """Return the times as int64 in ``low .. high``; a ConfigError says how to make such of them."""
    broken = np.flatnonzero(stream.time != np.floor(stream.time))
    how = "dgl_dysign.adapters.times.retimed(stream, shift=..., scale=..., floor=True)"
    if len(broken):
        raise ConfigError(
            f"{form}: found the time {stream.time[broken[0]]}, expected whole numbers; scale the times or round them "
            f"down: {how}"
        )
    if len(stream) and (stream.time[0] < low or stream.time[-1] > high):
        raise ConfigError(
            f"{form}: found times from {stream.time[0]:.0f} to {stream.time[-1]:.0f}, expected {low} to {high}; let "
            f"them begin at 0 or count in a coarser unit: {how}"
        )
    return stream.time.astype(np.int64)


def same(first: np.ndarray, other: np.ndarray | None) -> bool:
    """Tell whether another array has the same values, NaN in the same places."""
    return other is not None and np.array_equal(first, other, equal_nan=first.dtype.kind == "f")


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value: makes rows in some raw data, of a part of it, rows in that part.

    Examples
    --------
    >>> ranks(np.array([30, 10, 20]))
    array([2, 0, 1])
    """
    return np.argsort(np.argsort(values, kind="stable"))


def as_float32(name: str, values: Any, round_features: bool) -> np.ndarray | None:
    """Return features as float32, None of None; a DataError if a value would change without `round_features`."""
    if values is None:
        return None
    numbers = to_numpy(values)
    with np.errstate(over="ignore"):
        rounded = numbers.astype(np.float32)
    beyond = np.isinf(rounded) & ~np.isinf(numbers)
    if beyond.any():
        raise DataError(f"{name}: found {numbers[beyond].flat[0]}, expected numbers within float32; scale them")
    changed = (rounded != numbers) & ~(np.isnan(rounded) & np.isnan(numbers))
    if changed.any() and not round_features:
        raise DataError(
            f"{name}: found {numbers[changed].flat[0]}, expected numbers that float32 holds exactly; round them to "
            "float32 with round_features=True"
        )
    return rounded
