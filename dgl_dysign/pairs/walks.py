"""Columns of paths and walks over decayed edges, from the source to the candidate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np

from dgl_dysign.pairs.neighborhoods import DECAYS, SUMS
from dgl_dysign.pairs.projections import STEPS
from dgl_dysign.pairs.question import Columns, Question

Walked = Callable[[], tuple[np.ndarray, np.ndarray]]
_SMALL = 1e-6  # probability below which walks are not told apart
_ON = 0.8  # share of walkers that go on
_RANK = (1 - _ON,) * 7  # of the walkers after 0 .. 6 steps: PageRank


def _restarted(restart: float, steps: int) -> list[float]:
    """Return the weights of the walkers in PageRank with another probability of restarting."""
    return [restart * ((1 - restart) / _ON) ** k for k in range(steps + 1)]


_FOUR = (0, 0, 0, 0, _ON**-4)
_SUMS: dict[float, list[Sequence[float]]] = {
    0.8: [_RANK],
    0.9: [_RANK],
    0.98: [_RANK, _FOUR, _restarted(0.05, 10), _restarted(0.5, 4)],
    1.0: [_RANK, _FOUR],
}


def shared(ask: Question) -> Columns:
    """Two-step paths from source to candidate."""
    all_sums = cache(partial(_sums, ask))
    for column, decay in enumerate(DECAYS):
        sums = partial(lambda column: all_sums()[..., column, :], column)
        yield f"either_{decay}", partial(_log_sum, sums, slice(4), 5)
        for number, kind in enumerate(SUMS[:4] if decay < 1 else ()):
            yield f"{kind}_{decay}", partial(_log_sum, sums, slice(number, number + 1), 5)
        yield f"adamic_adar_{decay}", partial(_log_sum, sums, slice(4, 5), 5)
        yield f"allocation_{decay}", partial(_log_sum, sums, slice(5, 6), 50)
        yield f"cosine_{decay}", partial(_cosine, ask, decay, sums)


def _log_sum(sums: Callable[[], np.ndarray], some: slice, factor: float) -> np.ndarray:
    return np.log1p(factor * sums()[..., some].sum(-1))


def _sums(ask: Question) -> np.ndarray:
    return ask.past.neighborhoods().shared(ask.t, ask.src[:, 0], ask.dst)


def _cosine(ask: Question, decay: float, sums: Callable[[], np.ndarray]) -> np.ndarray:
    degree = ask.of_end("dst", partial(ask.past.neighborhoods().degrees, decay, ask.t))
    return np.log1p(10 * sums()[..., 5] / np.sqrt(1 + degree))


def _degree(ask: Question, decay: float) -> np.ndarray:
    return ask.graph.degree("near", decay)


def pagerank(
    ask: Question, kind: str, decay: float, sign: int = 0, ahead: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return personalised PageRank cut after six steps, :math:`r \sum_k (1 - r)^k P^k e_s`, and the nodes ahead."""
    step = ask.graph.step(kind, decay, sign)
    return ask.walk([step], [0] * 6, [_RANK], [(0, 1.0)] if ahead else [], scale=_ON)


def _ranks(ask: Question, decay: float) -> tuple[np.ndarray, np.ndarray]:
    """Return PageRank without direction and what else is summed up from the same walkers."""
    sums, last = _SUMS[decay], np.maximum(ask.past.last_out, ask.past.last_in)
    fresh = np.exp(-ask.past.since(ask.t, last) / 4)
    ahead: list[tuple[int, np.ndarray | float]] = [(0, 1.0), (0, fresh), (0, fresh**4)]
    order = [0] * (max(map(len, sums)) - 1)
    return ask.walk([ask.graph.step("near", decay)], order, sums, ahead[: 3 if decay == 0.98 else 1], scale=_ON)


def walks(ask: Question) -> Columns:
    """Follow walkers from the source to the candidate."""
    ranks = {decay: cache(partial(_ranks, ask, decay)) for decay in _SUMS}
    for decay, rank in ranks.items():
        yield from _ranked(ask, decay, rank)
    yield from _rated_alike(ask)
    for decay in (0.98, 1.0):
        yield from _three_steps(ask, decay, ranks[decay])


