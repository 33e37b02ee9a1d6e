"""DBLP and Tmall as SpikeNet and Dy-SIGN share them: ``src dst time`` lines and ``node2label.txt``."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.synth.network import Network, Votes
from data_prep.synth.output import Choice, Integer, Output, joined
from data_prep.synth.published import Request
from dgl_dysign.errors import ConfigError

TMALL_CLASSES = (662, 737, 1505, 656, 1095)
"""In the order in which the real file lists them."""


@dataclass(frozen=True)
class DblpLike:
    """A growing network of drifting communities in DBLP's format, with labels that depend on structure and time.

    Nodes arrive over time, ever faster. Each has a heavy-tailed activity and a community, which it leaves now and then.
    An event repeats an earlier one (as co-authors meet again), or joins two nodes of one community, or any two. The
    label of a node is the community in which most of its events fell, an event `t` steps old counting ``memory ** t``;
    some labels are replaced by a random one.

    Parameters
    ----------
    nodes, steps, classes, seed : int
        Size and seed; the first step is 0.
    events_per_step : int, optional
        Mean number of events a step; default ``8.4 * nodes / steps``, as in DBLP.
    drift : float
        Chance that a node changes its community at a step.
    repeat, mixing, noise : float
        Share of events that repeat one of this or the last four steps, of the others that ignore communities, and of
        labels replaced by a random one.
    tail : float
        Exponent of the Pareto distribution of activities.
    memory : float
        Weight that an event keeps from step to step where labels are made.

    Raises
    ------
    ConfigError
        If a size is too small for the others, or a share lies outside 0 to 1.

    Examples
    --------
    >>> edges, labels = DblpLike(nodes=100, steps=4, classes=3).generate()
    >>> edges.shape, labels.shape, int(edges[:, :2].max())
    ((840, 3), (100,), 99)
    """

    nodes: int = 2000
    steps: int = 12
    classes: int = 6
    seed: int = 0
    events_per_step: int | None = None
    drift: float = 0.03
    repeat: float = 0.3
    mixing: float = 0.25
    tail: float = 2.0
    memory: float = 0.8
    noise: float = 0.08

    def __post_init__(self) -> None:
        for name, least in (("classes", 2), ("steps", 2), ("nodes", 4 * self.classes), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}: found {getattr(self, name)}, expected {least} or more; give a larger value")
        if self.events_per_step is not None and self.events_per_step * self.steps < 2 * self.nodes:
            raise ConfigError(
                f"events_per_step: found {self.events_per_step}, expected {-(-2 * self.nodes // self.steps)} or more, "
                f"so that each of {self.nodes} nodes gets events in {self.steps} steps; give a larger value"
            )
        for name in ("drift", "repeat", "mixing", "memory", "noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: found {getattr(self, name)}, expected 0 to 1")

    def generate(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the events, int64 rows of (src, dst, step) in order of step, and the label of each node."""
        rng = np.random.default_rng(self.seed)
        activity = 1 + rng.pareto(self.tail, self.nodes)
        share = 1 / np.arange(1, self.classes + 1) ** 0.7
        community = rng.choice(self.classes, self.nodes, p=share / share.sum())
        arrived = self._growth(self.nodes, least=2 * self.classes)
        events = self._growth(int(self.events_per_step or 8.4 * self.nodes / self.steps) * self.steps)
        votes = np.zeros((self.nodes, self.classes))
        steps: list[np.ndarray] = []
        for step in range(self.steps):
            moving = np.flatnonzero(rng.random(self.nodes) < self.drift)
            community[moving] = rng.choice(self.classes, len(moving), p=share / share.sum())
            new = np.arange(arrived[step - 1] if step else 0, arrived[step])
            number = max(events[step] - (events[step - 1] if step else 0), len(new))
            pairs = self._pairs(rng, number, new, activity[: arrived[step]], community, steps)
            steps.append(pairs)
            votes *= self.memory
            for ends in pairs.T:
                np.add.at(votes, (ends, community[ends]), 1)
        labels = votes.argmax(axis=1)
        wrong = rng.random(self.nodes) < self.noise
        labels[wrong] = rng.integers(0, self.classes, wrong.sum())
        # Nodes are numbered by arrival so far; a model must not be able to read the time off the number.
        names = rng.permutation(self.nodes)
        edges = np.concatenate([np.c_[names[pairs], np.full(len(pairs), step)] for step, pairs in enumerate(steps)])
        return edges, labels[np.argsort(names)]

    def _growth(self, total: int, least: int = 1) -> np.ndarray:
        """Cumulative counts that end at `total` and grow ever faster, as DBLP does."""
        part = np.linspace(0, 1, self.steps + 1)[1:] ** 2
        return np.maximum(np.rint(total * part).astype(np.int64), least)

    def _pairs(
        self,
        rng: np.random.Generator,
        number: int,
        new: np.ndarray,
        activity: np.ndarray,
        community: np.ndarray,
        past: list[np.ndarray],
    ) -> np.ndarray:
        """Draw the events of one step; each new node has one."""
        order = np.argsort(community[: len(activity)], kind="stable")
        ends = np.concatenate([[0.0], np.cumsum(activity[order])])
        bounds = np.searchsorted(community[order], np.arange(self.classes + 1))

        def draw(low: np.ndarray, high: np.ndarray) -> np.ndarray:
            at = np.searchsorted(ends, low + (high - low) * rng.random(len(low)), side="right") - 1
            return order[np.minimum(at, len(order) - 1)]

        everyone = np.zeros(number), np.full(number, ends[-1])
        src = draw(*everyone)
        src[: len(new)] = new
        group = community[src]
        dst = draw(ends[bounds[group]], ends[bounds[group + 1]])
        dst = np.where(rng.random(number) < self.mixing, draw(*everyone), dst)
        # A node that met itself meets the next one instead.
        dst = np.where(src == dst, (dst + 1) % len(activity), dst)
        pairs = np.c_[src, dst]
        again = np.flatnonzero(rng.random(number) < self.repeat)
        again = again[again >= len(new)]
        known = np.concatenate([*past[-4:], pairs])
        pairs[again] = known[rng.integers(0, len(known), len(again))]
        return rng.permutation(pairs)

    def write(
        self, folder: Path, parts: int = 1, compress: str | None = None, on_rows: Callable[[int], object] | None = None
    ) -> dict[str, int]:
        """Write ``dblp.txt``, ``node2label.txt`` and ``synth.json``; return counts of nodes, events, steps and classes.

        The parameters are those of :class:`data_prep.synth.output.Output`.
        """
        edges, labels = self.generate()
        output = Output(folder, parts, compress, on_rows)
        src, dst, step = edges.T
        times = written_times(self.steps)
        with output.edges("dblp.txt", len(edges)) as file:
            file.write(joined((Integer(src), Integer(dst), Choice(times, step)), b" "), len(edges))
        with output.table("node2label.txt", self.nodes) as file:
            file.write(joined((Integer(np.arange(self.nodes)), Integer(labels)), b" "), self.nodes)
        output.mark("dblp", asdict(self))
        return {"nodes": self.nodes, "events": len(edges), "steps": self.steps, "classes": self.classes}


