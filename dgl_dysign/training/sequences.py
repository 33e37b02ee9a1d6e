"""Training of a transformer over sequences of partners, the best epoch chosen on validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from dgl_dysign.baselines.sentences import SentenceScorer, padded
from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import evaluate_links
from dgl_dysign.training.links import LinkFitConfig
from dgl_dysign.training.loop import Figures, Loop, OnEpoch, seeded

_BATCH = 32  # sentences of a step, as in the public code


def fit_sequences(
    data: Sequence[SnapshotEdges],
    scorer: SentenceScorer,
    split: Sequence[range],
    config: LinkFitConfig | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> list[Figures]:
    """Train `SimpleDyG` to name the next partner; the weights of the best validation MRR stay.

    An epoch goes once over the sentences of all nodes as they are after training, 32 in a step, those of a length
    together; then the validation snapshots are scored, each from those before it.

    Parameters
    ----------
    data, split, seed, checkpoint, on_epoch
        As of `dgl_dysign.training.fit_links`, and the same records of epochs.
    scorer : SentenceScorer
        Its model is trained; it has observed nothing afterwards.
    config : LinkFitConfig, optional
        Of which ``epochs``, ``patience``, ``lr``, ``weight_decay`` and what it says of validation count.

    Raises
    ------
    ConfigError
        If training has no edge.
    DataError
        If the checkpoint cannot be read, or is that of another training.
    """
    config, (train, val) = config or LinkFitConfig(), split[:2]
    scorer.reset()
    for edges in data[: train[-1] + 1]:
        scorer.observe(edges)
    sentences = sorted(scorer.past.all(), key=len)
    if not sentences:
        raise ConfigError(f"no edge in the training snapshots {train[0]} to {train[-1]}: expected one or more")
    batches = [sentences[first : first + _BATCH] for first in range(0, len(sentences), _BATCH)]
    sampler = config.sampler(scorer.model.num_nodes, config.val_negatives, seed)

    def epoch() -> Figures:
        scorer.model.train()
        loss = 0.0
        for number in torch.randperm(len(batches)).tolist():
            loss += loop.step(scorer.model.partner_loss(*padded(batches[number], scorer.device))) / len(batches)
        return {"loss": loss, "val_mrr": evaluate_links(data, {"": scorer}, val, sampler)[""].mrr}

    with seeded(seed, scorer.device):
        identity = {"seed": seed, "train": list(train), "val": list(val)}
        loop = Loop(scorer.model, config, len(batches), scorer.device, identity, checkpoint)
        history = loop.run(epoch, on_epoch, select="val_mrr", patience=config.patience)
    scorer.reset()
    return history
