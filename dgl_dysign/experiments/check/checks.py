"""The checks, each a function of a trial that returns a verdict, and `check_entry`, which asks all."""

from __future__ import annotations

import dataclasses
import inspect
import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import DataError, DGLDySignError, EntryError, check_choice
from dgl_dysign.experiments.check.data import HOW, Sample, generated
from dgl_dysign.experiments.check.forms import Fit
from dgl_dysign.experiments.check.report import FAULT, NOT_APPLICABLE, NOT_CHECKED, OK, CheckReport, Verdict
from dgl_dysign.experiments.check.steps import trainable
from dgl_dysign.experiments.check.trial import Trial
from dgl_dysign.experiments.check.weights import give_weights
from dgl_dysign.experiments.resolve import resolve_entry, resolve_rows
from dgl_dysign.models import EncoderScorer
from dgl_dysign.models.link_scorer import evaluating

ROUNDING = 1e-4  # of the spread of scores: sums in another order
MOVED = 0.01  # of scores, under other names: rounding may flip a spike, or what comes first


def finite(trial: Trial) -> Verdict:
    """Look for scores that are no numbers."""
    count, wrong = len(trial.scores), int((~trial.scores.isfinite()).sum())
    if wrong:
        text = f"{wrong} of {count} scores are NaN or infinite"
        return Verdict(FAULT, text, "look for a division by zero, or a diverged training")
    return Verdict(OK, f"{count} scores, no NaN")


def repeatable(trial: Trial) -> Verdict:
    """Fit twice to the same data, with the same seed."""
    if not trial.apart:
        return Verdict(OK, "two fits with one seed agree to the last bit")
    text = f"two fits with one seed differ by up to {trial.apart:.3g}"
    if trial.tolerance < trial.apart / 10:
        do = "seed what you draw: with torch.random.fork_rng([]): torch.manual_seed(view.seed)"
        return Verdict(FAULT, f"{text}: what is drawn depends on the random state of the process", do)
    if trial.tolerance > ROUNDING * trial.spread:
        return Verdict(FAULT, text, "draw with view.seed alone, and leave out what has no fixed order")
    return Verdict(OK, f"{text}, which is tolerated below")


def future(trial: Trial) -> Verdict:
    """Change everything at and after t: no prediction of t may move."""
    node, t = trial.kind == "node", trial.parts[1][0]
    if node and not trial.parts[0]:
        return Verdict(NOT_APPLICABLE, "nodes are asked about after the last snapshot, and all may be read")
    if node:  # they are asked about after t, too
        t = trial.parts[0][-1] + 1
    samples = {how: trial.sample.after(t, how, trial.kind == "event") for how in HOW}
    do = "let the model know what it was fitted to and what it observed, and read no file"
    return _unmoved(trial, samples, t - node, f"everything from snapshot {t} on", do)


def labels(trial: Trial) -> Verdict:
    """Change the labels that may not be read: no prediction may move."""
    if trial.kind == "link":
        return Verdict(NOT_APPLICABLE, "links have no labels")
    node, sample = trial.kind == "node", trial.sample
    rows = trial.base.task.test.numpy() if node else sample.snapshot >= trial.parts[1][0]
    samples = {how: sample.with_labels(rows, how) for how in (HOW if node else ("change", "shuffle"))}
    return _unmoved(trial, samples, trial.last, "the labels of the test", "read labels from the view alone")


def _unmoved(trial: Trial, samples: Mapping[str, Sample], last: int, what: str, do: str) -> Verdict:
    """Demand that the answers up to a snapshot are the same, whichever sample was fitted to."""
    if trial.tolerance > ROUNDING * trial.spread:
        return Verdict(NOT_CHECKED, "two fits to the same data differ too much to tell")
    for how, sample in samples.items():
        moved = trial.moved(trial.answers, trial.replay(trial.fit(sample), last))
        if moved:
            return Verdict(FAULT, f"{moved}, where {what} changed ({how})", do)
    count = sum(answer.numel() for t, answer in trial.answers.items() if t <= last)
    return Verdict(OK, f"{count} scores stay as they are, where {what} changed ({', '.join(samples)})")


