"""The entries of a table of link figures: counting, classifiers on counts, and UnderGS in its forms."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dgl_dysign.adapters.tgm_links import MODELS, TGMModel
from dgl_dysign.baselines import CountLinks, PairScorer, SentenceScorer, SimpleDyG, TPNet, link_reference_models
from dgl_dysign.evaluation import LinkModel
from dgl_dysign.experiments.diagnostics import link_diagnostics
from dgl_dysign.experiments.encoder_entries import snapshot_encoder_entries
from dgl_dysign.experiments.entry import Entry, Outcome, by_name, comparison_entry
from dgl_dysign.experiments.link_task import LinkSettings, LinkTask, LinkView
from dgl_dysign.experiments.options import AGGREGATORS
from dgl_dysign.models import LinkScorer
from dgl_dysign.pairs.pair_features import PairFeatures
from dgl_dysign.training.count_fit import fit_counts
from dgl_dysign.training.links import fit_links
from dgl_dysign.training.loop import Figures, seeded
from dgl_dysign.training.sequences import fit_sequences

Change = Callable[[LinkSettings], LinkSettings]
Models = Callable[[int, int], dict[str, LinkModel]]


def _changed(**values: Any) -> Change:
    return lambda settings: replace(settings, **values)


_UNCHANGED = _changed()


def fit_undergs(view: LinkView, change: Change = _UNCHANGED, **run: Any) -> Outcome:
    """Train UnderGS under the settings of the view, or under a change of them."""
    view = view.with_settings(change(view.settings))
    s, scorer, training = view.settings, view.scorer(), view.settings.training
    if s.spiking:
        training = replace(training, rate_penalty=s.rate_penalty, target_rate=s.target_rate)
    if s.families:  # a part of what the view keeps is not kept again
        training = replace(training, cache_bytes=0)
    history = fit_links(view.edges, scorer, view.split, training, view.seed, **run)
    return Outcome(history=history, extra=_said(scorer.features), model=scorer)


def _said(features: PairFeatures | None) -> dict[str, Any]:
    """Return what the record of a run says of features of pairs: which, and what was left out of them; warn of it."""
    if features is None:
        return {}
    families = list(dict.fromkeys(name.split("/")[0] for name in features.names))
    cut = getattr(features, "neighbors_cut", 0)
    if cut:
        warnings.warn(
            f"the family 'shared' saw the heaviest neighbours of each node alone: {cut:,} others were forgotten, each "
            f"time counted; LinkFeatures(..., most_neighbors=None) keeps all",
            stacklevel=3,
        )
    return {"families": families, "neighbors_cut": cut}


def fit_reference(view: LinkView, name: str, models: Models = link_reference_models, **_: Any) -> Outcome:
    """Return one of `dgl_dysign.baselines.link_reference_models`, or of other counting models."""
    return Outcome(model=models(view.data.num_nodes, view.seed)[name])


def is_fitted(entry: Entry) -> bool:
    """Whether there is anything to fit: counting answers as it stands."""
    return not (isinstance(entry.fit, partial) and entry.fit.func is fit_reference)


def reference_entries(models: Models = link_reference_models) -> list[Entry]:
    """Return counting models as entries."""
    return [
        Entry(name, partial(fit_reference, name=name, models=models), about=(type(model).__doc__ or "").split("\n")[0])
        for name, model in models(1, 0).items()
    ]


def fit_counting(view: LinkView, kind: str, all_columns: bool = False, **_: Any) -> Outcome:
    """Train a classifier on counts, or on all features of pairs."""
    model = CountLinks(view.features, kind, view.features.names if all_columns else None, view.seed)
    fit_counts(view.edges, model, view.data.num_nodes, view.split[0], view.settings.training, view.seed)
    return Outcome(extra=_said(view.features), model=model)


def fit_scorer(
    view: LinkView, make: Callable[[LinkView], Any], train: Callable[..., list[Figures]] = fit_links, **run: Any
) -> Outcome:
    """Train a scorer that is made for a view."""
    with seeded(view.seed, view.device):
        scorer = make(view)
    history = train(view.edges, scorer, view.split, view.settings.training, view.seed, **run)
    return Outcome(history=history, model=scorer)


def make_tpnet(view: LinkView) -> PairScorer:
    """Return `TPNet` on the family ``projections`` of features of pairs."""
    features = view.settings.features(view.data, ["projections"])
    return PairScorer(TPNet(view.data.num_nodes, len(features.names)).to(view.device), features)


def simpledyg_entry(arguments: Mapping[str, Any] | None = None) -> Entry:
    """Return `SimpleDyG` as an entry, with arguments of its own."""

    def make(view: LinkView) -> SentenceScorer:
        return SentenceScorer(SimpleDyG(view.data.num_nodes, **(arguments or {})).to(view.device))

    return comparison_entry("simpledyg", SimpleDyG, partial(fit_scorer, make=make, train=fit_sequences), arguments)


def _tgm_entry(name: str, cls: type[TGMModel]) -> Entry:
    fit = partial(fit_scorer, make=lambda view: cls(view.data.num_nodes).to(view.device))
    return comparison_entry(name, cls, fit, check=lambda _: cls(1))


def comparison_entries() -> list[Entry]:
    """Return `TPNet`, `SimpleDyG` and the models of TGM, which must be installed where one of these is named.

    Examples
    --------
    >>> [entry.name for entry in comparison_entries()]
    ['tpnet', 'simpledyg', 'tgm-tgn', 'tgm-graphmixer', 'tgm-dygformer', 'tgm-tgat']
    """
    tpnet = comparison_entry("tpnet", TPNet, partial(fit_scorer, make=make_tpnet))
    return [tpnet, simpledyg_entry(), *map(_tgm_entry, MODELS, MODELS.values())]


def save_scorer(task: LinkTask, outcome: Outcome, folder: Path) -> None:
    """Write a link scorer with what its store holds, but without the cache of its training."""
    scorer = outcome.model
    families = [] if scorer.features is None else dict.fromkeys(name.split("/")[0] for name in scorer.features.names)
    features = task.settings.features(task.data, list(families)) if families else None
    plain = LinkScorer(scorer.model, scorer.store, features, **scorer.extra)
    plain.save_pretrained(folder, task.data, overwrite=True)


def save_counts(task: LinkTask, outcome: Outcome, folder: Path) -> None:
    """Write a classifier on counts, with the families of features alone that it reads."""
    model = copy.copy(outcome.model)
    names = [model.features.names[column] for column in model.columns]
    model.use(task.settings.features(task.data, list(dict.fromkeys(name.split("/")[0] for name in names))))
    model.save_pretrained(folder, task.data, overwrite=True)


def undergs_entry(name: str, about: str, change: Change = _UNCHANGED, **more: Any) -> Entry:
    """Return UnderGS under a change of the table's settings as an entry."""

    def check(view: LinkView) -> object:
        return view.with_settings(change(view.settings)).scorer()

    fit = partial(fit_undergs, change=change)
    more |= {"check": check, "save": save_scorer, "diagnose": link_diagnostics}
    return Entry(name, fit, learns=True, about=f"UnderGS, {about}.", **more)


