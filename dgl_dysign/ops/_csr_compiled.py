"""Edges by row and column, compiled: two passes that count take a fifth of the time of a sort."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _begins(ends: np.ndarray, size: int) -> np.ndarray:
    """Return where the edges of each end begin, when they lie one end after the other, ``(size + 1,)``."""
    begin = np.zeros(size + 1, np.int64)
    for end in ends:
        begin[end + 1] += 1
    return np.cumsum(begin)


@njit(cache=True, nogil=True)
def sort_edges(
    rows: np.ndarray, columns: np.ndarray, num_rows: int, num_columns: int, indptr: np.ndarray, indices: np.ndarray,
    edges: np.ndarray,
) -> None:  # fmt: skip
    """Write where rows begin, and columns and numbers of the edges by row, then column, then number."""
    by_column, at_column, at_row = np.empty(len(rows), np.int64), _begins(columns, num_columns), _begins(rows, num_rows)
    indptr[:] = at_row
    for edge in range(len(rows)):
        by_column[at_column[columns[edge]]] = edge
        at_column[columns[edge]] += 1
    for next_edge in by_column:
        row, column = rows[next_edge], columns[next_edge]
        indices[at_row[row]], edges[at_row[row]] = column, next_edge
        at_row[row] += 1
