"""What our models stand beside: counting, classifiers on counts, label propagation, and networks without spikes."""

from dgl_dysign.baselines.counting import (
    CommonNeighbours,
    DestinationRecency,
    EdgeBank,
    PreferentialAttachment,
    RandomLinks,
    RecentDegree,
    link_reference_models,
)
from dgl_dysign.baselines.evolvegcn import EvolveGCNO
from dgl_dysign.baselines.label_propagation import propagate_labels
from dgl_dysign.baselines.link_counts import CountLinks
from dgl_dysign.baselines.logistic_regression import LogisticRegression
from dgl_dysign.baselines.majority import majority_class
from dgl_dysign.baselines.relu_network import ReLUNetwork
from dgl_dysign.baselines.snapshot_gcn import SnapshotGCN

__all__ = [
    "CommonNeighbours",
    "CountLinks",
    "DestinationRecency",
    "EdgeBank",
    "EvolveGCNO",
    "LogisticRegression",
    "PreferentialAttachment",
    "RandomLinks",
    "ReLUNetwork",
    "RecentDegree",
    "SnapshotGCN",
    "link_reference_models",
    "majority_class",
    "propagate_labels",
]
