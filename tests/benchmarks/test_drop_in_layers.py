"""The benchmark's quick run measures every layer beside GraphConv."""

import json

import pytest

from benchmarks import drop_in_layers


@pytest.mark.parametrize("options", [[], ["--unweighted"]])
def test_quick_rows(capsys, options):
    assert drop_in_layers.main(["--quick", *options]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["layer"] for row in rows] == list(drop_in_layers.layers(8))
    assert (rows[0]["step_beside_graph_conv"], rows[0]["pass_beside_graph_conv"]) == (1, 1)
    assert all(row["step_ms"] > 0 and row["pass_ms"] > 0 for row in rows)
