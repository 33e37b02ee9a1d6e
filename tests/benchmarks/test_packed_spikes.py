"""The benchmark's quick run shows what it must show."""

import json

from benchmarks import packed_spikes


def test_quick_rows(forked, capsys):
    assert packed_spikes.main(["--quick", "--rates", "0.15", "--runs", "1"]) == 0
    copied, aggregated, linear, neuron, packed, floats = map(json.loads, capsys.readouterr().out.splitlines())
    assert copied["gigabytes_per_second"] > 0
    assert aggregated["exact"]
    assert aggregated["float_bytes"] == 32 * aggregated["packed_bytes"]
    assert aggregated["ms"].keys() >= {"packed", "packed_out", "dgl_sum", "dgl_mean", "torch_csr", "spikenet_sampled"}
    assert linear["ms"].keys() == {"packed", "dense"}
    assert neuron["ms"].keys() >= {"fire_packed", "torch"}
    assert neuron["same_spikes"] > 0.9999, neuron
    assert (packed["backend"], floats["backend"]) == ("packed", "float")
    assert packed["rate"] == floats["rate"] > 0, (packed, floats)
