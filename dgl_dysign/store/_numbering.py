"""Numbers of neighbours in a block, compiled: a table of all nodes in place of three sorts."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def number_neighbors(neighbor: np.ndarray, nodes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the place of each neighbour among nodes and, behind these, new ones; and the new ones, ascending.

    Of a node that is there repeatedly it is the first place. All are below `size`.
    """
    place, new = np.full(size, -1, np.int64), np.empty(len(neighbor), np.int64)
    for row in range(len(nodes) - 1, -1, -1):
        place[nodes[row]] = row
    for node in neighbor:
        if place[node] == -1:
            place[node] = -2
    count = 0
    for node in range(size):
        if place[node] == -2:
            place[node], new[count] = len(nodes) + count, node
            count += 1
    return place[neighbor], new[:count].copy()
