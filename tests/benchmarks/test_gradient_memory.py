"""Memory of a training step does not grow with the latency, but for backpropagation through time."""

import json

import pytest

from benchmarks import gradient_memory
from tests.processes import apart


@pytest.mark.slow
def test_flat_for_all_but_bptt():
    step = {}
    # What the allocator held before moves one by some MiB: of what shall be flat, the least of two.
    for mode, latencies in (("implicit", (5, 40, 5, 40)), ("bptt", (5, 40))):
        for latency in latencies:
            row = apart(gradient_memory.measure, mode, latency, 4000, 16000, 64)
            step[mode, latency] = min(row["step_bytes"] / 2**20, step.get((mode, latency), float("inf")))
    assert step["bptt", 40] > step["bptt", 5] + 40
    assert abs(step["implicit", 40] - step["implicit", 5]) < 15


def test_a_row_is_measured_in_a_fresh_process(capsys):
    small = ["--nodes", "300", "--edges", "900", "--dim", "8"]
    assert gradient_memory.main([*small, "--modes", "bptt", "--latencies", "5"]) == 0
    (row,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (row["gradient"], row["latency"], row["nodes"]) == ("bptt", 5, 300)
    assert row["peak_rss_bytes"] > row["step_bytes"] >= 0
