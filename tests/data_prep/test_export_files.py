"""What the writers do beyond what `tests/data_prep/test_export.py` shows of prepared folders."""

import json

import numpy as np
import pytest
import torch

from data_prep.export_files import MARKER, SortedEvents, write_dyglib, write_marked, write_tgl
from dgl_dysign.errors import ConfigError

FEAT = np.arange(6, dtype=np.float32).reshape(3, 2)


def events(**changes):
    given = {
        "name": "a b",
        "src": np.array([0, 1, 0]),
        "dst": np.array([2, 2, 3]),
        "time": np.array([0.0, 1.5, 1.5]),
        "num_nodes": 5,
        "directed": True,
        "width": 2,
        "copy_features": lambda into: np.copyto(into, FEAT),
    }
    return SortedEvents(**{**given, **changes})


def test_features_of_nodes(tmp_path, monkeypatch):
    node_feat = np.arange(10, dtype=np.float32).reshape(5, 2) + 1
    node_feat.flags.writeable = False
    some = events(node_feat=node_feat)
    assert write_tgl(some, tmp_path)["rows"]["node_features.pt"] == 5
    assert torch.load(tmp_path / "node_features.pt", weights_only=True).tolist() == node_feat.tolist()
    write_dyglib(some, tmp_path)
    assert np.load(tmp_path / "ml_a_b_node.npy").tolist() == [[0, 0], *node_feat.tolist()]
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    assert write_tgl(some, tmp_path)["rows"]["node_features.npy"] == 5
    assert np.array_equal(np.load(tmp_path / "node_features.npy"), node_feat)
    with pytest.raises(ConfigError, match="a b: found 173 features a node, expected at most 172"):
        write_dyglib(events(node_feat=np.zeros((5, 173), np.float32)), tmp_path)


def test_the_marker_says_what_the_files_do_not(tmp_path):
    labels = np.array([1]), np.array([1]), np.array([0])
    some = events(time_unit="days", node_offset=2, weighted=True, event_labels=labels)
    for write in (write_tgl, write_dyglib):
        write_marked(tmp_path / write.__name__, lambda new, write=write: write(some, new), {"dataset": "a b"})
        found = json.loads((tmp_path / write.__name__ / MARKER).read_text())
        assert (found["dataset"], found["schema_version"]) == ("a b", 1)
        assert found["about"] == {
            "directed": True,
            "time_unit": "days",
            "node_offset": 2,
            "weight_is_first_feature": True,
            "edge_features": True,
            "node_features": False,
            "labels": "event",
        }
    assert events(width=1, weighted=True).about["edge_features"] is False
    assert events(node_labels=labels[:2]).about["labels"] == "node"


def test_a_failure_leaves_nothing(tmp_path):
    def fail(new):
        (new / "a").write_text("")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write_marked(tmp_path / "out", fail, {})
    assert not list(tmp_path.iterdir())
