"""A link scorer in a folder: its model, its store with what it holds, and which features of pairs it sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.models import _model_folder
from dgl_dysign.models.pretrained import Pretrained
from dgl_dysign.pairs import LinkFeatures
from dgl_dysign.store import NeighborStore

if TYPE_CHECKING:
    from dgl_dysign.data import TemporalGraph
    from dgl_dysign.models.link_scorer import LinkScorer
    from dgl_dysign.pairs.link_features import PairFeatures

_STORE = (
    "num_nodes", "num_neighbors", "num_hops", "hop_decay", "snapshot_decay", "importance", "direction", "directed",
    "num_edge_types", "slots_per_type", "backend",
)  # fmt: skip


def scorer_parts(scorer: LinkScorer) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what the two files of a scorer's folder hold."""
    config, tensors = scorer.model.folder_parts()
    store = scorer.store
    made = {name: _model_folder.as_json(f"store.{name}", getattr(store, name)) for name in _STORE}
    state: dict[str, Any] = dict(store.state_dict())
    arguments = {
        "model": {"class": config["class"], "arguments": config["arguments"]},
        "store": {"arguments": made, "state": state.pop("_extra_state")},
        "features": _features_card(scorer.features),
        "edge_feats": scorer.extra.get("edge_feat") is not None,
        "node_feats": scorer.extra["node_feat"] is not None,
    }
    tensors |= {f"store.{name}": value for name, value in state.items()}
    return {**config, "class": "LinkScorer", "arguments": arguments}, tensors


def _features_card(features: PairFeatures | None) -> dict[str, Any] | None:
    if features is None:
        return None
    found: dict[str, Any] = {"names": list(features.names)}
    if isinstance(features, LinkFeatures):
        timed = features.begins is not None
        found |= {"families": list(features.families), "timed": timed, "unit": features.unit}
    return found


def restored_model(folder: Any, config: Mapping[str, Any], tensors: Mapping[str, Tensor], kinds: Any) -> Pretrained:
    """Return the model of a scorer's folder; `kinds` are the classes that it may have."""
    with _model_folder.reading(folder, "LinkScorer"):
        own = config["arguments"]["model"]
        kind = {kind.__name__: kind for kind in kinds}[own["class"]]
        return kind.restored(folder, {**config, "class": own["class"], "arguments": own["arguments"]}, tensors)


def restored_store(folder: Any, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> NeighborStore:
    """Return the store of a scorer's folder, with what it held."""
    with _model_folder.reading(folder, "LinkScorer"):
        saved = config["arguments"]["store"]
        state = {name[6:]: value for name, value in tensors.items() if name.startswith("store.")}
        store = NeighborStore(**saved["arguments"], node_type=state.get("node_type"))
        store.load_state_dict({**state, "_extra_state": saved["state"]})
    return store


def empty_store(store: NeighborStore, num_nodes: int) -> NeighborStore:
    """Return an empty store with the settings of another, for another number of nodes."""
    if store.node_type is not None:
        raise ConfigError("this store has types of nodes, which are not known for other nodes: make a scorer by hand")
    return NeighborStore(**{**{name: getattr(store, name) for name in _STORE}, "num_nodes": num_nodes})


def restored_features(
    card: Mapping[str, Any] | None, data: TemporalGraph | None, given: PairFeatures | None
) -> PairFeatures | None:
    """Return the features of pairs that a scorer was saved with: made for the data, or those that are given.

    Raises
    ------
    ConfigError
        If the data or features are needed, or those that are given are others.
    """
    if card is None or given is not None:
        expected, found = ([] if card is None else card["names"]), ([] if given is None else list(given.names))
        if expected != found:
            raise ConfigError(f"features: found columns {found}, but the scorer was trained on {expected}")
        return given
    if "families" not in card:
        raise ConfigError(f"the scorer was trained on features of pairs of its own, {card['names']}: pass features=")
    if data is None:
        raise ConfigError("the scorer sees features of pairs, which are made from the data: pass data=")
    begins = [data.time_range(t)[0] for t in range(data.num_snapshots)] if card["timed"] else None
    # In the training's unit: the mean over all snapshots would move with each new one.
    features = LinkFeatures(data.num_nodes, begins, card["families"], card["unit"])
    if list(features.names) != card["names"]:
        raise DataError(f"features: this data gives {list(features.names)}, but the training gave {card['names']}")
    return features


def check_extra(arguments: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise ``ConfigError`` unless features of nodes and edges are given exactly where the scorer had some."""
    for name, value in given.items():
        if (value is not None) != arguments[f"{name}s"]:
            had, got = ("some", "none") if arguments[f"{name}s"] else ("none", "some")
            raise ConfigError(f"{name}: the scorer was saved with {had}, but got {got}: pass what it was made with")
