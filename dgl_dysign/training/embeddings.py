"""Training of embeddings of nodes on edges alone, in mini-batches in the order of time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from dgl_dysign.baselines.embedding import EdgeEmbedding
from dgl_dysign.training.loop import Figures, Loop, LoopConfig, OnEpoch, seeded


@dataclass(frozen=True)
class EmbeddingConfig(LoopConfig):
    """How to train an embedding.

    Parameters
    ----------
    epochs : int, default 10
        Passes over the edges of each part.
    lr, weight_decay : float, default 1e-2 and 0
        Of AdamW, under a one-cycle schedule over all `epochs` of a part.
    batch_size : int, default 4096
        Edges of a step.
    """

    epochs: int = 10
    lr: float = 1e-2
    weight_decay: float = 0.0
    batch_size: int = 4096

    counts: ClassVar[tuple[str, ...]] = ("epochs", "batch_size")


def fit_embedding(
    model: EdgeEmbedding,
    config: EmbeddingConfig | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> list[Figures]:
    """Train an embedding on each of its parts until it is done; the vectors of the last epoch stay.

    Parameters
    ----------
    model : EdgeEmbedding
        Whose ``loss`` of edges, numbered in the order of time, is lowered.
    config : EmbeddingConfig, optional
        How.
    seed, checkpoint, on_epoch
        As of `dgl_dysign.training.fit_links`; a checkpoint is of the first part alone: others are trained anew.

    Returns
    -------
    list of dict
        For each epoch of each part ``epoch``, ``loss`` and ``cpu_seconds``.
    """
    config, history = config or EmbeddingConfig(), list[Figures]()
    device = model.vectors.device

    def told(record: Figures) -> None:
        history.append({**record, "epoch": len(history)})
        if on_epoch is not None:
            on_epoch(history[-1])

    with seeded(seed, device):
        for part, size in enumerate(model.parts()):
            batches = torch.arange(size, device=device).split(config.batch_size)
            identity = {"seed": seed, "edges": size}
            loop = Loop(model, config, len(batches), device, identity, checkpoint if part == 0 else None)

            def epoch(batches: tuple[torch.Tensor, ...] = batches, loop: Loop = loop) -> Figures:
                losses = [loop.step(model.loss(rows)) for rows in batches]
                return {"loss": sum(losses) / len(losses)}

            loop.run(epoch, told)
    return history