def _ranked(ask: Question, decay: float, rank: Walked) -> Columns:
    """PageRank without direction, over the degree of the candidate, and in and against the direction of edges."""
    yield f"pagerank_{decay}", lambda: _log(rank()[0][0])
    yield f"pagerank_by_degree_{decay}", lambda: _log(rank()[0][0] / (_degree(ask, decay)[ask.dst] + 1e-3))
    yield f"pagerank_ahead_{decay}", lambda: rank()[1][0]
    if decay in (0.9, 0.98):
        for name, kind in (("forth", "out"), ("back", "into")):
            directed = cache(partial(pagerank, ask, kind, decay))
            yield f"pagerank_{name}_{decay}", partial(_log_of, directed)
            if decay == 0.98:
                yield f"pagerank_{name}_ahead_{decay}", partial(_ahead_of, directed)
    if decay == 0.98:
        yield "pagerank_fresh_ahead", lambda: rank()[1][1]
        yield "pagerank_fresher_ahead", lambda: rank()[1][2]
        yield "pagerank_restart_0.05", lambda: _log(rank()[0][2])
        yield "pagerank_restart_0.5", lambda: _log(rank()[0][3])


def _log_of(walked: Walked, part: int = 0) -> np.ndarray:
    return _log(walked()[0][part])


def _ahead_of(walked: Walked) -> np.ndarray:
    return walked()[1][0]


def _rated_alike(ask: Question) -> Columns:
    """Follow s -> c <- x -> d and s <- c -> x <- d, and their first two steps."""
    for decay in (0.97, 0.9):

        def walk(*order: int, ahead: bool = False, decay: float = decay) -> tuple[np.ndarray, np.ndarray]:
            matrices = [ask.graph.step(kind, decay) for kind in ("out", "into")]
            sums = [(0, 0, 1), (0, 0, 0, 1)][: len(order) - 1]
            return ask.walk(matrices, order, sums, [(1, 1.0)] if ahead else [])

        alike = cache(partial(walk, 0, 1, 0, ahead=decay == 0.97))
        choosers = cache(partial(walk, 1, 0, 1))
        yield f"out_in_out_{decay}", partial(_log_of, alike, 1)
        yield f"in_out_in_{decay}", partial(_log_of, choosers, 1)
        yield f"in_out_{decay}", partial(_log_of, choosers)
        yield f"out_out_{decay}", partial(_log_of, partial(walk, 0, 0))
        if decay == 0.97:
            yield "out_in_out_ahead", partial(_ahead_of, alike)


def _three_steps(ask: Question, decay: float, rank: Walked) -> Columns:
    """Three steps scaled by the degrees on the way, and four of a walker."""

    @cache
    def steps() -> tuple[np.ndarray, np.ndarray]:
        return ask.walk(
            [ask.graph.scaled(decay)], [0] * 3, [(0, 0, 1), (0, 0, 0, 1)], [(0, 1.0), (1, 1.0)] if decay == 0.98 else []
        )

    def three() -> np.ndarray:
        degree = np.maximum(_degree(ask, decay), 1e-9)
        return _log(steps()[0][1] * np.sqrt(degree[ask.dst] / degree[ask.src]))

    yield f"three_{decay}", three
    yield f"three_scaled_{decay}", lambda: _log(steps()[0][1])
    yield f"four_{decay}", lambda: _log(rank()[0][1])
    if decay == 0.98:
        yield "two_ahead", lambda: steps()[1][0]
        yield "three_ahead", lambda: steps()[1][1]


def _log(probability: np.ndarray) -> np.ndarray:
    return np.log(probability + _SMALL)


def projections(ask: Question) -> Columns:
    """Inner products of the projected walks of both ends, as TPNet takes them: log(1 + max(0, .)) of each two."""

    def logs(src: np.ndarray, dst: np.ndarray) -> np.ndarray:
        return _log_of_positive(ask.past.projections().products(ask.t, src, dst))

    @cache
    def crossed() -> np.ndarray:
        return logs(ask.src[:, 0], ask.dst)

    @cache
    def of_source() -> np.ndarray:
        return logs(ask.src[:, 0], ask.src)

    @cache
    def of_nodes() -> np.ndarray:
        nodes, _ = ask.candidates
        return logs(nodes, nodes[:, None])[:, 0]

    def of_candidate(k: int, j: int) -> np.ndarray:
        return of_nodes()[:, k, j][ask.candidates[1]]

    for k in range(STEPS + 1):
        for j in range(STEPS + 1):
            yield f"src_{j}_dst_{k}", partial(lambda k, j: crossed()[..., k, j], k, j)
            if j >= k:
                yield f"src_{k}_src_{j}", partial(lambda k, j: of_source()[..., k, j], k, j)
                yield f"dst_{k}_dst_{j}", partial(of_candidate, k, j)


def _log_of_positive(product: np.ndarray) -> np.ndarray:
    return np.log1p(np.maximum(product, 0.0))
