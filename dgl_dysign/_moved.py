"""Public names and modules of version 0.1 that have moved: the old ones work for one release, with a warning."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MODULES = {
    "data.event_rows": "data.edge_reader",
    "data.pairs": "data.temporal_graph",
    "models.label_propagation": "baselines.node_models",
    "models.link_counts": "baselines.link_counts",
    "models.link_reference": "baselines.counting",
    "models.logistic_regression": "baselines.node_models",
    "models.majority": "baselines.node_models",
    "models.node_inputs": "models.inputs",
    "models.relu_network": "baselines.node_models",
    "models.snapshot": "models.inputs",
    "models.snapshot_gcn": "baselines.node_models",
    "nn.bernoulli_encoder": "nn.encoders",
    "nn.constant_encoder": "nn.encoders",
    "nn.equilibrium_state": "nn.equilibrium_spiking_conv",
    "ops.implicit": "ops.fixed_point",
    "store.influence": "store.importance",
    "store.link_features": "pairs.link_features",
    "training.cached_features": "pairs.cached_features",
    "training.command": "experiments.command",
    "training.diagnostics": "experiments.diagnostics",
    "training.event_fit": "training.events",
    "training.event_plots": "experiments.plots",
    "training.event_rows": "experiments.event_entries",
    "training.event_task": "experiments.event_task",
    "training.link_fit": "training.links",
    "training.link_plots": "experiments.plots",
    "training.link_rows": "experiments.link_task",
    "training.link_studies": "experiments.ablations",
    "training.memory": "experiments.memory",
    "training.moments": "training.distributed",
    "training.node_rows": "experiments.node_entries",
    "training.node_task": "experiments.node_task",
    "training.plots": "experiments.plots",
    "training.predict": "models.predict",
    "training.read_ahead": "training.equilibrium_cache",
    "training.run_folder": "experiments.run_folder",
    "training.saved_models": "experiments.saved_models",
    "training.shared_command": "experiments.command",
    "training.store_inputs": "models.inputs",
}

#: Of each package the names that it had, and where they are now; ``home:new`` where the name is another, too.
NAMES = {
    "data.schema": {"verify": "data.verify"},
    "experiments.event_entries": {
        **dict.fromkeys(("SCORES", "best_threshold", "event_scores", "recall_at"), "experiments.event_task"),
        "EventOutcome": "experiments.entry:Outcome",
    },
    "experiments.link_task": {"LinkRowSettings": "experiments.link_task:LinkSettings"},
    "experiments.node_entries": {"NodeSettings": "experiments.node_task"},
    "models": {
        **dict.fromkeys(
            (
                "CommonNeighbours", "CountLinks", "DestinationRecency", "EdgeBank", "LogisticRegression",
                "PreferentialAttachment", "RandomLinks", "ReLUNetwork", "RecentDegree", "SnapshotGCN",
                "link_reference_models", "majority_class", "propagate_labels",
            ),
            "baselines",
        ),
        "spread": "models:evenly_spaced",
    },
    "store": {"LinkFeatures": "pairs"},
    "training": {
        "CachedFeatures": "pairs", "RunFolder": "experiments", "SavedModels": "experiments",
        "predict": "models.predict", "predict_links": "models.predict",
    },
}  # fmt: skip


def moved_name(package: str, name: str) -> Any:
    """Return what a package of this one had under a name, with a warning; `AttributeError` of other names."""
    short = package.removeprefix("dgl_dysign.")
    home = NAMES.get(short, {}).get(name)
    if home is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    home, _, renamed = home.partition(":")
    _warn(f"{package}.{name}", f"dgl_dysign.{home}.{renamed or name}", stacklevel=4)
    return getattr(import_module(f"dgl_dysign.{home}"), renamed or name)


def _warn(old: str, new: str, stacklevel: int) -> None:
    warnings.warn(f"{old} has moved to {new}; the old name goes with the next release", DeprecationWarning, stacklevel)


class _Finder(MetaPathFinder, Loader):
    """Finds modules under their old names."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname.removeprefix("dgl_dysign.") in MODULES and fullname.startswith("dgl_dysign."):
            return ModuleSpec(fullname, self)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = "dgl_dysign." + MODULES[spec.name.removeprefix("dgl_dysign.")]
        _warn(spec.name, new, stacklevel=6)
        return import_module(new)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the module has run under its new name."""


def install() -> None:
    """Let old names of modules be imported."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
