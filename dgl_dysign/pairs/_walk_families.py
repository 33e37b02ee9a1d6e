"""Families of link features that come from paths and walks over decayed edges."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from dgl_dysign.pairs._node_families import Columns
from dgl_dysign.pairs._past import Past
from dgl_dysign.pairs._walks import ahead, both, degrees, pagerank, sources, start, stochastic

_SMALL = 1e-6  # probability below which walks are not told apart


def shared(past: Past, t: int, src: np.ndarray, dst: np.ndarray) -> Columns:
    """Two-step paths from source to candidate."""
    from_, row = sources(src)
    for decay in (0.9, 0.98, 1.0):
        out = past.matrix(decay, t)
        into, near = out.T.tocsr(), both(out)
        kinds = {"either": (near, near)}
        if decay < 1:
            kinds |= {"out_out": (out, out), "out_in": (out, into), "in_out": (into, out), "in_in": (into, into)}
        for kind, (first, second) in kinds.items():
            yield f"{kind}_{decay}", np.log1p(5 * (first[from_] @ second).toarray()[row, dst])
        degree = degrees(near)
        rare = (near[from_] @ sp.diags(1 / np.log(2 + degree)) @ near).toarray()[row, dst]
        yield f"adamic_adar_{decay}", np.log1p(5 * rare)
        allocated = (near[from_] @ sp.diags(1 / (1 + degree)) @ near).toarray()[row, dst]
        yield f"allocation_{decay}", np.log1p(50 * allocated)
        yield f"cosine_{decay}", np.log1p(10 * allocated / np.sqrt(1 + degree[dst]))


def walks(past: Past, t: int, src: np.ndarray, dst: np.ndarray) -> Columns:
    """Follow walkers from the source to the candidate."""
    from_, row = sources(src)
    fresh = np.exp(-past.since(t, np.maximum(past.last_out, past.last_in)) / 4)[:, None]
    for decay in (0.8, 0.9, 0.98, 1.0):
        out = past.matrix(decay, t)
        near = both(out)
        found = pagerank(stochastic(near), from_)
        yield f"pagerank_{decay}", _log(found[dst, row])
        yield f"pagerank_by_degree_{decay}", np.log(found[dst, row] / (degrees(near)[dst] + 1e-3) + _SMALL)
        yield f"pagerank_ahead_{decay}", ahead(found, row, dst)
        if decay in (0.9, 0.98):
            for kind, matrix in (("forth", out), ("back", out.T.tocsr())):
                directed = pagerank(stochastic(matrix), from_)
                yield f"pagerank_{kind}_{decay}", _log(directed[dst, row])
                if decay == 0.98:
                    yield f"pagerank_{kind}_ahead_{decay}", ahead(directed, row, dst)
        if decay == 0.98:
            yield "pagerank_fresh_ahead", ahead(found * fresh, row, dst)
            yield "pagerank_fresher_ahead", ahead(found * fresh**4, row, dst)
            for restart, steps in ((0.05, 10), (0.5, 4)):
                far = pagerank(stochastic(near), from_, steps, restart)
                yield f"pagerank_restart_{restart}", _log(far[dst, row])
    yield from _rated_alike(past, t, dst, from_, row)
    yield from _three_steps(past, t, dst, from_, row)


def _rated_alike(past: Past, t: int, dst: np.ndarray, from_: np.ndarray, row: np.ndarray) -> Columns:
    """Follow s -> c <- x -> d and s <- c -> x <- d, and their first two steps."""
    for decay in (0.97, 0.9):
        matrix = past.matrix(decay, t)
        out, into = stochastic(matrix), stochastic(matrix.T.tocsr())
        chosen, choosers = out @ start(from_, past.num_nodes), into @ start(from_, past.num_nodes)
        alike = out @ (into @ chosen)
        yield f"out_in_out_{decay}", _log(alike[dst, row])
        yield f"in_out_in_{decay}", _log((into @ (out @ choosers))[dst, row])
        yield f"in_out_{decay}", _log((out @ choosers)[dst, row])
        yield f"out_out_{decay}", _log((out @ chosen)[dst, row])
        if decay == 0.97:
            yield "out_in_out_ahead", ahead(alike, row, dst)


def _three_steps(past: Past, t: int, dst: np.ndarray, from_: np.ndarray, row: np.ndarray) -> Columns:
    """Three steps scaled by the degrees on the way, and four of a walker."""
    for decay in (0.98, 1.0):
        near = both(past.matrix(decay, t))
        degree = np.maximum(degrees(near), 1e-9)
        scale = sp.diags(degree**-0.5).astype(np.float32)
        scaled = (scale @ near @ scale).tocsr()
        two = scaled @ (scaled @ start(from_, past.num_nodes))
        three = scaled @ two
        yield f"three_{decay}", _log(three[dst, row] * np.sqrt(degree[dst] / degree[from_][row]))
        yield f"three_scaled_{decay}", _log(three[dst, row])
        step = stochastic(near)
        four = step @ (step @ (step @ (step @ start(from_, past.num_nodes))))
        yield f"four_{decay}", _log(four[dst, row])
        if decay == 0.98:
            yield "two_ahead", ahead(two, row, dst)
            yield "three_ahead", ahead(three, row, dst)


def _log(probability: np.ndarray) -> np.ndarray:
    return np.log(probability + _SMALL)
