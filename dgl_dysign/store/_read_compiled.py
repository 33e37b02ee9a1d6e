"""Reading of the store, compiled by Numba."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor

from dgl_dysign.store import _rank
from dgl_dysign.store._edges import check_nodes
from dgl_dysign.store.neighbors import Neighbors

Array = np.ndarray
_EMPTY, _NODE_MASK, _KEY_UNIT = _rank.EMPTY, _rank.NODE_MASK, float(_rank.KEY_UNIT)
_LEAST, _MOST, _NOTHING = _rank.LEAST_EXPONENT, _rank.MOST_EXPONENT, _rank.NOTHING


def read_compiled(slots: Tensor, nodes: Tensor, now: int, decay: int) -> Neighbors:
    """Return the lists of some nodes.

    Raises
    ------
    DataError
        If an id is no node.
    """
    shape = len(nodes), slots.shape[1]
    whole, real = torch.empty(5, *shape, dtype=torch.int64), torch.empty(2, *shape, dtype=torch.float32)
    if not _read(slots.numpy(), nodes.numpy(), now, decay, whole.numpy(), real.numpy()):
        check_nodes(nodes, "nodes", len(slots))
    node, edge_id, snapshot, hop, kind = whole.unbind()
    influence, age = real.unbind()
    return Neighbors(node, edge_id, snapshot, hop, influence, age, kind)


@njit(cache=True, nogil=True)
def _read(slots: Array, nodes: Array, now: int, decay: int, whole: Array, real: Array) -> bool:
    """Write the lists of some nodes as columns of `Neighbors`; return whether all ids were in range.

    Parameters
    ----------
    slots : int64 (N, K, width)
        The store.
    nodes : int64 (R,)
        The nodes.
    now, decay : int
        Time, and what a snapshot of age adds to a key.
    whole : int64 (5, R, K)
        For node, edge id, snapshot, hop and type.
    real : float32 (2, R, K)
        For influence and age.
    """
    num_nodes, size, width = slots.shape
    for row in range(len(nodes)):
        node = nodes[row]
        if node < 0 or node >= num_nodes:
            return False
        for at in range(size):
            key, tie = slots[node, at, 0], slots[node, at, 1]  # an unused slot has -1 in all columns but the key
            used = key != _EMPTY
            whole[0, row, at] = _NODE_MASK - (tie & _NODE_MASK) if used else -1
            whole[1, row, at] = slots[node, at, 2]
            whole[2, row, at] = tie >> 33
            whole[3, row, at] = 3 - ((tie >> 31) & 3)
            whole[4, row, at] = slots[node, at, 3] if width > 3 else -1
            score = np.exp2(min(max((key + now * decay) / _KEY_UNIT, _LEAST), _MOST))
            real[0, row, at] = score if key >= _NOTHING else 0.0
            real[1, row, at] = now - (tie >> 33) if used else 0
    return True
