"""Peak memory: grows with what is held, begins anew where the system lets it."""

import sys

import numpy as np
import pytest

from dgl_dysign.training.memory import peak_rss_bytes, reset_peak, return_freed_memory


def test_peak_holds_what_was_once_held():
    assert 10 << 20 < peak_rss_bytes() < 64 << 30
    block = np.ones(30 << 20, np.uint8)
    held = peak_rss_bytes()
    assert held > 30 << 20
    del block
    assert peak_rss_bytes() > held - (2 << 20)  # the system counts in lots


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can begin a new measurement")
def test_reset_begins_anew():
    return_freed_memory()
    block = np.ones(200 << 20, np.uint8)
    held = peak_rss_bytes()
    del block
    reset_peak()
    if peak_rss_bytes() == held:
        pytest.skip("this system does not let a process reset its peak")
    low = peak_rss_bytes()
    assert low < held - (150 << 20)
    block = np.ones(100 << 20, np.uint8)
    assert peak_rss_bytes() > low + (80 << 20)
    del block
