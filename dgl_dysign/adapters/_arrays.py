"""Ranks, comparisons and float32 of arrays."""

from typing import Any

import numpy as np

from dgl_dysign.errors import DataError
from dgl_dysign.events import to_numpy


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
