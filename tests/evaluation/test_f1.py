"""Scores against their definitions, over the nodes asked for alone."""

import math

import numpy as np
import pytest
import torch

from dgl_dysign.evaluation import confusion, f1_scores, mean_std


def test_f1_by_its_definition():
    generator = torch.Generator().manual_seed(0)
    labels, predicted = torch.randint(4, (2, 50), generator=generator)
    nodes = torch.arange(0, 50, 2)
    f1 = []
    for c in range(4):
        true, found = labels[nodes] == c, predicted[nodes] == c
        f1.append(2 * int((true & found).sum()) / int(true.sum() + found.sum()))
    scores = f1_scores(labels, predicted, nodes)
    assert scores["macro_f1"] == pytest.approx(100 * np.mean(f1))
    assert scores["micro_f1"] == pytest.approx(100 * float((labels == predicted)[nodes].double().mean()))
    rest = torch.ones(50, dtype=torch.bool)
    rest[nodes] = False
    labels[rest] = -1
    assert f1_scores(labels, predicted, nodes) == scores


def test_a_class_that_is_never_predicted_costs_its_share_of_the_macro_mean():
    labels, nodes = torch.tensor([0, 0, 0, 1]), torch.arange(4)
    assert f1_scores(labels, torch.zeros(4), nodes) == pytest.approx({"macro_f1": 100 * 6 / 7 / 2, "micro_f1": 75.0})


def test_confusion_has_true_classes_as_rows_and_all_classes():
    found = confusion(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 2]), 3)
    assert found.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_mean_and_deviation_of_the_sample():
    assert mean_std([1.0, 2.0, 6.0]) == pytest.approx({"mean": 3.0, "std": math.sqrt(7.0), "runs": 3})
    assert mean_std([4.0]) == {"mean": 4.0, "std": 0.0, "runs": 1}