def validation(trial: Trial) -> Verdict:
    """Change validation: it may choose, but not train."""
    val, sample, link = trial.parts[0], trial.sample, trial.kind == "link"
    if link:
        changed = sample.after(val[0], "change")
    else:
        node, at = trial.kind == "node", sample.snapshot
        rows = trial.base.task.val.numpy() if node else (at >= val[0]) & (at <= val[-1])
        changed = sample.with_labels(rows, "change")
    fit = trial.fit(changed)
    if not trial.moved(trial.answers, trial.replay(fit, val[0] if link else trial.last)):
        return Verdict(OK, "predictions do not move where validation changes")
    losses = [[_losses(epoch) for epoch in each.outcome.history] for each in (trial.base, fit)]
    if not any(losses[0]):
        text = "predictions move where validation changes; no history of losses tells whether it only chose"
        return Verdict(NOT_CHECKED, text, "tell on_epoch the training loss of each epoch")
    if any(one != other for one, other in zip(*losses, strict=False)):
        text = "training losses move where validation changes: it is trained on"
        return Verdict(FAULT, text, "train on training data")
    return Verdict(OK, "validation chooses the epoch; training losses do not move where it changes")


def _losses(epoch: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in epoch.items() if "val" not in name and name not in ("epoch", "cpu_seconds")}


def alive(trial: Trial) -> Verdict:
    """Look whether the model tells one candidate from another."""
    answers = {t: answer for t, answer in trial.answers.items() if t in trial.parts[1]}
    name, value = trial.form.figure(trial.base.task, answers)
    text = f"{name} {value:.4f}"
    if trial.kind == "link":
        constant = trial.form.figure(trial.base.task, {t: torch.zeros_like(each) for t, each in answers.items()})[1]
        text += f"; a constant scorer has {constant:.4f} = 1/{round(1 / constant)}"
    firsts = {t: answer[:, :1] if trial.kind == "link" else answer[:1] for t, answer in answers.items()}
    if all(bool((answer == firsts[t]).all()) for t, answer in answers.items()):
        return Verdict(FAULT, f"all scores are the same: {text}", "look for a model that never sees its input")
    return Verdict(OK, text)


def parameters(trial: Trial) -> Verdict:
    """Look for parameters without a gradient, and for those that do not move."""
    steps, model = trial.base.steps, trial.base.outcome.model
    if not steps.stepped:
        text, count = "no optimiser of PyTorch stepped", len(dict(trainable(model)))
        if not count:
            return Verdict(NOT_APPLICABLE, f"{text}, and the model has no parameters of it")
        return Verdict(
            FAULT, f"{text}, but the model has {count} parameters", "train them, or set requires_grad to False"
        )
    wrong, count = steps.faults(model)
    if wrong:
        shown = ", ".join(f"{name} {what}" for name, what in list(wrong.items())[:4])
        more = f", and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        do = "look for detach(), no_grad, or a branch that no loss reaches; what is not trained has requires_grad=False"
        return Verdict(FAULT, f"{len(wrong)} of {count} parameters: {shown}{more}", do)
    return Verdict(OK, f"{count} parameters get gradients and move")


