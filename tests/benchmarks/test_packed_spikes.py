"""The benchmark's quick run shows what it must show."""

import json

from benchmarks import packed_spikes
from tests.processes import apart


def rows_of(capsys, *argv):
    assert packed_spikes.main(argv) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_quick_rows(capsys):
    rows = rows_of(capsys, "--quick", "--rates", "0.15", "--runs", "1", "--no-simulation")
    copied, aggregated, neuron = rows
    assert copied["gigabytes_per_second"] > 0
    assert aggregated["exact"]
    assert aggregated["float_bytes"] == 32 * aggregated["packed_bytes"]
    assert aggregated["ms"].keys() >= {"packed", "packed_out", "dgl_sum", "dgl_mean", "torch_csr", "spikenet_sampled"}
    assert neuron["ms"].keys() >= {"fire_packed", "torch"}
    assert neuron["same_spikes"] > 0.9999, neuron


def test_simulations_with_packed_spikes_and_with_floats_fire_alike(capsys):
    packed = apart(packed_spikes.simulate, "packed", "2000x20000", 64, 1, 1)
    (floats,) = rows_of(capsys, "--one-simulation", "float", "2000x20000", "64", "1", "1")
    assert (packed["backend"], floats["backend"]) == ("packed", "float")
    assert packed["rate"] == floats["rate"] > 0, (packed, floats)
