"""Encoders that read a graph snapshot by snapshot, and what makes models of nodes, links and events of them."""

from __future__ import annotations

import inspect
import math
from collections import deque
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from dgl_dysign.data.snapshot_edges import SnapshotEdges, check_room, distinct_edges
from dgl_dysign.data.snapshot_events import SnapshotEvents
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.models.encoder_inputs import EncoderInputs
from dgl_dysign.models.event_inputs import EventReader
from dgl_dysign.models.inputs import check_numbers
from dgl_dysign.models.link_head import LinkHead
from dgl_dysign.models.link_scorer import LogitScorer, evaluating, observe_before
from dgl_dysign.models.pretrained import (
    ALWAYS,
    as_json,
    check_card,
    data_card,
    read_config,
    read_tensors,
    reading,
    write_folder,
)

if TYPE_CHECKING:
    from dgl_dysign.data import TemporalGraph

Model = TypeVar("Model", bound="EncoderModel")

#: Tensors, in tuples, lists and dicts as an encoder likes.
State = Any


class SnapshotEncoder(nn.Module):
    """Vectors of all nodes from a state that grows by a snapshot at a time: write three methods, stand in three tables.

    Made as ``Cls(num_nodes, in_feats, **arguments)``, where the arguments are those of the table's row. It never holds
    the past itself: state goes in and comes out. Links and events of snapshot t are scored from
    ``embed(state, inputs)`` as both were before t, and then `step` is called with t; nodes are classified from the
    state after the last snapshot. Heads, training and scoring are this package's (`dgl_dysign.training.encoders`).

    Attributes
    ----------
    out_feats : int
        Width of the vectors.
    window : int, default 1
        How many of the latest calls of `step` a loss is traced back through; `embed` always is. 0, where neither
        `initial` nor `step` has weights, and `step` draws nothing: then it is called once for each snapshot.
    inputs : {"counts", "degree", "constant", "features"} or None
        What it is fed, see `dgl_dysign.models.encoder_inputs.EncoderInputs`. None: the prepared folder's features for
        nodes, counts for links and events.
    head_inputs : bool, default False
        Whether the inputs of nodes enter the head too, beside their vectors.
    live : bool, default False
        Whether it may learn from what it has observed while it is tested; set under live update, see
        `dgl_dysign.training.live_update.LiveLinkScorer`.
    card : dict or None
        How it was made, see `make_encoder`.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.models.snapshot_encoder import SnapshotEncoder
    >>> class Faded(SnapshotEncoder):
    ...     def __init__(self, num_nodes, in_feats, out_feats=8):
    ...         super().__init__()
    ...         self.num_nodes, self.out_feats = num_nodes, out_feats
    ...         self.linear = torch.nn.Linear(in_feats + 1, out_feats)
    ...
    ...     def initial(self):
    ...         return torch.zeros(self.num_nodes, 1)
    ...
    ...     def step(self, state, edges, inputs):
    ...         return 0.9 * state.index_add(0, edges.dst, torch.ones(len(edges), 1))
    ...
    ...     def embed(self, state, inputs):
    ...         return self.linear(torch.cat([state, inputs], 1)).tanh()
    """

    out_feats: int
    window: int = 1
    inputs: str | None = None
    head_inputs: bool = False
    live: bool = False
    card: dict[str, Any] | None = None

    def initial(self) -> State:
        """Return the state before the first snapshot."""
        raise NotImplementedError

    def step(self, state: State, edges: SnapshotEdges, inputs: Tensor) -> State:
        """Return the state after a snapshot; `inputs` ``(N, in_feats)`` are those after it. Changes nothing."""
        raise NotImplementedError

    def embed(self, state: State, inputs: Tensor) -> Tensor:
        """Return the vectors of all nodes, ``(N, out_feats)``; state and inputs are of the same moment.

        It may take ``nodes=None`` too, ascending nodes ``(n,)`` whose vectors alone are asked for, ``(n, out_feats)``,
        the rows of those of all: links are then trained on the vectors of their ends, which is cheaper where they are
        few.
        """
        raise NotImplementedError


