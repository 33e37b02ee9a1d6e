"""Dy-SIGN, UnderGS and what joins them; how their inputs are read, how they are saved and predict.

An argument outside its range, and features or snapshots that are missing or not expected, raise `ConfigError`.
"""

from typing import Any

from dgl_dysign._moved import moved_name
from dgl_dysign.models.dysign import DySIGN
from dgl_dysign.models.event_undergs import EventUnderGS
from dgl_dysign.models.frozen_features import frozen_features
from dgl_dysign.models.inputs import (
    LabelInputs,
    NodeInputs,
    Snapshot,
    StreamedSnapshots,
    evenly_spaced,
    load_snapshots,
    store_graph,
)
from dgl_dysign.models.label_features import masked_label_features, smooth_predictions
from dgl_dysign.models.link_head import LinkHead, link_loss
from dgl_dysign.models.link_scorer import LinkScorer
from dgl_dysign.models.pretrained import Pretrained
from dgl_dysign.models.replaying import Replayed, replay
from dgl_dysign.models.snapshot_encoder import EncoderEvents, EncoderLinks, EncoderNodes, EncoderScorer, SnapshotEncoder
from dgl_dysign.models.spiking_undergs import SpikingUnderGS
from dgl_dysign.models.undergs import PRESETS, UnderGS, preset_store

__all__ = [
    "PRESETS", "DySIGN", "EncoderEvents", "EncoderLinks", "EncoderNodes", "EncoderScorer", "EventUnderGS",
    "LabelInputs", "LinkHead", "LinkScorer", "NodeInputs", "Pretrained", "Replayed", "Snapshot", "SnapshotEncoder",
    "SpikingUnderGS", "StreamedSnapshots", "UnderGS", "evenly_spaced", "frozen_features", "link_loss", "load_snapshots",
    "masked_label_features", "preset_store", "replay", "smooth_predictions", "store_graph",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    return moved_name(__name__, name)
