"""Scoring links before they are seen: the one place that decides what a link model may know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from dgl_dysign.data.snapshot_edges import SnapshotEdges, snapshot_edges
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.evaluation.link_scores import PROTOCOLS, LinkScores
from dgl_dysign.evaluation.negatives import NegativeSampler, ReleasedSampler
from dgl_dysign.evaluation.roland import RolandSampler, RolandScores

if TYPE_CHECKING:
    from dgl_dysign.data.temporal_graph import TemporalGraph

_LIVE = ("live-update", "roland-live")


class LinkModel(Protocol):
    """What :func:`evaluate_links` asks of a model.

    A model may also have ``update(edges: SnapshotEdges)``, which trains it on a snapshot that it has been scored on;
    only the protocols ``live-update`` and ``roland-live`` call it, before the snapshot is observed.
    """

    def reset(self) -> None:
        """Forget what was observed; parameters stay."""

    def observe(self, edges: SnapshotEdges) -> None:
        """Take one snapshot into the state; snapshots come in order, empty ones too."""

    def score(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Score sources ``(E,)`` with candidates ``(E, C)`` at a snapshot, floating point ``(E, C)``, higher: likelier.

        Never changes the state, and knows nothing but what was observed. The ids are on the CPU; scores may be on any
        device.
        """


def split_snapshots(num_snapshots: int, train: float = 0.7, val: float = 0.1) -> tuple[range, range, range]:
    """Split snapshots by time into training, validation and test; bounds are rounded to whole snapshots.

    ``train`` and ``val`` are shares, the rest is for testing; an empty part raises ``ConfigError``.

    Examples
    --------
    >>> split_snapshots(273)
    (range(0, 191), range(191, 218), range(218, 273))
    """
    first, second = round(train * num_snapshots), round((train + val) * num_snapshots)
    if not 0 < first < second < num_snapshots:
        raise ConfigError(
            f"{num_snapshots} snapshots with train={train}, val={val}: expected at least one snapshot in each of three "
            f"parts, found {first}, {second - first}, {num_snapshots - second}; prepare the data with shorter "
            "snapshots, such as --every day"
        )
    return range(first), range(first, second), range(second, num_snapshots)


