"""The leak shows: a rule without parameters, and models that score what was inserted."""

import json

from benchmarks import leak
from tests.generated import generated_links


def test_scoring_after_inserting_is_flattered(tmp_path, capsys):
    picture = tmp_path / "leak.png"
    leak.main(
        [str(generated_links(tmp_path, snapshots=60)), "--seeds", "1", "--epochs", "2", "--picture", str(picture)]
    )
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    of = {(row["row"], row["leaks"]): row for row in rows}
    for name in (leak.RULE, leak.LEAKED):
        assert of[name, True]["mrr"]["mean"] > 1.3 * of[name, False]["mrr"]["mean"]
    assert picture.stat().st_size > 10_000
