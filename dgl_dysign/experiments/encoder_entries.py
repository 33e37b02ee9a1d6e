"""Encoders of snapshots as entries: one class stands in the tables of nodes, of links and of labels of events."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch

from dgl_dysign.baselines import DGNN, JODIE, MPNNLSTM, ROLAND, TGAT, DySAT, EvolveGCNH, EvolveGCNO, NodeCounts, WinGNN
from dgl_dysign.data.snapshot_edges import snapshot_edges
from dgl_dysign.data.temporal_graph import Horizon
from dgl_dysign.errors import ConfigError, check_choice
from dgl_dysign.experiments.entry import FEATURE_ONLY, Entry, Outcome, about_of, source_of
from dgl_dysign.models import EncoderEvents, EncoderLinks, EncoderNodes, EncoderScorer, SnapshotEncoder
from dgl_dysign.models.snapshot_encoder import EncoderEventScorer, event_edges, make_encoder
from dgl_dysign.training.encoders import NodeFitConfig, fit_encoder_nodes, fitted_inputs
from dgl_dysign.training.events import EventFitConfig, fit_events
from dgl_dysign.training.links import LinkFitConfig, fit_links
from dgl_dysign.training.loop import LoopConfig, seeded

_CONFIGS: dict[str, type[LoopConfig]] = {"node": NodeFitConfig, "link": LinkFitConfig, "event": EventFitConfig}
_ATTRIBUTES = ("window", "inputs", "head_inputs")  # of every encoder


def encoder_entry(
    cls: type[SnapshotEncoder], kind: str, name: str = "", arguments: Mapping[str, Any] | None = None
) -> Entry:
    """Return an encoder as an entry of a table.

    Parameters
    ----------
    cls : type of SnapshotEncoder
        Made as ``cls(num_nodes, in_feats, **arguments)``.
    kind : {"node", "link", "event"}
        Of the table.
    name : str, optional
        Default: the attribute ``name`` of the class, or the class's own.
    arguments : mapping, optional
        Those of the class; ``window``, ``inputs`` and ``head_inputs``, which every encoder has; and fields of
        `NodeFitConfig`, `LinkFitConfig` or `EventFitConfig`, such as ``lr``, where the class has no argument of that
        name. What was chosen for a row of nodes takes their place.

    Raises
    ------
    ConfigError
        If an argument is none of these, or out of range.

    Examples
    --------
    >>> from dgl_dysign.baselines import EvolveGCNO
    >>> encoder_entry(EvolveGCNO, "link", arguments={"hidden_feats": 32, "lr": 3e-3}).name
    'EvolveGCNO'
    """
    check_choice("kind", kind, _CONFIGS)
    name, arguments = name or str(getattr(cls, "name", cls.__name__)), dict(arguments or {})
    choices = _choices(cls, arguments) if kind == "node" else {}
    _sorted(cls, kind, name, {**arguments, **{setting: values[0] for setting, values in choices.items()}})
    defaults = {**asdict(NodeFitConfig()), **arguments} if choices else None

    def sorted_for(view: Any) -> tuple[dict[str, Any], ...]:
        return _sorted(cls, kind, name, {**arguments, **(view.settings.chosen if kind == "node" else {})})

    def config(view: Any) -> Any:
        training = sorted_for(view)[2]
        if kind != "node":
            return replace(view.settings.training, **training)
        usual = NodeFitConfig(**training)
        return replace(usual, epochs=max(1, round(view.settings.share * usual.epochs)))

    def make(view: Any, model: Callable[..., Any], read: tuple[Any, ...], *more: Any) -> Any:
        """Make an encoder for what is read, and a model of it with a head; the seed draws each of the two."""
        own, attributes, _ = sorted_for(view)
        usual = "features" if kind == "node" else "counts"
        inputs = fitted_inputs(attributes.get("inputs", cls.inputs) or usual, *read)
        with seeded(view.seed, view.device):
            encoder = make_encoder(cls, inputs, own, attributes, name)
        with seeded(view.seed, view.device):
            return model(encoder, inputs, *more).to(view.device)

    def fit(view: Any, **run: Any) -> Outcome:
        return _FITS[kind](view, make, config(view), **run)

    def check(view: Any) -> None:
        config(view)
        make(view, EncoderLinks, (1, (), None if kind == "event" else view.data))

    return Entry(
        name, fit, FEATURE_ONLY if kind == "node" else "", learns=True, check=check, save=save_model, usual=False,
        about=about_of(cls), source=source_of(name, cls, arguments), choices=choices or None, defaults=defaults,
    )  # fmt: skip


_NODES: dict[str, Any] = {"window": 27, "lr": 3e-3}
_EVOLVEGCN: dict[str, dict[str, Any]] = {  # chosen on the validation of DBLP, OTC and Wikipedia, for -O
    "node": _NODES,
    "link": {"hidden_feats": 32, "out_feats": 32, "lr": 1e-2},
    "event": {"hidden_feats": 32, "out_feats": 32},
}


def _tables(
    nodes: Mapping[str, Any] | None = None, events: Mapping[str, Any] | None = None, **pairs: Any
) -> dict[str, dict[str, Any]]:
    """Return arguments for nodes, if any, and for links and events; widths and learning rates are EvolveGCN-O's."""
    shared = {"inputs": "constant", "out_feats": 32, **pairs}
    tables = {"link": {**shared, "lr": 1e-2}, "event": {**shared, **(events or {})}}
    return tables if nodes is None else {"node": dict(nodes), **tables}


