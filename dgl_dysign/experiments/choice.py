"""Which settings an entry of a table of nodes is fitted under: the same budget for every entry, spent on validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import product
from math import ceil, isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.data.tensor_file import load_tensors, save_tensors
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.evaluation import Answers, bootstrap, class_shares
from dgl_dysign.experiments.entry import LABEL_AWARE, Entry, plain_values
from dgl_dysign.experiments.node_task import NodeTask
from dgl_dysign.experiments.run_folder import RunFolder
from dgl_dysign.training import distributed

#: With fewer validation nodes than that, settings are chosen by cross-validation.
FEWEST, FOLDS = 1000, 5
#: Shares of the epochs that candidates are fitted for, and which part of the budget gets as far; two at least.
RUNGS = ((0.2, 1.0), (0.4, 1 / 3), (1.0, 1 / 6))
DRAWS = 200
#: So many standard errors the best must be above the defaults. Of twelve that are equally good, one is by luck better
#: than them by more than one error in 56 of 100 searches, by more than two in 14.
ERRORS = 2

Values = dict[str, Any]
Tell = Callable[[str], None]


def candidates(choices: Mapping[str, Sequence[Any]], budget: int) -> list[Values]:
    """Return candidates, the defaults (which change nothing) first: all, if they fit in a budget, else some.

    Those are drawn such that each value of a setting occurs as often as the others, but for one, as in a Latin
    hypercube. Entries with the same choices get the same candidates.

    Parameters
    ----------
    choices : mapping of str to sequence
        Values by name of the setting; None leaves it as it is, and a mapping sets several at once.
    budget : int
        Most candidates, the defaults among them.

    Examples
    --------
    >>> candidates({"decay": (1.0, 0.1), "hidden": (64,)}, 12)
    [{}, {'decay': 1.0, 'hidden': 64}, {'decay': 0.1, 'hidden': 64}]
    """
    drawn: dict[str, Values] = {"{}": {}}  # by what they are in words: those that are drawn twice are one
    rows: Iterable[tuple[Any, ...]]
    if prod(map(len, choices.values())) < budget:
        rows = product(*choices.values())
    else:
        rows = _hypercube(list(choices.values()), budget - 1, torch.Generator().manual_seed(0))
    for row in rows:
        if len(drawn) == budget:
            break
        values: Values = {}
        for name, value in zip(choices, row, strict=True):
            values |= value if isinstance(value, Mapping) else {} if value is None else {name: value}
        drawn.setdefault(repr(values), values)
    return list(drawn.values())


def _hypercube(choices: Sequence[Sequence[Any]], count: int, generator: torch.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield rows without end, of each so many every value as often as the others."""
    while count:
        yield from zip(*(_each_as_often(values, count, generator) for values in choices), strict=True)


def _each_as_often(values: Sequence[Any], count: int, generator: torch.Generator) -> list[Any]:
    rounds = [torch.randperm(len(values), generator=generator) for _ in range(ceil(count / len(values)))]
    places = torch.cat(rounds)[:count][torch.randperm(count, generator=generator)]
    return [values[place] for place in places.tolist()]


@dataclass(frozen=True)
class Validation:
    """Where candidates are compared.

    Parameters
    ----------
    tasks : sequence of NodeTask
        One, or one a fold: what a candidate is fitted to; the validation nodes are held out.
    true : Tensor
        Classes of all held-out nodes, in the order of the tasks.
    about : str
        How, in words.
    """

    tasks: Sequence[NodeTask]
    true: Tensor
    about: str

    @classmethod
    def of(cls, task: NodeTask) -> Validation:
        """Take the validation nodes of a task or, of fewer than `FEWEST`, folds of its training and validation nodes.

        Nodes are dealt to the folds class by class. A class with fewer nodes than folds is missing in some, and a class
        with one node is never learnt where it is held out: its F1 is then zero, for all candidates alike. Split by
        time, validation nodes are held out alone: training does not see them.

        Raises
        ------
        ConfigError
            If there are fewer than two labelled nodes to choose by.
        """
        if len(task.val) >= FEWEST:
            tasks, about = [task.with_parts(task.train, task.val)], f"{len(task.val)} validation nodes"
            return cls(tasks, task.labels[task.val], about)
        nodes = torch.cat([task.train, task.val])
        if len(nodes) < 2:
            raise ConfigError(f"found {len(nodes)} labelled nodes to choose settings by, expected 2: pass --no-choice")
        shuffled = nodes[torch.randperm(len(nodes), generator=torch.Generator().manual_seed(0)).to(nodes.device)]
        dealt = shuffled[task.labels[shuffled].argsort(stable=True)]
        folds = min(FOLDS, len(nodes))
        fold = torch.arange(len(nodes), device=nodes.device) % folds
        seen = torch.isin(dealt, task.train) | (not task.by_time)
        tasks = [task.with_parts(dealt[seen & (fold != k)], dealt[fold == k]) for k in range(folds)]
        few = int((task.labels[nodes].unique(return_counts=True)[1] < folds).sum())
        about = f"{folds}-fold cross-validation within {len(nodes)} training and validation nodes"
        about += f" (validation has {len(task.val)}, fewer than {FEWEST})"
        about += f"; {few} of the classes have fewer than {folds} nodes" if few else ""
        return cls(tasks, task.labels[torch.cat([part.val for part in tasks])], about)


