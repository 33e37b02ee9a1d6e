"""Arrays of another type, if no number changes by it."""

from typing import Any

import numpy as np

from dgl_dysign.errors import DataError


def exact(name: str, values: Any, kind: Any) -> np.ndarray:
    """Return values as an array of another type, if every one of them stays what it is.

    Parameters
    ----------
    name : str
        What they are, for the message.
    values : array_like
        Numbers, such as a list, an array or a tensor on any device.
    kind : dtype
        The type.

    Returns
    -------
    numpy.ndarray
        The same numbers.

    Raises
    ------
    DataError
        If a number would change, or these are no numbers.

    Examples
    --------
    >>> exact("time", [1, 2], np.float64)
    array([1., 2.])
    >>> exact("src", [0.5], np.int64)
    Traceback (most recent call last):
    dgl_dysign.errors.DataError: src: found 0.5, expected numbers that int64 holds exactly; round them yourself first
    """
    values = values.detach().cpu() if hasattr(values, "detach") else values
    found, kind = np.asarray(values), np.dtype(kind)
    if found.dtype == kind:
        return found
    if found.dtype.kind not in "biuf":
        raise DataError(f"{name}: found values of type {found.dtype}, expected numbers that {kind} holds exactly")
    with np.errstate(invalid="ignore", over="ignore"):
        made = found.astype(kind)
        # Back in the first type: int64 against float64 would be compared as float64.
        changed = (made.astype(found.dtype) != found) & ~((made != made) & (found != found))
        if kind.kind in "iu":
            # Out of range a cast gives the nearest bound, or another number that comes back right by chance.
            low, high = np.iinfo(kind).min, np.iinfo(kind).max
            changed |= (found < low) | (found > high if found.dtype.kind != "f" else found >= float(high) + 1)
    if changed.any():
        value = found[changed].flat[0].item()
        raise DataError(f"{name}: found {value}, expected numbers that {kind} holds exactly; round them yourself first")
    return made


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value: makes rows in some raw data, of a part of it, rows in that part.

    Examples
    --------
    >>> ranks(np.array([30, 10, 20]))
    array([2, 0, 1])
    """
    return np.argsort(np.argsort(values, kind="stable"))
