"""The rank of an entry as whole numbers, which compare alike on every device.

The temporal influence score C * hop_decay^(hop - 1) * snapshot_decay^(now - t) of two entries keeps its order for ever,
since all age alike. So the store holds ``log2`` of the score at time 0, in units of 2^-32: nothing is aged, nothing
underflows in a long history, and no device rounds it differently. C itself is rounded to 2^-20 (a relative 7e-7):
what its sum owes to the order of its terms, or to a device's ``exp``, is a million times smaller than that.

An entry is a row of whole numbers, and a greater row is a better entry, compared from the left:

========  ==============================================================================================
`KEY`     the score as above; `EMPTY` in an unused slot
`TIE`     snapshot (30 bits), 3 - hop (2 bits), 2^31 - 1 - neighbour (31 bits): later, nearer, smaller id
`EDGE`    edge id; -1 in an unused slot
`TYPE`    edge type, where the store has types
========  ==============================================================================================
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from dgl_dysign.errors import ConfigError

KEY, TIE, EDGE, TYPE = range(4)
EMPTY = -(1 << 63)
NODE_MASK = (1 << 31) - 1
HOP_STEP = 1 << 31
"""One hop further is so much less of `TIE`."""
MAX_SNAPSHOT = (1 << 30) - 1
SCORE_UNIT = 1 << 20
"""log2 of importance 2 in units of an importance."""
TO_KEY = 12
"""Bits by which a key is finer than an importance."""
KEY_UNIT = SCORE_UNIT << TO_KEY
NO_IMPORTANCE = -(1 << 50)
"""Stands for log2(0): below every positive importance, whatever the times of both."""
LIMIT = 1 << 47  # log2 of an importance lies within -2^27 .. 2^27: a hub would need 10^8 edges to get there
NOTHING = -(1 << 61)
"""A key below this is of importance 0."""
LEAST_EXPONENT, MOST_EXPONENT = -126.0, 127.0
"""Of float32's normal numbers."""


class RankScale(NamedTuple):
    """Decays in units of a key; both are negative."""

    hop: int
    snapshot: int

    @classmethod
    def of(cls, hop_decay: float, snapshot_decay: float) -> RankScale:
        """Convert two decays in (0, 1)."""
        hop, snapshot = (min(-1, round(KEY_UNIT * math.log2(decay))) for decay in (hop_decay, snapshot_decay))
        return cls(hop, snapshot)

    def start(self, snapshot: int) -> int:
        """Return what a snapshot adds to the keys of its entries; ``ConfigError`` if its number is too large."""
        added = -snapshot * self.snapshot
        if snapshot > MAX_SNAPSHOT or added >= 1 << 60:
            most = min(MAX_SNAPSHOT, ((1 << 60) - 1) // -self.snapshot)
            raise ConfigError(f"found snapshot {snapshot}, expected at most {most}: number the snapshots from 0")
        return added


def quantise(log2_importance: Tensor) -> Tensor:
    """Round log2 of importances (float64) to whole units; minus infinity becomes `NO_IMPORTANCE`."""
    units = (log2_importance.clamp(min=-(2.0**27)) * SCORE_UNIT).round().clamp(-LIMIT, LIMIT).long()
    return torch.where(log2_importance == -math.inf, NO_IMPORTANCE, units)


def pack_tie(snapshot: int, hop: int, node: Tensor) -> Tensor:
    """Return the column `TIE` of entries for some neighbours."""
    return (snapshot << 33) + ((3 - hop) << 31) + NODE_MASK - node


def node_of(tie: Tensor) -> Tensor:
    """Return the neighbours."""
    return NODE_MASK - (tie & NODE_MASK)


def hop_of(tie: Tensor) -> Tensor:
    """Return the hops."""
    return 3 - ((tie >> 31) & 3)


def snapshot_of(tie: Tensor) -> Tensor:
    """Return the snapshots."""
    return tie >> 33


def influence_of(key: Tensor, now: int, scale: RankScale) -> Tensor:
    """Return the scores aged to `now` (float32), held at float32's smallest normal number; 0 only for importance 0."""
    units = key + now * scale.snapshot
    score = torch.exp2((units.double() / KEY_UNIT).clamp(LEAST_EXPONENT, MOST_EXPONENT)).float()
    return torch.where(key < NOTHING, 0.0, score)
