"""The benchmark's quick run shows what it must show."""

import json

from benchmarks import link_training
from tests.generated import generated_links


def test_memory_is_that_of_a_batch(capsys):
    link_training.main(["--quick"])
    short, long, whole = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (short["batches"], long["batches"], whole["batches"]) == (2, 8, 1)
    assert 2 * max(short["bytes_above"], long["bytes_above"]) < whole["bytes_above"]


def test_an_epoch_says_what_it_cost(tmp_path):
    row = link_training.epoch(str(generated_links(tmp_path)), counts=True, batch_size=256)
    assert row["generated"]
    assert row["cpu_seconds"] > 0
    assert row["loss"] < 2
