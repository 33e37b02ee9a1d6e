"""Memory of a training step does not grow with the latency, but for backpropagation through time."""

import json

import pytest

from benchmarks import gradient_memory


@pytest.mark.slow
def test_flat_for_all_but_bptt(capsys):
    assert gradient_memory.main(["--quick", "--modes", "implicit", "bptt"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    step = {(row["gradient"], row["latency"]): row["step_bytes"] / 2**20 for row in rows}
    assert step["bptt", 40] > step["bptt", 5] + 40
    assert step["implicit", 40] < step["implicit", 5] + 15  # less is chance: what the allocator held before
