"""The slopes are those of the data, and the quick run draws."""

import json

import numpy as np

from benchmarks import scaling


def test_slopes_of_known_growth():
    sizes = [1, 4, 16, 64]
    assert np.isclose(scaling.slope(sizes, [3 * size**1.5 for size in sizes]), 1.5)
    rows = [{"varied": "latency", "latency": s, "cpu_seconds": 2 * s, "step_bytes": 1e6} for s in sizes]
    assert [(row["of"], row["slope"]) for row in scaling.slopes(rows)] == [("cpu_seconds", 1), ("step_bytes", 0)]


def test_quick_rows(forked, capsys, tmp_path):
    assert scaling.main(["--quick", "--only", "latency", "--picture", str(tmp_path / "a.png")]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["varied"], row[row["varied"]]) for row in rows if row["check"] == "step"] == [
        ("latency", 2), ("latency", 4),
    ]  # fmt: skip
    assert all(row["cpu_seconds"] > 0 for row in rows if row["check"] == "step")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
