"""The benchmark of packed inference: the same spikes, in less memory."""

import json

from benchmarks import spiking_inference


def test_quick_row(forked, capsys):
    assert spiking_inference.main(["--quick", "--runs", "1", "--layers", "2"]) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (row["nodes"], row["edges"], row["layers"], row["bar"]) == (4_000, 40_000, 2, None)
    packed = {"spikes", "ternary", "floats", "means", "eight", "ternary-eight"}
    assert row["seconds"].keys() == {"graphconv", "relu", "unpacked"} | packed
    assert row["same_spikes"] > 0.9999
    assert all(0.1 < rate < 0.22 for rate in row["rates"])
    assert row["peak_mib"].keys() == row["times"].keys() == row["seconds"].keys()
    assert row["peak_mib"]["spikes"] < 0.5 * row["peak_mib"]["graphconv"]


def test_some_passes_alone(forked, capsys):
    assert spiking_inference.main(["--quick", "--runs", "1", "--layers", "2", "--only", "means", "eight"]) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert row["seconds"].keys() == row["peak_mib"].keys() == {"means", "eight"}
    assert row["times"] == {}
