"""Families of link features: of nodes and pairs from sums and times, of both ends from paths and walks over edges.

A family is a function of the history, the snapshot t in question, sources ``(E,)`` and candidates ``(E, C)``; it yields
names and columns that broadcast to ``(E, C)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse as sp
from numba import njit

from dgl_dysign.pairs.history import DECAYS, History

Columns = Iterator[tuple[str, np.ndarray]]
_SMALL = 1e-6  # probability below which walks are not told apart


def of_nodes(past: History, t: int) -> Columns:
    """Recency and decayed degrees of every node, columns ``(N,)``."""
    for kind, last in past.lasts().items():
        yield f"recency_{kind}", past.recency(t, last)
        yield f"fresh_{kind}", np.exp(-past.since(t, last))
    yield "age", past.recency(t, np.where(np.isinf(past.first), -np.inf, past.first))
    for decay in DECAYS:
        for kind in ("out", "in", "active"):
            yield f"{kind}_{decay}", np.log1p(past.sum(kind, decay, t))


def activity(past: History, t: int, src: np.ndarray, dst: np.ndarray) -> Columns:
    """Recency and decayed degrees of both ends."""
    columns = list(of_nodes(past, t))
    for end, nodes in (("src", src[:, None]), ("dst", dst)):
        for name, column in columns:
            yield f"{end}_{name}", column[nodes]
    apart = np.nan_to_num(past.first, posinf=past.now(t))
    apart = apart[dst] - apart[src[:, None]]
    yield "ages_apart", np.log1p(np.abs(apart))
    yield "joined_later", np.sign(apart) * np.log1p(np.abs(apart))


def ranks(past: History, t: int, src: np.ndarray, dst: np.ndarray) -> Columns:
    """Share of all nodes that the destination is ahead of."""
    for kind, last in past.lasts().items():
        yield f"recency_{kind}", _ahead(last)[dst]
    for decay in DECAYS:
        out, into = past.sum("out", decay, t), past.sum("in", decay, t)
        for kind, degree in (("out", out), ("in", into), ("any", out + into)):
            yield f"{kind}_{decay}", _ahead(degree)[dst]


def _ahead(values: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.sort(values), values) / len(values)  # ties share a place, whatever the nodes' numbers


def pair(past: History, t: int, src: np.ndarray, dst: np.ndarray) -> Columns:
    """History of the two, and how either end treats those who come to it."""
    source = np.broadcast_to(src[:, None], dst.shape)
    forth, back = past.pair(source, dst)[0], past.pair(dst, source)[0]
    for kind, last in (("forth", forth), ("back", back)):
        yield f"met_{kind}", last > -np.inf
        yield f"recency_{kind}", past.recency(t, last)
        yield f"fresh_{kind}", np.exp(-past.since(t, last))
    unanswered = (back > -np.inf) & (forth == -np.inf)
    yield "unanswered", unanswered
    for scale in (1, 8):
        yield f"unanswered_{scale}", np.where(unanswered, np.exp(-past.since(t, back) / scale), 0.0)
    out, into, mutual = _mutual(past)
    yield "src_owes", np.log1p(into - mutual)[src][:, None]
    yield "dst_owes", np.log1p(into - mutual)[dst]
    yield "dst_owed", np.log1p(out - mutual)[dst]
    yield "src_answers", (mutual / np.maximum(into, 1))[src][:, None]
    yield "dst_answers", (mutual / np.maximum(into, 1))[dst]
    yield "dst_answered", (mutual / np.maximum(out, 1))[dst]


def _mutual(past: History) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how many distinct nodes each has an edge to, from, and both."""
    src, dst = past.pairs.ends()
    answered = past.pairs.find(dst, src) >= 0
    size = past.num_nodes
    return np.bincount(src, minlength=size), np.bincount(dst, minlength=size), np.bincount(src, answered, size)


