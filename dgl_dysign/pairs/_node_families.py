"""Families of link features that come from sums of nodes and times of pairs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from dgl_dysign.pairs._past import DECAYS, Past
from dgl_dysign.pairs._walks import both, pagerank, sources, stochastic

Columns = Iterator[tuple[str, np.ndarray]]


def activity(past: Past, t: int, src: np.ndarray, dst: np.ndarray) -> Columns:
    """Recency and decayed degrees of both ends."""
    lasts = {"out": past.last_out, "in": past.last_in, "any": np.maximum(past.last_out, past.last_in)}
    for end, nodes in (("src", src[:, None]), ("dst", dst)):
        for kind, last in lasts.items():
            yield f"{end}_recency_{kind}", past.recency(t, last[nodes])
            yield f"{end}_fresh_{kind}", np.exp(-past.since(t, last[nodes]))
        yield f"{end}_age", past.recency(t, np.where(np.isinf(past.first), -np.inf, past.first)[nodes])
        for decay in DECAYS:
            for kind in ("out", "in", "active"):
                yield f"{end}_{kind}_{decay}", np.log1p(past.sum(kind, decay, t))[nodes]
    apart = np.nan_to_num(past.first, posinf=past.now(t))
    apart = apart[dst] - apart[src[:, None]]
    yield "ages_apart", np.log1p(np.abs(apart))
    yield "joined_later", np.sign(apart) * np.log1p(np.abs(apart))


def ranks(past: Past, t: int, src: np.ndarray, dst: np.ndarray) -> Columns:
    """Share of all nodes that the destination is ahead of."""
    lasts = {"out": past.last_out, "in": past.last_in, "any": np.maximum(past.last_out, past.last_in)}
    for kind, last in lasts.items():
        yield f"recency_{kind}", _ahead(last)[dst]
    for decay in DECAYS:
        out, into = past.sum("out", decay, t), past.sum("in", decay, t)
        for kind, degree in (("out", out), ("in", into), ("any", out + into)):
            yield f"{kind}_{decay}", _ahead(degree)[dst]


def _ahead(values: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.sort(values), values) / len(values)  # ties share a place, whatever the nodes' numbers


def pair(past: Past, t: int, src: np.ndarray, dst: np.ndarray) -> Columns:
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


def _mutual(past: Past) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how many distinct nodes each has an edge to, from, and both."""
    src, dst = past.pairs.ends()
    answered = past.pairs.find(dst, src) >= 0
    size = past.num_nodes
    return np.bincount(src, minlength=size), np.bincount(dst, minlength=size), np.bincount(src, answered, size)


def ratings(past: Past, t: int, src: np.ndarray, dst: np.ndarray) -> Columns:
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
    from_, row = sources(src)
    for decay in (0.98, 0.9):
        positive, negative = past.matrix(decay, t, 1), past.matrix(decay, t, -1)
        yield f"walk_pos_{decay}", np.log(pagerank(stochastic(both(positive)), from_)[dst, row] + 1e-6)
        near = both(positive + negative)[from_]
        for kind, matrix in (("pos", positive), ("neg", negative)):
            yield f"neighbours_{kind}_{decay}", np.log1p(5 * (near @ matrix).toarray()[row, dst])


def _mean(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.where(count > 0, total / np.maximum(count, 1e-9), 0.0)


def habits(past: Past, t: int, src: np.ndarray, dst: np.ndarray) -> Columns:
    """Partners that the ends used to have, and whether both are around at the same times."""
    for decay in (1.0, 0.9):
        out, into = past.sum("out", decay, t), past.sum("in", decay, t)
        for kind in ("silence", "degree"):
            chosen = _mean(past.sum(f"out_{kind}", decay, t), out)
            yield f"src_chose_{kind}_{decay}", chosen[src][:, None]
            yield f"dst_chose_{kind}_{decay}", chosen[dst]
            yield f"dst_chosen_{kind}_{decay}", _mean(past.sum(f"in_{kind}", decay, t), into)[dst]
    from_, row = sources(src)
    for name, decay in (("", 1.0), ("_recent", 0.97)):
        active = _activity_matrix(past, t, decay)
        norm = np.sqrt(np.asarray(active.multiply(active).sum(1)).ravel()) + 1e-9
        together = (active[from_] @ active.T).toarray()[row, dst]
        yield f"together{name}", np.log1p(together)
        yield f"together_cosine{name}", together / norm[dst] / norm[src][:, None]


def _activity_matrix(past: Past, t: int, decay: float) -> sp.csr_matrix:
    """Return log(1 + edges) of each node in each snapshot, weighed by how rare it is to be active then."""
    src, dst, snapshot, _ = past.events
    shape = (past.num_nodes, max(t, 1))
    ends, when = np.concatenate([src, dst]), np.tile(snapshot, 2)
    active = sp.csr_matrix((np.ones(len(ends)), (ends, when)), shape=shape)
    active.data = np.log1p(active.data)
    rarity = np.log((1 + past.num_nodes) / (1 + np.bincount(active.indices, minlength=shape[1])))
    return active @ sp.diags(rarity * decay ** (t - 1 - np.arange(shape[1])))
