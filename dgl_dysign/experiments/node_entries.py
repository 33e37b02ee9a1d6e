"""The entries of a node-classification table: Dy-SIGN and everything it is compared with, under one protocol.

Each function fits one of them; ``run`` holds the ``checkpoint`` and ``on_epoch`` of `Entry.fit`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dgl_dysign._moved import moved_name
from dgl_dysign.baselines import LogisticRegression, ReLUNetwork, SnapshotGCN, majority_class
from dgl_dysign.data.row_store import IN_MEMORY, row_blocks
from dgl_dysign.experiments.diagnostics import node_diagnostics
from dgl_dysign.experiments.embedding_entries import EMBEDDINGS, embedding_entry
from dgl_dysign.experiments.encoder_entries import snapshot_encoder_entries
from dgl_dysign.experiments.entry import FEATURE_ONLY, LABEL_AWARE, Entry, Outcome, by_name
from dgl_dysign.experiments.node_task import NodeTask, NodeView, Recipe
from dgl_dysign.experiments.sampled_entries import sampled_entries
from dgl_dysign.models import DySIGN, Snapshot, SpikingUnderGS, UnderGS, evenly_spaced, preset_store
from dgl_dysign.models.inputs import fill_store, scaled_features, store_snapshots
from dgl_dysign.nn import ThresholdEncoder, keep_blocks
from dgl_dysign.store import NeighborStore
from dgl_dysign.training.equilibrium_cache import EquilibriumCache
from dgl_dysign.training.full_batch import full_batch_gradient
from dgl_dysign.training.loop import one_cycle, seeded
from dgl_dysign.training.nodes import FitConfig, fit, node_weights, summed_loss

#: What a table chooses from, see `dgl_dysign.experiments.choice`: the same values for all entries that have a setting.
#: Decay and hops, which matter most, are crossed; of the others most candidates keep the defaults (None).
CHOICES: dict[str, tuple[Any, ...]] = {
    "means": tuple(
        {"decay": decay, "hops": hops} for decay in (1.0, 0.8, 0.4, 0.1) for hops in ((0, 1), (1, 2), (0, 1, 2))
    ),
    "hops": ((0, 1), (1, 2), (0, 1, 2)),
    "weight_decay": (None, None, 0.05, 0.5, 5.0),
    "feat_dropout": (None, 0.3),
    "dropout": (None, None, 0.1, 0.3, 0.6),
    "hidden": (None, 64),
    "gcn_hidden": (None, 64),
    "store_hidden": (None, 64),
    "class_weights": (None, None, True),
    "feedback": (None, None, False),
}
_INPUTS = ("means", "class_weights")
_TRAINED = ("weight_decay", "feat_dropout")
_HIDDEN = (*_INPUTS, *_TRAINED, "dropout", "hidden")
_CHOSEN = {  # of each entry
    "logistic-regression": (*_INPUTS, *_TRAINED),
    "relu-network": _HIDDEN,
    "gcn": (*_INPUTS, "gcn_hidden"),
    "dysign": (*_HIDDEN, "feedback"),
    "dysign-step": _HIDDEN,
    "undergs": ("class_weights", "weight_decay", "dropout", "store_hidden"),
    "spiking-undergs": ("hops", "class_weights", *_TRAINED, "dropout", "hidden", "feedback"),
    "label-aware-logistic": (*_INPUTS, *_TRAINED),
    "label-aware-relu": _HIDDEN,
    "dysign-label-aware": (*_HIDDEN, "feedback"),
}

ONE_STEP = {"gradient": "step", "latency": 1, "feedback": False}  # of Dy-SIGN
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of a model against label propagation
SMOOTHINGS = ({"alpha": 0.0}, {"alpha": 0.6, "smooth_decay": 0.1}, {"alpha": 0.6, "smooth_decay": 0.7})


def _trained(
    view: NodeView, model: nn.Module, reader: Callable[[NodeView], Any], config: FitConfig, **run: Any
) -> list[dict[str, float]]:
    """Train on logits or a cache of what a view sees, and watch those of what validation sees, where that is more."""
    seen, later = reader(view), view.at_validation()
    watched = None if later is view else reader(later)
    return fit(model, seen, view.labels, view.train, view.val, config, view.seed, watched=watched, **run)


def _counted(view: NodeView, outcome: Callable[[NodeView], Outcome], forward: Callable[[], Any]) -> Outcome:
    """Return the outcome on a view, with that on later ones and the pass whose operations are counted."""
    # Rows in files are made during the pass, which would count that too.
    return replace(outcome(view), later=outcome, forward=None if view.files is not None else forward)


def majority(view: NodeView, **_: Any) -> Outcome:
    """Answer with the most frequent class."""
    classes = majority_class(view.labels, view.train, len(view.labels))
    prediction = nn.functional.one_hot(classes, view.num_classes).float()
    return Outcome(prediction, later=lambda _: Outcome(prediction))


def label_propagation(view: NodeView, **_: Any) -> Outcome:
    """Label propagation, its decay and its steps chosen within the training nodes, out of fold."""

    def outcome(at: NodeView) -> Outcome:
        reading = at.label_reading
        chosen = {"decay": view.settings.label_decays[reading.graph], "steps": reading.steps}
        return Outcome(reading.prior.exp(), extra=chosen)

    return replace(outcome(view), later=outcome)


def _fit_rows(view: NodeView, make: Callable[[int, int, Recipe], nn.Module], label_aware: bool, run: Any) -> Outcome:
    """Train a model that takes rows of the last snapshot's features, and of the label features."""
    recipe = view.settings.recipe(label_aware)

    def inputs(at: NodeView) -> list[Tensor]:
        return [at.snapshots[-1].feat, *([at.label_feat] if label_aware else [])]

    widths = [x.shape[1] for x in inputs(view)]
    with seeded(view.seed, view.device):
        model = _entered(view, lambda width: make(width, widths[1] if label_aware else 0, recipe))

    def reader(at: NodeView) -> Callable[[Any], Tensor]:
        read = inputs(at)
        return lambda rows: model(*(x[rows] for x in read))

    targets = None if label_aware else _targets(view)
    history = _trained(view, model, reader, recipe.training, targets=targets, **run)

    @torch.no_grad()
    def outcome(at: NodeView) -> Outcome:
        logits, blocks = reader(at), [slice(None)] if at.files is None else row_blocks(len(at.labels), widths[0])
        return _finished(at, model, label_aware, torch.cat([logits(rows) for rows in blocks]), history)

    return _counted(view, outcome, lambda: reader(view)(slice(None)))


