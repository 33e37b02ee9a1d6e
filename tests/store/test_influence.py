"""The temporal influence score and the properties that the report proves of it."""

import pytest
import torch

from dgl_dysign.errors import ConfigError
from dgl_dysign.store import NeighborStore, temporal_influence


def test_the_formula():
    importance = torch.tensor([4.0, 4.0, 4.0], dtype=torch.float64)
    found = temporal_influence(importance, torch.tensor([1, 2, 3]), torch.tensor([2, 0, 1]), 0.1, 0.5)
    assert found.tolist() == pytest.approx([1.0, 0.4, 0.02])
    assert found.dtype == torch.float64


@pytest.mark.parametrize("decays", [(0.0, 0.5), (1.0, 0.5), (0.5, 0.0), (0.5, 1.0), (0.5, float("nan")), (-0.1, 0.5)])
def test_decays_outside_are_refused(decays):
    for make in (lambda: temporal_influence(torch.ones(1), 1, 0, *decays), lambda: NeighborStore(2, 4, 2, *decays)):
        with pytest.raises(ConfigError, match="expected a number above 0 and below 1"):
            make()


@pytest.mark.parametrize("backend", ["compiled", "torch"])
@pytest.mark.parametrize(("ratio", "first"), [(0.99, 2), (1.01, 1)])
@pytest.mark.parametrize("gap", [1, 3])
def test_an_older_entry_stays_ahead_only_if_it_was_that_much_more_important(backend, ratio, first, gap):
    """Theorem 4.6: by more than snapshot_decay^-(difference of ages)."""
    decay = 0.5
    strength = {1: ratio * decay**-gap, 2: 1.0}
    store = NeighborStore(
        3, num_hops=1, snapshot_decay=decay, backend=backend,
        importance=lambda src, dst, n: torch.tensor([1.0, strength[1], strength[2]]),
    )  # fmt: skip
    store.insert(4, [0], [1])
    store.insert(4 + gap, [0], [2])
    assert store.neighbors([0], now=20).node[0, 0] == first


@pytest.mark.parametrize("backend", ["compiled", "torch"])
def test_a_longer_path_scores_lower(backend):
    """Theorem 4.8: of one node met in one snapshot; by exactly hop_decay a hop."""
    store = NeighborStore(4, num_hops=3, hop_decay=0.3, importance="uniform", backend=backend)
    store.insert(0, [2], [3])
    store.insert(1, [1], [2])
    store.insert(2, [0], [1])
    found = store.neighbors([2, 1, 0], now=2)
    three = found.node == 3
    of_three = dict(zip(found.hop[three].tolist(), found.influence[three].tolist(), strict=True))
    assert of_three == pytest.approx({hop: 0.05**2 * 0.3 ** (hop - 1) for hop in (1, 2, 3)}, rel=1e-6)
