"""Scores and protocols."""

from dgl_dysign.evaluation.f1 import confusion, f1_scores, mean_std

__all__ = ["confusion", "f1_scores", "mean_std"]
