"""Arrays of another type, if no number changes by it."""

from typing import Any

import numpy as np

from dgl_dysign.errors import DataError


def to_numpy(values: Any) -> np.ndarray:
    """Return a list, an array, or a tensor on any device as an array; without a copy where that is possible."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


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


def exact(name: str, values: Any, kind: Any) -> np.ndarray:
    """Return numbers as an array of another type; a DataError (that begins with `name`) if one of them would change.

    Examples
    --------
    >>> exact("time", [1, 2], np.float64)
    array([1., 2.])
    >>> exact("src", [0.5], np.int64)
    Traceback (most recent call last):
    dgl_dysign.errors.DataError: src: found 0.5, expected numbers that int64 holds exactly; round them yourself first
    """
    numbers, kind = to_numpy(values), np.dtype(kind)
    if numbers.dtype == kind:
        return numbers
    if numbers.dtype.kind not in "biuf":
        raise DataError(f"{name}: found values of type {numbers.dtype}, expected numbers that {kind} holds exactly")
    with np.errstate(invalid="ignore", over="ignore"):
        converted = numbers.astype(kind)
        # Back in the first type: int64 against float64 would be compared as float64.
        changed = (converted.astype(numbers.dtype) != numbers) & ~((converted != converted) & (numbers != numbers))
        if kind.kind in "iu":
            # Out of range a cast gives the nearest bound, or another number that comes back right by chance.
            low, high = np.iinfo(kind).min, np.iinfo(kind).max
            changed |= (numbers < low) | (numbers > high if numbers.dtype.kind != "f" else numbers >= float(high) + 1)
    if changed.any():
        value = numbers[changed].flat[0].item()
        raise DataError(f"{name}: found {value}, expected numbers that {kind} holds exactly; round them yourself first")
    return converted


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
