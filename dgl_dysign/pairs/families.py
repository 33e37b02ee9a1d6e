"""Families of link features: of nodes and pairs from sums and times, of both ends from paths and walks over edges.

A family is a function of a `Question`; it yields names and, for each, a function that computes the column, which
broadcasts to ``(E, C)``. What is not read is not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np

from dgl_dysign.pairs import _compiled
from dgl_dysign.pairs.history import DECAYS, History, Nodes
from dgl_dysign.pairs.projections import STEPS
from dgl_dysign.pairs.question import Columns, Question
from dgl_dysign.pairs.walks import pagerank, shared, walks


def of_nodes(past: History, t: int) -> Iterator[tuple[str, Callable[[Nodes], np.ndarray]]]:
    """Recency and decayed degrees, as functions of nodes."""

    def recency(last: np.ndarray, nodes: Nodes) -> np.ndarray:
        return past.recency(t, last[nodes])

    def fresh(last: np.ndarray, nodes: Nodes) -> np.ndarray:
        return np.exp(-past.since(t, last[nodes]))

    def degree(kind: str, decay: float, nodes: Nodes) -> np.ndarray:
        return np.log1p(past.sum(kind, decay, t, nodes))

    for kind, last in past.lasts().items():
        yield f"recency_{kind}", partial(recency, last)
        yield f"fresh_{kind}", partial(fresh, last)
    yield "age", partial(recency, np.where(np.isinf(past.first), -np.inf, past.first))
    for decay in DECAYS:
        for kind in ("out", "in", "active"):
            yield f"{kind}_{decay}", partial(degree, kind, decay)


def activity(ask: Question) -> Columns:
    """Recency and decayed degrees of both ends."""
    columns = list(of_nodes(ask.past, ask.t))
    for end, nodes in (("src", ask.src), ("dst", ask.dst)):
        for name, column in columns:
            yield f"{end}_{name}", partial(column, nodes)

    @cache
    def apart() -> np.ndarray:
        first = np.nan_to_num(ask.past.first, posinf=ask.past.now(ask.t))
        return first[ask.dst] - first[ask.src]

    yield "ages_apart", lambda: np.log1p(np.abs(apart()))
    yield "joined_later", lambda: np.sign(apart()) * np.log1p(np.abs(apart()))


def ranks(ask: Question) -> Columns:
    """Share of all nodes that the destination is ahead of."""
    for kind, last in ask.past.lasts().items():
        yield f"recency_{kind}", partial(_ahead, last, ask.dst)
    for decay in DECAYS:
        for kind, names in (("out", ("out",)), ("in", ("in",)), ("any", ("out", "in"))):

            def column(names: tuple[str, ...] = names, decay: float = decay) -> np.ndarray:
                return _ahead(np.sum([ask.past.sum(name, decay, ask.t) for name in names], axis=0), ask.dst)

            yield f"{kind}_{decay}", column


def _ahead(values: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    # Ties share a place, whatever the nodes' numbers.
    return np.searchsorted(np.sort(values), values[nodes]) / len(values)


def pair(ask: Question) -> Columns:
    """History of the two, and how either end treats those who come to it."""
    past, t, src, dst = ask.past, ask.t, ask.src, ask.dst

    def times(kind: str, last: Callable[[], tuple[np.ndarray, np.ndarray]]) -> Columns:
        yield f"met_{kind}", lambda: last()[0] > -np.inf
        yield f"recency_{kind}", lambda: past.recency(t, last()[0])
        yield f"fresh_{kind}", lambda: np.exp(-past.since(t, last()[0]))

    def waiting(scale: int) -> np.ndarray:
        return np.where(unanswered(), np.exp(-past.since(t, ask.back()[0]) / scale), 0.0)

    yield from times("forth", ask.forth)
    yield from times("back", ask.back)
    unanswered = cache(lambda: (ask.back()[0] > -np.inf) & (ask.forth()[0] == -np.inf))
    yield "unanswered", unanswered
    for scale in (1, 8):
        yield f"unanswered_{scale}", partial(waiting, scale)
    out, into, mutual = past.pairs.degree, past.sources, past.mutual
    yield "src_owes", lambda: np.log1p(into[src] - mutual[src])
    yield "dst_owes", lambda: np.log1p(into[dst] - mutual[dst])
    yield "dst_owed", lambda: np.log1p(out[dst] - mutual[dst])
    yield "src_answers", lambda: mutual[src] / np.maximum(into[src], 1)
    yield "dst_answers", lambda: mutual[dst] / np.maximum(into[dst], 1)
    yield "dst_answered", lambda: mutual[dst] / np.maximum(out[dst], 1)


def ratings(ask: Question) -> Columns:
    """Signed weights: given, received, between the two, and as seen by the neighbours of the source."""
    past, t, ends = ask.past, ask.t, {"src": ask.src, "dst": ask.dst}
    yield "forth", lambda: ask.forth()[1]
    yield "back", lambda: ask.back()[1]
    for decay in DECAYS:
        for name in ("dst_in_sign", "dst_in_weight", "dst_out_weight", "src_in_weight", "src_out_weight"):
            end, kind = name.split("_", 1)
            yield f"{name}_{decay}", partial(past.mean, kind, decay, t, ends[end])
    for decay in (1.0, 0.9):
        for kind in ("pos", "neg"):
            for end, name in (("dst", f"in_{kind}"), ("dst", f"out_{kind}"), ("src", f"out_{kind}")):

                def column(end: str = end, name: str = name, decay: float = decay) -> np.ndarray:
                    return np.log1p(past.sum(name, decay, t, ends[end]))

                yield f"{end}_{name}_{decay}", column
    for decay in (0.98, 0.9):

        def positive(decay: float = decay) -> np.ndarray:
            return np.log(pagerank(ask, "near", decay, 1, ahead=False)[0][0] + 1e-6)

        yield f"walk_pos_{decay}", positive
        for kind, sign in (("pos", 1), ("neg", -1)):

            def seen(sign: int = sign, decay: float = decay) -> np.ndarray:
                edges = ask.graph.edges
                return np.log1p(5 * ask.paths(edges("near", decay), edges("into", decay, sign)))

            yield f"neighbours_{kind}_{decay}", seen


def habits(ask: Question) -> Columns:
    """Partners that the ends used to have, and whether both are around at the same times."""
    past, t, src, dst = ask.past, ask.t, ask.src, ask.dst
    for decay in (1.0, 0.9):
        for kind in ("silence", "degree"):
            yield f"src_chose_{kind}_{decay}", partial(past.mean, f"out_{kind}", decay, t, src)
            yield f"dst_chose_{kind}_{decay}", partial(past.mean, f"out_{kind}", decay, t, dst)
            yield f"dst_chosen_{kind}_{decay}", partial(past.mean, f"in_{kind}", decay, t, dst)
    active = cache(past.activity)
    yield from _together_columns("", cache(partial(_together, ask, active, 1.0)))
    yield from _together_columns("_recent", cache(partial(_together, ask, active, 0.97)))


def _together_columns(name: str, together: Callable[[], tuple[np.ndarray, np.ndarray]]) -> Columns:
    yield f"together{name}", lambda: np.log1p(together()[0])
    yield f"together_cosine{name}", lambda: together()[0] / together()[1]


def _together(
    ask: Question, activity: Callable[[], tuple[np.ndarray, ...]], decay: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return products and lengths of log(1 + edges) in each snapshot, weighed by how rare it is to be active then."""
    (node, when, active, indptr), size = activity(), ask.past.num_nodes
    rarity = np.log((1 + size) / (1 + np.bincount(when, minlength=max(ask.t, 1))))
    active = active * (rarity * decay ** (ask.t - 1 - np.arange(len(rarity))))[when]
    length = np.sqrt(np.bincount(node, active**2, size)) + 1e-9
    dst = np.ascontiguousarray(ask.dst)
    product = _compiled.paths(indptr, when, active, active, len(rarity), ask.src[:, 0], dst)
    return product, length[ask.dst] * length[ask.src]


