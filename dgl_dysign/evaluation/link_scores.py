"""The figures of one link model under one protocol."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.evaluation.negatives import LinkQueries
from dgl_dysign.evaluation.ranking import auc, average_precision, hits, mrr, tie_aware_rank

_HITS = (1, 3, 10)
#: Names of the figures of a snapshot, which a run records. A new one needs a title in `experiments.record.FIGURES`, and
#: a column in `experiments.tables.LinkTable`.
FIGURES = ("mrr", *(f"hits@{k}" for k in _HITS), "auc", "list_auc", "ap")

#: What each protocol does; the text stands in every output.
PROTOCOLS = {
    "honest": "honest: snapshot t is scored from the snapshots before it, then observed",
    "live-update": "live-update: snapshot t is scored from the snapshots before it, then trained on, then observed",
    "roland-live": (
        "roland-live: each source's best-placed destination among 1,000 of all nodes, mean over sources, snapshots; "
        "every snapshot after the first is scored from those before it, then trained on, then observed"
    ),
    "roland-fixed": (
        "roland-fixed: each source's best-placed destination among 1,000 of all nodes, mean over sources, snapshots; "
        "trained on the first 70 % of the snapshots, tested on the last 20 %, each scored from those before it"
    ),
    "undergs-released": (
        "undergs-released: LEAKS: snapshot t is observed before it is scored, negatives come from the whole data set; "
        "for reproduction of the public code only, never a result"
    ),
}


class LinkScores:
    """Figures of one model, kept snapshot by snapshot; filled by :func:`evaluate_links`.

    All figures are in 0 .. 1. The headline is over *warm* edges, whose ends were both seen before: the mean over the
    snapshots that have at least one. *Pooled* is the mean over edges, so that a snapshot weighs what it holds; scores
    of different snapshots are never compared with each other, in AUC and average precision either. ``auc`` compares all
    true links of a snapshot with all negatives of it, ``list_auc`` each true link with its own negatives alone, where a
    term of the source alone, such as its degree in preferential attachment, cancels.

    Attributes
    ----------
    protocol : str
        What was done, in words; it begins with the protocol's name and says ``LEAKS`` where it does.
    rank, warm : Tensor
        Of every scored edge.
    skipped : int
        Edges for which there was no negative.
    """

    def __init__(self, name: str, protocol: str = "honest") -> None:
        self.name = name
        self.protocol = PROTOCOLS[protocol]
        self.num_negatives = 0
        self.skipped = 0
        self._ranks: list[Tensor] = []
        self._warm: list[Tensor] = []
        self._rows: dict[bool, list[dict[str, float]]] = {True: [], False: []}

    def add(self, queries: LinkQueries, scores: Tensor) -> None:
        """Add one snapshot's scores ``(E, 1 + Q)``."""
        ranks = tie_aware_rank(scores).cpu()
        scores, warm = scores.detach().cpu(), queries.warm.cpu()
        self.skipped += queries.skipped
        self.num_negatives = scores.shape[1] - 1
        self._ranks.append(ranks)
        self._warm.append(warm)
        for kind, rows in self._rows.items():
            part = warm == kind
            if bool(part.any()):
                rows.append({"snapshot": queries.snapshot, **_figures(ranks[part], scores[part])})

    @property
    def rank(self) -> Tensor:
        """Rank of every scored edge, float64."""
        return torch.cat([torch.empty(0, dtype=torch.float64), *self._ranks])

    @property
    def warm(self) -> Tensor:
        """Whether each scored edge is warm."""
        return torch.cat([torch.empty(0, dtype=torch.bool), *self._warm])

    @property
    def mrr(self) -> float:
        """Mean over snapshots of the mean reciprocal rank of warm edges."""
        return self.summary()["mrr"]

    @property
    def pooled_mrr(self) -> float:
        """Mean reciprocal rank of all warm edges."""
        return self.summary()["mrr_pooled"]

    @property
    def auc(self) -> float:
        """Mean over snapshots of the area under the ROC curve of warm edges."""
        return self.summary()["auc"]

    @property
    def ap(self) -> float:
        """Mean over snapshots of the average precision of warm edges."""
        return self.summary()["ap"]

    def by_snapshot(self, warm: bool = True) -> dict[str, np.ndarray]:
        """Return the figures of each snapshot that has such an edge: ``snapshot``, ``edges``, ``mrr``, ``auc``, ..."""
        rows = self._rows[warm]
        names = rows[0] if rows else ("snapshot", "edges", *FIGURES)
        return {name: np.array([row[name] for row in rows]) for name in names}

    def summary(self, warm: bool = True) -> dict[str, float]:
        """Return the figures over all snapshots, each as the mean over snapshots and ``_pooled``; NaN for no edge."""
        columns = self.by_snapshot(warm)
        columns.pop("snapshot")
        edges = columns.pop("edges")
        figures: dict[str, float] = {"edges": int(edges.sum()), "snapshots": len(edges)}
        for name, values in columns.items():
            figures[name] = float(values.mean()) if len(edges) else math.nan
            figures[f"{name}_pooled"] = float(np.average(values, weights=edges)) if len(edges) else math.nan
        return figures

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the single ranks, ready for JSON (None where there is no edge)."""
        parts = {"warm": self.summary(), "cold": self.summary(warm=False)}
        return {
            "model": self.name,
            "protocol": self.protocol,
            "num_negatives": self.num_negatives,
            "skipped": self.skipped,
            **{
                kind: {name: None if math.isnan(value) else value for name, value in part.items()}
                for kind, part in parts.items()
            },
        }

    def __repr__(self) -> str:
        warm, cold = self.summary(), self.summary(warm=False)
        return (
            f"LinkScores({self.name!r}, mrr={warm['mrr']:.4f}, pooled {warm['mrr_pooled']:.4f}, auc={warm['auc']:.4f}, "
            f"ap={warm['ap']:.4f}, {warm['edges']} warm edges in {warm['snapshots']} snapshots, {cold['edges']} cold; "
            f"{self.protocol})"
        )


def _figures(ranks: Tensor, scores: Tensor) -> dict[str, float]:
    true, drawn = scores[:, 0], scores[:, 1:]
    return {
        "edges": len(ranks),
        "mrr": mrr(ranks),
        **{f"hits@{k}": hits(ranks, k) for k in _HITS},
        "auc": auc(true, drawn),
        "list_auc": 1 - (float(ranks.mean()) - 1) / drawn.shape[1],
        "ap": average_precision(true, drawn),
    }
