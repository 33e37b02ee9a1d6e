"""Dy-SIGN, and the reference models that every table shows beside it."""

from dgl_dysign.models.dysign import DySIGN
from dgl_dysign.models.event_undergs import EventUnderGS
from dgl_dysign.models.label_propagation import masked_label_features, propagate_labels, smooth_predictions
from dgl_dysign.models.link_counts import CountLinks
from dgl_dysign.models.link_head import LinkHead, link_loss
from dgl_dysign.models.link_reference import (
    CommonNeighbours,
    DestinationRecency,
    EdgeBank,
    PreferentialAttachment,
    RandomLinks,
    RecentDegree,
    link_reference_models,
)
from dgl_dysign.models.link_scorer import LinkScorer
from dgl_dysign.models.logistic_regression import LogisticRegression
from dgl_dysign.models.majority import majority_class
from dgl_dysign.models.node_inputs import LabelInputs, NodeInputs
from dgl_dysign.models.pretrained import Pretrained
from dgl_dysign.models.relu_network import ReLUNetwork
from dgl_dysign.models.snapshot import Snapshot, StreamedSnapshots, load_snapshots, spread
from dgl_dysign.models.snapshot_gcn import SnapshotGCN
from dgl_dysign.models.spiking_undergs import SpikingUnderGS, store_graph
from dgl_dysign.models.undergs import PRESETS, UnderGS, preset_store

__all__ = [
    "PRESETS",
    "CommonNeighbours",
    "CountLinks",
    "DestinationRecency",
    "DySIGN",
    "EdgeBank",
    "EventUnderGS",
    "LabelInputs",
    "LinkHead",
    "LinkScorer",
    "LogisticRegression",
    "NodeInputs",
    "PreferentialAttachment",
    "Pretrained",
    "RandomLinks",
    "ReLUNetwork",
    "RecentDegree",
    "Snapshot",
    "SnapshotGCN",
    "SpikingUnderGS",
    "StreamedSnapshots",
    "UnderGS",
    "link_loss",
    "link_reference_models",
    "load_snapshots",
    "majority_class",
    "masked_label_features",
    "preset_store",
    "propagate_labels",
    "smooth_predictions",
    "spread",
    "store_graph",
]
