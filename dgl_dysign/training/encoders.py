"""Training of encoders of snapshots for nodes, links and labels of events, resumable to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.evaluation import f1_scores
from dgl_dysign.models.encoder_inputs import EncoderInputs, degrees
from dgl_dysign.models.snapshot_encoder import EncoderNodes
from dgl_dysign.training.distributed import Moments
from dgl_dysign.training.loop import Figures, Loop, LoopConfig, OnEpoch, seeded
from dgl_dysign.training.nodes import node_weights, summed_loss

if TYPE_CHECKING:
    from dgl_dysign.data import TemporalGraph


@dataclass(frozen=True)
class NodeFitConfig(LoopConfig):
    """How to train an encoder on labels of nodes.

    Parameters
    ----------
    epochs, patience : int, default 100 and 20
        Most steps, and steps without a better Macro-F1 on validation after which training ends.
    lr, weight_decay : float, default 1e-2 and 1e-2
        Of AdamW, under a one-cycle schedule over all `epochs`.
    class_weights : bool, default False
        Weigh nodes by the inverse frequency of their class, see `dgl_dysign.training.nodes.node_weights`.
    """

    epochs: int = 100
    patience: int = 20
    lr: float = 1e-2
    weight_decay: float = 1e-2
    class_weights: bool = False

    counts: ClassVar[tuple[str, ...]] = ("epochs", "patience")


def fitted_inputs(
    kind: str, num_nodes: int, train: Sequence[SnapshotEdges], data: TemporalGraph | None = None
) -> EncoderInputs:
    """Return `EncoderInputs` whose width and scale are those of the training snapshots, `train`, from the first on."""
    most = max((int(degrees(edges).max()) for edges in train if len(edges)), default=0) if kind == "degree" else 0
    inputs = EncoderInputs(kind, num_nodes, most + 1, data)
    if kind == "counts":
        moments = Moments()
        for edges in train:
            inputs.observe(edges)
            moments.add(inputs.seen_counts())
        if moments.rows:
            inputs.standardise(moments.mean, moments.deviation)
        inputs.reset()
    return inputs


def fit_encoder_nodes(
    model: EncoderNodes,
    snapshots: Sequence[SnapshotEdges],
    labels: Tensor,
    train: Tensor,
    val: Tensor,
    config: NodeFitConfig | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    later: Sequence[SnapshotEdges] = (),
) -> list[Figures]:
    """Train on the labels of the training nodes, full batch; the weights of the best Macro-F1 on validation stay.

    An epoch is one step: the loss after the last snapshot goes back through the encoder's last ``window`` steps; those
    before them run without gradients, with the weights of each epoch.

    Parameters
    ----------
    model : EncoderNodes
        What is trained; it has observed all `snapshots` afterwards.
    snapshots : sequence of SnapshotEdges
        Those of the training.
    labels : Tensor
        ``(N,)``; those of other nodes than `train` and `val` are not read.
    train, val : Tensor
        Nodes to train on, and nodes to choose by.
    config, seed, checkpoint, on_epoch
        As of `dgl_dysign.training.fit_links`, and the same errors.
    later : sequence of SnapshotEdges, default ()
        What is observed after them before validation is scored.

    Returns
    -------
    list of dict
        For each epoch ``epoch``, ``loss``, ``val_macro_f1`` and ``val_micro_f1`` (shares of 1), ``cpu_seconds``.
    """
    config = config or NodeFitConfig()
    weight = node_weights(labels, train) if config.class_weights else None
    model.reset()

    def replay(*more: SnapshotEdges) -> None:
        model.reset()
        for edges in (*snapshots, *more):
            model.observe(edges)

    def epoch() -> Figures:
        if later or model.snapshot < 0:  # else the validation has left the state that its weights make
            replay()
        model.train()
        loss = loop.step(config.with_rates(lambda: summed_loss(model()[train], labels, train, weight) / len(train)))
        replay(*later)
        scores = f1_scores(labels, model.predict(torch.arange(len(labels), device=labels.device)).argmax(1), val)
        return {"loss": loss, **{f"val_{name}": value / 100 for name, value in scores.items()}}

    with seeded(seed, model.device):
        identity = {"seed": seed, "nodes": len(train), "snapshots": len(snapshots)}
        loop = Loop(model, config, 1, model.device, identity, checkpoint)
        history = loop.run(epoch, on_epoch, select="val_macro_f1", patience=config.patience)
    replay()
    return history