_ATTENTION = {"lr": 3e-3}  # of nodes, as EvolveGCN-O
_AS_TGL: dict[str, Any] = {"num_heads": 2, "num_layers": 2, "history": 3, "join": "rnn"}
_DGNN: dict[str, Any] = {"layers": 1, "length": 8, "random_feats": 32}  # what two CPU cores can bear

#: The comparison systems: by name the class, and for each kind of table that it stands in its arguments, as of
#: `encoder_entry`. Without ``inputs`` nodes are fed features, and links and events degrees.
SYSTEMS: dict[str, tuple[type[SnapshotEncoder], dict[str, dict[str, Any]]]] = {
    "mpnn-lstm": (MPNNLSTM, {"node": {**_NODES, "hidden_feats": 32, "window": 9}}),
    "jodie": (
        JODIE,
        _tables({**_NODES, "hidden_feats": 64}, {"two_sided": True}, hidden_feats=32, id_feats=32, window=4),
    ),
    "evolvegcn-h": (EvolveGCNH, _EVOLVEGCN),
    "evolvegcn-o": (EvolveGCNO, _EVOLVEGCN),
    "roland": (ROLAND, _tables(window=3)),
    "wingnn": (WinGNN, _tables()),
    **{f"dgnn-{name}": (DGNN, _tables(sequence=name, **_DGNN)) for name in ("gru", "lstm", "tf")},
    "dysat": (DySAT, _tables({**_ATTENTION, "out_feats": 64, "num_heads": 8}, num_heads=8, identities=True)),
    "dysat-tgl": (DySAT, _tables(identities=True, **_AS_TGL)),
    "tgat": (TGAT, _tables({**_ATTENTION, "num_neighbors": 10}, num_neighbors=10)),
    "node-counts": (NodeCounts, {"link": {"lr": 1e-2}}),
}


def snapshot_encoder_entries(kind: str) -> list[Entry]:
    """Return the encoders of the comparison: with inputs as published; of links and events with counts, too.

    Counts say nothing of the class of a node. Of links, `NodeCounts` tells what counts say without an encoder.

    Examples
    --------
    >>> [entry.name for entry in snapshot_encoder_entries("event")][:2]
    ['jodie', 'jodie-counts']
    """
    entries: list[Entry] = []
    usual = "features" if kind == "node" else "degree"
    choices = CHOICES if kind == "node" else None  # a default stands among the values to choose from
    for name, (cls, tables) in SYSTEMS.items():
        if kind in tables:
            published = {"inputs": cls.inputs or usual, **tables[kind]}
            entries.append(encoder_entry(cls, kind, name, published))
            if kind != "node" and published["inputs"] != "counts":
                counts = {**published, "inputs": "counts", "head_inputs": True}
                entry = encoder_entry(cls, kind, f"{name}-counts", counts)
                entries.append(replace(entry, about=about_of(cls, "fed counts, as its head is")))
    return [replace(entry, compares=True, choices=choices) for entry in entries]