def _targets(view: NodeView) -> Tensor | None:
    """Return what the teacher of the settings predicts of all nodes, from features as they are."""
    settings = view.settings
    if settings.teacher is None:
        return None
    entrance = ("input_thresholds", "keep_inputs", "keep_block")
    model = {name: value for name, value in settings.model.items() if name not in entrance}
    plain = view.with_settings(replace(settings, teacher=None, model=model))
    return TEACHERS[settings.teacher](plain).prediction


class _Encoded(nn.Module):
    """A network that reads spikes of the features."""

    def __init__(self, encoder: ThresholdEncoder, network: nn.Module) -> None:
        super().__init__()
        self.encoder, self.network = encoder, network

    def forward(self, read: Tensor | Sequence[Snapshot], *others: Tensor) -> Tensor:
        if isinstance(read, Tensor):
            return self.network(self.encoder(read), *others)
        return self.network([each._replace(feat=self.encoder(each.feat)) for each in read])


def _entered(view: NodeView, make: Callable[[int], nn.Module]) -> nn.Module:
    """Return a network for features of a width, which enter it as the settings say, as they do Dy-SIGN."""
    own, width = view.settings.model, view.snapshots[-1].feat.shape[1]
    encoder = ThresholdEncoder(width, own["input_thresholds"]) if own.get("input_thresholds") else None
    network = make(width if encoder is None else encoder.out_feats)
    if own.get("keep_inputs", 1) != 1:
        first = next(part for part in network.modules() if isinstance(part, nn.Linear))  # which reads the features
        keep_blocks(first, "weight", own["keep_inputs"], own.get("keep_block", 64))
    view.fit_encoder(encoder)
    return (network if encoder is None else _Encoded(encoder, network)).to(view.device)


