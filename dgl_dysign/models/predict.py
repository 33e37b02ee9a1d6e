"""Predictions of a trained model on snapshots as they arrive, from what was saved with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dgl_dysign.baselines import masked_label_features, smooth_predictions
from dgl_dysign.errors import ConfigError
from dgl_dysign.models import (
    DySIGN,
    LabelInputs,
    LinkScorer,
    NodeInputs,
    SpikingUnderGS,
    UnderGS,
    load_snapshots,
    spread,
)
from dgl_dysign.models.store_inputs import fill_store, scaled_features, store_snapshots

if TYPE_CHECKING:
    from dgl_dysign.data import TemporalGraph
    from dgl_dysign.experiments.node_task import NodeTask
    from dgl_dysign.models import Snapshot
    from dgl_dysign.store import NeighborStore

#: Rows of `dgl_dysign.experiments.node_entries` whose models `predict` can ask.
NODE_ROWS = ("dysign", "dysign-label-aware", "undergs", "spiking-undergs")
_NODES = 4096  # nodes that UnderGS embeds at once


@torch.no_grad()
def predict(model: DySIGN | UnderGS, data: TemporalGraph, snapshot: int | None = None) -> Tensor:
    """Return the class probabilities of all nodes at the end of a snapshot.

    The model reads events up to and including the snapshot, and nothing later: the answer for a snapshot is the same
    whatever comes after it. It reads as many snapshots as it was made for, evenly spaced, the last of them `snapshot`;
    for the last snapshot of the training this is what the training scored, bit for bit.

    Parameters
    ----------
    model : DySIGN, UnderGS or SpikingUnderGS
        With ``model.node_inputs``, which ``from_pretrained`` brings. `SpikingUnderGS` reads feature means over its
        store's graph (`store_snapshots`) or, if it has learned vectors of nodes, its own `SpikingUnderGS.snapshot`.
    data : TemporalGraph
        The data of the training, or that with later snapshots.
    snapshot : int, optional
        Which; default: the last.

    Returns
    -------
    Tensor
        ``(N, num_classes)``, on the model's device. A label-aware model gives the scores that its training gave: after
        the smoothing rows do not sum to one.

    Raises
    ------
    ConfigError
        If the snapshot does not exist, there are too few before it, or the model does not know how its input is read.
    DataError
        If the data is of another shape than that of the training, or a file is damaged.

    Examples
    --------
    >>> import tempfile
    >>> from dgl_dysign.data import TemporalGraph
    >>> from dgl_dysign.models import DySIGN, NodeInputs
    >>> from dgl_dysign.models.predict import predict
    >>> data = TemporalGraph.load(prepared)
    >>> model = DySIGN(2 * data.feature_dim, 8, data.num_classes)
    >>> folder = model.save_pretrained(f"{tempfile.mkdtemp()}/model", data, NodeInputs(decay=0.1))
    >>> predict(DySIGN.from_pretrained(folder, data), data, snapshot=5).shape
    torch.Size([100, 6])
    """
    if not isinstance(model, DySIGN | UnderGS):
        raise ConfigError(f"expected a DySIGN, UnderGS or SpikingUnderGS, but got {type(model).__name__}")
    inputs = model.node_inputs
    if inputs is None:
        raise ConfigError(
            "the model does not know how its input is read: pass inputs=NodeInputs(...) to save_pretrained, or set "
            "model.node_inputs"
        )
    model.check_data(data)
    last = data.num_snapshots - 1 if snapshot is None else snapshot
    if not 0 <= last < data.num_snapshots:
        raise ConfigError(f"snapshot {last} does not exist: expected 0 to {data.num_snapshots - 1}")
    training = model.training
    model.eval()
    try:
        if isinstance(model, UnderGS):
            return _undergs(model, data, last, inputs)
        return _dysign(model, data, last, inputs)
    finally:
        model.train(training)


def _dysign(model: DySIGN, data: TemporalGraph, last: int, inputs: NodeInputs) -> Tensor:
    if last + 1 < model.num_snapshots:
        raise ConfigError(
            f"the model reads {model.num_snapshots} snapshots, but up to snapshot {last} there are {last + 1}: ask for "
            f"a later one"
        )
    indices, device = spread(last + 1, model.num_snapshots), model.bias.device
    if isinstance(model, SpikingUnderGS):
        snapshots = _of_store(model, data, indices, inputs)
    else:
        snapshots = load_snapshots(data, indices, inputs.decay, inputs.hops, inputs.scaling, device)
    labels = None if inputs.labels is None else _Labels(inputs.labels, data, last, device)
    label_feat = None if labels is None else labels.features()
    found = model(snapshots, label_feat, simulate=inputs.simulate).softmax(1)
    return found if labels is None else labels.smoothed(found)


def _of_store(model: SpikingUnderGS, data: TemporalGraph, indices: list[int], inputs: NodeInputs) -> list[Snapshot]:
    store = _store(model, data, inputs)
    device = model.bias.device
    if model.table is None:
        return store_snapshots(data, store, indices, hops=inputs.hops, device=device)
    found = []
    for index in indices:
        feat = scaled_features(data, index) if model.node_feats else None
        found.append(model.snapshot(fill_store(store, data, index), index, feat))
    return found


def _undergs(model: UnderGS, data: TemporalGraph, last: int, inputs: NodeInputs) -> Tensor:
    device = next(model.parameters()).device
    store = fill_store(_store(model, data, inputs), data, last).to(device)
    feat = scaled_features(data, last).to(device) if model.node_feats else None
    parts = torch.arange(data.num_nodes, device=device).split(_NODES)
    logits = [model.classify(model.embed(store, part, last, node_feat=feat)) for part in parts]
    return torch.cat(logits).softmax(1)


def _store(model: UnderGS | SpikingUnderGS, data: TemporalGraph, inputs: NodeInputs) -> NeighborStore:
    return model.store(**{"directed": data.directed, **(inputs.store or {})})


class _Labels:
    """Training labels on the graphs of a snapshot."""

    def __init__(self, inputs: LabelInputs, data: TemporalGraph, last: int, device: torch.device) -> None:
        self.inputs, self.data, self.last, self.device = inputs, data, last, device
        self.train = inputs.nodes.to(device)
        # Those of the training, and no others: labels that the data has by now must not change what is predicted.
        self.labels = torch.full((data.num_nodes,), -1, device=device)
        self.labels[self.train] = inputs.classes.to(device)

    def _graph(self, decay: float) -> tuple[Any, Tensor]:
        graph = self.data.graph(self.last, decay=decay)
        return graph, graph.edata.pop("weight").to(self.device)

    def features(self) -> Tensor:
        own = self.inputs
        graphs = [self._graph(decay) for decay in own.decays]
        return masked_label_features(
            graphs, self.labels, self.train, self.data.num_classes, own.steps, own.folds, own.seed
        )

    def smoothed(self, probabilities: Tensor) -> Tensor:
        graph, weight = self._graph(self.inputs.smooth_decay)
        return smooth_predictions(graph, weight, probabilities, self.labels, self.train, self.inputs.alpha)


def predict_links(scorer: LinkScorer, data: TemporalGraph, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
    """Return scores of candidate links at a snapshot, from the snapshots before it alone.

    Parameters
    ----------
    scorer : LinkScorer
        Observes what it has not yet observed of the snapshots before, see `LinkScorer.catch_up`.
    data : TemporalGraph
        The data of the training, or that with later snapshots.
    snapshot : int
        Which; ``data.num_snapshots`` is the one that is still to come.
    src, dst : Tensor
        Sources ``(E,)`` and candidates ``(E, C)``, int64.

    Returns
    -------
    Tensor
        ``(E, C)``: the larger the likelier, comparable within a row.

    Raises
    ------
    ConfigError
        If the snapshot is out of range.
    DataError
        If the data is of another shape than that of the training, or a file is damaged.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.data import TemporalGraph
    >>> from dgl_dysign.models import LinkScorer, UnderGS
    >>> data = TemporalGraph.load(prepared)
    >>> model = UnderGS(data.num_nodes, hidden_feats=8)
    >>> scorer = LinkScorer(model, model.store(directed=data.directed))
    >>> predict_links(scorer, data, data.num_snapshots, torch.tensor([3]), torch.tensor([[7, 8, 9]])).shape
    torch.Size([1, 3])
    """
    scorer.catch_up(data, snapshot)
    return scorer.score(snapshot, src, dst)


def task_inputs(task: NodeTask, row: str) -> NodeInputs:
    """Return how the model of a row of `dgl_dysign.experiments.node_entries` reads its data, for ``save_pretrained``.

    Parameters
    ----------
    task : NodeTask
        With the split and seed that the model was trained on.
    row : str
        One of `NODE_ROWS`.

    Raises
    ------
    ConfigError
        For another row.
    """
    s = task.settings
    if row in ("undergs", "spiking-undergs"):
        return NodeInputs(hops=s.hops, store={"directed": task.data.directed, **s.store})
    if row not in NODE_ROWS:
        raise ConfigError(f"expected a row whose model can be saved, such as 'dysign', but got {row!r}")
    labels = None
    if row == "dysign-label-aware":
        nodes = task.train.cpu()
        labels = LabelInputs(
            nodes, task.labels.cpu()[nodes], s.label_decays, s.label_steps, s.folds, task.seed, s.smooth_decay, s.alpha
        )
    return NodeInputs(s.decay, s.hops, s.scaling, labels=labels)
