import numpy as np
import pytest

from data_prep.synth import FORMATS
from data_prep.synth.messages import spaced_names
from data_prep.synth.network import Network


@pytest.mark.parametrize("name", ["college-msg", "wiki-talk", "stack-overflow"])
def test_ids_times_and_repeated_lines(name, made):
    options = FORMATS[name].options
    rows = np.loadtxt(made(name, events=20_000) / options["file"], dtype=int)
    share = 20_000 / FORMATS[name].events
    ids = np.unique(rows[:, :2])
    assert rows.shape == (20_000, 3)
    assert len(ids) == round(share * FORMATS[name].nodes)
    assert ids.min() >= 1
    assert ids.max() == round(share * options["highest"])
    assert (rows[0, 2], rows[-1, 2]) == (options["begin"], options["end"])
    assert (np.diff(rows[:, 2]) >= 0).all()
    assert (rows[:, 0] != rows[:, 1]).all()
    assert 0 < len(rows) - len(np.unique(rows, axis=0)) < 1000
    degree = np.bincount(rows[:, :2].ravel())
    assert degree.max() > 20 * np.median(degree[degree > 0])


def test_stack_overflow_has_gaps_between_ids(made):
    rows = np.loadtxt(made("stack-overflow", events=20_000) / "sx-stackoverflow.txt", dtype=int)
    assert 2 < rows[:, :2].max() / len(np.unique(rows[:, :2])) < 2.5


def test_names_rise_with_the_arrival():
    network = Network(nodes=300, events=2000, steps=5)
    names = spaced_names(network, 1000)
    assert len(np.unique(names)) == 300
    assert (names.min() >= 1, names.max()) == (True, 1000)
    order = np.argsort(names)
    assert (np.diff(network.arrival[order]) >= 0).all()
    assert np.sort(spaced_names(network, 300)).tolist() == list(range(1, 301))