def logistic_regression(view: NodeView, label_aware: bool = False, **run: Any) -> Outcome:
    """Logistic regression on the last snapshot's features."""

    def make(in_feats: int, label_feats: int, recipe: Recipe) -> LogisticRegression:
        return LogisticRegression(in_feats + label_feats, view.num_classes, recipe.feat_dropout)

    return _fit_rows(view, make, label_aware, run)


def relu_network(view: NodeView, label_aware: bool = False, **run: Any) -> Outcome:
    """Dy-SIGN's inputs and read-out, with ReLU in place of the spiking equilibrium."""
    s = view.settings

    def make(in_feats: int, label_feats: int, recipe: Recipe) -> ReLUNetwork:
        dropout = {"feat_dropout": recipe.feat_dropout, "dropout": recipe.dropout}
        return ReLUNetwork(in_feats, s.hidden, view.num_classes, label_feats, s.label_hidden, **dropout)

    return _fit_rows(view, make, label_aware, run)


@torch.no_grad()
def _finished(
    view: NodeView, model: nn.Module, label_aware: bool, logits: Tensor, history: list[dict[str, float]],
    variants: Mapping[str, Tensor] | None = None,
) -> Outcome:  # fmt: skip
    """Return the outcome of a model: a label-aware one at its settings, and at those that cost no training."""
    finished: Callable[[Tensor], Tensor] = view.finished if label_aware else partial(torch.softmax, dim=1)
    others = {name: finished(scores) for name, scores in (variants or {}).items()}
    settings = product(STRENGTHS if label_aware else (), SMOOTHINGS)
    values = [{"strength": strength, **smoothing} for strength, smoothing in settings]
    finishes = ((finish, view.finished(logits, **finish)) for finish in values)
    return Outcome(finished(logits), history, variants=others, finishes=finishes, model=model)


def gcn(view: NodeView, **_: Any) -> Outcome:
    """GCN on each snapshot with a concatenated read-out, full batch."""
    s = view.settings
    loss_of = _full_batch_loss(view, s.feature_only.training)

    def loss() -> Tensor:
        mean = loss_of(model(view.snapshots))
        mean.backward()
        return mean

    with seeded(view.seed, view.device):
        count = len(view.snapshots)
        model = _entered(view, lambda width: SnapshotGCN(width, s.gcn_hidden, view.num_classes, count))
        history = _steps(s.gcn_epochs, loss, torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4))
    model.eval()

    @torch.no_grad()
    def outcome(at: NodeView) -> Outcome:
        return Outcome(model(at.snapshots).softmax(1), history, model=model)

    return _counted(view, outcome, lambda: model(view.snapshots))


#: Rows that others may learn from.
TEACHERS: dict[str, Callable[[NodeView], Outcome]] = {"relu-network": relu_network, "gcn": gcn}


def dysign(view: NodeView, label_aware: bool = False, **run: Any) -> Outcome:
    """Dy-SIGN: trained at the equilibrium, scored as the spiking network it is."""
    model = view.dysign(label_aware)
    config = view.settings.spiking(label_aware)

    def cache(at: NodeView) -> EquilibriumCache:
        return EquilibriumCache(model, at.snapshots, at.label_feat if label_aware else None, at.files)

    if view.settings.full_batch_epochs:
        history = _fit_full_batch(view, model, config, view.label_feat if label_aware else None)
    else:
        targets = None if label_aware else _targets(view)
        history = _trained(view, model, cache, config, targets=targets, **run)

    def scores(at: NodeView, simulate: bool) -> Tensor:
        return node_scores(at, model, at.snapshots, at.label_feat if label_aware else None, simulate)

    def outcome(at: NodeView) -> Outcome:
        # With a leak above 1 there is no equilibrium to compare with.
        solved = {"at_equilibrium": scores(at, simulate=False)} if model.conv.lif.leak <= 1 else {}
        return _finished(at, model, label_aware, scores(at, simulate=True), history, solved)

    return _counted(view, outcome, lambda: scores(view, simulate=True))


