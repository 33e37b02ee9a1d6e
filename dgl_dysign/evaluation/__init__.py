"""Metrics of nodes, links and events, and the protocols that decide what a model may know.

An argument outside its range raises `ConfigError`, and so do snapshots in the wrong order.
"""

from dgl_dysign.evaluation.events import EventModel, evaluate_events
from dgl_dysign.evaluation.f1 import class_shares, confusion, detection_scores, f1_scores, mean_std
from dgl_dysign.evaluation.intervals import Answers, bootstrap, difference
from dgl_dysign.evaluation.link_scores import LinkScores
from dgl_dysign.evaluation.links import LinkModel, evaluate_links, split_snapshots
from dgl_dysign.evaluation.negatives import LinkQueries, NegativeSampler, ReleasedSampler
from dgl_dysign.evaluation.ranking import auc, average_precision, hits, mrr, tie_aware_rank
from dgl_dysign.evaluation.roland import RolandQueries, RolandSampler, RolandScores

__all__ = [
    "Answers", "EventModel", "LinkModel", "LinkQueries", "LinkScores", "NegativeSampler", "ReleasedSampler",
    "RolandQueries", "RolandSampler", "RolandScores", "auc", "average_precision", "bootstrap", "class_shares",
    "confusion", "detection_scores", "difference", "evaluate_events", "evaluate_links", "f1_scores", "hits",
    "mean_std", "mrr", "split_snapshots", "tie_aware_rank",
]  # fmt: skip