def detached(state: State) -> State:
    """Return a state without gradients.

    Examples
    --------
    >>> detached([torch.ones(1, requires_grad=True)])
    [tensor([1.])]
    """
    if isinstance(state, Tensor):
        return state.detach()
    if isinstance(state, dict):
        return {name: detached(value) for name, value in state.items()}
    if isinstance(state, tuple | list):
        parts = map(detached, state)
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    return state


def _learns(state: State) -> bool:
    """Tell whether a state has gradients."""
    if isinstance(state, Tensor):
        return state.requires_grad
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, tuple | list) else ()
    return any(map(_learns, parts))


def make_encoder(
    cls: type[SnapshotEncoder],
    inputs: EncoderInputs,
    arguments: Mapping[str, Any],
    attributes: Mapping[str, Any],
    name: str = "",
) -> SnapshotEncoder:
    """Return an encoder for some inputs, which notes how it was made, so that it can be saved.

    `arguments` are of the class, `attributes`, such as ``window``, are set afterwards, `name` is for errors: a
    ``ConfigError`` if a method is missing, or ``out_feats`` or ``window`` is no whole number from 1 or 0 on.
    """
    where = f"row {name or cls.__name__!r}"
    for method in ("initial", "step", "embed"):
        if getattr(cls, method) is getattr(SnapshotEncoder, method):
            raise ConfigError(f"{where}: found no method {method}, expected initial, step and embed")
    encoder = cls(inputs.num_nodes, inputs.width, **arguments)
    for key, value in attributes.items():
        setattr(encoder, key, value)
    for key, least in (("out_feats", 1), ("window", 0)):
        value = getattr(encoder, key, None)
        if not isinstance(value, int) or value < least:
            raise ConfigError(f"{where}: found {key}={value!r}, expected a whole number from {least} on")
    names = f"{cls.__module__}:{cls.__qualname__}"
    encoder.card = {"class": names, "arguments": dict(arguments), "attributes": dict(attributes)}
    return encoder


def _class_of(name: str, folder: Any) -> type[SnapshotEncoder]:
    """Return the encoder's class that a folder names."""
    module, _, path = name.partition(":")
    try:
        cls: Any = import_module(module)
        for part in path.split("."):
            cls = getattr(cls, part)
    except (ImportError, AttributeError, ValueError) as error:
        where = f"{folder}: its encoder is {name}, which cannot be imported here ({error})"
        raise ConfigError(f"{where}: install its package, or run where its module is") from error
    if not (isinstance(cls, type) and issubclass(cls, SnapshotEncoder)):
        raise ConfigError(f"{folder}: its encoder {name} is no SnapshotEncoder: install the version that was saved")
    return cls


