"""The benchmark's quick run shows what it must show."""

import json

import pytest

from benchmarks import neighbor_store


@pytest.mark.usefixtures("forked")
def test_quick_rows(capsys):
    assert neighbor_store.main(["--quick"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    of = {check: [row for row in rows if row["check"] == check] for check in ("speed", "nodes", "memory", "gpu")}
    assert [row["backend"] for row in of["speed"]] == ["compiled", "torch", "dictionary"]
    assert all(row["equals_dictionary"] for row in of["speed"][:2])
    assert [row["nodes"] for row in of["nodes"]] == [50, 1000, 10000]
    few, many = of["memory"]
    assert (many["edges"], many["store_bytes"]) == (10 * few["edges"], few["store_bytes"])
    assert many["resident_bytes_grown"] < 30 << 20
    assert all(row.get("equals_cpu", True) for row in of["gpu"])


@pytest.mark.real
def test_real_rows(real_data, tmp_path, capsys):
    from data_prep.cli import app

    app(["edges", str(real_data / "bitcoin_otc"), str(tmp_path / "otc"), "--quiet"], standalone_mode=False)
    feed = neighbor_store.prepared(str(tmp_path / "otc"), distinct=True)
    feed = feed._replace(snapshots=feed.snapshots[:60])
    rows = list(neighbor_store.speed_rows([("distinct", feed)], runs=1))
    assert [row.get("equals_dictionary") for row in rows] == [True, True, None]
    assert neighbor_store.main([str(tmp_path / "otc"), "--runs", "1"]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (row["check"], row["edges"], row["snapshots"]) == ("epoch", 35_592, 273)
