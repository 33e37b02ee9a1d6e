"""Rows of a frozen basis stand still, those of new nodes are means that a hand finds too."""

import numpy as np
import pytest
import torch

from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.models import frozen_features
from tests.folders import write_folder

# Nodes 0 and 1 are known; 2 is new at 1, heard twice from 0; 3 and 4 at 2, of which 4 knows 3 alone; 5 knows nobody.
EVENTS = [(0, 0, 1), (1, 2, 0), (1, 2, 0), (1, 1, 2), (2, 3, 1), (2, 4, 3), (2, 5, 5)]
ROWS = np.array([[3.0, 0.0], [0.0, 5.0], [0, 0], [0, 0], [0, 0], [0, 0]], np.float32)


@pytest.fixture
def data(tmp_path):
    events = [(t, u, v, float(t), k) for k, (t, u, v) in enumerate(EVENTS)]
    later = [ROWS + np.arange(12, dtype=np.float32).reshape(6, 2) * t for t in range(3)]
    ranges = [(float(t), t + 1.0) for t in range(3)]
    folder = write_folder(tmp_path / "prepared", events, ranges, 6, node_features=later)
    return TemporalGraph.load(folder)


def test_new_nodes_are_projected_once_and_known_ones_stand_still(data):
    # Mean length 4; columns (3, 0) and (0, 5): means 1.5 and 2.5, deviations the same.
    second = 4 * torch.tensor([6.0, 5.0]) / 61**0.5
    third = torch.tensor([0.0, 4.0])
    # Node 3 has heard from 1 alone in the first turn, from 4 as well in the second: on the same line.
    expected = torch.stack([torch.tensor([3.0, 0.0]), torch.tensor([0.0, 5.0]), second, third, third])
    expected = (expected - torch.tensor([1.5, 2.5])) / torch.tensor([1.5, 2.5])
    first, later, last = frozen_features(data, 0)
    for feat, count in ((first, 2), (later, 3), (last, 5)):
        torch.testing.assert_close(feat[:count], expected[:count])
        assert not feat[count:].any()


def test_a_basis_must_exist_and_have_features(data, tmp_path):
    with pytest.raises(ConfigError, match="snapshot 3 does not exist"):
        next(frozen_features(data, 3))
    with pytest.raises(DataError, match="found no features"):
        next(frozen_features(TemporalGraph.load(write_folder(tmp_path / "bare")), 0))
