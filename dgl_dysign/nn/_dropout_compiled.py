"""Dropout of what was drawn, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def keep(values: np.ndarray, drawn: np.ndarray, least: int, scale: float, kept: np.ndarray) -> None:
    """Write values times a scale of their type, or zero, by whether what was drawn is no less than some number."""
    none = scale - scale
    for i in range(len(values)):
        kept[i] = values[i] * (scale if drawn[i] >= least else none)
