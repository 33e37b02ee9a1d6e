"""Splits: SpikeNet's rule, shares of classes, unlabelled nodes left out."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import train_test_split

from dgl_dysign.data import stratified_split
from dgl_dysign.errors import ConfigError

LABELS = torch.arange(2000) % 4


def spikenet_rule(labels, train_size, seed):
    """Apply SpikeNet's rule as its command line does: 5 % go off the training share, then come back as validation."""
    test_size, train_size, val_size = 1 - train_size, train_size - 0.05, 0.05
    train, test = train_test_split(
        torch.arange(len(labels)),
        train_size=train_size + val_size,
        test_size=test_size,
        random_state=seed,
        stratify=labels,
    )
    train, val = train_test_split(
        train, train_size=train_size / (train_size + val_size), random_state=seed, stratify=labels[train]
    )
    return train, val, test


@pytest.mark.parametrize("ratio", [0.4, 0.6, 0.8])
@pytest.mark.parametrize("seed", [42, 0])
@pytest.mark.real
def test_is_spikenets_split_of_dblp_node_for_node(real_data, ratio, seed):
    labels = torch.from_numpy(np.loadtxt(real_data / "dblp" / "node2label.txt", dtype=np.int64)[:, 1])
    for ours, theirs in zip(stratified_split(labels, ratio, seed), spikenet_rule(labels, ratio, seed), strict=True):
        assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize("ratio", [0.4, 0.6, 0.8])
def test_sizes_and_parts(ratio):
    train, val, test = stratified_split(LABELS, ratio, seed=1)
    assert len(test) == pytest.approx(2000 * (1 - ratio), abs=1)
    assert len(val) == pytest.approx(100, abs=1), "5 % of all nodes"
    assert torch.equal(torch.cat([train, val, test]).sort().values, torch.arange(2000))
    assert {part.dtype for part in (train, val, test)} == {torch.int64}
    for part in (train, val, test):
        shares = LABELS[part].bincount() / len(part)
        assert shares.tolist() == pytest.approx([0.25] * 4, abs=0.02)


def test_unlabelled_nodes_are_in_no_part():
    labels = LABELS.clone()
    labels[::3] = -1
    nodes = torch.cat(stratified_split(labels, 0.6, seed=3))
    assert torch.equal(nodes.sort().values, (labels >= 0).nonzero().flatten())


def test_unlabelled_nodes_do_not_move_the_others():
    """The split depends on the labelled nodes alone, in their order."""
    spread = torch.full((4000,), -1)
    spread[1::2] = LABELS
    for dense, sparse in zip(stratified_split(LABELS, 0.4, 5), stratified_split(spread, 0.4, 5), strict=True):
        assert torch.equal(2 * dense + 1, sparse)


def test_seeds():
    first, again, other = (stratified_split(LABELS, 0.4, seed)[0] for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_validation():
    train, val, test = stratified_split(LABELS, 0.4, seed=0, val_ratio=0.0)
    assert (len(train), len(val), len(test)) == (800, 0, 1200)


@pytest.mark.parametrize(("ratio", "val"), [(0.0, 0.05), (1.0, 0.05), (0.05, 0.05), (0.4, -0.1), (1.2, 0.05)])
def test_ratios_out_of_range(ratio, val):
    with pytest.raises(ConfigError, match="expected 0 <= val_ratio < train_ratio < 1"):
        stratified_split(LABELS, ratio, 0, val)


def test_class_with_one_node():
    labels = LABELS.clone()
    labels[0] = 4
    with pytest.raises(ConfigError, match="2000 labelled nodes cannot be split"):
        stratified_split(labels, 0.4, 0)


def test_no_labels():
    with pytest.raises(ConfigError, match="0 labelled nodes"):
        stratified_split(torch.full((5,), -1), 0.4, 0)


def test_small_classes_are_in_training_before_validation():
    labels = torch.cat([torch.arange(120) % 3, torch.tensor([3, 3])])
    train, val, test = stratified_split(labels, 0.4, 42)
    assert [int((labels[part] == 3).sum()) for part in (train, val, test)] == [1, 0, 1]
    assert len(torch.cat([train, val, test]).unique()) == 122


def test_validation_has_at_least_as_many_nodes_as_classes():
    labels = torch.arange(100) % 10
    train, val, test = stratified_split(labels, 0.4, 42)
    assert [len(part) for part in (train, val, test)] == [30, 10, 60]
