import numpy as np

from data_prep.synth.clock import seconds
from data_prep.synth.network import Network

NETWORK = Network(nodes=200, events=5000, steps=7)


def times(begin, end, burst=0.0):
    return [seconds(NETWORK, step, begin, end, burst) for step in NETWORK]


def test_times_rise_from_the_first_to_the_last_second_and_steps_are_equally_long():
    steps = times(1000, 7999)
    every = np.concatenate(steps)
    assert (every[0], every[-1], len(every)) == (1000, 7999, 5000)
    assert (np.diff(every) >= 0).all()
    assert [(step // 1000).tolist() for step in steps] == [[number] * len(step) for number, step in enumerate(steps, 1)]


def test_bursts_share_a_second():
    ties = [np.mean(np.diff(np.concatenate(times(0, 10**12, burst))) == 0) for burst in (0.0, 0.3)]
    assert ties[0] == 0
    assert abs(ties[1] - 0.3) < 0.03