@dataclass(frozen=True)
class Fitted:
    """A candidate after a rung: ``finishes`` are further settings, none first; ``scores`` ``(finishes, n, C)``."""

    values: Values
    finishes: list[Values]
    scores: Tensor
    cpu_seconds: float


def deciding_figures(true: Tensor, scores: Sequence[Tensor], draws: int = 0) -> np.ndarray:
    """Return the figure that decides of several scores ``(n, C)``, in percent, ``(len(scores), 1 + draws)``.

    It is Macro-F1, of two classes AUC: as it is, then in bootstrap draws of the nodes, the same for all scores. As it
    is it is minus infinity where scores are no numbers.

    Examples
    --------
    >>> import torch
    >>> true, scores = torch.tensor([0, 1, 2]), torch.eye(3)
    >>> deciding_figures(true, [scores, scores[[1, 0, 2]]])[:, 0].round(1).tolist()
    [100.0, 33.3]
    """
    name = deciding_figure(scores[0].shape[1])
    answers = [each.argmax(1) if name == "macro_f1" else class_shares(each, 1) for each in scores]
    rows = {str(place): answer.nan_to_num().numpy() for place, answer in enumerate(answers)}
    drawn = bootstrap(name, [Answers(np.arange(len(true)), rows, true.cpu().numpy())], draws)
    values = np.stack([drawn[str(place)] for place in range(len(scores))])
    values[[not bool(each.isfinite().all()) for each in scores], 0] = -np.inf
    return values


def deciding_figure(num_classes: int) -> str:
    """Return the name of the figure that decides."""
    return "auc" if num_classes == 2 else "macro_f1"


def choose(
    entry: Entry, task: NodeTask, budget: int, folder: Path | None = None, tell: Tell | None = None
) -> dict[str, Any]:
    """Choose the settings of an entry: successive halving over epochs, see `RUNGS`.

    All candidates are fitted for a fifth of the epochs, the best third for two fifths, the best sixth for all, each
    with its own schedule; the defaults are always among them. Of those fitted for all epochs the best takes the place
    of the defaults, and they that of their first finish, only if it is better by more than two standard errors
    (`ERRORS`) of their difference: deviations over 200 bootstrap draws of the nodes that both are compared on.

    Parameters
    ----------
    entry : Entry
        With ``choices``.
    task : NodeTask
        Whose validation nodes decide, see `Validation`; its test nodes are dropped first. What is drawn is drawn with
        its seed.
    budget : int
        Most candidates.
    folder : Path, optional
        Where fits are kept, so that a search that was killed goes on.
    tell : callable, optional
        Called with what is being done.

    Returns
    -------
    dict
        ``chosen`` values by name, none if it is the defaults, and what the ``defaults`` of these are; name of the
        ``figure``, ``chosen_value`` and ``defaults_value`` of it, in %, and the ``error`` of their difference;
        ``level``, how many of the ``compared`` are within one error of the best; ``validated``, how; ``fits``, how many
        fits of all epochs it cost; ``candidates`` with the figures of each rung; ``cpu_seconds``.

    Raises
    ------
    ConfigError
        If there are fewer than two labelled nodes to choose by.
    """
    validation = Validation.of(task.without_test())
    tried = plain_values(entry.name, candidates(entry.choices or {}, budget))
    figures: list[list[float]] = [[] for _ in tried]
    left, fits, seconds = list(range(len(tried))), 0.0, 0.0
    fitted: list[Fitted] = []
    for share, most in _rungs(len(tried)):
        left = sorted(left[:most])
        fitted = []
        for place, number in enumerate(left):
            if tell is not None:
                tell(f"choosing, {share:.0%} of the epochs, {place + 1} of {len(left)}")
            file = None if folder is None else folder / f"{number}-{share}.pt"
            fitted.append(_kept_fit(entry, validation, tried[number], share, file))
        fits += share * len(fitted) * len(validation.tasks)
        seconds += sum(fit.cpu_seconds for fit in fitted)
        for number, fit in zip(left, fitted, strict=True):
            figures[number].append(float(deciding_figures(validation.true, list(fit.scores)).max()))
        left = [0, *sorted(left[1:], key=lambda number: -figures[number][-1])]
    lines = [
        {"values": values, "figures": [value if isfinite(value) else None for value in line]}  # JSON has no infinity
        for values, line in zip(tried, figures, strict=True)
    ]
    decided = _decided(fitted, validation.true)
    usual = task.settings.defaults(entry.protocol == LABEL_AWARE) if entry.defaults is None else entry.defaults
    decided["defaults"] = {name: usual[name] for name in decided["chosen"] if name in usual}
    cost = {"fits": round(fits, 2), "cpu_seconds": seconds, "validated": validation.about}
    return {**decided, **cost, "candidates": lines}


