"""Live update: link models that learn from each snapshot after they have been scored on it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from dgl_dysign.data.snapshot_edges import SnapshotEdges, check_room
from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import LinkModel
from dgl_dysign.models.link_head import link_loss
from dgl_dysign.training.late_snapshot import SnapshotBatch, late_snapshot_step, snapshot_batches
from dgl_dysign.training.links import LinkFitConfig, TrainableScorer
from dgl_dysign.training.loop import seeded


class LiveLinkScorer:
    """A trained scorer whose weights go on learning, for the protocol ``live-update`` (ROLAND, KDD 2022).

    Parameters
    ----------
    scorer : TrainableScorer
        Trained by `fit_links`. Its model is copied and stays as it is; its store and features are shared.
    config : LinkFitConfig, optional
        Of which negatives, ``batch_size`` and ``weight_decay`` count.
    seed : int, default 0
        Of negatives and dropout.
    steps : int, default 2
        Optimiser steps on each snapshot.
    lr : float, default 1e-4
        Of AdamW.

    Raises
    ------
    ConfigError
        If an argument is out of range.
    """

    def __init__(
        self,
        scorer: TrainableScorer,
        config: LinkFitConfig | None = None,
        seed: int = 0,
        steps: int = 2,
        lr: float = 1e-4,
    ) -> None:
        if steps < 1 or not lr > 0:
            raise ConfigError(f"steps={steps}, lr={lr}: expected at least 1 step, and a rate above 0")
        self._scorer = copy.copy(scorer)
        self.model = self._scorer.model = copy.deepcopy(scorer.model)
        if hasattr(self.model, "encoder"):
            self.model.encoder.live = True
        self.store, self.features, self.device = scorer.store, scorer.features, scorer.device
        self.score, self.logits = self._scorer.score, self._scorer.logits
        self.config, self.seed, self.steps, self.lr = config or LinkFitConfig(), seed, steps, lr
        self._trained = scorer.model.state_dict()
        self.reset()

    def reset(self) -> None:
        """Forget the past, and what was learned from it since the weights were given."""
        self._scorer.reset()
        self.model.load_state_dict(self._trained)
        c = self.config
        self._sampler = c.sampler(self.model.num_nodes, c.num_negatives, self.seed)
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(trained, self.lr, weight_decay=c.weight_decay)

    def observe(self, edges: SnapshotEdges) -> None:
        """Take a snapshot into the state."""
        check_room(edges, self.model.num_nodes, "grow the scorer that it was made of, and make it anew of that")
        self._scorer.observe(edges)
        self._sampler.observe(edges)

    def update(self, edges: SnapshotEdges) -> None:
        """Train on the warm edges of a snapshot that is not observed yet."""
        queries = self._sampler.draw(edges).only_warm()
        batches = snapshot_batches(edges.snapshot, self.config.batch_size, queries.src, queries.dst)
        with seeded(self.seed * 1_000_003 + edges.snapshot, self.device):
            self.model.train()
            for _ in range(self.steps if batches else 0):
                late_snapshot_step(self._optimizer, batches, self._loss)
        self.model.eval()

    def _loss(self, batch: SnapshotBatch) -> Tensor:
        return self.config.with_rates(lambda: link_loss(self.logits(batch.snapshot, *batch.tensors), self.model.loss))


class RefittedModel:
    """A link model that is fitted anew as time passes, for the protocol ``roland-live``: it begins with no snapshot.

    Whenever the number of snapshots has doubled, a new model is fitted to all of them, the one just scored among them;
    in between the model's own ``update`` is called, where it has one. All fits together cost about twice the last one.

    Parameters
    ----------
    fit : callable
        ``fit(stop)`` returns a model fitted to the snapshots before `stop`, or None where they are too few.
    first : LinkModel
        Scores until there is a fitted one.
    """

    def __init__(self, fit: Callable[[int], LinkModel | None], first: LinkModel) -> None:
        self._fit, self._first = fit, first
        self.reset()

    def reset(self) -> None:
        """Forget the past, and what was learned from it."""
        self.model, self.fits = self._first, list[int]()
        self.model.reset()
        self._past: list[SnapshotEdges] = []

    def observe(self, edges: SnapshotEdges) -> None:
        """Take a snapshot into the state."""
        self._past.append(edges)
        self.model.observe(edges)

    def score(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return the scores of the newest model."""
        return self.model.score(snapshot, src, dst)

    def update(self, edges: SnapshotEdges) -> None:
        """Learn from a snapshot that was scored and is not observed yet."""
        stop = edges.snapshot + 1
        due = not self.fits or stop >= 2 * self.fits[-1]
        model = self._fit(stop) if due else None
        if model is not None:
            self.fits.append(stop)
            self.model = model
            self.model.reset()
            for past in self._past:
                self.model.observe(past)
        elif hasattr(self.model, "update"):
            self.model.update(edges)