class EncoderModel(nn.Module):
    """An encoder, what it is fed, what it has seen, and a head.

    What it has seen is the state before the last ``window`` snapshots, which the encoder's weights made as they were
    then, and these snapshots: `embedding` runs them again, with gradients and with the weights of now.

    Parameters
    ----------
    encoder : SnapshotEncoder
        Made for ``inputs.width``.
    inputs : EncoderInputs
        What it is fed.
    head : Module
        What reads the vectors.
    **arguments
        Of the class beside encoder and inputs, for its folder.
    """

    head: Any

    def __init__(self, encoder: SnapshotEncoder, inputs: EncoderInputs, head: nn.Module, **arguments: Any) -> None:
        super().__init__()
        self.encoder, self.inputs, self.head, self.num_nodes = encoder, inputs, head, inputs.num_nodes
        self._arguments = arguments
        self._some = "nodes" in inspect.signature(encoder.embed).parameters
        self.reset()

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.inputs.mean.device

    def reset(self) -> None:
        """Forget what was observed; weights stay."""
        self.inputs.reset()
        self.snapshot = -1
        self._begin: State = None
        self._steps: deque[tuple[SnapshotEdges, Tensor]] = deque()
        self._known: Tensor | None = None
        self._table: Tensor | None = None

    @torch.no_grad()
    def observe(self, edges: SnapshotEdges) -> None:
        """Take in a snapshot; the state moves on by the one that leaves the window, without dropout.

        A graph of more nodes raises ``DataError``: an encoder's state is its own, so that it is made anew.
        """
        check_numbers(self.inputs.mean)
        check_room(edges, self.num_nodes, f"{self._anew()}, and let it observe the snapshots from the first on")
        self.inputs.observe(edges)
        self.snapshot, self._known = edges.snapshot, None
        self._table = self.inputs.table()
        self._steps.append((edges.to(self.device), self._table))
        if len(self._steps) > self.encoder.window:
            # What has no weights costs nothing more with gradients, and what has some is found out.
            with evaluating(self.encoder), torch.set_grad_enabled(not self.encoder.window):
                begin = self.encoder.step(self._first_state(), *self._steps.popleft())
            if _learns(begin):
                raise ConfigError(
                    f"{type(self.encoder).__name__}: found window=0 and a state that weights make, which no loss would "
                    "reach: set window to 1 or more, or requires_grad of these weights to False"
                )
            self._begin = detached(begin)

    def _anew(self) -> str:
        return f"load it anew for the larger graph, {type(self).__name__}.from_pretrained(folder, data)"

    def _first_state(self) -> State:
        return self.encoder.initial() if self._begin is None else self._begin

    def embedding(self, nodes: Tensor | None = None) -> Tensor:
        """Return the vectors of all nodes that the head reads, with gradients, in the mode that the encoder is in.

        Of some nodes alone, where `SnapshotEncoder.embed` takes them.
        """
        state = self._first_state()
        for edges, table in self._steps:
            state = self.encoder.step(state, edges, table)
        table = self.inputs.table() if self._table is None else self._table
        some = {} if nodes is None else {"nodes": nodes}
        z = self.encoder.embed(state, table, **some)
        expected = self.num_nodes if nodes is None else len(nodes), self.encoder.out_feats
        if tuple(z.shape) != expected:
            name = type(self.encoder).__name__
            raise DataError(f"{name}.embed gave shape {tuple(z.shape)}, expected {expected}: (num_nodes, out_feats)")
        return torch.cat([z, table if nodes is None else table[nodes]], 1) if self.encoder.head_inputs else z

    @torch.no_grad()
    def known(self) -> Tensor:
        """Return the same without gradients or dropout; computed once for each snapshot observed."""
        if self._known is None:
            with evaluating(self.encoder):
                self._known = self.embedding()
        return self._known

    def catch_up(self, data: TemporalGraph, snapshot: int) -> None:
        """Observe what lies before a snapshot, and nothing else; anew where more was observed already.

        Raises
        ------
        ConfigError, DataError
            If the snapshot is not one of the data's, or the one after them; if the data has other nodes.
        """
        if data.num_nodes != self.num_nodes:
            raise DataError(
                f"{data.folder}: found {data.num_nodes} nodes, but the model has {self.num_nodes}: {self._anew()}"
            )
        observe_before(self, self.snapshot, data, snapshot)

    def save_pretrained(self, folder: Any, data: TemporalGraph, *, overwrite: bool = False) -> Path:
        """Save the model as a folder, see `dgl_dysign.models.Pretrained`; what it has observed is not in it.

        Raises
        ------
        ConfigError
            If the folder is there, or the encoder was not made by `make_encoder`, as rows of tables are.
        """
        if self.encoder.card is None:
            raise ConfigError("this encoder was made by hand: use make_encoder, or save model.state_dict()")
        inputs = {"kind": self.inputs.kind, "num_nodes": self.num_nodes, "width": self.inputs.width}
        arguments = {"encoder": self.encoder.card, "inputs": inputs, "head": self._arguments}
        config = {"class": type(self).__name__, "arguments": as_json("arguments", arguments), "data": data_card(data)}
        config |= {"settings": {}, "preprocessing": None}
        tensors = {f"model.{name}": value for name, value in self.state_dict().items()}
        return write_folder(folder, config, tensors, overwrite)

    @classmethod
    def from_pretrained(cls: type[Model], folder: Any, data: TemporalGraph) -> Model:
        """Make the model of a folder for the data of its training, or that with later snapshots and more nodes.

        It has observed nothing: `catch_up` lets it. It takes more nodes where no weight of its encoder belongs to a
        single one.

        Raises
        ------
        ConfigError
            If the encoder's class cannot be imported: a folder holds its name, not its code.
        DataError
            If a file is missing or damaged, the data is of another shape or has fewer nodes, or the model has learned
            something of each node and the data has more.
        """
        config = read_config(folder, cls.__name__)
        tensors, arguments = read_tensors(folder, config), config["arguments"]
        with reading(folder, cls.__name__):
            features = ["features"] if arguments["inputs"]["kind"] == "features" else []
            number, card = int(arguments["inputs"]["num_nodes"]), arguments["encoder"]
            known, name = dict(config["data"]), str(card["class"])
        check_card(known, data, [*ALWAYS, *features, *(["num_nodes"] if data.num_nodes < number else [])])
        encoder_class = _class_of(name, folder)
        with reading(folder, cls.__name__), torch.random.fork_rng([]):
            inputs = EncoderInputs(data=data, **{**arguments["inputs"], "num_nodes": data.num_nodes})
            encoder = make_encoder(encoder_class, inputs, card["arguments"], card["attributes"])
            model = cls(encoder, inputs, **arguments["head"])
            state = {name[6:]: value for name, value in tensors.items()}
            if data.num_nodes > number:
                _check_sizes(model.state_dict(), state, f"{folder}: found {data.num_nodes} nodes, but ", number)
            model.load_state_dict(state)
        return model.eval()


