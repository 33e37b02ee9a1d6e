"""``src dst unixtime`` lines: CollegeMsg, Wiki-Talk, Stack-Overflow."""

from typing import Any

import numpy as np

from data_prep.synth.clock import seconds
from data_prep.synth.network import Network
from data_prep.synth.output import Output
from data_prep.synth.published import Request
from data_prep.synth.text import Integer, joined


def write(request: Request, output: Output) -> dict[str, Any]:
    """Write the edge file; return the counts."""
    options, nodes = request.format.options, request.num_nodes
    network = Network(nodes, request.rows, request.format.steps, communities=40, seed=request.seed)
    names = spaced_names(network, request.part_of(options["highest"], least=nodes))
    with output.edges(str(options["file"]), request.rows) as file:
        for step in network:
            time = seconds(network, step, int(options["begin"]), int(options["end"]), burst=0.05)
            fields = Integer(names[step.src]), Integer(names[step.dst]), Integer(time)
            file.write(joined(fields, b" "), len(step))
    return {"nodes": nodes, "events": request.rows}


def spaced_names(network: Network, highest: int) -> np.ndarray:
    """Give nodes ids from 1 to `highest` in the order in which they arrive, with gaps where there are fewer nodes."""
    lower = 1 + np.sort(network.stream(10).permutation(highest - 1)[: network.nodes - 1])
    names = np.empty(network.nodes, np.int64)
    names[network.arrival_order()] = np.concatenate([lower, [highest]])
    return names
