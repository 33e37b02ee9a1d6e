"""Loops, checkpoints and run folders."""

from dgl_dysign.training.cached_features import CachedFeatures
from dgl_dysign.training.count_fit import fit_counts
from dgl_dysign.training.equilibrium_cache import EquilibriumCache
from dgl_dysign.training.fit import FitConfig, fit
from dgl_dysign.training.full_batch import full_batch_gradient
from dgl_dysign.training.late_snapshot import LateStep, SnapshotBatch, late_snapshot_step, snapshot_batches
from dgl_dysign.training.link_fit import LinkFitConfig, fit_links
from dgl_dysign.training.moments import Moments
from dgl_dysign.training.predict import predict, predict_links
from dgl_dysign.training.run_folder import RunFolder
from dgl_dysign.training.saved_models import SavedModels

__all__ = [
    "CachedFeatures",
    "EquilibriumCache",
    "FitConfig",
    "LateStep",
    "LinkFitConfig",
    "Moments",
    "RunFolder",
    "SavedModels",
    "SnapshotBatch",
    "fit",
    "fit_counts",
    "fit_links",
    "full_batch_gradient",
    "late_snapshot_step",
    "predict",
    "predict_links",
    "snapshot_batches",
]
