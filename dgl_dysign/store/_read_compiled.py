"""Reading of the store, compiled by Numba."""

from __future__ import annotations

import numpy as np
from numba import njit

from dgl_dysign.store import _rank

Array = np.ndarray
_EMPTY, _NODE_MASK, _KEY_UNIT = _rank.EMPTY, _rank.NODE_MASK, float(_rank.KEY_UNIT)
_LEAST, _MOST, _NOTHING = _rank.LEAST_EXPONENT, _rank.MOST_EXPONENT, _rank.NOTHING


@njit(cache=True)
def read(
    slots: Array, nodes: Array, now: int, decay: int, node: Array, edge_id: Array, snapshot: Array, hop: Array,
    influence: Array, age: Array, kind: Array,
) -> bool:  # fmt: skip
    """Write the lists of some nodes into the columns of `Neighbors`; return whether all ids were in range."""
    for row in range(len(nodes)):
        if not 0 <= nodes[row] < len(slots):
            return False
        for at in range(slots.shape[1]):
            key, tie = slots[nodes[row], at, 0], slots[nodes[row], at, 1]
            if key == _EMPTY:
                node[row, at] = edge_id[row, at] = snapshot[row, at] = kind[row, at] = -1
                hop[row, at] = 0
                influence[row, at] = age[row, at] = 0
                continue
            node[row, at] = _NODE_MASK - (tie & _NODE_MASK)
            edge_id[row, at] = slots[nodes[row], at, 2]
            snapshot[row, at] = tie >> 33
            hop[row, at] = 3 - ((tie >> 31) & 3)
            age[row, at] = now - (tie >> 33)
            units = (key + now * decay) / _KEY_UNIT
            influence[row, at] = 0.0 if key < _NOTHING else np.exp2(min(max(units, _LEAST), _MOST))
            kind[row, at] = slots[nodes[row], at, 3] if slots.shape[2] > 3 else -1
    return True