def written_times(steps: int) -> list[str]:
    """Return the times of steps as the real files have them: from 0.0 to 1.0, rounded to 6 places."""
    return [repr(round(step / (steps - 1), 6)) for step in range(steps)]


def write_tmall(request: Request, output: Output) -> dict[str, Any]:
    """Write ``tmall.txt`` and ``node2label.txt``; return the counts."""
    steps, nodes = request.format.steps, request.num_nodes
    network = Network(nodes, request.rows, steps, classes=len(TMALL_CLASSES), seed=request.seed)
    votes = Votes(network, memory=0.97)
    # Nodes are numbered by activity so far; a model must not be able to read that off the number.
    names = network.stream(10).permutation(nodes)
    times = written_times(steps)
    with output.edges("tmall.txt", request.rows) as file:
        for step in network:
            votes.add(step)
            fields = Integer(names[step.src]), Integer(names[step.dst]), Choice(times, np.full(len(step), step.number))
            file.write(joined(fields, b" "), len(step))
    labelled = min(nodes, request.part_of(request.format.options["labelled"], least=len(TMALL_CLASSES)))
    _write_labels(output, network.stream(11).permutation(nodes)[:labelled], votes.labels(), names)
    return {"nodes": nodes, "events": request.rows, "steps": steps, "classes": len(TMALL_CLASSES), "labelled": labelled}


def _write_labels(output: Output, chosen: np.ndarray, labels: np.ndarray, names: np.ndarray) -> None:
    """Write the labels class by class, as the real file does."""
    chosen = chosen[np.argsort(labels[chosen], kind="stable")]
    with output.table("node2label.txt", len(chosen)) as file:
        classes = Choice([str(name) for name in TMALL_CLASSES], labels[chosen])
        file.write(joined((Integer(names[chosen]), classes), b" "), len(chosen))
