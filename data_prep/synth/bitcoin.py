"""Bitcoin-OTC and Bitcoin-Alpha as SNAP shares them: ``source,target,rating,time``."""

from typing import Any

import numpy as np

from data_prep.synth.clock import seconds
from data_prep.synth.messages import spaced_names
from data_prep.synth.network import Network, Step
from data_prep.synth.output import Output
from data_prep.synth.published import Request
from data_prep.synth.text import Decimal, Field, Integer, joined

_DAY = 86_400
_GOOD = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10), (0.62, 0.18, 0.08, 0.03, 0.04, 0.01, 0.01, 0.01, 0.003, 0.017)
_BAD = (-10, -5, -3, -2, -1), (0.68, 0.05, 0.03, 0.06, 0.18)


def write(request: Request, output: Output) -> dict[str, Any]:
    """Write the edge file; return the counts."""
    options, nodes = request.format.options, request.num_nodes
    network = Network(nodes, request.rows, request.format.steps, seed=request.seed, repeat=0.0, growth=0.0)
    names = spaced_names(network, request.part_of(options["highest"], least=nodes))
    begin, end = int(options["begin"]), int(options["end"])
    rows: list[np.ndarray] = []
    for step in network:
        time = seconds(network, step, begin, end)
        rows.append(np.stack([names[step.src], names[step.dst], ratings(network, step), time]))
    src, dst, rating, time = np.concatenate(rows, axis=1)
    when: Field
    if options["daily"]:
        # The real file holds one time a day, and lists the ratings that each node got, the best first.
        order = np.lexsort((network.stream(14).random(len(time)), -rating, dst))
        src, dst, rating, time = src[order], dst[order], rating[order], time[order]
        when = Integer(begin + (time - begin) // _DAY * _DAY)
    else:
        # Times do not fall: sorting only puts the fractions within a second in order.
        when = Decimal(np.sort(time * 100_000 + network.stream(14).integers(0, 100_000, len(time))), 5)
    with output.edges(str(options["file"]), request.rows) as file:
        file.write(joined((Integer(src), Integer(dst), Integer(rating), when), b","), request.rows)
    return {"nodes": nodes, "events": request.rows}


def ratings(network: Network, step: Step) -> np.ndarray:
    """Rate members of one's own community well, and others badly now and then."""
    rng = network.stream(13, step.number)
    bad = rng.random(len(step)) < np.where(step.src_community == step.dst_community, 0.04, 0.35)
    return np.where(bad, *(_draw(rng, len(step), *table) for table in (_BAD, _GOOD)))


def _draw(rng: np.random.Generator, number: int, values: tuple[int, ...], shares: tuple[float, ...]) -> np.ndarray:
    at = np.searchsorted(np.cumsum(shares)[:-1], rng.random(number), side="right")
    return np.array(values)[at]
