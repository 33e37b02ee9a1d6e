"""The benchmark's quick run shows what it must show."""

import json

from benchmarks import equilibrium


def test_quick_rows(capsys):
    assert equilibrium.main(["--quick", "--latencies", "4", "16", "64", "--leaks", "1.0", "0.8"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    gradients = [row for row in rows if row["check"] == "gradient"]
    assert len(gradients) == 9
    assert max(row["relative_error"] for row in gradients) < 1e-8
    gap = {(row["leak"], row["latency"]): row["mean_gap"] for row in rows if row["check"] == "rate"}
    assert gap[1.0, 64] < gap[1.0, 4] / 10
    assert gap[0.8, 64] > gap[0.8, 16] / 1.3
    assert {row["gradient"] for row in rows if row["check"] == "mode"} == {"implicit", "one-step", "trace", "bptt"}
