"""What our models stand beside: counting, classifiers on counts, label propagation, and comparison systems.

An argument outside its range raises `ConfigError`, and so does a model that scores before it is fitted.
"""

from dgl_dysign.baselines.chronospike import ChronoSpike
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
from dgl_dysign.baselines.deepwalk import DeepWalk
from dgl_dysign.baselines.delay_dsgn import DelayDSGN
from dgl_dysign.baselines.dgnn import DGNN
from dgl_dysign.baselines.dynamic_triad import DynamicTriad
from dgl_dysign.baselines.dysat import DySAT
from dgl_dysign.baselines.embedding import TemporalEdges
from dgl_dysign.baselines.evolvegcn import EvolveGCNH, EvolveGCNO
from dgl_dysign.baselines.htne import HTNE
from dgl_dysign.baselines.jodie import JODIE
from dgl_dysign.baselines.link_counts import CountLinks
from dgl_dysign.baselines.m2dne import M2DNE
from dgl_dysign.baselines.mpnn_lstm import MPNNLSTM
from dgl_dysign.baselines.node2vec import Node2Vec
from dgl_dysign.baselines.node_counts import NodeCounts
from dgl_dysign.baselines.node_models import (
    LogisticRegression,
    ReLUNetwork,
    SnapshotGCN,
    majority_class,
    propagate_labels,
)
from dgl_dysign.baselines.roland import ROLAND
from dgl_dysign.baselines.sampled_snapshots import SampledSnapshots
from dgl_dysign.baselines.sentences import SentenceScorer
from dgl_dysign.baselines.signn import SiGNN
from dgl_dysign.baselines.simpledyg import SimpleDyG
from dgl_dysign.baselines.spikenet import SpikeNet
from dgl_dysign.baselines.tgat import TGAT
from dgl_dysign.baselines.tpnet import PairScorer, TPNet
from dgl_dysign.baselines.wingnn import WinGNN

__all__ = [
    "DGNN", "HTNE", "JODIE", "M2DNE", "MPNNLSTM", "ROLAND", "TGAT", "ChronoSpike", "CommonNeighbours", "CountLinks",
    "DeepWalk", "DelayDSGN", "DestinationRecency", "DySAT", "DynamicTriad", "EdgeBank", "EvolveGCNH", "EvolveGCNO",
    "LastDegree", "LogisticRegression", "Node2Vec", "NodeCounts", "PairScorer", "PreferentialAttachment",
    "RandomLinks", "ReLUNetwork", "RecentDegree", "SampledSnapshots", "SentenceScorer", "SiGNN", "SimpleDyG",
    "SnapshotGCN", "SpikeNet", "TPNet", "TemporalEdges", "WinGNN", "link_reference_models", "majority_class",
    "propagate_labels", "roland_reference_models",
]  # fmt: skip