def dysign_step(view: NodeView, **run: Any) -> Outcome:
    """Dy-SIGN at one step of latency, without feedback: trained by the one spike of each neuron that it fires."""
    settings = view.settings
    return dysign(view.with_settings(replace(settings, model={**settings.model, **ONE_STEP})), **run)


@torch.no_grad()
def node_scores(
    view: NodeView, model: DySIGN, snapshots: Sequence[Snapshot], label_feat: Tensor | None, simulate: bool
) -> Tensor:
    """Return Dy-SIGN's logits of all nodes, by the spiking simulation or by the solver.

    With rows in the files of the view, currents, potentials and messages are there too, unless the layer needs them in
    memory.
    """
    model.eval()
    rows = IN_MEMORY if view.files is None or model.conv.needs_memory() else view.files
    return model(snapshots, label_feat, simulate, rows)


def spiking_undergs(view: NodeView, **run: Any) -> Outcome:
    """Dy-SIGN's equilibrium over the entries of UnderGS's store: trained and scored as Dy-SIGN is."""
    s, recipe, data = view.settings, view.settings.feature_only, view.data

    def read(at: NodeView) -> list[Snapshot]:
        store = preset_store(data.num_nodes, **(view.store_inputs.store or {}))
        indices = evenly_spaced(at.data.num_snapshots, s.snapshots)
        return store_snapshots(at.data, store, indices, hops=s.hops, device=view.device)

    snapshots = read(view)
    options = {"feat_dropout": recipe.feat_dropout, "dropout": recipe.dropout, **s.model}
    with seeded(view.seed, view.device):
        model = SpikingUnderGS(
            data.num_nodes, s.hidden, node_feats=snapshots[0].feat.shape[1], num_classes=view.num_classes,
            num_snapshots=len(snapshots), **options,
        ).to(view.device)  # fmt: skip
    model.link_head.requires_grad_(False)  # no loss about nodes reaches it

    def cache(at: NodeView) -> EquilibriumCache:
        return EquilibriumCache(model, snapshots if at is view else read(at), files=view.files)

    history = _trained(view, model, cache, s.spiking(), **run)

    def outcome(at: NodeView) -> Outcome:
        scores = node_scores(view, model, snapshots if at is view else read(at), None, simulate=True)
        return Outcome(scores.softmax(1), history, model=model)

    return _counted(view, outcome, lambda: node_scores(view, model, snapshots, None, simulate=True))


def undergs(view: NodeView, **run: Any) -> Outcome:
    """UnderGS over its store at the last snapshot, not spiking."""
    s, recipe, data = view.settings, view.settings.feature_only, view.data

    def read(at: NodeView) -> tuple[NeighborStore, Tensor]:
        store = preset_store(data.num_nodes, **(view.store_inputs.store or {}))
        return fill_store(store, at.data, at.last).to(view.device), scaled_features(at.data, at.last).to(view.device)

    inputs = read(view)
    with seeded(view.seed, view.device):
        model = UnderGS(
            data.num_nodes, s.store_hidden, node_feats=inputs[1].shape[1], num_classes=view.num_classes,
            num_neighbors=inputs[0].num_neighbors, dropout=recipe.dropout,
        ).to(view.device)  # fmt: skip
    model.link_head.requires_grad_(False)  # no loss about nodes reaches it

    def reader(at: NodeView) -> Callable[[Tensor], Tensor]:
        store, feat = inputs if at is view else read(at)
        return lambda nodes: model.classify(model.embed(store, nodes, at.last, node_feat=feat))

    history = _trained(view, model, reader, recipe.training, **run)

    @torch.no_grad()
    def outcome(at: NodeView) -> Outcome:
        store, feat = inputs if at is view else read(at)
        return Outcome(model.class_probabilities(store, at.last, feat), history, model=model)

    return _counted(view, outcome, lambda: model.class_probabilities(inputs[0], view.last, inputs[1]))


