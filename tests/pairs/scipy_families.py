"""Columns of paths and walks from sparse matrices, built anew for each question: what compiled ones must give."""

import numpy as np
import scipy.sparse as sp

_SMALL = 1e-6  # probability below which walks are not told apart


class Past:
    """The edges of a history, as matrices."""

    def __init__(self, history):
        self.num_nodes, self.since = history.num_nodes, history.since
        self.last_out, self.last_in, self.pairs = history.last_out, history.last_in, history.pairs
        self.events = history.events[:4]

    def matrix(self, decay, t, sign=0):
        src, dst, snapshot, weight = self.events
        keep = (weight > 0) == (sign > 0) if sign else slice(None)
        aged = (decay ** (t - 1.0 - snapshot[keep])).astype(np.float32)
        return sp.csr_matrix((aged, (src[keep], dst[keep])), shape=(self.num_nodes, self.num_nodes))


def pair(past, t, src, dst):
    """How either end treats those who come to it."""
    out, into, mutual = _mutual(past)
    yield "src_owes", np.log1p(into - mutual)[src][:, None]
    yield "dst_owes", np.log1p(into - mutual)[dst]
    yield "dst_owed", np.log1p(out - mutual)[dst]
    yield "src_answers", (mutual / np.maximum(into, 1))[src][:, None]
    yield "dst_answers", (mutual / np.maximum(into, 1))[dst]
    yield "dst_answered", (mutual / np.maximum(out, 1))[dst]


def _mutual(past):
    """Return how many distinct nodes each has an edge to, from, and both."""
    src, dst = past.pairs.ends()
    answered = past.pairs.find(dst, src) >= 0
    size = past.num_nodes
    return np.bincount(src, minlength=size), np.bincount(dst, minlength=size), np.bincount(src, answered, size)


def ratings(past, t, src, dst):
    """Walks over positive edges, and weights as seen by the neighbours of the source."""
    from_, row = _sources(src)
    for decay in (0.98, 0.9):
        positive, negative = past.matrix(decay, t, 1), past.matrix(decay, t, -1)
        yield f"walk_pos_{decay}", np.log(_pagerank(_stochastic(_both(positive)), from_)[dst, row] + 1e-6)
        near = _both(positive + negative)[from_]
        for kind, matrix in (("pos", positive), ("neg", negative)):
            yield f"neighbours_{kind}_{decay}", np.log1p(5 * (near @ matrix).toarray()[row, dst])


def habits(past, t, src, dst):
    """Whether both are around at the same times."""
    from_, row = _sources(src)
    for name, decay in (("", 1.0), ("_recent", 0.97)):
        active = _activity_matrix(past, t, decay)
        norm = np.sqrt(np.asarray(active.multiply(active).sum(1)).ravel()) + 1e-9
        together = (active[from_] @ active.T).toarray()[row, dst]
        yield f"together{name}", np.log1p(together)
        yield f"together_cosine{name}", together / norm[dst] / norm[src][:, None]


def _activity_matrix(past, t, decay):
    """Return log(1 + edges) of each node in each snapshot, weighed by how rare it is to be active then."""
    src, dst, snapshot, _ = past.events
    shape = (past.num_nodes, max(t, 1))
    ends, when = np.concatenate([src, dst]), np.tile(snapshot, 2)
    active = sp.csr_matrix((np.ones(len(ends)), (ends, when)), shape=shape)
    active.data = np.log1p(active.data)
    rarity = np.log((1 + past.num_nodes) / (1 + np.bincount(active.indices, minlength=shape[1])))
    return active @ sp.diags(rarity * decay ** (t - 1 - np.arange(shape[1])))


def shared(past, t, src, dst):
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


def walks(past, t, src, dst):
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


def _rated_alike(past, t, dst, from_, row):
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


def _three_steps(past, t, dst, from_, row):
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


def _log(probability):
    return np.log(probability + _SMALL)


def _sources(src):
    """Return the distinct sources, and for each of `src` where it stands among them, as a column."""
    distinct, place = np.unique(src, return_inverse=True)
    return distinct, place[:, None]


def _both(matrix):
    """Return the matrix of edges without direction."""
    return (matrix + matrix.T).tocsr()


def _degrees(matrix):
    """Return the sums of the rows."""
    return np.asarray(matrix.sum(1)).ravel()


def _stochastic(matrix):
    """Return the transposed transition matrix: column v holds where a walker at v goes next."""
    degree = _degrees(matrix)
    return (sp.diags(1 / np.where(degree > 0, degree, 1)).astype(np.float32) @ matrix).T.tocsr()


def _start(nodes, num_nodes):
    """Return one column for each source, with one walker in it."""
    walkers = np.zeros((num_nodes, len(nodes)), np.float32)
    walkers[nodes, np.arange(len(nodes))] = 1
    return walkers


def _pagerank(step, nodes, steps=6, restart=0.2):
    r"""Return personalised PageRank cut after some steps, :math:`r \sum_k (1 - r)^k P^k e_s`, ``(N, sources)``."""
    walkers = _start(nodes, step.shape[0])
    rank = restart * walkers
    for _ in range(steps):
        walkers = (1 - restart) * (step @ walkers)
        rank += restart * walkers
    return rank


def _nodes_above(score, row, dst):
    return np.log1p((score.astype(np.float32)[:, row] > score[dst, row].astype(np.float32)).sum(0))


FAMILIES = {"pair": pair, "ratings": ratings, "shared": shared, "walks": walks, "habits": habits}
