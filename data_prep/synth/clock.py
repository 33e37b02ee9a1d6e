"""Times of the events of a step."""

import numpy as np

from data_prep.synth.network import Network, Step


def seconds(network: Network, step: Step, begin: int, end: int, burst: float = 0.0) -> np.ndarray:
    """Draw whole seconds for the events of a step, in order; those of the first and last event are `begin` and `end`.

    Parameters
    ----------
    network : Network
        Gives the number of steps, each of which lasts equally long, and the random stream.
    step : Step
        The events.
    begin, end : int
        Times of the first and the last event of all, seconds.
    burst : float
        Share of events that come in the same second as the one before.

    Returns
    -------
    numpy.ndarray, shape (events,), int64
        Never falling.
    """
    rng = network.stream(12, step.number)
    low, high = (begin + (end + 1 - begin) * number // network.steps for number in (step.number, step.number + 1))
    time = np.sort(rng.integers(low, high, len(step)))
    time[rng.random(len(step)) < burst] = low
    if step.number == 0:
        time[0] = begin
    if step.number == network.steps - 1:
        time[-1] = end
    return np.maximum.accumulate(time)
