"""Families of link features: of nodes and pairs from sums and times, of both ends from paths and walks over edges.

A family is a function of a `Question`; it yields names and, for each, a function that computes the column, which
broadcasts to ``(E, C)``. What is not read is not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial

import numpy as np

from dgl_dysign.pairs.derived import Nodes
from dgl_dysign.pairs.history import DECAYS, History
from dgl_dysign.pairs.question import Columns, Question
from dgl_dysign.pairs.walks import pagerank, projections, shared, walks

LASTS = ("out", "in", "any")  # edges whose last time is kept


def of_nodes(past: History, t: int) -> Iterator[tuple[str, Callable[[Nodes], np.ndarray]]]:
    """Recency and decayed degrees, as functions of nodes."""

    def recency(kind: str, nodes: Nodes) -> np.ndarray:
        return past.recency(t, past.last(kind, nodes))

    def fresh(kind: str, nodes: Nodes) -> np.ndarray:
        return np.exp(-past.since(t, past.last(kind, nodes)))

    def age(nodes: Nodes) -> np.ndarray:
        first = past.first[nodes]
        return past.recency(t, np.where(np.isinf(first), -np.inf, first))

    def degree(kind: str, decay: float, nodes: Nodes) -> np.ndarray:
        return np.log1p(past.sum(kind, decay, t, nodes))

    for kind in LASTS:
        yield f"recency_{kind}", partial(recency, kind)
        yield f"fresh_{kind}", partial(fresh, kind)
    yield "age", age
    for decay in DECAYS:
        for kind in ("out", "in", "active"):
            yield f"{kind}_{decay}", partial(degree, kind, decay)


def activity(ask: Question) -> Columns:
    """Recency and decayed degrees of both ends."""
    columns = list(of_nodes(ask.past, ask.t))
    for end in ("src", "dst"):
        for name, column in columns:
            yield f"{end}_{name}", partial(ask.of_end, end, column)

    @cache
    def apart() -> np.ndarray:
        src, dst = (np.nan_to_num(ask.past.first[end], posinf=ask.past.now(ask.t)) for end in (ask.src, ask.dst))
        return dst - src

    yield "ages_apart", lambda: np.log1p(np.abs(apart()))
    yield "joined_later", lambda: np.sign(apart()) * np.log1p(np.abs(apart()))


def ranks(ask: Question) -> Columns:
    """Share of all nodes that the destination is ahead of."""
    for kind in LASTS:
        yield f"recency_{kind}", partial(ask.of_end, "dst", partial(ask.past.ahead, kind, None))
    for decay in DECAYS:
        for kind in ("out", "in", "any"):
            yield f"{kind}_{decay}", partial(ask.of_end, "dst", partial(ask.past.ahead, kind, decay))


def pair(ask: Question) -> Columns:
    """History of the two, and how either end treats those who come to it."""
    past, t = ask.past, ask.t

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

    def owed(of: np.ndarray, nodes: Nodes) -> np.ndarray:
        return np.log1p(of[nodes] - mutual[nodes])

    def answered(of: np.ndarray, nodes: Nodes) -> np.ndarray:
        return mutual[nodes] / np.maximum(of[nodes], 1)

    for name, column in (
        ("src_owes", partial(owed, into)), ("dst_owes", partial(owed, into)), ("dst_owed", partial(owed, out)),
        ("src_answers", partial(answered, into)), ("dst_answers", partial(answered, into)),
        ("dst_answered", partial(answered, out)),
    ):  # fmt: skip
        yield name, partial(ask.of_end, name[:3], column)


def ratings(ask: Question) -> Columns:
    """Signed weights: given, received, between the two, and as seen by the neighbours of the source."""
    past, t = ask.past, ask.t
    yield "forth", lambda: ask.forth()[1]
    yield "back", lambda: ask.back()[1]
    for decay in DECAYS:
        for name in ("dst_in_sign", "dst_in_weight", "dst_out_weight", "src_in_weight", "src_out_weight"):
            end, kind = name.split("_", 1)
            yield f"{name}_{decay}", partial(ask.of_end, end, partial(past.mean, kind, decay, t))
    for decay in (1.0, 0.9):
        for kind in ("pos", "neg"):
            for end, name in (("dst", f"in_{kind}"), ("dst", f"out_{kind}"), ("src", f"out_{kind}")):

                def column(nodes: Nodes, name: str = name, decay: float = decay) -> np.ndarray:
                    return np.log1p(past.sum(name, decay, t, nodes))

                yield f"{end}_{name}_{decay}", partial(ask.of_end, end, column)
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
    mean = ask.past.mean
    for decay in (1.0, 0.9):
        for kind in ("silence", "degree"):
            for end, name, way in (("src", "chose", "out"), ("dst", "chose", "out"), ("dst", "chosen", "in")):
                of_node = partial(mean, f"{way}_{kind}", decay, ask.t)
                yield f"{end}_{name}_{kind}_{decay}", partial(ask.of_end, end, of_node)
    for name, decay in (("", 1.0), ("_recent", 0.97)):
        together = cache(partial(_together, ask, decay))
        yield f"together{name}", partial(_product, together)
        yield f"together_cosine{name}", partial(_cosine, together)


def _together(ask: Question, decay: float) -> tuple[np.ndarray, ...]:
    return ask.past.activity().together(decay, ask.t, ask.src[:, 0], ask.dst)


def _product(together: Callable[[], tuple[np.ndarray, ...]]) -> np.ndarray:
    return np.log1p(together()[0])


def _cosine(together: Callable[[], tuple[np.ndarray, ...]]) -> np.ndarray:
    product, of_src, of_dst = together()
    return product / ((of_src + 1e-9) * (of_dst + 1e-9))


FAMILIES: dict[str, Callable[[Question], Columns]] = {
    "activity": activity, "ranks": ranks, "pair": pair, "ratings": ratings, "shared": shared, "walks": walks,
    "habits": habits, "projections": projections,
}  # fmt: skip
"""Every family by its name, in the order of the columns."""
