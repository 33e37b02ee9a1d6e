"""What our models stand beside: counting, classifiers on counts, label propagation, and networks without spikes.

An argument outside its range raises `ConfigError`, and so does a model that scores before it is fitted.
"""

from dgl_dysign.baselines.counting import (
    CommonNeighbours,
    DestinationRecency,
    EdgeBank,
    LastDegree,
    PreferentialAttachment,
    RandomLinks,
    RecentDegree,
    link_reference_models,
    roland_reference_models,
)
from dgl_dysign.baselines.evolvegcn import EvolveGCNO
from dgl_dysign.baselines.link_counts import CountLinks
from dgl_dysign.baselines.node_counts import NodeCounts
from dgl_dysign.baselines.node_models import (
    LogisticRegression,
    ReLUNetwork,
    SnapshotGCN,
    majority_class,
    propagate_labels,
)

__all__ = [
    "CommonNeighbours", "CountLinks", "DestinationRecency", "EdgeBank", "EvolveGCNO", "LastDegree",
    "LogisticRegression", "NodeCounts", "PreferentialAttachment", "RandomLinks", "ReLUNetwork", "RecentDegree",
    "SnapshotGCN", "link_reference_models", "majority_class", "propagate_labels", "roland_reference_models",
]  # fmt: skip
