"""Training loops, and the checkpoints that they go on from."""

from typing import Any

from dgl_dysign._moved import moved_name
from dgl_dysign.training.count_fit import fit_counts
from dgl_dysign.training.distributed import Moments
from dgl_dysign.training.embeddings import EmbeddingConfig, fit_embedding
from dgl_dysign.training.encoders import NodeFitConfig, fit_encoder_nodes, fitted_inputs
from dgl_dysign.training.equilibrium_cache import EquilibriumCache
from dgl_dysign.training.full_batch import full_batch_gradient
from dgl_dysign.training.late_snapshot import LateStep, SnapshotBatch, late_snapshot_step, snapshot_batches
from dgl_dysign.training.links import LinkFitConfig, fit_links
from dgl_dysign.training.nodes import FitConfig, fit
from dgl_dysign.training.sequences import fit_sequences

__all__ = [
    "EmbeddingConfig",
    "EquilibriumCache",
    "FitConfig",
    "LateStep",
    "LinkFitConfig",
    "Moments",
    "NodeFitConfig",
    "SnapshotBatch",
    "fit",
    "fit_counts",
    "fit_embedding",
    "fit_encoder_nodes",
    "fit_links",
    "fit_sequences",
    "fitted_inputs",
    "full_batch_gradient",
    "late_snapshot_step",
    "snapshot_batches",
]


def __getattr__(name: str) -> Any:
    return moved_name(__name__, name)
