"""Tmall as SpikeNet shares it: ``src dst time`` lines, and labels for some of the nodes."""

from typing import Any

import numpy as np

from data_prep.synth.network import Network, Votes
from data_prep.synth.output import Output
from data_prep.synth.published import Request
from data_prep.synth.text import Choice, Integer, joined

CLASS_NAMES = (662, 737, 1505, 656, 1095)
"""In the order in which the real file lists them."""


def write(request: Request, output: Output) -> dict[str, Any]:
    """Write ``tmall.txt`` and ``node2label.txt``; return the counts."""
    steps, nodes = request.format.steps, request.num_nodes
    network = Network(nodes, request.rows, steps, classes=len(CLASS_NAMES), seed=request.seed)
    votes = Votes(network, memory=0.97)
    # Nodes are numbered by activity so far; a model must not be able to read that off the number.
    names = network.stream(10).permutation(nodes)
    times = [repr(round(step / (steps - 1), 6)) for step in range(steps)]
    with output.edges("tmall.txt", request.rows) as file:
        for step in network:
            votes.add(step)
            fields = Integer(names[step.src]), Integer(names[step.dst]), Choice(times, np.full(len(step), step.number))
            file.write(joined(fields, b" "), len(step))
    labelled = min(nodes, request.part_of(request.format.options["labelled"], least=len(CLASS_NAMES)))
    _write_labels(output, network.stream(11).permutation(nodes)[:labelled], votes.labels(), names)
    return {"nodes": nodes, "events": request.rows, "steps": steps, "classes": len(CLASS_NAMES), "labelled": labelled}


def _write_labels(output: Output, chosen: np.ndarray, labels: np.ndarray, names: np.ndarray) -> None:
    """Write the labels class by class, as the real file does."""
    chosen = chosen[np.argsort(labels[chosen], kind="stable")]
    with output.table("node2label.txt", len(chosen)) as file:
        classes = Choice([str(name) for name in CLASS_NAMES], labels[chosen])
        file.write(joined((Integer(names[chosen]), classes), b" "), len(chosen))