#: What a table of nodes chooses from for an encoder that names no ``choices`` of its own.
CHOICES: dict[str, tuple[Any, ...]] = {
    "lr": (1e-3, 3e-3, 1e-2), "weight_decay": (1e-3, 1e-2, 0.1, 0.5), "class_weights": (False, True),
}  # fmt: skip

_Make = Callable[..., Any]  # of a view, the class of a model, what `fitted_inputs` reads, and the class's own arguments


def _choices(cls: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what there is to choose: nothing that the row was given, nor what the class takes for its own."""
    taken = inspect.signature(cls).parameters
    usual = {name: values for name, values in CHOICES.items() if name not in taken}
    return {name: values for name, values in getattr(cls, "choices", usual).items() if name not in arguments}


def _sorted(cls: type, kind: str, name: str, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Tell arguments of the class, attributes of encoders and settings of the training apart."""
    parameters = list(inspect.signature(cls).parameters.values())[2:]
    taken = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    settings = [field.name for field in fields(_CONFIGS[kind])]
    parts: tuple[dict[str, Any], ...] = ({}, {}, {})
    for key, value in arguments.items():
        places = [place for place, names in enumerate((taken, _ATTRIBUTES, settings)) if key in names]
        if not places and not any(p.kind is p.VAR_KEYWORD for p in parameters):
            raise ConfigError(
                f"row {name!r}: found the argument {key!r}, expected one of {cls.__name__} ({', '.join(taken)}), of "
                f"encoders ({', '.join(_ATTRIBUTES)}) or of their training ({', '.join(settings)})"
            )
        parts[places[0] if places else 0][key] = value
    return parts


def _fit_nodes(view: Any, make: _Make, config: NodeFitConfig, **run: Any) -> Outcome:
    horizon, watched = Horizon(view.data.num_snapshots), view.at_validation().data
    data = view.data.until(horizon)  # features are read of what is observed alone
    edges = [snapshot_edges(watched, t) for t in range(watched.num_snapshots)]
    edges, later = edges[: data.num_snapshots], edges[data.num_snapshots :]
    model = make(view, EncoderNodes, (data.num_nodes, edges, data), view.num_classes)
    horizon.num_snapshots = watched.num_snapshots
    history = fit_encoder_nodes(model, edges, view.labels, view.train, view.val, config, view.seed, later=later, **run)

    def outcome(at: Any) -> Outcome:
        horizon.num_snapshots = at.data.num_snapshots
        model.catch_up(data, at.data.num_snapshots)
        return Outcome(model.predict(torch.arange(data.num_nodes)), history, model=model)

    # Other encoders gather what they attend to, which nobody sees as messages.
    forward = model.forward if isinstance(model.encoder, EvolveGCNO | MPNNLSTM) else None
    return replace(outcome(view), later=outcome, forward=forward)


def _fit_links(view: Any, make: _Make, config: LinkFitConfig, **run: Any) -> Outcome:
    train = view.edges[: view.split[0][-1] + 1]
    scorer = EncoderScorer(make(view, EncoderLinks, (view.data.num_nodes, train, view.data)))
    return Outcome(history=fit_links(view.edges, scorer, view.split, config, view.seed, **run), model=scorer)


def _fit_events(view: Any, make: _Make, config: EventFitConfig, **run: Any) -> Outcome:
    reader = view.reader()
    train = [event_edges(view.snapshots[t], view.num_nodes, view.directed) for t in view.ranges["train"]]
    model = make(view, EncoderEvents, (view.num_nodes, train), view.rate, len(reader.names))
    model.head.standardise(reader.mean, reader.deviation)
    scorer = EncoderEventScorer(model, reader, view.directed)
    return Outcome(history=fit_events(scorer, view, config, **run), model=scorer)


def save_model(task: Any, outcome: Outcome, folder: Path) -> None:
    """Write a network as a model folder, without what it has observed."""
    model = getattr(outcome.model, "model", outcome.model)
    model.save_pretrained(folder, task.data, overwrite=True)


_FITS: dict[str, Callable[..., Outcome]] = {"node": _fit_nodes, "link": _fit_links, "event": _fit_events}
