"""What a report says of operations: means over runs, of rows that could be counted."""

import math
from dataclasses import replace

from dgl_dysign.report import operations
from dgl_dysign.report.runs import read_runs
from tests.report.run_folders import link_run, node_run

COST = {"macs": 100.0, "synops": 20.0, "model_energy_pj": 478.0, "firing_rate": 0.25, "parameter_bytes": 4000.0}


def one(path):
    (run,) = read_runs([path])
    return run


def counted(tmp_path, **more):
    """Return a run in which `dysign` was counted with both seeds, and the ReLU network with one."""
    run = one(node_run(tmp_path / "a"))
    costs = {("dysign", 0): COST, ("dysign", 1): {**COST, "macs": 300.0, **more}, ("relu-network", 0): COST}
    results = [
        replace(result, cost={**result.cost, **costs.get((result.row, int("seed1" in result.key)), {})})
        for result in run.results
    ]
    return replace(run, results=results)


def test_operations_are_means_of_rows_that_were_counted_in_every_run(tmp_path):
    table = operations.operations(counted(tmp_path), "40 % for training")
    assert table.head == ["row", "firing rate", "MAC", "SynOps", "pJ (model, not measurement)", "bytes of weights"]
    assert table.rows == [["dysign", "0.25", "200", "20", "478", "4,000"]]
    assert "not a measurement" in table.note


def test_accuracy_stands_against_operations_and_energy(tmp_path):
    chart = operations.accuracy(counted(tmp_path, model_energy_pj=522.0))
    assert [choice.at for choice in chart.choices] == [
        ("MAC + SynOps", "40 % for training"),
        ("pJ (model, not measurement)", "40 % for training"),
    ]
    (dots,), (energy,) = (choice.data for choice in chart.choices)
    assert (dots["x"], dots["y"], dots["text"]) == ([220.0], [72.0], ["dysign"])
    assert energy["x"] == [500.0]
    low, high = chart.choices[1].layout["xaxis"]["range"]  # of logarithms: the name above the dot is not cut off
    assert low < math.log10(500) - 0.2 < math.log10(500) + 0.2 < high


def test_runs_that_were_not_counted_have_neither(tmp_path):
    for run in (one(node_run(tmp_path / "a")), one(link_run(tmp_path / "b"))):
        assert operations.accuracy(run) is None
        assert [operations.operations(run, result.group) for result in run.results] == [None] * len(run.results)