def ratings(past: History, t: int, src: np.ndarray, dst: np.ndarray) -> Columns:
    """Signed weights: given, received, between the two, and as seen by the neighbours of the source."""
    source = np.broadcast_to(src[:, None], dst.shape)
    yield "forth", past.pair(source, dst)[1]
    yield "back", past.pair(dst, source)[1]
    for decay in DECAYS:
        means = {
            kind: _mean(past.sum(kind, decay, t), past.sum(kind.split("_")[0], decay, t))
            for kind in ("in_sign", "in_weight", "out_weight")
        }
        for kind, mean in means.items():
            yield f"dst_{kind}_{decay}", mean[dst]
        for kind in ("in_weight", "out_weight"):
            yield f"src_{kind}_{decay}", means[kind][src][:, None]
    for decay in (1.0, 0.9):
        for kind in ("pos", "neg"):
            for name, nodes in ((f"in_{kind}", dst), (f"out_{kind}", dst), (f"out_{kind}", src[:, None])):
                end = "dst" if nodes is dst else "src"
                yield f"{end}_{name}_{decay}", np.log1p(past.sum(name, decay, t))[nodes]
    from_, row = _sources(src)
    for decay in (0.98, 0.9):
        positive, negative = past.matrix(decay, t, 1), past.matrix(decay, t, -1)
        yield f"walk_pos_{decay}", np.log(_pagerank(_stochastic(_both(positive)), from_)[dst, row] + 1e-6)
        near = _both(positive + negative)[from_]
        for kind, matrix in (("pos", positive), ("neg", negative)):
            yield f"neighbours_{kind}_{decay}", np.log1p(5 * (near @ matrix).toarray()[row, dst])