def _as_reported(settings: LinkSettings) -> LinkSettings:
    """Return the report's own values, where the table has others."""
    if settings.preset == "paper":
        return settings
    return replace(settings, preset="paper", snapshot_decay=None, importance=None)


def default_entries() -> dict[str, Entry]:
    """Return every entry of a table by name.

    Examples
    --------
    >>> [name for name, entry in default_entries().items() if entry.learns][:3]
    ['undergs-paper', 'undergs-no-counts', 'undergs']
    """
    forms = [(f"undergs-{name}", f"aggregator {name}", _changed(aggregator=name)) for name in AGGREGATORS]
    forms.append(("spiking-undergs", "Dy-SIGN's equilibrium in place of its layer", _changed(spiking=True)))
    return by_name(
        [
            *(replace(entry, over_time=entry.name == "recent-degree") for entry in reference_entries()),
            Entry("logistic-regression", partial(fit_counting, kind="logistic"), save=save_counts),
            Entry("boosted-trees", partial(fit_counting, kind="trees"), over_time=True, save=save_counts),
            Entry(
                "boosted-trees-all",
                partial(fit_counting, kind="trees", all_columns=True),
                over_time=True,
                save=save_counts,
            ),
            undergs_entry("undergs-paper", "as reported", _as_reported),
            undergs_entry("undergs-no-counts", "on embeddings alone", _changed(families=())),
            undergs_entry("undergs", "on embeddings and features of pairs"),
            *(undergs_entry(*form, usual=False) for form in forms),
            *snapshot_encoder_entries("link"),
            *comparison_entries(),
        ]
    )