def _rungs(count: int) -> list[tuple[float, int]]:
    """Return the share of the epochs and the number of candidates of each rung."""
    rungs = [(share, max(2, round(count * part))) for share, part in RUNGS]
    return [(share, most) for share, most in rungs if most > rungs[-1][1]] + [(1.0, rungs[-1][1])]


def _decided(fitted: Sequence[Fitted], true: Tensor) -> dict[str, Any]:
    """Compare candidates that were fitted for all epochs, those that differ in what costs no training among them.

    In favour are the defaults' first finish, the simplest, then the defaults: what is not worse than the best by more
    than `ERRORS` standard errors of the difference stays.
    """
    places = [(fit, k) for fit in fitted for k in range(len(fit.finishes))]
    drawn = deciding_figures(true, [fit.scores[k] for fit, k in places], DRAWS)
    values, best = drawn[:, 0].tolist(), int(drawn[:, 0].argmax())
    errors = (drawn[best, 1:] - drawn[:, 1:]).std(1).tolist()
    favoured = [1, 0] if len(fitted[0].finishes) > 1 else [0]
    place = next((place for place in favoured if values[best] - values[place] <= ERRORS * errors[place]), best)
    fit, finish = places[place]
    return {
        "chosen": {**fit.values, **fit.finishes[finish]},
        "figure": deciding_figure(fit.scores.shape[2]),
        "chosen_value": values[place],
        "defaults_value": values[0],
        "error": errors[0],
        "level": sum(values[best] - value <= error for value, error in zip(values, errors, strict=True)),
        "compared": len(values),
    }


def _kept_fit(entry: Entry, validation: Validation, values: Values, share: float, file: Path | None) -> Fitted:
    """Fit a candidate to each task, unless a search that was killed has done so."""
    identity = {"values": repr(values), "source": repr(entry.source)}
    if file is not None and distributed.from_first(file.exists):
        kept = distributed.from_first(lambda: _read_fit(file))
        if kept.pop("identity") == identity:
            return Fitted(**kept)
    fitted = _fit(entry, validation, values, share)
    if file is not None and distributed.rank() == 0:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_tensors({"identity": identity, **asdict(fitted)}, file)
    return distributed.from_first(lambda: fitted)


def _read_fit(file: Path) -> dict[str, Any]:
    """Return what `_kept_fit` has written."""
    try:
        kept: dict[str, Any] = load_tensors(file, check=True)
        if kept.keys() != {"identity", *(known.name for known in fields(Fitted))}:
            raise ValueError("it holds something else, expected a fit")
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{file}: the fit of a search cannot be used ({error}); delete it to fit it anew") from error
    return kept


def _fit(entry: Entry, validation: Validation, values: Values, share: float) -> Fitted:
    started = time.process_time()
    finishes: list[Values] = []
    scores: list[Tensor] = []
    for each in validation.tasks:
        task = each.with_settings(each.settings.with_choice(**values).with_share(share))
        outcome = entry.fitted(task.view())
        with entry.running():
            seen = task.outcome_at(outcome, task.ends[1])
            predictions = [({}, seen.predicted), *seen.finishes]
        finishes = plain_values(entry.name, [finish for finish, _ in predictions])
        scores.append(torch.stack([prediction[task.val].cpu() for _, prediction in predictions]))
    return Fitted(values, finishes, torch.cat(scores, 1), time.process_time() - started)


def chosen_once(
    key: str, entry: Entry, task: Callable[[], NodeTask], budget: int, folder: RunFolder, tell: Tell
) -> dict[str, Any]:
    """Return the choice that a run folder holds under a key, in ``choices/KEY.json``, or make it.

    Parameters
    ----------
    key, entry, budget, tell
        Of the file; and as of `choose`.
    task : callable
        Returns the task, with its split and the first seed.
    folder : RunFolder
        Of the run; finished fits are in ``choices/KEY/`` for as long as the choice is not made.
    """
    choice = folder.choice(key)
    if choice is None or choice.pop("source") != dict(entry.source):
        choice = choose(entry, task(), budget, folder.choices / key, tell)
        folder.save_choice(key, {**choice, "source": dict(entry.source)})
    return choice