def _mean(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.where(count > 0, total / np.maximum(count, 1e-9), 0.0)


def habits(past: History, t: int, src: np.ndarray, dst: np.ndarray) -> Columns:
    """Partners that the ends used to have, and whether both are around at the same times."""
    for decay in (1.0, 0.9):
        out, into = past.sum("out", decay, t), past.sum("in", decay, t)
        for kind in ("silence", "degree"):
            chosen = _mean(past.sum(f"out_{kind}", decay, t), out)
            yield f"src_chose_{kind}_{decay}", chosen[src][:, None]
            yield f"dst_chose_{kind}_{decay}", chosen[dst]
            yield f"dst_chosen_{kind}_{decay}", _mean(past.sum(f"in_{kind}", decay, t), into)[dst]
    from_, row = _sources(src)
    for name, decay in (("", 1.0), ("_recent", 0.97)):
        active = _activity_matrix(past, t, decay)
        norm = np.sqrt(np.asarray(active.multiply(active).sum(1)).ravel()) + 1e-9
        together = (active[from_] @ active.T).toarray()[row, dst]
        yield f"together{name}", np.log1p(together)
        yield f"together_cosine{name}", together / norm[dst] / norm[src][:, None]


def _activity_matrix(past: History, t: int, decay: float) -> sp.csr_matrix:
    """Return log(1 + edges) of each node in each snapshot, weighed by how rare it is to be active then."""
    src, dst, snapshot, _ = past.events
    shape = (past.num_nodes, max(t, 1))
    ends, when = np.concatenate([src, dst]), np.tile(snapshot, 2)
    active = sp.csr_matrix((np.ones(len(ends)), (ends, when)), shape=shape)
    active.data = np.log1p(active.data)
    rarity = np.log((1 + past.num_nodes) / (1 + np.bincount(active.indices, minlength=shape[1])))
    return active @ sp.diags(rarity * decay ** (t - 1 - np.arange(shape[1])))


def shared(past: History, t: int, src: np.ndarray, dst: np.ndarray) -> Columns:
    """Two-step paths from source to candidate."""
    from_, row = _sources(src)
    for decay in (0.9, 0.98, 1.0):
        out = past.matrix(decay, t)
        into, near = out.T.tocsr(), _both(out)
        kinds = {"either": (near, near)}
        if decay < 1:
            kinds |= {"out_out": (out, out), "out_in": (out, into), "in_out": (into, out), "in_in": (into, into)}
        for kind, (first, second) in kinds.items():
            yield f"{kind}_{decay}", np.log1p(5 * (first[from_] @ second).toarray()[row, dst])
        degree = _degrees(near)
        rare = (near[from_] @ sp.diags(1 / np.log(2 + degree)) @ near).toarray()[row, dst]
        yield f"adamic_adar_{decay}", np.log1p(5 * rare)
        allocated = (near[from_] @ sp.diags(1 / (1 + degree)) @ near).toarray()[row, dst]
        yield f"allocation_{decay}", np.log1p(50 * allocated)
        yield f"cosine_{decay}", np.log1p(10 * allocated / np.sqrt(1 + degree[dst]))


def walks(past: History, t: int, src: np.ndarray, dst: np.ndarray) -> Columns:
    """Follow walkers from the source to the candidate."""
    from_, row = _sources(src)
    fresh = np.exp(-past.since(t, np.maximum(past.last_out, past.last_in)) / 4)[:, None]
    for decay in (0.8, 0.9, 0.98, 1.0):
        out = past.matrix(decay, t)
        near = _both(out)
        rank = _pagerank(_stochastic(near), from_)
        yield f"pagerank_{decay}", _log(rank[dst, row])
        yield f"pagerank_by_degree_{decay}", np.log(rank[dst, row] / (_degrees(near)[dst] + 1e-3) + _SMALL)
        yield f"pagerank_ahead_{decay}", _nodes_above(rank, row, dst)
        if decay in (0.9, 0.98):
            for kind, matrix in (("forth", out), ("back", out.T.tocsr())):
                directed = _pagerank(_stochastic(matrix), from_)
                yield f"pagerank_{kind}_{decay}", _log(directed[dst, row])
                if decay == 0.98:
                    yield f"pagerank_{kind}_ahead_{decay}", _nodes_above(directed, row, dst)
        if decay == 0.98:
            yield "pagerank_fresh_ahead", _nodes_above(rank * fresh, row, dst)
            yield "pagerank_fresher_ahead", _nodes_above(rank * fresh**4, row, dst)
            for restart, steps in ((0.05, 10), (0.5, 4)):
                far = _pagerank(_stochastic(near), from_, steps, restart)
                yield f"pagerank_restart_{restart}", _log(far[dst, row])
    yield from _rated_alike(past, t, dst, from_, row)
    yield from _three_steps(past, t, dst, from_, row)


def _rated_alike(past: History, t: int, dst: np.ndarray, from_: np.ndarray, row: np.ndarray) -> Columns:
    """Follow s -> c <- x -> d and s <- c -> x <- d, and their first two steps."""
    for decay in (0.97, 0.9):
        matrix = past.matrix(decay, t)
        out, into = _stochastic(matrix), _stochastic(matrix.T.tocsr())
        chosen, choosers = out @ _start(from_, past.num_nodes), into @ _start(from_, past.num_nodes)
        alike = out @ (into @ chosen)
        yield f"out_in_out_{decay}", _log(alike[dst, row])
        yield f"in_out_in_{decay}", _log((into @ (out @ choosers))[dst, row])
        yield f"in_out_{decay}", _log((out @ choosers)[dst, row])
        yield f"out_out_{decay}", _log((out @ chosen)[dst, row])
        if decay == 0.97:
            yield "out_in_out_ahead", _nodes_above(alike, row, dst)


def _three_steps(past: History, t: int, dst: np.ndarray, from_: np.ndarray, row: np.ndarray) -> Columns:
    """Three steps scaled by the degrees on the way, and four of a walker."""
    for decay in (0.98, 1.0):
        near = _both(past.matrix(decay, t))
        degree = np.maximum(_degrees(near), 1e-9)
        scale = sp.diags(degree**-0.5).astype(np.float32)
        scaled = (scale @ near @ scale).tocsr()
        two = scaled @ (scaled @ _start(from_, past.num_nodes))
        three = scaled @ two
        yield f"three_{decay}", _log(three[dst, row] * np.sqrt(degree[dst] / degree[from_][row]))
        yield f"three_scaled_{decay}", _log(three[dst, row])
        step = _stochastic(near)
        four = step @ (step @ (step @ (step @ _start(from_, past.num_nodes))))
        yield f"four_{decay}", _log(four[dst, row])
        if decay == 0.98:
            yield "two_ahead", _nodes_above(two, row, dst)
            yield "three_ahead", _nodes_above(three, row, dst)


def projections(past: History, t: int, src: np.ndarray, dst: np.ndarray) -> Columns:
    """Inner products of the projected walks of both ends, as TPNet takes them: log(1 + max(0, .)) of each two."""
    walks = past.projections(t)
    of_src = walks[:, src].transpose(1, 2, 0)  # (E, width, steps)
    for k, first in enumerate(walks):
        crossed = first[dst] @ of_src  # (E, C, steps)
        for j, second in enumerate(walks):
            yield f"src_{j}_dst_{k}", _log_of_positive(crossed[..., j])
            if j >= k:
                own = _log_of_positive((first * second).sum(1))
                yield f"src_{k}_src_{j}", own[src][:, None]
                yield f"dst_{k}_dst_{j}", own[dst]


def _log_of_positive(product: np.ndarray) -> np.ndarray:
    return np.log1p(np.maximum(product, 0.0))


def _log(probability: np.ndarray) -> np.ndarray:
    return np.log(probability + _SMALL)


def _sources(src: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct sources, and for each of `src` where it stands among them, as a column."""
    distinct, place = np.unique(src, return_inverse=True)
    return distinct, place[:, None]


def _both(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Return the matrix of edges without direction."""
    return (matrix + matrix.T).tocsr()


def _degrees(matrix: sp.csr_matrix) -> np.ndarray:
    """Return the sums of the rows."""
    return np.asarray(matrix.sum(1)).ravel()


def _stochastic(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Return the transposed transition matrix: column v holds where a walker at v goes next."""
    degree = _degrees(matrix)
    return (sp.diags(1 / np.where(degree > 0, degree, 1)).astype(np.float32) @ matrix).T.tocsr()


def _start(nodes: np.ndarray, num_nodes: int) -> np.ndarray:
    """Return one column for each source, with one walker in it."""
    walkers = np.zeros((num_nodes, len(nodes)), np.float32)
    walkers[nodes, np.arange(len(nodes))] = 1
    return walkers


def _pagerank(step: sp.csr_matrix, nodes: np.ndarray, steps: int = 6, restart: float = 0.2) -> np.ndarray:
    r"""Return personalised PageRank cut after some steps, :math:`r \sum_k (1 - r)^k P^k e_s`, ``(N, sources)``."""
    walkers = _start(nodes, step.shape[0])
    rank = restart * walkers
    for _ in range(steps):
        walkers = (1 - restart) * (step @ walkers)
        rank += restart * walkers
    return rank


def _nodes_above(score: np.ndarray, row: np.ndarray, dst: np.ndarray) -> np.ndarray:
    """Return log(1 + the number of nodes that score higher than the candidate), for each pair."""
    ascending = np.sort(np.ascontiguousarray(score.T, np.float32), axis=1)
    return np.log1p(_count_above(ascending, row[:, 0], score[dst, row].astype(np.float32)))


@njit(cache=True, nogil=True)
def _count_above(ascending: np.ndarray, row: np.ndarray, values: np.ndarray) -> np.ndarray:
    count = np.empty(values.shape, np.int64)
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            count[i, j] = ascending.shape[1] - np.searchsorted(ascending[row[i]], values[i, j], side="right")
    return count


FAMILIES: dict[str, Callable[[History, int, np.ndarray, np.ndarray], Columns]] = {
    "activity": activity, "ranks": ranks, "pair": pair, "ratings": ratings, "shared": shared, "walks": walks,
    "habits": habits, "projections": projections,
}  # fmt: skip
"""Every family by its name, in the order of the columns."""
ONLY_NAMED = ("projections",)
"""Families that are left out unless they are named."""
