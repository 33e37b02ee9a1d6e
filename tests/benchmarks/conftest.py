"""What tests of benchmarks may use."""

import pytest

from benchmarks import neighbor_store, packed_spikes, scaling, spiking_inference
from tests.processes import apart


@pytest.fixture
def forked(monkeypatch):
    """Measure rows in processes forked from one that has imported PyTorch and DGL: the same rows, five seconds sooner.

    `in_fresh_process` itself is tested by the benchmark of the gradient's memory.
    """
    for benchmark in (neighbor_store, packed_spikes, scaling, spiking_inference):
        monkeypatch.setattr(benchmark, "in_fresh_process", apart)