def projections(ask: Question) -> Columns:
    """Inner products of the projected walks of both ends, as TPNet takes them: log(1 + max(0, .)) of each two."""
    walks = cache(lambda: ask.past.projections(ask.t))
    of_src = cache(lambda: walks()[:, ask.src[:, 0]].transpose(1, 2, 0))  # (E, width, steps)
    crossed = cache(lambda k: _log_of_positive(walks()[k][ask.dst] @ of_src()))  # (E, C, steps)
    own = cache(lambda k, j: _log_of_positive((walks()[k] * walks()[j]).sum(1)))
    for k in range(STEPS + 1):
        for j in range(STEPS + 1):
            yield f"src_{j}_dst_{k}", partial(_part, crossed, (k,), (..., j))
            if j >= k:
                yield f"src_{k}_src_{j}", partial(_part, own, (k, j), ask.src)
                yield f"dst_{k}_dst_{j}", partial(_part, own, (k, j), ask.dst)


def _part(values: Callable[..., np.ndarray], arguments: tuple[int, ...], at: Any) -> np.ndarray:
    return values(*arguments)[at]


def _log_of_positive(product: np.ndarray) -> np.ndarray:
    return np.log1p(np.maximum(product, 0.0))


FAMILIES: dict[str, Callable[[Question], Columns]] = {
    "activity": activity, "ranks": ranks, "pair": pair, "ratings": ratings, "shared": shared, "walks": walks,
    "habits": habits, "projections": projections,
}  # fmt: skip
"""Every family by its name, in the order of the columns."""
ONLY_NAMED = ("projections",)
"""Families that are left out unless they are named."""