def questions(trial: Trial) -> Verdict:
    """Ask in another order, and with less beside: no score may move."""
    t, what = trial.last, {"node": "nodes", "event": "events", "link": "candidates"}[trial.kind]
    question, answer = trial.questions[t], trial.answers[t]
    rng = torch.Generator().manual_seed(0)
    rows = torch.randperm(len(answer), generator=rng)
    half = rows[: (len(rows) + 1) // 2].sort().values
    ways = {how: (_rows(question, r), answer[r]) for how, r in (("in another order", rows), ("in parts", half))}
    if trial.kind == "link":
        columns = torch.randperm(answer.shape[1], generator=rng)
        few = columns[: len(columns) // 2]
        for how, c in (("with the candidates in another order", columns), ("with fewer candidates", few)):
            ways[how] = dataclasses.replace(question, dst=question.dst[:, c]), answer[:, c]
    trial.replay(trial.base, t, {t: question})
    for how, (other, expected) in ways.items():
        moved = trial.moved({t: expected}, {t: trial.ask(trial.base, other)}, ROUNDING)
        if moved:
            return Verdict(FAULT, f"asked {how}, {moved}", f"score each of the {what} by itself")
    model = trial.base.outcome.model
    if isinstance(model, EncoderScorer):  # training asks an embed that takes nodes for some alone
        with torch.no_grad(), evaluating(model.model):
            trained = model.logits(t, question.src, question.dst).cpu()
        moved = trial.moved({t: answer}, {t: trained}, ROUNDING)
        if moved:
            do = "let embed(state, inputs, nodes) return the rows embed(state, inputs)[nodes]"
            return Verdict(FAULT, f"asked as training asks, {moved}", do)
    return Verdict(OK, f"scores are the same, asked {', '.join(ways)}")


def _rows(of: Any, places: Tensor) -> Any:
    """Return some nodes, pairs, edges or events, in the order of their places."""
    if isinstance(of, Tensor):
        return of[places]
    return dataclasses.replace(of, **{k: v[places] for k, v in vars(of).items() if isinstance(v, Tensor)})


def edges(trial: Trial) -> Verdict:
    """Put the edges of each snapshot in another order: no score may move."""
    if trial.kind == "node":
        got = trial.replay(trial.fit(trial.sample.reordered()))
    else:
        rng = torch.Generator().manual_seed(0)
        got = trial.replay(trial.base, feeds=[_rows(f, torch.randperm(len(f), generator=rng)) for f in trial.feeds])
    moved = trial.moved(trial.answers, got, ROUNDING)
    if moved:
        text = f"with the edges of each snapshot in another order, {moved}"
        return Verdict(FAULT, text, "take the edges of a snapshot as a set: they happen together")
    return Verdict(OK, "scores do not depend on the order of edges in a snapshot")


def names(trial: Trial) -> Verdict:
    """Give the nodes other numbers.

    What is drawn is drawn by number, so that a fit to renamed nodes is like one with another seed: it may differ as far
    from the first as two seeds do. Where nothing is drawn, it may not differ; nor may it with the weights of the first.
    """
    number = torch.from_numpy(trial.sample.names())
    fit, other = _renamed_and_reseeded(trial, number)
    apart = _places_apart(trial, trial.replay(fit, None, *_renamed(trial, fit, number)))
    other_seed = trial.replay(other)
    seeds, drawn = _places_apart(trial, other_seed), trial.moved(trial.answers, other_seed)  # places may hide draws
    limit = 2 * seeds + 0.02 if drawn else 1e-3
    moved, how = 0.0, "nothing is drawn"
    if drawn:
        try:
            moved, how = _given_its_weights(trial, fit, other, number)
        except (DGLDySignError, RuntimeError) as error:  # of data that no table shows, of tensors that cannot be set
            how = f"not exact, as it fails: {error}"
    text = f"{how}; fitted anew, places differ by {apart:.3f} of all on average, between seeds by {seeds:.3f}"
    text += f"; up to {limit:.3f} is ok"
    if apart > limit or moved > MOVED:
        return Verdict(FAULT, text, "let no number of a node be an input, an order, or a tie-breaker")
    return Verdict(OK, text)


def _renamed_and_reseeded(trial: Trial, number: Tensor) -> tuple[Fit, Fit]:
    renamed = trial.sample.renamed(number.numpy())
    return trial.fit(renamed, number=number), trial.fit(seed=trial.seed + 1)


def _renamed(trial: Trial, fit: Fit, number: Tensor) -> tuple[dict[int, Any], Sequence[Any]]:
    """Return the questions about nodes under other numbers, and what a fit to them observes."""
    questions: dict[int, Any] = {}
    for t, question in trial.questions.items():
        if isinstance(question, Tensor):
            questions[t] = number[question]
        else:
            questions[t] = dataclasses.replace(question, src=number[question.src], dst=number[question.dst])
    return questions, trial.form.feeds(fit.task)


def _given_its_weights(trial: Trial, fit: Fit, other: Fit, number: Tensor) -> tuple[float, str]:
    """Ask a fit to renamed nodes with the weights of the trial's: return the share of scores that move, and a text.

    All observe pairs alone, as of many neighbours that are level, numbers may say which are kept. Models of nodes
    observe the folder, so that they are fitted to one of pairs.
    """
    paired = trial.sample.paired()
    kept = torch.from_numpy(trial.sample.events.edge_id[paired])
    if trial.kind == "node":
        sample = trial.sample.only(paired)
        trial = Trial(trial.entry, trial.kind, sample, trial.seed, trial.home / "paired", trial.by_time)
        fit, other = _renamed_and_reseeded(trial, number)
    why = give_weights(trial, other, fit, number)
    if why:
        return 0.0, f"not exact, as {why}"
    fit, other = trial.anew(fit), trial.anew(other)

    def ask(of: Fit, questions: Mapping[int, Any], feeds: Sequence[Any]) -> Tensor:
        feeds = [_rows(feed, torch.isin(feed.edge_id, kept)) for feed in feeds]
        return torch.cat([answer.double().flatten() for answer in trial.replay(of, None, questions, feeds).values()])

    before = ask(trial.base, trial.questions, trial.feeds)
    seed, renamed = (
        float((~((ask(*asked) - before).abs() <= ROUNDING * trial.spread)).double().mean())
        for asked in ((other, trial.questions, trial.feeds), (fit, *_renamed(trial, fit, number)))
    )
    if seed:
        return 0.0, "not exact, as with the weights of another seed scores are not the same"
    return renamed, f"with the same weights, {renamed:.1%} of scores move"


def _places_apart(trial: Trial, answers: Mapping[int, Tensor]) -> float:
    places = trial.form.places
    both = [(places(trial.answers[t]).double() - places(answers[t])).abs().flatten() for t in answers]
    return float(torch.cat(both).mean())


def direction(trial: Trial) -> Verdict:
    """Show edges backwards, where sources go back to their last destination: that may not help."""
    if trial.kind == "node":
        return Verdict(NOT_APPLICABLE, "which way a class spreads is in the data")
    sample = generated(trial.kind)
    if trial.sample.about != sample.about:
        trial = Trial(trial.entry, trial.kind, sample, trial.seed, trial.home / "planted")
    try:
        name, value = trial.form.figure(trial.base.task, trial.answers)
    except DGLDySignError as error:
        return Verdict(NOT_CHECKED, f"not fitted to the network of this check: {error}")
    backwards = trial.replay(trial.base, feeds=[_backwards(feed) for feed in trial.feeds])
    _, reverse = trial.form.figure(trial.base.task, backwards)
    link, event = "where sources go back to their last destination", "where what a source did before tells the label"
    text = f"{link if trial.kind == 'link' else event}, {name} {value:.3f}; shown the edges backwards, {reverse:.3f}"
    if reverse > 1.25 * value + 0.05:
        return Verdict(FAULT, text, "swap source and destination: an edge goes from src to dst")
    return Verdict(OK, text)


def _backwards(feed: Any) -> Any:
    swapped = dataclasses.replace(feed, src=feed.dst, dst=feed.src)
    return _rows(swapped, torch.from_numpy(np.lexsort((feed.src.numpy(), feed.dst.numpy()))))


def state(trial: Trial) -> Verdict:
    """Ask again, after other questions and after a reset: no score may move."""
    for how, got in _again(trial):
        moved = trial.moved(trial.answers, got)
        if moved:
            do = "let score leave everything as it is, and reset forget all that was observed"
            return Verdict(FAULT, f"{how}: {moved}", do)
    return Verdict(OK, "scores are the same when asked twice, after other questions, and after a reset")


def _again(trial: Trial) -> Iterator[tuple[str, Mapping[int, Tensor]]]:
    """Ask the fitted model again, in ways that may change nothing."""
    fit, t = trial.base, trial.last
    question = trial.questions[t]
    yield "asked for the last snapshot alone", trial.replay(fit, t, {t: question})
    trial.ask(fit, question)
    yield "asked twice", {t: trial.ask(fit, question)}
    trial.ask(fit, _rows(question, torch.arange(len(trial.answers[t]) // 2)))
    yield "asked after another question", {t: trial.ask(fit, question)}
    yield "after a reset", trial.replay(fit)


def cost(trial: Trial) -> Verdict:
    """Measure time and memory."""
    started = time.process_time()
    trial.replay(trial.base)
    each, seconds = time.process_time() - started, trial.seconds
    text = f"fit {min(seconds):.2f} CPU s, the first {seconds[0]:.2f}; {trial.base.peak / 2**20:.0f} MiB more"
    return Verdict(OK, text + (f"; {1000 * each / len(trial.feeds):.0f} CPU ms a snapshot" if trial.feeds else ""))


CHECKS: dict[str, Callable[[Trial], Verdict]] = {
    "finite": finite,
    "repeatable": repeatable,
    "future": future,
    "labels": labels,
    "validation": validation,
    "alive": alive,
    "parameters": parameters,
    "state": state,
    "order of questions": questions,
    "order of edges": edges,
    "names of nodes": names,
    "direction": direction,
    "cost": cost,
}


def check_entry(
    entry: Any,
    data: TemporalGraph | str | os.PathLike[str] | None = None,
    kind: str | None = None,
    seed: int = 0,
    checks: Collection[str] | None = None,
    row_args: Path | None = None,
    split: str = "random",
) -> CheckReport:
    """Check whether a model is honest and alive.

    It is fitted about ten times: to a part of the data, and to prepared folders in which what it may not look at is
    changed, deleted or shuffled. No prediction may move by that.

    Parameters
    ----------
    entry : str or object
        What `dgl_dysign.experiments.resolve.resolve_entry` takes: a name, a class, an object; of links also a model
        that is not fitted, or a function ``score(past, src, dst)``, of the snapshots before, sources ``(E,)`` and
        candidates ``(E, C)``.
    data : TemporalGraph or path, optional
        A prepared folder; a part of it is used. Default: a small generated network.
    kind : {"node", "link", "event"}, optional
        Of the table; default: what the data has labels of, "link" without any.
    seed : int, default 0
        Of the fits.
    checks : collection of str, optional
        Names of those to ask, of `CHECKS`; default: all.
    row_args : Path, optional
        A TOML file with a table of arguments for a class, as of a table's rows.
    split : {"random", "time"}, default "random"
        Of nodes: "time" lets training and validation end before the last snapshot, as ``dysign-train nodes`` does.

    Returns
    -------
    CheckReport
        ``report.ok`` says whether there is no fault; printed, it is a table.

    Raises
    ------
    ConfigError
        If there is no such entry, or the data does not fit the kind.
    EntryError
        If the entry's own code raises; holds its traceback.

    Examples
    --------
    >>> report = check_entry("recent-degree", kind="link")
    >>> report.ok, report["future"].verdict
    (True, 'ok')
    """
    if data is not None and not isinstance(data, TemporalGraph):
        data = TemporalGraph.load(data)
    if kind is None:
        kind = "link" if data is None or inspect.isfunction(entry) else data.manifest["labels"] or "link"
    check_choice("kind", kind, ("node", "link", "event"))
    check_choice("split", split, ("random", "time"))
    for name in checks or ():
        check_choice("check", name, CHECKS)
    resolved = resolve_entry(entry, kind) if row_args is None else resolve_rows([entry], kind, row_args)[-1]
    sample = generated(kind) if data is None else Sample.of(data)
    with tempfile.TemporaryDirectory(prefix="dysign-check-") as home:
        trial = Trial(resolved, kind, sample, seed, Path(home), split == "time")
        numbers = bool(trial.scores.isfinite().all())  # fits, and asks: what goes wrong there is no fault of one check
        verdicts = [_verdict(name, trial, numbers) for name in CHECKS if name in (checks or CHECKS)]
    return CheckReport(resolved.name, kind, sample.about, verdicts)


def _verdict(name: str, trial: Trial, numbers: bool) -> Verdict:
    if not numbers and name != "finite":
        return Verdict(NOT_CHECKED, "scores are not numbers", check=name)
    try:
        return dataclasses.replace(CHECKS[name](trial), check=name)
    except (EntryError, DataError) as error:  # the first fit and answers went well: it is what this check changes
        return Verdict(FAULT, str(error), "let the model take what it is shown here, too", check=name)
