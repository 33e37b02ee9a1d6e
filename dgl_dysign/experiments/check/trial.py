"""An entry that is fitted to small data over and over, and asked as the tables ask it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.experiments.check.data import Sample
from dgl_dysign.experiments.check.forms import Answers, Fit, form_of
from dgl_dysign.experiments.check.steps import Steps
from dgl_dysign.experiments.entry import Entry
from dgl_dysign.experiments.memory import peak_rss_bytes, reset_peak


class Trial:
    """An entry in a table of some kind on a sample: fits and answers, those of the sample itself kept.

    `home` is an empty folder for prepared ones, `seed` that of everything drawn; `by_time` says how nodes are split.
    """

    def __init__(self, entry: Entry, kind: str, sample: Sample, seed: int, home: Path, by_time: bool = False) -> None:
        home.mkdir(exist_ok=True)
        self.entry, self.kind, self.sample, self.seed, self.home = entry, kind, sample, seed, home
        self.by_time = by_time
        self.seconds: list[float] = []  # of the fits
        label = {"node": sample.events.node_label, "event": sample.events.event_label}.get(kind)
        if by_time and kind != "node":
            raise ConfigError(
                f"--split time is of nodes, but the table is of {kind}s, always split by time: leave it out"
            )
        if kind != "link" and label is None:
            raise DataError(f"{sample.about}: found no labels of {kind}s; check the entry in a table of another kind")
        self.form = form_of(kind, lambda: self._plain, seed, by_time)

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

    def ask(self, fit: Fit, question: Any, t: int | None = None) -> Tensor:
        """Ask a fitted model, about nodes as of snapshot t; default: the last that is asked about."""
        with torch.no_grad(), _random_state(), self.entry.running():
            return self.form.ask(fit, question, self.last if t is None else t)

    def anew(self, fit: Fit) -> Fit:
        """Return a fit whose model has been given other weights: it forgets what it observed, and predicts again."""
        outcome = fit.outcome
        with torch.no_grad(), _random_state(), self.entry.running():
            getattr(outcome.model, "reset", lambda: None)()
            if outcome.later is not None:
                outcome = replace(outcome, prediction=outcome.later(fit.task.view()).prediction)
        return replace(fit, outcome=outcome)

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
            return {t: self.ask(fit, question, t) for t, question in questions.items() if t <= last}
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
