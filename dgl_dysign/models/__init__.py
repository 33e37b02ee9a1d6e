"""Dy-SIGN, UnderGS and what joins them; how their inputs are read, how they are saved and asked."""

from typing import Any

from dgl_dysign._moved import moved_name
from dgl_dysign.models.dysign import DySIGN
from dgl_dysign.models.event_undergs import EventUnderGS
from dgl_dysign.models.link_head import LinkHead, link_loss
from dgl_dysign.models.link_scorer import LinkScorer
from dgl_dysign.models.node_inputs import LabelInputs, NodeInputs
from dgl_dysign.models.pretrained import Pretrained
from dgl_dysign.models.snapshot import Snapshot, StreamedSnapshots, load_snapshots, spread
from dgl_dysign.models.spiking_undergs import SpikingUnderGS, store_graph
from dgl_dysign.models.undergs import PRESETS, UnderGS, preset_store

__all__ = [
    "PRESETS",
    "DySIGN",
    "EventUnderGS",
    "LabelInputs",
    "LinkHead",
    "LinkScorer",
    "NodeInputs",
    "Pretrained",
    "Snapshot",
    "SpikingUnderGS",
    "StreamedSnapshots",
    "UnderGS",
    "link_loss",
    "load_snapshots",
    "preset_store",
    "spread",
    "store_graph",
]


def __getattr__(name: str) -> Any:
    return moved_name(__name__, name)
