"""The benchmark's rows show what they must show."""

from functools import partial

from benchmarks import link_training
from benchmarks.link_training import BATCH
from tests.generated import generated_links
from tests.processes import apart


def test_memory_is_that_of_a_batch():
    step = partial(apart, link_training.batch_list)
    short, long, whole = step(2 * BATCH, BATCH, 2000), step(8 * BATCH, BATCH, 2000), step(8 * BATCH, 8 * BATCH, 2000)
    assert (short["batches"], long["batches"], whole["batches"]) == (2, 8, 1)
    assert 2 * max(short["bytes_above"], long["bytes_above"]) < whole["bytes_above"]


def test_an_epoch_says_what_it_cost(tmp_path):
    row = link_training.epoch(str(generated_links(tmp_path)), counts=True, batch_size=256)
    assert row["generated"]
    assert row["cpu_seconds"] > 0
    assert row["loss"] < 2
