"""Label propagation against a dense loop."""

import pytest
import torch

from dgl_dysign._dgl import dgl
from dgl_dysign.baselines import propagate_labels
from tests.models.label_cases import GRAPHS, LABELS, OTHERS, TRAIN, C, graphs, propagated
from tests.nn.equilibrium_oracle import adjacency


@pytest.mark.parametrize("steps", [1, 2, 6])
def test_propagated_labels_are_those_of_a_dense_loop(steps):
    graph, weight = GRAPHS[0]
    found = propagate_labels(graph, weight.float(), LABELS, TRAIN, C, steps)
    expected = propagated(adjacency(graph, weight), TRAIN, steps)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-6)


def test_heavier_edges_carry_more():
    star = dgl.graph(([0, 1, 0, 2], [1, 0, 2, 0]), num_nodes=3)
    labels, train = torch.tensor([0, 0, 1]), torch.tensor([1, 2])
    for weights, winner in (([3.0, 3, 1, 1], 0), ([1.0, 1, 3, 3], 1)):
        assert propagate_labels(star, torch.tensor(weights), labels, train, 2)[0].argmax() == winner


def test_labels_outside_the_training_nodes_are_never_read():
    changed = LABELS.clone()
    changed[OTHERS] = -1
    graph, weight = graphs()[0]
    assert torch.equal(
        propagate_labels(graph, weight, changed, TRAIN, C), propagate_labels(graph, weight, LABELS, TRAIN, C)
    )