def _check_sizes(own: Mapping[str, Tensor], saved: Mapping[str, Tensor], where: str, number: int) -> None:
    """Raise ``DataError`` for the first weight whose size depends on the number of nodes."""
    for name, value in saved.items():
        if name in own and own[name].shape != value.shape:
            raise DataError(
                f"{where}{name} has the shape {tuple(value.shape)}, of the {number} nodes of the training, and "
                f"{tuple(own[name].shape)} here: train it on the larger graph, or give it no weights of single nodes"
            )


def _head_width(encoder: SnapshotEncoder, inputs: EncoderInputs) -> int:
    return encoder.out_feats + (inputs.width if encoder.head_inputs else 0)


class EncoderNodes(EncoderModel):
    """Classes of nodes: a linear read-out of the vectors after the last snapshot.

    Parameters
    ----------
    encoder, inputs
        As for `EncoderModel`.
    num_classes : int
        Number of classes C.
    """

    def __init__(self, encoder: SnapshotEncoder, inputs: EncoderInputs, num_classes: int) -> None:
        super().__init__(encoder, inputs, nn.Linear(_head_width(encoder, inputs), num_classes), num_classes=num_classes)

    def forward(self) -> Tensor:
        """Return the logits of all nodes, ``(N, C)``."""
        return self.head(self.embedding())

    @torch.no_grad()
    def predict(self, nodes: Tensor) -> Tensor:
        """Return the probabilities of some nodes' classes, ``(n, C)``."""
        return self.head(self.known()[nodes.to(self.device)]).softmax(1)


class EncoderLinks(EncoderModel):
    """Scores of links: a `LinkHead` over the vectors of both ends.

    Parameters
    ----------
    encoder, inputs
        As for `EncoderModel`.
    hidden_feats : int, default 64
        Of the head.
    """

    loss = "softmax"

    def __init__(self, encoder: SnapshotEncoder, inputs: EncoderInputs, hidden_feats: int = 64) -> None:
        head = LinkHead(_head_width(encoder, inputs), hidden_feats, bias=False)
        super().__init__(encoder, inputs, head, hidden_feats=hidden_feats)

    def logits(self, src: Tensor, dst: Tensor) -> Tensor:
        """Return logits ``(E, C)`` of candidates of sources, with gradients, in the mode that the model is in."""
        if self._some:
            nodes, ends = torch.cat([src[:, None], dst], 1).to(self.device).unique(return_inverse=True)
            z, src, dst = self.embedding(nodes), ends[:, 0], ends[:, 1:]
        else:
            z = self.embedding()
        return self.head(z[src], z[dst])


