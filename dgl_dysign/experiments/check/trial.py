"""An entry that is fitted to small data over and over, and asked as the tables ask it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.data import SnapshotEdges, TemporalGraph, stratified_split
from dgl_dysign.data.snapshot_events import SnapshotEvents
from dgl_dysign.errors import DataError
from dgl_dysign.evaluation import LinkQueries, NegativeSampler, auc, mrr, tie_aware_rank
from dgl_dysign.experiments.check.data import Sample
from dgl_dysign.experiments.check.steps import Steps
from dgl_dysign.experiments.entry import Entry, Outcome
from dgl_dysign.experiments.event_task import EventSettings, EventTask
from dgl_dysign.experiments.link_task import LinkSettings, LinkTask
from dgl_dysign.experiments.memory import peak_rss_bytes, reset_peak
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask, Recipe
from dgl_dysign.training import LinkFitConfig
from dgl_dysign.training.events import EventFitConfig
from dgl_dysign.training.nodes import FitConfig

NEGATIVES = 100  # a constant scorer then has an MRR of 1 / 51
Answers = Mapping[int, Tensor]
"""Scores by snapshot."""


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

    def ask(self, outcome: Outcome, question: LinkQueries) -> Tensor:
        scores = outcome.model.score(question.snapshot, question.src, question.dst)
        return _shaped(outcome, scores, tuple(question.dst.shape), "one score a candidate")

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

    def ask(self, outcome: Outcome, question: SnapshotEvents) -> Tensor:
        return _shaped(outcome, outcome.model.score(question), (len(question),), "one score an event")

    def places(self, answer: Tensor) -> Tensor:
        """Return the place of each event among those of its snapshot, 0 .. 1."""
        return (answer[:, None] > answer).double().mean(1) + (answer[:, None] == answer).double().mean(1) / 2

    def figure(self, task: EventTask, answers: Answers) -> tuple[str, float]:
        test = [t for t in task.ranges["test"] if t in answers]
        label = torch.cat([task.snapshots[t].label for t in test])
        scores = torch.cat([answers[t] for t in test])
        return "AUC", auc(scores[label == 1], scores[label == 0])


class _Nodes:
    """Classes of nodes, asked about after the last snapshot."""

    def __init__(self, labels: Tensor, seed: int) -> None:
        self.split, self.classes = stratified_split(labels, 0.5, seed, 0.1), int(labels.max()) + 1

    def task(self, data: TemporalGraph, seed: int, number: Tensor | None = None) -> NodeTask:
        train, val, test = self.split if number is None else (number[part] for part in self.split)
        recipe = Recipe(0.1, 0.1, FitConfig(epochs=3))
        sizes: dict[str, Any] = {"hidden": 8, "label_hidden": 4, "gcn_hidden": 8, "store_hidden": 8, "gcn_epochs": 5}
        settings = NodeSettings(2, label_steps=(1, 2), folds=3, feature_only=recipe, label_aware=recipe, **sizes)
        return NodeTask(data, settings).with_split(train, val, test, seed)

    def parts(self, task: NodeTask) -> tuple[range, range]:
        return range(0), range(task.last, task.last + 1)

    def feeds(self, task: NodeTask) -> Sequence[Any]:
        return []

    def questions(self, task: NodeTask) -> dict[int, Tensor]:
        return {task.last: torch.arange(task.data.num_nodes)}

    def ask(self, outcome: Outcome, question: Tensor) -> Tensor:
        if outcome.prediction is not None:
            return outcome.prediction[question].detach()
        outcome.check_model("predict")
        return _shaped(outcome, outcome.model.predict(question), (len(question), self.classes), "(nodes, classes)")

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


@dataclass(frozen=True)
class Fit:
    """A fitted entry, the task that it was fitted to, and what that took."""

    task: Any
    outcome: Outcome
    steps: Steps
    peak: int


class Trial:
    """An entry in a table of some kind on a sample: fits and answers, those of the sample itself kept.

    `home` is an empty folder for prepared ones, `seed` that of everything drawn.
    """

    def __init__(self, entry: Entry, kind: str, sample: Sample, seed: int, home: Path) -> None:
        home.mkdir(exist_ok=True)
        self.entry, self.kind, self.sample, self.seed, self.home = entry, kind, sample, seed, home
        self.seconds: list[float] = []  # of the fits
        label = {"node": sample.events.node_label, "event": sample.events.event_label}.get(kind)
        if kind == "link":
            self.form: Any = _Links()
        elif label is None:
            raise DataError(f"{sample.about}: found no labels of {kind}s; check the entry in a table of another kind")
        else:
            self.form = _Events() if kind == "event" else _Nodes(torch.from_numpy(label.copy()), seed)

    def fit(
        self, sample: Sample | None = None, seed: int | None = None, state: int = 0, number: Tensor | None = None
    ) -> Fit:
        """Fit to a sample; `state` seeds the random states of the process, `number` has the new numbers of nodes."""
        data = self._plain if sample is None else sample.write(self.home / str(len(self.seconds)))
        task = self.form.task(TemporalGraph.load(data.folder), self.seed if seed is None else seed, number)
        reset_peak()
        peak, started = peak_rss_bytes(), time.process_time()
        with _random_state(state), Steps() as steps:
            outcome = self.entry.fitted(task.view())
        self.seconds.append(time.process_time() - started)
        return Fit(task, outcome, steps, max(peak_rss_bytes() - peak, 0))

    @cached_property
    def _plain(self) -> TemporalGraph:
        return self.sample.write(self.home / "sample")

    @cached_property
    def base(self) -> Fit:
        """Fitted to the sample."""
        return self.fit()

    @cached_property
    def feeds(self) -> Sequence[Any]:
        """What is observed, snapshot by snapshot."""
        return self.form.feeds(self.base.task)

    @cached_property
    def questions(self) -> Mapping[int, Any]:
        """What is asked, by snapshot."""
        return self.form.questions(self.base.task)

    @cached_property
    def parts(self) -> tuple[range, range]:
        """The snapshots for validation, and those for testing."""
        return self.form.parts(self.base.task)

    @cached_property
    def last(self) -> int:
        """The last snapshot that is asked about."""
        return max(self.questions)

    @cached_property
    def answers(self) -> Answers:
        """Of the model that was fitted to the sample."""
        return self.replay(self.base)

    @cached_property
    def apart(self) -> float:
        """How far the answers of two fits to the same data differ, under other random states of the process."""
        return self._distance(self.fit(state=1))

    @cached_property
    def tolerance(self) -> float:
        """How far answers may differ: as far as those of two fits to the same data do."""
        return self._distance(self.fit()) if self.apart else 0.0

    def _distance(self, fit: Fit) -> float:
        after = self.replay(fit)
        return max(float((answer.double() - after[t].double()).abs().max()) for t, answer in self.answers.items())

    @cached_property
    def scores(self) -> Tensor:
        """All answers in one."""
        return torch.cat([answer.double().flatten() for answer in self.answers.values()])

    @property
    def spread(self) -> float:
        """Difference between the largest and the smallest score."""
        return float(self.scores.max() - self.scores.min())

    def ask(self, fit: Fit, question: Any) -> Tensor:
        """Ask a fitted model."""
        with torch.no_grad(), _random_state(), self.entry.running():
            return self.form.ask(fit.outcome, question)

    def replay(
        self,
        fit: Fit,
        last: int | None = None,
        questions: Mapping[int, Any] | None = None,
        feeds: Sequence[Any] | None = None,
    ) -> dict[int, Tensor]:
        """Reset a fitted model, then ask it about a snapshot before it observes it, up to the last."""
        questions, feeds = questions or self.questions, feeds or self.feeds
        last = max(questions) if last is None else last
        if self.kind == "node":
            return {t: self.ask(fit, question) for t, question in questions.items()}
        fit.outcome.check_model("reset", "observe", "score")
        answers = {}
        with self.entry.running():
            fit.outcome.model.reset()
        for t in range(last + 1):
            if t in questions:
                answers[t] = self.ask(fit, questions[t])
            if t < last:
                if self.kind == "link":
                    fit.task.observed(t + 1)
                with torch.no_grad(), _random_state(), self.entry.running():
                    fit.outcome.model.observe(feeds[t])
        return answers

    def moved(self, before: Answers, after: Answers, slack: float = 0.0) -> str:
        """Say which answers differ by more than two fits do, and by `slack` of the spread; empty for none."""
        most = worst = self.tolerance + slack * self.spread
        text = ""
        for t in sorted(set(before) & set(after)):
            difference = (before[t].double() - after[t].double()).abs()
            if not float(difference.max()) <= worst:
                worst, count = float(difference.max()), int((~(difference <= most)).sum())
                text = f"{count} of {difference.numel()} scores of snapshot {t} move, by up to {worst:.3g}"
        return text


@contextmanager
def _random_state(seed: int = 0) -> Iterator[None]:
    """Seed the random states of the process for a while, so that what reads them is repeatable."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (what strangers may draw from)
    with torch.random.fork_rng([]):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
