"""The benchmark of replays measures what is the same, and less the shorter a snapshot is."""

import json

import pytest

from benchmarks import replay
from tests.generated import generated_links


@pytest.mark.filterwarnings("ignore:nothing can be saved")
def test_a_replay_is_measured_beside_everything(tmp_path, capsys):
    picture, folder = tmp_path / "replay.png", generated_links(tmp_path, events=400, snapshots=12)
    replay.main([str(folder), "--merge", "1", "4", "--check", "3", "--picture", str(picture)])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["norm"], row["merge"], row["snapshots"]) for row in rows] == [
        ("both", 1, 12), ("both", 4, 3), ("right", 1, 12), ("right", 4, 3)
    ]  # fmt: skip
    for row in rows:
        assert row["same_bits"]
        assert row["differing_nodes"] < 0.01
        assert all(0 < share <= 1 for share in (*row["rows"], *row["flips"]))
    by_length = {(row["norm"], row["merge"]): row["rows"][0] for row in rows}
    assert by_length["right", 1] < by_length["both", 1] < by_length["both", 4]
    assert picture.stat().st_size > 10_000