def evaluate_links(
    data: TemporalGraph | Sequence[SnapshotEdges],
    models: Mapping[str, LinkModel],
    snapshots: Iterable[int],
    sampler: NegativeSampler | RolandSampler,
    protocol: str = "honest",
    progress: Callable[[int, int], None] | None = None,
    batch_size: int = 8192,
) -> dict[str, Any]:
    """Score the links of some snapshots with several models, on the same queries, in one pass over the data.

    Sampler and models are reset, then observe every snapshot up to the last of `snapshots`; a snapshot is scored before
    it is observed (but see `protocol`). Nodes paired with themselves are not scored.

    Parameters
    ----------
    data : TemporalGraph or sequence of SnapshotEdges
        The data; of a sequence, entry t is snapshot t.
    models : mapping of str to LinkModel
        Models by name.
    snapshots : iterable of int
        The snapshots to score.
    sampler : NegativeSampler or RolandSampler
        Draws the negatives; the latter under the protocols ``roland-live`` and ``roland-fixed``, and under them alone.
    protocol : {"honest", "live-update", "undergs-released", "roland-live", "roland-fixed"}
        ``live-update``, ``roland-live``: after a snapshot is scored, models that have ``update`` are trained on it.
        ``undergs-released``: as in the public code of UnderGS, each snapshot is observed *before* it is scored, and
        negatives come from the destinations of the whole data set; it leaks, says so, and is for reproduction only.
    progress : callable, optional
        Called as ``progress(done, total)`` after every snapshot.
    batch_size : int, default 8192
        Most edges that one call of ``score`` gets, fewer where they have more than 100 negatives; results do not depend
        on it.

    Returns
    -------
    dict of str to LinkScores or RolandScores
        By model; which of the two tells the protocol.

    Raises
    ------
    ConfigError, DataError
        For an argument out of range; for scores of the wrong shape or NaN, naming the model and the snapshot.

    Examples
    --------
    >>> from dgl_dysign.data import TemporalGraph
    >>> from dgl_dysign.baselines import RecentDegree
    >>> data = TemporalGraph.load(prepared)
    >>> _, _, test = split_snapshots(data.num_snapshots)
    >>> scores = evaluate_links(data, {"degree": RecentDegree(100)}, test, NegativeSampler(100, seed=1))
    >>> 0 < scores["degree"].mrr < 1
    True
    """
    total = len(data) if isinstance(data, Sequence) else data.num_snapshots
    wanted = _check(models, set(snapshots), total, sampler, protocol, batch_size)
    draw: Any = sampler
    if isinstance(sampler, NegativeSampler) and protocol == "undergs-released":
        draw = ReleasedSampler(torch.cat([_edges(data, t).dst for t in range(total)]), sampler)
    kind = RolandScores if isinstance(sampler, RolandSampler) else LinkScores
    scores: dict[str, Any] = {name: kind(name, protocol) for name in models}
    for part in (draw, *models.values()):
        part.reset()
    last = max(wanted)
    for t in range(last + 1):
        edges = _edges(data, t)
        queries = draw.draw(edges) if t in wanted else None
        if protocol == "undergs-released":
            _observe(models, edges)
        if queries is not None:
            rows = max(1, min(batch_size, 100 * batch_size // queries.dst.shape[1]))
            for name, model in models.items():
                where = f"model {name!r}, snapshot {t}"
                scores[name].add(queries, score_candidates(where, model, t, queries.src, queries.dst, rows))
                if protocol in _LIVE and hasattr(model, "update"):
                    model.update(edges)
        if protocol != "undergs-released":
            _observe(models, edges)
        draw.observe(edges)
        if progress is not None:
            progress(t + 1, last + 1)
    return scores


def _check(
    models: Mapping[str, LinkModel], wanted: set[int], total: int, sampler: object, protocol: str, batch_size: int
) -> set[int]:
    if protocol not in PROTOCOLS:
        raise ConfigError(f"protocol={protocol!r}: expected one of {sorted(PROTOCOLS)}")
    if not models or batch_size < 1:
        raise ConfigError(f"{len(models)} models, batch_size={batch_size}: expected at least one of each")
    if not wanted or min(wanted) < 0 or max(wanted) >= total:
        named = f"{min(wanted)} to {max(wanted)}" if wanted else "none"
        raise ConfigError(f"snapshots to score: found {named}, expected some of 0 to {total - 1}")
    if isinstance(sampler, RolandSampler) is not protocol.startswith("roland"):
        raise ConfigError(
            f"protocol={protocol!r} with a {type(sampler).__name__}: expected a RolandSampler under roland-live and "
            "roland-fixed, and a NegativeSampler under the others"
        )
    return wanted


def _edges(data: TemporalGraph | Sequence[SnapshotEdges], t: int) -> SnapshotEdges:
    if not isinstance(data, Sequence):
        return snapshot_edges(data, t)
    if data[t].snapshot != t:
        raise ConfigError(f"entry {t} holds snapshot {data[t].snapshot}, expected snapshot {t}: keep empty snapshots")
    return data[t]


def _observe(models: Mapping[str, LinkModel], edges: SnapshotEdges) -> None:
    for model in models.values():
        model.observe(edges)


@torch.no_grad()
def score_candidates(
    where: str, model: LinkModel, snapshot: int, src: Tensor, dst: Tensor, batch_size: int = 8192
) -> Tensor:
    """Return a model's scores ``(E, C)`` of candidates ``(E, C)`` of sources ``(E,)``, `batch_size` edges at a time.

    Raises ``DataError``, with `where` in front, if scores are no tensor, have the wrong shape, or are NaN.
    """
    batches = [slice(begin, begin + batch_size) for begin in range(0, len(src), batch_size)]
    parts = [model.score(snapshot, src[rows], dst[rows]) for rows in batches]
    for part in parts:
        if not isinstance(part, Tensor):
            raise DataError(f"{where}: found scores of type {type(part).__name__}, expected a torch.Tensor")
    scores = torch.cat(parts).detach() if parts else torch.zeros(dst.shape)
    if scores.shape != dst.shape:
        raise DataError(
            f"{where}: found scores of shape {tuple(scores.shape)}, expected {tuple(dst.shape)}: one score a candidate"
        )
    wrong = int(torch.isnan(scores).sum())
    if wrong:
        raise DataError(
            f"{where}: found {wrong} NaN among {scores.numel()} scores, expected numbers: look for a diverged training "
            "or a division by zero in the model"
        )
    return scores
