"""SplitMix64's mixing of 64 bits, for hashes of events and for random numbers that depend on a number alone."""

import numpy as np
from numpy.typing import NDArray

STEP = np.uint64(0x9E3779B97F4A7C15)
"""What SplitMix64 adds to its state before each number."""


def mix64(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Map uint64 of any shape one to one to uint64, each bit of which depends on all; Numba can compile it.

    Examples
    --------
    >>> [hex(bits) for bits in mix64(np.arange(3, dtype=np.uint64))]
    ['0x0', '0x5692161d100b05e5', '0xdbd238973a2b148a']
    """
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