class EncoderEvents(EncoderModel):
    """Log odds of events: a `LinkHead` over the vectors of both ends and what is known of the event.

    Parameters
    ----------
    encoder, inputs
        As for `EncoderModel`.
    rate : float
        Share of positives among the training events, in (0, 1): where the log odds begin.
    event_feats : int
        Width of what is known of events.
    hidden_feats : int, default 64
        Of the head.
    """

    def __init__(
        self, encoder: SnapshotEncoder, inputs: EncoderInputs, rate: float, event_feats: int, hidden_feats: int = 64
    ) -> None:
        head = LinkHead(_head_width(encoder, inputs), hidden_feats, event_feats, bias=False)
        super().__init__(encoder, inputs, head, rate=rate, event_feats=event_feats, hidden_feats=hidden_feats)
        self.offset = nn.Parameter(torch.tensor(math.log(rate / (1 - rate))))

    def logits(self, z: Tensor, src: Tensor, dst: Tensor, event_feat: Tensor) -> Tensor:
        """Return the log odds of events ``(E,)`` from the vectors of all nodes."""
        return self.head(z[src], z[dst], event_feat.to(z)) + self.offset


def event_edges(events: SnapshotEvents, num_nodes: int, directed: bool) -> SnapshotEdges:
    """Return the edges that events make."""
    ends = events.src, events.dst, events.edge_id, events.time
    return distinct_edges(events.snapshot, *ends, num_nodes=num_nodes, directed=directed)


class EncoderEventScorer:
    """Scores events by an encoder; fulfils `dgl_dysign.evaluation.EventModel`, and is trained by `fit_events`.

    Parameters
    ----------
    model : EncoderEvents
        Holds the edges that were observed.
    reader : EventReader
        What is known of events.
    directed : bool, default True
        Whether events have a direction.
    """

    def __init__(self, model: EncoderEvents, reader: EventReader, directed: bool = True) -> None:
        self.model, self.reader, self.directed = model, reader, directed

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    def reset(self) -> None:
        """Forget what was observed; weights stay."""
        self.model.reset()
        self.reader.reset()

    def observe(self, events: SnapshotEvents) -> None:
        """Take in the events of a snapshot."""
        self.model.observe(event_edges(events, self.model.num_nodes, self.directed))
        self.reader.observe(events)

    def logits(self, events: SnapshotEvents) -> Tensor:
        """Return the log odds of a snapshot's events, ``(events,)``, as the mode of the model is and with gradients."""
        return self._read(self.model.embedding(), events)

    @torch.no_grad()
    def score(self, events: SnapshotEvents) -> Tensor:
        """Return the log odds of a snapshot's events, ``(events,)``, without dropout; nothing changes."""
        with evaluating(self.model):
            return self._read(self.model.known(), events)

    def _read(self, z: Tensor, events: SnapshotEvents) -> Tensor:
        return self.model.logits(z, events.src, events.dst, self.reader.event_feat(events))


class EncoderScorer(LogitScorer):
    """Scores links by an encoder; fulfils `dgl_dysign.evaluation.LinkModel`, and is trained by `fit_links`.

    Parameters
    ----------
    model : EncoderLinks
        Holds what was observed too.
    """

    def __init__(self, model: EncoderLinks) -> None:
        self.model = model

    def catch_up(self, data: TemporalGraph, snapshot: int) -> None:
        """Observe what lies before a snapshot, and nothing else: then `score` scores it."""
        self.model.catch_up(data, snapshot)

    def logits(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return logits ``(E, C)`` with gradients, in the mode that the model is in."""
        return self.model.logits(src, dst)

    @torch.no_grad()
    def score(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return scores ``(E, C)``; nothing changes."""
        z, rows = self.model.known(), self._rows_at_once(dst.shape[1])
        with evaluating(self.model):
            parts = [self.model.head(z[s], z[d]) for s, d in zip(src.split(rows), dst.split(rows), strict=True)]
        return torch.cat(parts) if parts else torch.zeros(dst.shape)
