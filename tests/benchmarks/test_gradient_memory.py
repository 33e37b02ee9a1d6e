"""Memory of a training step does not grow with the latency, but for backpropagation through time."""

import json

import pytest

from benchmarks import gradient_memory


@pytest.mark.slow
def test_flat_for_all_but_bptt(capsys):
    step = {}
    for _ in range(2):  # the least of two: what the allocator held before moves one measurement by some MiB
        assert gradient_memory.main(["--quick", "--modes", "implicit", "bptt"]) == 0
        for row in map(json.loads, capsys.readouterr().out.splitlines()):
            key = row["gradient"], row["latency"]
            step[key] = min(row["step_bytes"] / 2**20, step.get(key, float("inf")))
    assert step["bptt", 40] > step["bptt", 5] + 40
    assert abs(step["implicit", 40] - step["implicit", 5]) < 15
