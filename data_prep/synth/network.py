"""Events of a growing network with drifting communities: what all generated formats share."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dgl_dysign.errors import ConfigError

_WINDOW = 50_000
"""How far back an event may lie that is repeated; nearer ones are repeated more often."""
_PER_COMMUNITY = 25
"""Least mean number of nodes in a community."""


@dataclass(frozen=True)
class Step:
    """The events of one step (from 0), in order: end points, int64, and their communities at that time.

    Node 0 is the most active.
    """

    number: int
    src: np.ndarray
    dst: np.ndarray
    src_community: np.ndarray
    dst_community: np.ndarray

    def __len__(self) -> int:
        return len(self.src)


class Network:
    """A growing network whose communities drift, generated step by step; exactly so many nodes, events and steps.

    Each node arrives at a step, as an end of some event, and has a community, which it leaves now and then. Activities
    are the quantiles of a Pareto distribution: node `i` of `n` acts in proportion to ``((i + 1) / n) ** (-1 / tail)``,
    so that ``n * u ** (tail / (tail - 1))`` with a uniform `u` draws a node without a table. An event repeats one of
    the last 50,000, or joins two nodes of one community, or any two. Each step has a random stream of its own.

    Parameters
    ----------
    ends : str
        ``"same"``: any node can be either end. ``"two"``: `passive` nodes are destinations only, others sources only
        (items and users). ``"cite"``: sources are the nodes that arrive at the step, destinations those that were there
        before; `passive` nodes are cited only.
    passive : int, optional
        Number of nodes that arrive as a destination; default 30 % of them.
    classes : int
        Classes of communities: community `c` belongs to class ``c % classes``. Class `k` has a share in proportion to
        ``(k + 1) ** -0.7``.
    communities : int
        Communities of each class, at most; fewer where there are few nodes.
    seed : int
        Equal seeds give equal events.
    moves : float
        Mean number of times that a node changes its community.
    repeat, mixing : float
        Share of events that repeat an earlier one (0 where ``ends="cite"``); share of the others that ignore
        communities.
    tail : float
        Exponent of the Pareto distribution, above 1.
    growth : float
        The number of events of a step grows like ``step ** growth``, beside a random factor.

    Raises
    ------
    ConfigError
        If there are too few events for the nodes or the steps, or citations shall repeat.
    """

    def __init__(
        self,
        nodes: int,
        events: int,
        steps: int,
        *,
        ends: Literal["same", "two", "cite"] = "same",
        passive: int | None = None,
        classes: int = 1,
        communities: int = 10,
        seed: int = 0,
        moves: float = 0.5,
        repeat: float = 0.2,
        mixing: float = 0.2,
        tail: float = 1.7,
        growth: float = 1.0,
    ) -> None:
        self.nodes, self.events, self.steps = nodes, events, steps
        self.ends, self.classes, self.seed = ends, classes, seed
        self.moves, self.repeat, self.mixing = moves, repeat, mixing
        self._power = tail / (tail - 1)
        self.passive = int(0.3 * nodes) if passive is None else passive
        self._check()
        each = max(1, min(communities, nodes // (_PER_COMMUNITY * classes)))
        self.communities = each * classes
        share = (1 + np.arange(self.communities) % classes) ** -0.7
        self._bounds = np.cumsum(share / share.sum())
        rng = self.stream(0)
        self.sizes = self._sizes(rng, growth)
        self.is_passive, self.arrival = self._arrivals(rng)

    def _check(self) -> None:
        if self.ends == "cite" and self.repeat:
            raise ConfigError(f"repeat: found {self.repeat}, expected 0, as sources of citations are always new")
        least = 1 if self.ends == "same" else self.steps
        if self.nodes - self.passive < least or self.passive < 1:
            raise ConfigError(
                f"found {self.nodes - self.passive} nodes that act and {self.passive} that do not, "
                f"expected {least} and 1 or more; ask for more events"
            )
        if self.events < max(self.steps, self.nodes - self.passive, self.passive):
            raise ConfigError(
                f"found {self.events} events of {self.nodes} nodes in {self.steps} steps, expected at least one event "
                "a node and a step; ask for more events"
            )

    def stream(self, *purpose: int) -> np.random.Generator:
        """Return the random stream of a purpose (0 to 9 are the network's own), the same on each call."""
        return np.random.Generator(np.random.SFC64([self.seed, *purpose]))

    def _sizes(self, rng: np.random.Generator, growth: float) -> np.ndarray:
        """Events of each step, at least one."""
        weight = (np.arange(1, self.steps + 1) / self.steps) ** growth * np.exp(0.25 * rng.standard_normal(self.steps))
        spare = np.rint((self.events - self.steps) * np.cumsum(weight) / weight.sum()).astype(np.int64)
        return 1 + np.diff(spare, prepend=0)

    def _arrivals(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Which nodes are passive, and the step at which each node arrives."""
        order = rng.permutation(self.nodes)
        passive = np.zeros(self.nodes, bool)
        passive[order[: self.passive]] = True
        arrival = np.empty(self.nodes, np.int16)
        for group in (order[: self.passive], order[self.passive :]):
            arrival[group] = np.repeat(np.arange(self.steps), self._arriving(len(group)))
        return passive, arrival

    def _arriving(self, total: int) -> np.ndarray:
        """Nodes that arrive at each step, no more than it has events; at least one at the first step.

        Fewer and fewer events bring a new node (Heaps' law), except where each source is new.
        """
        cumulative = np.cumsum(self.sizes) / self.events
        wanted = np.rint(total * cumulative ** (1.0 if self.ends == "cite" else 0.7)).astype(np.int64)
        least = np.arange(1, self.steps + 1) if self.ends == "cite" else 1
        wanted = np.minimum(np.maximum(wanted, least), total)
        arriving = np.zeros(self.steps, np.int64)
        for step, size in enumerate(self.sizes):
            arriving[step] = min(size, wanted[step] - arriving[:step].sum())
        left = total - arriving.sum()
        for step, room in enumerate(self.sizes - arriving):
            arriving[step] += min(room, left)
            left -= min(room, left)
        return arriving

    def arrival_order(self) -> np.ndarray:
        """Return all nodes in the order in which they arrive, those of one step in a random order."""
        order = self.stream(4).permutation(self.nodes)
        return order[np.argsort(self.arrival[order], kind="stable")]

    def seconds(self, step: Step, begin: int, end: int, burst: float = 0.0) -> np.ndarray:
        """Draw the times of a step's events: whole seconds, never falling, int64 of shape (events,).

        Steps are equally long; the first and the last event of all are at `begin` and `end`; a share `burst` of events
        come in the same second as the one before.
        """
        rng = self.stream(12, step.number)
        low, high = (begin + (end + 1 - begin) * number // self.steps for number in (step.number, step.number + 1))
        time = np.sort(rng.integers(low, high, len(step)))
        time[rng.random(len(step)) < burst] = low
        if step.number == 0:
            time[0] = begin
        if step.number == self.steps - 1:
            time[-1] = end
        return np.maximum.accumulate(time)

    def __iter__(self) -> Iterator[Step]:
        community = self._draw_communities(self.stream(1), self.nodes)
        past = np.empty((2, 0), np.int64)
        for number in range(self.steps):
            rng = self.stream(2, number)
            moving = rng.integers(0, self.nodes, rng.binomial(self.nodes, min(1.0, self.moves / self.steps)))
            community[moving] = self._draw_communities(rng, len(moving))
            pairs, forced = self._pairs(rng, number, community)
            pairs = self._repeat(rng, past, pairs, forced)
            past = np.concatenate([past, pairs], axis=1)[:, -_WINDOW:]
            src, dst = pairs
            yield Step(number, src, dst, community[src], community[dst])

    def _draw_communities(self, rng: np.random.Generator, number: int) -> np.ndarray:
        return np.searchsorted(self._bounds[:-1], rng.random(number), side="right").astype(np.int16)

    def _candidates(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Possible sources and destinations of a step, the most active first."""
        if self.ends == "same":
            everyone = np.flatnonzero(self.arrival <= number)
            return everyone, everyone
        if self.ends == "two":
            here = self.arrival <= number
            return np.flatnonzero(here & ~self.is_passive), np.flatnonzero(here & self.is_passive)
        new = self.arrival == number
        return np.flatnonzero(new & ~self.is_passive), np.flatnonzero((self.arrival < number) | (new & self.is_passive))

    def _pairs(self, rng: np.random.Generator, number: int, community: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Draw the events of a step; return them, and which of them bring a new node."""
        size = int(self.sizes[number])
        sources, targets = self._candidates(number)
        src = sources[self._ranks(rng, np.full(size, len(sources)))]
        new = self.arrival == number
        acting, acted_on = np.flatnonzero(new & ~self.is_passive), np.flatnonzero(new & self.is_passive)
        first_src = _spread(rng, acting, size)
        src[first_src] = rng.permutation(acting)
        by_community = targets[np.argsort(community[targets], kind="stable")]
        count = np.bincount(community[targets], minlength=self.communities)
        group = community[src]
        anywhere = (rng.random(size) < self.mixing) | (count[group] == 0)
        begin = np.where(anywhere, len(targets), (np.cumsum(count) - count)[group])
        at = begin + self._ranks(rng, np.where(anywhere, len(targets), count[group]))
        dst = np.concatenate([by_community, targets])[at]
        first_dst = _spread(rng, acted_on, size)
        dst[first_dst] = rng.permutation(acted_on)
        forced = np.zeros(size, bool)
        forced[first_dst] = True
        if self.ends == "same":
            _part_equals(src, dst, forced, targets)
        forced[first_src] = True
        return np.stack([src, dst]), forced

    def _ranks(self, rng: np.random.Generator, number: np.ndarray) -> np.ndarray:
        """Draw one of `number` ranks, low ones more often."""
        return np.minimum((number * rng.random(len(number)) ** self._power).astype(np.int64), number - 1)

    def _repeat(self, rng: np.random.Generator, past: np.ndarray, pairs: np.ndarray, forced: np.ndarray) -> np.ndarray:
        """Replace some events by earlier ones, which may be repeats themselves."""
        known, size = past.shape[1], pairs.shape[1]
        again = np.flatnonzero((rng.random(size) < self.repeat) & ~forced)
        back = np.exp(rng.random(len(again)) * np.log(_WINDOW)).astype(np.int64)
        again, back = again[back <= again + known], back[back <= again + known]
        origin = np.arange(known + size)
        origin[known + again] -= back
        source = origin[known + again]
        while not np.array_equal(source, earlier := origin[source]):
            source = earlier
        pairs[:, again] = np.concatenate([past, pairs], axis=1)[:, source]
        return pairs


class Votes:
    """Labels that depend on structure and time: the class of the community where most of a node's events fell.

    An event that is `t` steps old counts ``memory ** t``.
    """

    def __init__(self, network: Network, memory: float = 0.8) -> None:
        self._network = network
        self._memory = np.float32(memory)
        self._votes = np.zeros((network.nodes, network.classes), np.float32)

    def add(self, step: Step) -> None:
        """Count the events of the next step."""
        self._votes *= self._memory
        classes = self._network.classes
        for node, community in ((step.src, step.src_community), (step.dst, step.dst_community)):
            np.add.at(self._votes.reshape(-1), node * classes + community % classes, np.float32(1))

    def labels(self, noise: float = 0.08) -> np.ndarray:
        """Return the class of each node; a share of `noise` is replaced by a random one."""
        rng = self._network.stream(3)
        labels = self._votes.argmax(axis=1)
        wrong = rng.random(len(labels)) < noise
        labels[wrong] = rng.integers(0, self._network.classes, wrong.sum())
        return labels


def _spread(rng: np.random.Generator, nodes: np.ndarray, size: int) -> np.ndarray:
    """Give each node a place of its own among `size`, evenly spread from a random one on."""
    return (np.arange(len(nodes)) * size // max(1, len(nodes)) + rng.integers(0, size)) % size


def _part_equals(src: np.ndarray, dst: np.ndarray, fixed: np.ndarray, nodes: np.ndarray) -> None:
    """Let a node that met itself meet the next one instead, changing the destination unless it is fixed."""
    for end, clash in ((dst, (src == dst) & ~fixed), (src, (src == dst) & fixed)):
        end[clash] = nodes[(np.searchsorted(nodes, end[clash]) + 1) % len(nodes)]
