"""A learned link model: embeddings from a store of neighbours and features of the pair, in one head."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dgl_dysign.data.snapshot_edges import SnapshotEdges, check_room, snapshot_edges
from dgl_dysign.data.temporal_graph import TemporalGraph
from dgl_dysign.errors import ConfigError, DataError, check_growth
from dgl_dysign.models.inputs import Features
from dgl_dysign.models.pretrained import as_json, check_target, read_config, read_tensors, reading, write_folder
from dgl_dysign.models.spiking_undergs import SpikingUnderGS
from dgl_dysign.models.undergs import UnderGS
from dgl_dysign.pairs import LinkFeatures
from dgl_dysign.pairs.pair_features import PairFeatures, grow_features
from dgl_dysign.store import NeighborStore

_KINDS: dict[str, Any] = {"UnderGS": UnderGS, "SpikingUnderGS": SpikingUnderGS}
#: Arguments of a store, which a folder holds beside its entries.
_STORE = (
    "num_nodes", "num_neighbors", "num_hops", "hop_decay", "snapshot_decay", "importance", "direction", "directed",
    "num_edge_types", "slots_per_type", "backend",
)  # fmt: skip


class LinkScorer:
    """Scores links with `UnderGS` or `SpikingUnderGS` from a store, and features of pairs, that it keeps up to date.

    Fulfils :class:`dgl_dysign.evaluation.LinkModel`; `dgl_dysign.training.fit_links` trains its model.

    Parameters
    ----------
    model : UnderGS or SpikingUnderGS
        Made with ``pair_feats`` equal to the number of columns of `features`, or ``ConfigError``.
    store : NeighborStore
        Emptied by `reset`; on the device of the model.
    features : LinkFeatures, optional
        Of pairs. Needed where the model was made for some.
    node_feat, edge_feat : Tensor or callable, optional
        As for ``model.embed``.

    Attributes
    ----------
    pairs_at_once, nodes_at_once : int
        Candidates whose features `score` holds at once, 2^17 (100 MB at 200 columns); nodes that it embeds at once,
        2^14.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.data import distinct_edges
    >>> from dgl_dysign.models import LinkScorer, UnderGS
    >>> model = UnderGS(5, hidden_feats=8)
    >>> scorer = LinkScorer(model, model.store())
    >>> scorer.observe(distinct_edges(0, [0, 1], [1, 2], num_nodes=5))
    >>> scorer.score(1, torch.tensor([0, 2]), torch.tensor([[1, 3, 4], [0, 1, 3]])).shape
    torch.Size([2, 3])
    """

    pairs_at_once = 1 << 17
    nodes_at_once = 1 << 14

    def __init__(
        self,
        model: UnderGS | SpikingUnderGS,
        store: NeighborStore,
        features: PairFeatures | None = None,
        *,
        node_feat: Features | None = None,
        edge_feat: Features | None = None,
    ) -> None:
        expected, columns = model.link_head.pair_feats, 0 if features is None else len(features.names)
        if expected != columns:
            raise ConfigError(
                f"the model was made with pair_feats={expected}, but features has {columns} columns: make it with "
                f"pair_feats={columns}"
            )
        self.model, self.store, self.features = model, store, features
        self.extra: dict[str, Any] = {"node_feat": node_feat}
        if not isinstance(model, SpikingUnderGS):
            self.extra["edge_feat"] = edge_feat
        elif edge_feat is not None:
            raise ConfigError("SpikingUnderGS takes no features of edges: leave edge_feat out")

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def reset(self) -> None:
        """Empty the store and the features; weights stay."""
        self.store.reset()
        if self.features is not None:
            self.features.reset()

    def grow(self, num_nodes: int) -> None:
        """Have more nodes from now on, numbered after the old ones: model, store and features, and what they hold.

        New nodes have vectors of zeros and no past, see `Pretrained.grow`. Raises ``ConfigError`` if there would be
        fewer, where features of one's own cannot grow, and of a store with types of nodes: grow that by itself first.

        Examples
        --------
        >>> import torch
        >>> from dgl_dysign.data import distinct_edges
        >>> from dgl_dysign.models import LinkScorer, UnderGS
        >>> model = UnderGS(5, hidden_feats=8)
        >>> scorer = LinkScorer(model, model.store())
        >>> scorer.observe(distinct_edges(0, [0, 1], [1, 2], num_nodes=5))
        >>> scorer.grow(7)
        >>> scorer.observe(distinct_edges(1, [0], [6], num_nodes=7))
        >>> scorer.score(2, torch.tensor([6]), torch.tensor([[0, 1, 5]])).shape
        torch.Size([1, 3])
        """
        check_growth("the scorer", max(self.model.num_nodes, self.store.num_nodes), num_nodes)
        if self.features is not None:  # by nothing yet: what cannot grow says so before anything does
            grow_features(self.features, self.model.num_nodes)
        self.store.grow(num_nodes)
        if self.features is not None:
            grow_features(self.features, num_nodes)
        self.model.grow(num_nodes)

    def observe(self, edges: SnapshotEdges) -> None:
        """Insert a snapshot into the store, and let the features see it; `grow` first where there are more nodes."""
        check_room(edges, self.store.num_nodes)
        self.store.insert(edges)
        if self.features is not None:
            self.features.observe(edges)

    def catch_up(self, data: TemporalGraph, snapshot: int) -> None:
        """Observe what lies before a snapshot, and nothing else: then `score` scores it.

        Where more was observed already, everything is observed anew from the first snapshot on. ``data.num_snapshots``
        is the snapshot that comes after the data; a later one raises ``ConfigError``, data of another shape than that
        which the model was made for ``DataError``.
        """
        self.model.check_data(data)
        observe_before(self, self.store.snapshot, data, snapshot)

    def save_pretrained(
        self, folder: str | os.PathLike[str], data: TemporalGraph | None = None, *, overwrite: bool = False
    ) -> Path:
        """Save model, store and what the store holds as a folder, as `Pretrained.save_pretrained` does.

        Features of nodes and edges are data: they are given again when the scorer is loaded.
        """
        check_target(folder, overwrite)
        self.model.describe(data)
        return write_folder(folder, *self._folder_parts(), overwrite)

    def _folder_parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return what the two files of a scorer's folder hold."""
        config, tensors = self.model.folder_parts()
        state: dict[str, Any] = dict(self.store.state_dict())
        store = {name: as_json(f"store.{name}", getattr(self.store, name)) for name in _STORE}
        arguments = {
            "model": {"class": config["class"], "arguments": config["arguments"]},
            "store": {"arguments": store, "state": state.pop("_extra_state")},
            "features": features_card(self.features),
            "edge_feats": self.extra.get("edge_feat") is not None,
            "node_feats": self.extra["node_feat"] is not None,
        }
        tensors |= {f"store.{name}": value for name, value in state.items()}
        return {**config, "class": "LinkScorer", "arguments": arguments}, tensors

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        data: TemporalGraph | None = None,
        features: PairFeatures | None = None,
        *,
        node_feat: Features | None = None,
        edge_feat: Features | None = None,
        device: torch.device | str = "cpu",
    ) -> LinkScorer:
        """Make the scorer of a folder.

        Parameters
        ----------
        folder, device
            As for `Pretrained.from_pretrained`, which says what is raised.
        data : TemporalGraph, optional
            What it shall predict: the data of its training, or that with later snapshots and more nodes. Needed where
            it sees `LinkFeatures`. What was observed is taken from the folder where the data is the very same (or none
            is given); otherwise it is empty, and `catch_up` observes the data from the first snapshot on.
        features : PairFeatures, optional
            Where it was trained on other features of pairs than `LinkFeatures`: these, empty.
        node_feat, edge_feat : Tensor or callable, optional
            As when it was made.
        """
        config = read_config(folder, "LinkScorer")
        tensors = read_tensors(folder, config)
        with reading(folder, "LinkScorer"):
            model, store = _restored_model(folder, config, tensors), _restored_store(config, tensors)
        if data is not None:
            model, same = model.fitted(data), model.is_of(data)
            store = store if same else _empty_store(store, model.num_nodes)
        features = restored_features(config["arguments"]["features"], data, features)
        if features is not None and data is not None:
            for t in range(store.snapshot + 1):
                features.observe(snapshot_edges(data, t))
        extra: dict[str, Any] = {"node_feat": node_feat, "edge_feat": edge_feat}
        _check_extra(config["arguments"], extra)
        return cls(model.to(device), store.to(device), features, **extra)

    def logits(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return logits ``(E, C)`` with gradients, in the mode that the model is in."""
        z = self.model.embed(self.store, torch.cat([src[:, None], dst], dim=1), snapshot, **self.extra)
        return self._head(snapshot, src, dst, *z.tensor_split([1], dim=1))

    @torch.no_grad()
    def score(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return scores ``(E, C)``; nothing changes, and no more than a part of the candidates is held at once."""
        with evaluating(self.model):
            nodes, place = torch.unique(torch.cat([src[:, None], dst], dim=1), return_inverse=True)
            z = self._embedded(snapshot, nodes)
            rows = max(1, self.pairs_at_once // max(1, dst.shape[1]))
            parts = []
            for s, d, at in zip(src.split(rows), dst.split(rows), place.to(z.device).split(rows), strict=True):
                parts.append(self._head(snapshot, s, d, z[at[:, 0]], z[at[:, 1:]]))
            return torch.cat(parts) if parts else torch.zeros(dst.shape)

    def _embedded(self, snapshot: int, nodes: Tensor) -> Tensor:
        # An equilibrium is one of all nodes; elsewhere a node's embedding does not depend on the others.
        size = max(1, len(nodes)) if isinstance(self.model, SpikingUnderGS) else self.nodes_at_once
        return torch.cat([self.model.embed(self.store, part, snapshot, **self.extra) for part in nodes.split(size)])

    def _head(self, snapshot: int, src: Tensor, dst: Tensor, z_src: Tensor, z_dst: Tensor) -> Tensor:
        if self.features is None:
            return self.model.link(z_src, z_dst)
        return self.model.link(z_src, z_dst, self.features.features(snapshot, src, dst).to(z_dst))


class LogitScorer:
    """What link models share whose scores are their ``logits(snapshot, src, dst)``, which `fit_links` trains.

    Attributes
    ----------
    model : Module
        What is trained.
    past : optional
        What holds what was observed, and has ``reset`` and ``observe``; default: the model.
    pairs_at_once : int
        Candidates that `score` holds at once, 2^17.
    """

    model: Any
    past: Any = None
    features: PairFeatures | None = None
    store: NeighborStore | None = None
    pairs_at_once = 1 << 17

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def reset(self) -> None:
        """Forget what was observed; weights stay."""
        (self.model if self.past is None else self.past).reset()

    def observe(self, edges: SnapshotEdges) -> None:
        """Take in a snapshot."""
        (self.model if self.past is None else self.past).observe(edges)

    @torch.no_grad()
    def score(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return scores ``(E, C)``; nothing changes."""
        rows = self._rows_at_once(dst.shape[1])
        with evaluating(self.model):
            pairs = zip(src.split(rows), dst.split(rows), strict=True)
            parts = [self.logits(snapshot, s, d) for s, d in pairs if len(s)]
        return torch.cat(parts) if parts else torch.zeros(dst.shape)

    def _rows_at_once(self, candidates: int) -> int:
        return max(1, self.pairs_at_once // max(1, candidates))

    def logits(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return logits ``(E, C)`` with gradients, in the mode that the model is in."""
        raise NotImplementedError


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Put a model into evaluation for a while."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def observe_before(model: Any, last: int, data: TemporalGraph, snapshot: int) -> None:
    """Let a model whose last snapshot is `last` observe what it has not observed yet of those before another.

    Where it has observed more, it begins anew. Raises ``ConfigError`` if there is no such snapshot.
    """
    if not 0 <= snapshot <= data.num_snapshots:
        raise ConfigError(f"snapshot {snapshot}: expected 0 to {data.num_snapshots}, the one after the data's last")
    if last >= snapshot:
        model.reset()
        last = -1
    for t in range(last + 1, snapshot):
        model.observe(snapshot_edges(data, t))


def features_card(features: PairFeatures | None) -> dict[str, Any] | None:
    """Return what a config says of features of pairs."""
    if features is None:
        return None
    card: dict[str, Any] = {"names": list(features.names)}
    if isinstance(features, LinkFeatures):
        card |= {"families": list(features.families), "timed": features.begins is not None, "unit": features.unit}
        card |= {"most_neighbors": features.most_neighbors, "projection_width": features.projection_width}
    return card


def _restored_model(folder: Any, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> UnderGS | SpikingUnderGS:
    own = config["arguments"]["model"]
    parts = {**config, "class": own["class"], "arguments": own["arguments"]}
    model: UnderGS | SpikingUnderGS = _KINDS[own["class"]].restored(folder, parts, tensors)
    return model


def _restored_store(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> NeighborStore:
    """Return the store of a scorer's folder, with what it held."""
    saved = config["arguments"]["store"]
    state = {name[6:]: value for name, value in tensors.items() if name.startswith("store.")}
    store = NeighborStore(**saved["arguments"], node_type=state.get("node_type"))
    store.load_state_dict({**state, "_extra_state": saved["state"]})
    return store


def _empty_store(store: NeighborStore, num_nodes: int) -> NeighborStore:
    """Return an empty store with the settings of another, for another number of nodes."""
    if store.node_type is not None:
        raise ConfigError("this store has types of nodes, which are not known for other nodes: make a scorer by hand")
    return NeighborStore(**{**{name: getattr(store, name) for name in _STORE}, "num_nodes": num_nodes})


def restored_features(
    card: Mapping[str, Any] | None, data: TemporalGraph | None, features: PairFeatures | None
) -> PairFeatures | None:
    """Return the features of pairs that a scorer was saved with: made for the data, or those that were passed in."""
    if card is None or features is not None:
        expected, names = ([] if card is None else card["names"]), ([] if features is None else list(features.names))
        if expected != names:
            raise ConfigError(f"features: found columns {names}, but the scorer was trained on {expected}")
        return features
    if "families" not in card:
        raise ConfigError(f"the scorer was trained on features of pairs of its own, {card['names']}: pass features=")
    if data is None:
        raise ConfigError("the scorer sees features of pairs, which are made from the data: pass data=")
    begins = [data.time_range(t)[0] for t in range(data.num_snapshots)] if card["timed"] else None
    # In the training's unit: the mean over all snapshots would move with each new one.
    kept = card.get("most_neighbors"), card.get("projection_width")
    own = LinkFeatures(data.num_nodes, begins, card["families"], card["unit"], *kept)
    if list(own.names) != card["names"]:
        raise DataError(f"features: this data gives {list(own.names)}, but the training gave {card['names']}")
    return own


def _check_extra(arguments: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
    """Raise unless features of nodes and edges are there exactly where the scorer had some."""
    for name, value in extra.items():
        if (value is not None) != arguments[f"{name}s"]:
            had, got = ("some", "none") if arguments[f"{name}s"] else ("none", "some")
            raise ConfigError(f"{name}: the scorer was saved with {had}, but got {got}: pass what it was made with")
