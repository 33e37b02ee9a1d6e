"""The tables about nodes, links and labels of events, from Python: what ``dysign-train`` does."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from itertools import product
from typing import Any

import torch

from dgl_dysign.baselines import roland_reference_models
from dgl_dysign.data import TemporalGraph, split_by_time, stratified_split
from dgl_dysign.data.row_store import RowFiles
from dgl_dysign.data.splits import Split, cut_in_time
from dgl_dysign.errors import ConfigError, DataError, check_choice
from dgl_dysign.experiments.command import check_device, open_prepared
from dgl_dysign.experiments.entry import Entry
from dgl_dysign.experiments.event_task import EventSettings, EventTask
from dgl_dysign.experiments.link_entries import reference_entries
from dgl_dysign.experiments.link_task import LinkSettings, LinkTask
from dgl_dysign.experiments.memory import return_freed_memory
from dgl_dysign.experiments.node_entries import TEACHERS
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
from dgl_dysign.experiments.options import EventOptions, LinkOptions, NodeOptions, RowOptions
from dgl_dysign.experiments.resolve import resolve_rows
from dgl_dysign.experiments.result_table import ResultTable
from dgl_dysign.experiments.roland_table import RolandTable
from dgl_dysign.experiments.roland_task import PUBLISHED as PUBLISHED_ROLAND
from dgl_dysign.experiments.roland_task import RolandTask
from dgl_dysign.experiments.runner import run
from dgl_dysign.experiments.tables import EventTable, LinkTable, NodeTable
from dgl_dysign.training import LinkFitConfig, distributed
from dgl_dysign.training.events import EventFitConfig

Folder = str | os.PathLike[str]
PUBLISHED = {  # Macro- and Micro-F1 on DBLP: Dy-SIGN (AAAI 2024), tables 1 and 2
    "SpikeNet (published)": {0.4: (70.88, 71.98), 0.6: (71.98, 72.35), 0.8: (74.64, 74.86)},
    "Dy-SIGN (published)": {0.4: (70.94, 71.90), 0.6: (72.07, 72.61), 0.8: (74.67, 74.96)},
}


def train_nodes(prepared: Folder, run_dir: Folder, **options: Any) -> ResultTable:
    """Classify the nodes of a dynamic graph by every row of a table, on several splits, with several seeds.

    Parameters
    ----------
    prepared : path
        A folder written by ``dysign-prep``, with node features and labels.
    run_dir : path
        Folder to write figures and pictures to.
    options
        Fields of `dgl_dysign.experiments.options.NodeOptions`: what ``dysign-train nodes --help`` lists, with ``_`` for
        ``-``. Elements of ``rows`` may be classes and objects, too, see `dgl_dysign.experiments.resolve.as_entry`.

    Returns
    -------
    ResultTable
        A dictionary for each row and training ratio; shows itself in a notebook.

    Raises
    ------
    ConfigError
        If an option cannot be used, or the run folder is there and neither ``resume`` nor ``overwrite`` is set.
    DataError
        If the folder cannot be used.

    Examples
    --------
    >>> train_nodes(prepared, "runs/first", seeds=0)
    Traceback (most recent call last):
        ...
    dgl_dysign.errors.ConfigError: --seeds must be at least 1, but got 0
    """
    return run_nodes(NodeOptions(prepared=prepared, run_dir=run_dir, **options))  # type: ignore[arg-type]


def train_links(prepared: Folder | None, run_dir: Folder, **options: Any) -> ResultTable:
    """Predict the links of a dynamic graph by every row of a table, with several seeds.

    Parameters
    ----------
    prepared : path or None
        A folder written by ``dysign-prep``; None with ``raw=``, files that are prepared first.
    run_dir, options
        As of `train_nodes`, of `dgl_dysign.experiments.options.LinkOptions`.

    Returns
    -------
    ResultTable
        A dictionary for each row and share of historical negatives.

    Raises
    ------
    ConfigError, DataError
        As `train_nodes`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     table = train_links(prepared, f"{folder}/run", rows=["random"], seeds=1, num_negatives=5)
    >>> table.frame()[["row", "mrr.runs"]].head(2).values.tolist()
    [['random', 1], ['edgebank', 1]]
    """
    return run_links(LinkOptions(prepared=prepared, run_dir=run_dir, **options))  # type: ignore[arg-type]


def train_events(prepared: Folder | None, run_dir: Folder, **options: Any) -> ResultTable:
    """Predict the labels of events by every row of a table, with several seeds.

    Parameters
    ----------
    prepared : path or None
        A folder written by ``dysign-prep``, with labels of events; None with ``raw=``.
    run_dir, options
        As of `train_nodes`, of `dgl_dysign.experiments.options.EventOptions`.

    Returns
    -------
    ResultTable
        A dictionary for each row.

    Raises
    ------
    ConfigError, DataError
        As `train_nodes`.

    Examples
    --------
    >>> train_events(prepared, "runs/first")
    Traceback (most recent call last):
        ...
    dgl_dysign.errors.DataError: ...expected two classes of events...
    """
    return run_events(EventOptions(prepared=prepared, run_dir=run_dir, **options))  # type: ignore[arg-type]


def run_nodes(options: NodeOptions) -> ResultTable:
    """Do what options of `train_nodes` ask for."""
    return run(*node_table(options), options)


def node_table(options: NodeOptions) -> tuple[NodeTable, dict[str, Any]]:
    """Return the table of `train_nodes`, and what its run is resumed with."""
    device = _device(options)
    if options.out_of_core and torch.device(options.device).type != "cpu":
        raise ConfigError(f"--out-of-core computes on the CPU, but --device is {options.device}: leave one of them out")
    entries = _entries(options, "node")
    data, model = open_prepared(options), {**options.neurons, **options.entrance, "coupling": options.coupling}
    _check_nodes(data, options)
    settings = NodeSettings(
        options.snapshots,
        options.decay,
        hidden=options.hidden,
        model=model,
        rate_penalty=options.rate_penalty,
        target_rate=options.target_rate,
        teacher=options.teacher,
        positive=options.positive,
    ).with_epochs(options.epochs)
    until = _until(options, data)
    splits = _splits(options, data, until)
    ends = None if until is None else (until[0] + 1, until[1] + 1)
    task = NodeTask(data, settings, device, _row_files(options), ends)
    positive = task.with_split(*next(iter(splits.values()))).positive
    if positive is not None:  # the same class for all splits
        settings = replace(settings, positive=data.class_names[positive])
    config = _config(options, data, settings, "features") | ({} if until is None else {"until": until})
    if options.candidates:
        config["choice"] = {"budget": options.candidates}
        given = [name for name in ("decay", "hidden") if getattr(options, name) != getattr(NodeSettings(), name)]
        entries = [entry.without_choices_of(given) for entry in entries]
    published = PUBLISHED if data.manifest["dataset"] == "dblp" and until is None else {}
    table = NodeTable(
        task.with_settings(settings), entries, options.seeds, splits, published, options.candidates, options.ensembles
    )
    return table, config


def run_links(options: LinkOptions) -> ResultTable:
    """Do what options of `train_links` ask for."""
    return run(*link_table(options), options)


def link_table(options: LinkOptions) -> tuple[LinkTable, dict[str, Any]]:
    """Return the table of `train_links`, and what its run is resumed with."""
    device = _device(options)
    if options.aggregators:
        rows = options.rows or [entry.name for entry in resolve_rows(None, "link")]
        options.rows = [*rows, *(f"undergs-{name}" for name in options.aggregators)]
    entries = _entries(options, "link")
    training = LinkFitConfig(
        options.epochs, batch_size=options.batch_size, lr=options.lr, among=options.among, max_edges=options.max_edges
    )
    settings = LinkSettings(
        preset=options.preset,
        hidden_feats=options.hidden,
        num_neighbors=options.num_neighbors,
        num_hops=options.num_hops,
        aggregator=options.aggregator,
        snapshot_decay=options.snapshot_decay,
        importance=options.importance,
        walks=options.walks,
        projection_width=options.projection_width,
        neurons=options.neurons | ({} if options.neurons.get("feedback", True) else {"compensation_hops": 1}),
        rate_penalty=options.rate_penalty,
        target_rate=options.target_rate,
        num_negatives=options.num_negatives or (1000 if options.roland else 100),
        training=training,
    )
    data = open_prepared(options)
    config = {**_config(options, data, settings), "protocol": options.protocol, "historical": options.historical}
    if not options.roland:
        task = LinkTask(data, settings, device, options.protocol, options.historical)
        return LinkTable(task, entries, options.seeds), config
    published = PUBLISHED_ROLAND.get(data.manifest["dataset"], {}) if options.live else {}
    if options.live:  # there is no one model to save or to look into
        entries = [replace(entry, save=None, diagnose=None) for entry in entries]
    entries = [*reference_entries(roland_reference_models), *entries]
    task = RolandTask(data, settings, device, options.protocol)
    return RolandTable(task, entries, options.seeds, published), config


def run_events(options: EventOptions) -> ResultTable:
    """Do what options of `train_events` ask for."""
    return run(*event_table(options), options)


def event_table(options: EventOptions) -> tuple[EventTable, dict[str, Any]]:
    """Return the table of `train_events`, and what its run is resumed with."""
    device, entries = _device(options), _entries(options, "event")
    training = EventFitConfig(epochs=options.epochs, loss=options.loss)
    settings = EventSettings(hidden=options.hidden, num_neighbors=options.neighbors, training=training)
    data = open_prepared(options)
    task = EventTask(data, options.train, options.val, options.split, device, settings)
    split = {"split": {"train": options.train, "val": options.val, "of": options.split}}
    return EventTable(task, entries, options.seeds), _config(options, data, settings) | split


def _config(options: RowOptions, data: TemporalGraph, settings: Any, *keys: str) -> dict[str, Any]:
    """Return what a run is resumed with alone."""
    prepared = {key: data.manifest[key] for key in ("dataset", "sources", "files", *keys)}
    return {"prepared": prepared, "settings": asdict(settings), "device": options.device}


def _entries(options: RowOptions, kind: str) -> list[Entry]:
    fit_references = not isinstance(options, LinkOptions) or options.references == "all"
    return resolve_rows(options.rows, kind, options.row_args, fit_references)


def _device(options: RowOptions) -> str:
    device = distributed.local_device(options.device)
    check_device(device)
    return device


def _check_nodes(data: TemporalGraph, options: NodeOptions) -> None:
    path, names = data.folder, data.class_names
    if options.teacher is not None:
        check_choice("--teacher", options.teacher, TEACHERS)
    if data.feature_dim is None:
        raise DataError(
            f"{path}: found no node features; prepare it again with dysign-prep ... --features degree (how active a "
            "node is) or spectral (whom it is near), or from Python with prepare(..., features='degree')"
        )
    if data.num_classes < 2 or not bool((data.labels >= 0).any()):
        found = f"one class of nodes, {names[0]}" if data.num_classes == 1 else f"{data.num_classes} classes of nodes"
        raise DataError(f"{path}: found {found}; node classification needs two at least")
    if options.positive is not None and (len(names) != 2 or options.positive not in names):
        expected = "one of " + ", ".join(names) if len(names) == 2 else f"two classes, but there are {len(names)}"
        raise ConfigError(f"--positive {options.positive}: expected {expected}; name one of two, or leave it out")
    counts = torch.bincount(data.labels[data.labels >= 0], minlength=len(names))
    if options.split == "random" and bool((counts == 1).any()):
        raise DataError(
            f"{path}: class {names[int((counts == 1).nonzero()[0])]!r} has one labelled node, expected two at least, "
            f"to train and to test: merge it with another class, or leave its label out, and prepare again"
        )


def _until(options: NodeOptions, data: TemporalGraph) -> tuple[int, int] | None:
    """Return the last snapshots of training and validation, if nodes are split by time."""
    if options.split != "time":
        return None
    train, val = cut_in_time(data)
    train = train if options.train_until is None else options.train_until
    return train, max(train, val) if options.val_until is None else options.val_until


def _splits(options: NodeOptions, data: TemporalGraph, until: tuple[int, int] | None) -> dict[tuple[float, int], Split]:
    """Return the parts by training ratio and number of the split."""
    splits: dict[tuple[float, int], Split] = {}
    for ratio, number in product(sorted(set(options.train_ratio or ())), range(options.splits)):
        drawn = ratio, 42 + number
        split = stratified_split(data.labels, *drawn) if until is None else split_by_time(data, *until, *drawn)
        _check_classes(data, ratio, split)
        splits[ratio, number] = split
        if number and all(map(torch.equal, split, splits[ratio, 0])):
            raise ConfigError(
                f"--splits {options.splits}: all splits are the same, for nothing is drawn with --split time and "
                f"--train-ratio 1: leave --splits out, or pass a lower ratio"
            )
    return splits


def _check_classes(data: TemporalGraph, ratio: float, split: Split) -> None:
    """Demand that what is tested can be learnt, and told apart."""
    train, _, test = (torch.bincount(data.labels[part], minlength=data.num_classes) for part in split)
    unknown = [name for name, a, b in zip(data.class_names, train, test, strict=True) if b and not a]
    if unknown:
        raise ConfigError(
            f"--train-ratio {ratio:g}: no training node has the class {unknown[0]!r}, which test nodes have: pass a "
            f"higher ratio, split by time with a later --train-until, or merge the class with another and prepare again"
        )
    if data.num_classes == 2 and not bool(test.all()):
        raise ConfigError(
            f"--train-ratio {ratio:g}: all {int(test.sum())} test nodes are of one of the two classes, which says "
            f"nothing: pass a lower ratio, or split by time with an earlier --val-until"
        )


def _row_files(options: NodeOptions) -> RowFiles | None:
    """Return where rows go: with ``out_of_core`` the disk of the run folder, which need not be there yet."""
    if not options.out_of_core:
        return None
    return_freed_memory(larger_than=1 << 20)
    return RowFiles(next(folder for folder in options.run_dir.absolute().parents if folder.is_dir()))
