"""The majority class: of the training nodes alone."""

import torch

from dgl_dysign.baselines import majority_class


def test_counts_training_nodes_alone():
    labels = torch.tensor([1, 1, 1, 2, 2, 0, -1])
    found = majority_class(labels, torch.tensor([0, 3, 4, 5]), 7)
    assert found.tolist() == [2] * 7
    changed = labels.clone()
    changed[[1, 2, 6]] = 0
    assert torch.equal(majority_class(changed, torch.tensor([0, 3, 4, 5]), 7), found)
