"""Sums that count less with each snapshot, in time proportional to what is added."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dgl_dysign.data.pair_log import with_room

_AT_ONCE = 1 << 20  # values that are rescaled at once


class Decaying:
    r"""Values one of whose axes belongs to decays: what is added at snapshot t' counts :math:`\gamma^{t - t'}` at t.

    Ageing changes one number a decay, the scale by which values are to be multiplied when they are read; hence
    ``unit``, its inverse, is what is added to count as 1.

    Parameters
    ----------
    shape : tuple of int
        Of the values, all 0.
    decays : sequence of float
        In (0, 1].
    axis : int, default -1
        Which axis is theirs.
    dtype : type, default numpy.float64
        Of the values.

    Attributes
    ----------
    renewals : int
        How often the values were multiplied by the scale, before it is too small.

    Examples
    --------
    >>> sums = Decaying((3, 1), [0.5])
    >>> sums.age_to(2)
    >>> sums.values[1] += sums.unit
    >>> (sums.values * sums.scale(4))[:, 0]
    array([0.  , 0.25, 0.  ])
    """

    def __init__(
        self, shape: tuple[int, ...], decays: Sequence[float], axis: int = -1, dtype: type = np.float64
    ) -> None:
        self.values: np.ndarray = np.zeros(shape, dtype)
        self.snapshot = self.renewals = 0
        self._decays, self._scale = np.array(decays), np.ones(len(decays))
        self._axes = [-1 if i == axis % len(shape) else 1 for i in range(len(shape))]
        self._least = float(np.finfo(dtype).tiny) ** (1 / 3)  # a scale by which the values are multiplied for good

    def grow(self, size: int, axis: int = 0) -> None:
        """Make an axis longer; what is new is 0."""
        old, shape = self.values, list(self.values.shape)
        shape[axis] = size
        self.values = np.zeros(shape, old.dtype)
        self.values[tuple(map(slice, old.shape))] = old

    def reserve(self, size: int) -> None:
        """Have room for so many rows: the first axis is longer where it was shorter, by zeros, see `with_room`."""
        self.values = with_room(self.values, size)

    def scale(self, snapshot: int) -> np.ndarray:
        """Return what values of each decay are multiplied by at a snapshot, ``(decays,)``."""
        scale: np.ndarray = self._scale * self._decays ** (snapshot - self.snapshot)
        return scale

    @property
    def unit(self) -> np.ndarray:
        """What counts as 1 now, ``(decays,)``."""
        return 1 / self._scale

    def age_to(self, snapshot: int) -> None:
        """Let a later snapshot be now."""
        self._scale, self.snapshot = self.scale(snapshot), snapshot
        if self._scale.min() < self._least:
            self._rescale(self._scale.astype(self.values.dtype).reshape(self._axes))
            self._scale[:] = 1
            self.renewals += 1

    def _rescale(self, scale: np.ndarray) -> None:
        """Multiply values for good, some rows at once; zeros are not written to: new ones take no memory yet."""
        scale = np.broadcast_to(scale, self.values.shape)
        rows = max(1, _AT_ONCE * len(self.values) // max(1, self.values.size))
        for first in range(0, len(self.values), rows):
            part = self.values[first : first + rows]
            np.multiply(part, scale[first : first + rows], out=part, where=part != 0)
