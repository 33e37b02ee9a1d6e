"""How the tables ask about nodes, links and labels of events, on data so small that it is fitted to over and over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgl_dysign.data import SnapshotEdges, TemporalGraph, split_by_time, stratified_split
from dgl_dysign.data.snapshot_events import SnapshotEvents
from dgl_dysign.errors import DataError
from dgl_dysign.evaluation import LinkQueries, NegativeSampler, auc, mrr, tie_aware_rank
from dgl_dysign.experiments.check.steps import Steps
from dgl_dysign.experiments.entry import Outcome
from dgl_dysign.experiments.event_task import EventSettings, EventTask
from dgl_dysign.experiments.link_task import LinkSettings, LinkTask
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask, Recipe
from dgl_dysign.training import LinkFitConfig
from dgl_dysign.training.events import EventFitConfig
from dgl_dysign.training.nodes import FitConfig

NEGATIVES = 100  # a constant scorer then has an MRR of 1 / 51
Answers = Mapping[int, Tensor]
"""Scores by snapshot."""


@dataclass(frozen=True)
class Fit:
    """A fitted entry, the task that it was fitted to, and what that took."""

    task: Any
    outcome: Outcome
    steps: Steps
    peak: int


class _Links:
    """Links from validation on, each snapshot asked about before it is observed."""

    def task(self, data: TemporalGraph, seed: int, _: Tensor | None = None) -> LinkTask:
        training = LinkFitConfig(epochs=2, lr=1e-2, num_negatives=5, val_negatives=10)
        return LinkTask(data, LinkSettings(hidden_feats=8, num_neighbors=4, training=training)).with_seed(seed)

    def parts(self, task: LinkTask) -> tuple[range, range]:
        return task.split[1], task.split[2]

    def feeds(self, task: LinkTask) -> Sequence[SnapshotEdges]:
        return task.edges

    def questions(self, task: LinkTask) -> dict[int, LinkQueries]:
        sampler, queries = NegativeSampler(task.data.num_nodes, NEGATIVES), {}
        for edges in task.edges:
            if edges.snapshot >= task.split[1].start:
                queries[edges.snapshot] = sampler.draw(edges).only_warm()
            sampler.observe(edges)
        return {t: question for t, question in queries.items() if len(question)}

    def ask(self, fit: Fit, question: LinkQueries, _: int) -> Tensor:
        scores = fit.outcome.model.score(question.snapshot, question.src, question.dst)
        return _shaped(fit.outcome, scores, tuple(question.dst.shape), "one score a candidate")

    def places(self, answer: Tensor) -> Tensor:
        """Return the place of the true candidate among all, 0 .. 1."""
        return (tie_aware_rank(answer) - 1) / max(answer.shape[1] - 1, 1)

    def figure(self, task: LinkTask, answers: Answers) -> tuple[str, float]:
        return "MRR", mrr(torch.cat([tie_aware_rank(answers[t]) for t in task.split[2] if t in answers]))


class _Events:
    """Labels of events, each snapshot asked about before it is observed."""

    def task(self, data: TemporalGraph, seed: int, _: Tensor | None = None) -> EventTask:
        settings = EventSettings(hidden=8, num_neighbors=4, training=EventFitConfig(epochs=2))
        return EventTask(data, settings=settings).with_seed(seed)

    def parts(self, task: EventTask) -> tuple[range, range]:
        return task.ranges["val"], task.ranges["test"]

    def feeds(self, task: EventTask) -> Sequence[SnapshotEvents]:
        return [events.hidden() for events in task.snapshots]

    def questions(self, task: EventTask) -> dict[int, SnapshotEvents]:
        return {e.snapshot: e for e in self.feeds(task) if e.snapshot >= task.ranges["val"].start and len(e)}

    def ask(self, fit: Fit, question: SnapshotEvents, _: int) -> Tensor:
        return _shaped(fit.outcome, fit.outcome.model.score(question), (len(question),), "one score an event")

    def places(self, answer: Tensor) -> Tensor:
        """Return the place of each event among those of its snapshot, 0 .. 1."""
        return (answer[:, None] > answer).double().mean(1) + (answer[:, None] == answer).double().mean(1) / 2

    def figure(self, task: EventTask, answers: Answers) -> tuple[str, float]:
        test = [t for t in task.ranges["test"] if t in answers]
        label = torch.cat([task.snapshots[t].label for t in test])
        scores = torch.cat([answers[t] for t in test])
        return "AUC", auc(scores[label == 1], scores[label == 0])


class _Nodes:
    """Classes of nodes, asked about after the last snapshot; split by time, after training and validation, too."""

    def __init__(self, data: TemporalGraph, seed: int, by_time: bool) -> None:
        T = self.snapshots = data.num_snapshots
        self.ends, self.classes = (T, T), int(data.labels.max()) + 1
        if by_time:  # half of the nodes that training has seen are tested, so that there are some, whenever nodes come
            until = (T - 1) // 2, 2 * (T - 1) // 3
            self.ends = until[0] + 1, until[1] + 1
            self.split = split_by_time(data, *until, 0.5, seed, 0.1)
        else:
            self.split = stratified_split(data.labels, 0.5, seed, 0.1)

    def task(self, data: TemporalGraph, seed: int, number: Tensor | None = None) -> NodeTask:
        train, val, test = self.split if number is None else (number[part] for part in self.split)
        recipe = Recipe(0.1, 0.1, FitConfig(epochs=3))
        sizes: dict[str, Any] = {"hidden": 8, "label_hidden": 4, "gcn_hidden": 8, "store_hidden": 8, "gcn_epochs": 5}
        settings = NodeSettings(2, label_steps=(1, 2), folds=3, feature_only=recipe, label_aware=recipe, **sizes)
        return NodeTask(data, settings, ends=self.ends).with_split(train, val, test, seed)

    def parts(self, task: NodeTask) -> tuple[range, range]:
        return range(self.ends[1] - 1, self.ends[1] if task.by_time else 0), range(task.last, task.last + 1)

    def feeds(self, task: NodeTask) -> Sequence[Any]:
        return []

    def questions(self, task: NodeTask) -> dict[int, Tensor]:
        return {end - 1: torch.arange(task.data.num_nodes) for end in (*self.ends, self.snapshots)}

    def ask(self, fit: Fit, question: Tensor, t: int) -> Tensor:
        """Ask about nodes as of snapshot t."""
        if fit.outcome.prediction is not None:
            return fit.task.outcome_at(fit.outcome, t + 1).predicted[question].detach()
        fit.outcome.check_model("predict")
        with fit.task.seen(t + 1):
            scores = fit.outcome.model.predict(question)
        return _shaped(fit.outcome, scores, (len(question), self.classes), "(nodes, classes)")

    def places(self, answer: Tensor) -> Tensor:
        """Return which class comes first, as 0 or 1."""
        return torch.nn.functional.one_hot(answer.argmax(1), answer.shape[1])

    def figure(self, task: NodeTask, answers: Answers) -> tuple[str, float]:
        right = answers[task.last].argmax(1) == task.labels
        return "accuracy", float(right[task.test].double().mean())


def _shaped(outcome: Outcome, scores: Any, shape: tuple[int, ...], what: str) -> Tensor:
    if not isinstance(scores, Tensor) or tuple(scores.shape) != shape:
        got = f"scores of shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
        raise DataError(f"row {outcome.entry!r}: found {got}, expected a tensor of shape {shape}: {what}")
    return scores.detach().cpu()


def form_of(kind: str, data: Callable[[], TemporalGraph], seed: int, by_time: bool) -> Any:
    """Return how a table of some kind asks; `data` gives what nodes are split by, with a seed."""
    return _Nodes(data(), seed, by_time) if kind == "node" else _Events() if kind == "event" else _Links()