def _fit_full_batch(
    view: NodeView, model: DySIGN, config: FitConfig, label_feat: Tensor | None
) -> list[dict[str, float]]:
    steps, loss_of = view.settings.full_batch_epochs, _full_batch_loss(view, config)
    asked: dict[str, Any] = {"rate_penalty": config.rate_penalty, "target_rate": config.target_rate}
    with seeded(view.seed, view.device):
        loss = partial(full_batch_gradient, model, view.snapshots, loss_of, label_feat, **asked)
        return _steps(steps, loss, *one_cycle(model, config, steps))


def _full_batch_loss(view: NodeView, config: FitConfig) -> Callable[[Tensor], Tensor]:
    """Return the mean loss of the training nodes as a function of the logits of all nodes."""
    weight = node_weights(view.labels, view.train) if config.class_weights else None
    return lambda logits: summed_loss(logits[view.train], view.labels, view.train, weight) / len(view.train)


def _steps(
    number: int, loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer, schedule: Any = None
) -> list[dict[str, float]]:
    """Take steps against a loss, which leaves its gradients at the parameters; return their history."""
    history = []
    for epoch in range(number):
        optimizer.zero_grad()
        history.append({"epoch": epoch, "loss": float(loss().detach())})
        optimizer.step()
        if schedule is not None:
            schedule.step()
    return history


def save_nodes(task: NodeTask, outcome: Outcome, folder: Path, reads: str = "inputs") -> None:
    """Write a model folder that predicts what was scored; ``reads`` names how the task's model reads its data."""
    outcome.model.save_pretrained(folder, task.data, getattr(task, reads), overwrite=True)


def default_entries() -> dict[str, Entry]:
    """Return every entry of a table by name.

    Examples
    --------
    >>> list(default_entries())[:3]
    ['majority', 'logistic-regression', 'relu-network']
    """

    def row(name: str, fit: Callable[..., Outcome], **more: Any) -> Entry:
        choices = {setting: CHOICES[setting] for setting in _CHOSEN[name]} if name in _CHOSEN else None
        more = {"protocol": FEATURE_ONLY, "diagnose": node_diagnostics, "choices": choices, **more}
        return Entry(name, fit, check=lambda view: view.dysign(), **more)

    def ours(name: str, fit: Callable[..., Outcome], reads: str, **more: Any) -> Entry:
        return row(name, fit, learns=True, save=partial(save_nodes, reads=reads), **more)

    aware_dysign = partial(dysign, label_aware=True)
    return by_name(
        [
            row("majority", majority),
            row("logistic-regression", logistic_regression),
            row("relu-network", relu_network),
            row("gcn", gcn),
            ours("dysign", dysign, "inputs", pictured=True),
            ours("undergs", undergs, "store_inputs"),
            ours("spiking-undergs", spiking_undergs, "store_inputs"),
            row("label-propagation", label_propagation, protocol=LABEL_AWARE),
            row("label-aware-logistic", partial(logistic_regression, label_aware=True), protocol=LABEL_AWARE),
            row("label-aware-relu", partial(relu_network, label_aware=True), protocol=LABEL_AWARE),
            ours("dysign-label-aware", aware_dysign, "label_aware_inputs", protocol=LABEL_AWARE, pictured=True),
            ours("dysign-step", dysign_step, "inputs", usual=False),
            *snapshot_encoder_entries("node"),
            *map(embedding_entry, EMBEDDINGS),
            *sampled_entries(),
        ]
    )


def __getattr__(name: str) -> Any:
    return moved_name(__name__, name)
