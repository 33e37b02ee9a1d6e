"""What every training has around its epochs: optimiser, schedule, history, the best weights, checkpoints."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dgl_dysign.data.tensor_file import load_tensors, save_tensors
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.nn import LIF, FiringRates
from dgl_dysign.nn.firing_rates import check_rates
from dgl_dysign.training import distributed

Figures = dict[str, float]
OnEpoch = Callable[[Figures], None]

#: Homeostatic thresholds follow currents that grow with all weights, so they take larger steps, and do not decay.
_HOMEOSTATIC_STEP = 30


@dataclass(frozen=True)
class LoopConfig:
    """What the settings of all trainings share: passes over the training part, and AdamW's arguments.

    ``rate_penalty`` (default 0) and ``target_rate`` (default None) ask for the firing rates of spiking models, see
    `dgl_dysign.nn.FiringRates`; of other models of nodes, links and events they raise ``ConfigError``.
    """

    epochs: int
    lr: float
    weight_decay: float
    rate_penalty: float = field(default=0.0, kw_only=True)
    target_rate: float | None = field(default=None, kw_only=True)
    counts: ClassVar[tuple[str, ...]] = ("epochs",)

    def __post_init__(self) -> None:
        for name in self.counts:
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, but got {getattr(self, name)}")
        check_rates(self.rate_penalty, self.target_rate)

    def with_rates(self, loss: Callable[[], Tensor], share: float = 1.0) -> Tensor:
        """Return a loss and, weighted by a share, what is asked of the firing rates on the way to it."""
        if not self.rate_penalty and self.target_rate is None:
            return loss()
        with FiringRates() as rates:
            value = loss()
        return value + share * rates.loss(self.rate_penalty, self.target_rate)


@contextmanager
def seeded(seed: int, device: torch.device | str) -> Iterator[None]:
    """Draw random numbers from a seed for as long as the context lasts; the caller's random state stays."""
    device = torch.device(device)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def one_cycle(
    model: nn.Module, config: LoopConfig, total_steps: int
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.OneCycleLR]:
    """Return AdamW for what requires a gradient, under a one-cycle schedule that ends at zero."""
    neurons = [part for part in model.modules() if isinstance(part, LIF)]
    thresholds = [lif.offset for lif in neurons if lif.offset is not None and lif.offset.requires_grad]
    own = {id(parameter) for parameter in thresholds}
    groups: list[dict[str, Any]] = [{"params": [p for p in model.parameters() if p.requires_grad and id(p) not in own]}]
    peaks = [config.lr]
    if thresholds:
        groups.append({"params": thresholds, "weight_decay": 0.0})
        peaks.append(_HOMEOSTATIC_STEP * config.lr)
    optimizer = torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=total_steps)


class Loop:
    """Epochs of one training: AdamW under a one-cycle schedule, killed and resumed to the same bits.

    Under several processes all begin with the weights of the first one, which alone writes the checkpoint.

    Parameters
    ----------
    model : Module
        What is trained: those of its parameters that require a gradient.
    config : LoopConfig
        Of which ``epochs``, ``lr`` and ``weight_decay`` count here.
    steps : int
        Optimiser steps in an epoch.
    device : torch.device
        Where the model computes.
    identity : mapping
        What tells this training from others with the same settings, such as its seed.
    checkpoint : Path, optional
        File to write after epochs, and to go on from where it is there.
    parts : mapping, optional
        Further objects with a state that a checkpoint holds.
    started : float, optional
        ``time.process_time()`` from which CPU seconds count; default: now.

    Attributes
    ----------
    optimizer, schedule
        What an epoch steps.
    """

    def __init__(
        self,
        model: nn.Module,
        config: LoopConfig,
        steps: int,
        device: torch.device,
        identity: Mapping[str, Any],
        checkpoint: Path | None = None,
        parts: Mapping[str, Any] | None = None,
        started: float | None = None,
    ) -> None:
        self.model, self.epochs, self.device, self.checkpoint = model, config.epochs, device, checkpoint
        self.started = time.process_time() if started is None else started
        distributed.same_model(model)
        self.optimizer, self.schedule = one_cycle(model, config, config.epochs * steps)
        self._parts = {"model": model, "optimizer": self.optimizer, "schedule": self.schedule, **(parts or {})}
        self._identity = {**asdict(config), **identity}
        self._best: dict[str, Any] | None = None

    def step(self, loss: torch.Tensor) -> float:
        """Take a step against the gradient of a loss, and return the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return float(loss.detach())

    def run(
        self,
        epoch: Callable[[], Figures],
        on_epoch: OnEpoch | None = None,
        *,
        begin: Callable[[], object] | None = None,
        select: str | None = None,
        patience: int | None = None,
        checkpoint_every: int = 1,
    ) -> list[Figures]:
        """Run the epochs that are left, and leave the model in evaluation mode.

        Parameters
        ----------
        epoch : callable
            Trains for an epoch and returns its figures.
        on_epoch : callable, optional
            Called with the record of each epoch.
        begin : callable, optional
            Called before the first epoch, unless the training is resumed.
        select : str, optional
            Figure whose largest value, the first of several, decides which epoch's weights stay; default: the last's.
        patience : int, optional
            Epochs without a better figure `select` after which training ends.
        checkpoint_every : int, default 1
            Epochs between checkpoints.

        Returns
        -------
        list of dict
            For each epoch ``epoch``, its figures and ``cpu_seconds`` so far.

        Raises
        ------
        DataError
            If the checkpoint cannot be read, or is that of another training.
        """
        history = self._load()
        distributed.check_same(len(history), "epochs in its checkpoint")
        if begin is not None and not history:
            begin()
        spent = history[-1]["cpu_seconds"] if history else 0.0
        while len(history) < self.epochs and (patience is None or _epochs_since_best(history, select) < patience):
            figures = epoch()
            seconds = spent + time.process_time() - self.started
            history.append({"epoch": len(history), **figures, "cpu_seconds": seconds})
            if select is not None and _epochs_since_best(history, select) == 0:
                last = len(history) == self.epochs  # whose weights the model has, and keeps
                self._best = None if last else copy.deepcopy(self.model.state_dict())
            if self.checkpoint is not None and len(history) % checkpoint_every == 0 and distributed.rank() == 0:
                self._save(self.checkpoint, history)
            if on_epoch is not None:
                on_epoch(history[-1])
        if self._best is not None:
            self.model.load_state_dict(self._best)
        self._best = None
        self.optimizer.state.clear()  # twice the size of the weights, which scoring needs no more
        self.model.eval()
        return history

    def _save(self, path: Path, history: list[Figures]) -> None:
        """Write the states of all parts, the history and the random state."""
        state = {"asked": self._identity, "history": history, "best": self._best, "random": torch.get_rng_state()}
        state |= {name: part.state_dict() for name, part in self._parts.items()}
        if self.device.type == "cuda":
            state["cuda_random"] = torch.cuda.get_rng_state(self.device)
        save_tensors(state, path)

    def _load(self) -> list[Figures]:
        """Take up what the checkpoint holds, if it is there; return its history."""
        path = self.checkpoint
        if path is None or not path.exists():
            return []
        try:
            state: dict[str, Any] = load_tensors(path, check=True)
            if state["asked"] != self._identity:
                raise ValueError(f"it is of a training with {state['asked']}, but this one has {self._identity}")
            for name, part in self._parts.items():
                part.load_state_dict(state[name])
            self._best = state.get("best")
            torch.set_rng_state(state["random"])
            if self.device.type == "cuda":
                torch.cuda.set_rng_state(state["cuda_random"], self.device)
            history: list[Figures] = state["history"]
            if any(line["epoch"] != place or not line["cpu_seconds"] >= 0 for place, line in enumerate(history)):
                raise ValueError("its epochs do not follow each other, expected 0, 1, 2, ... and times from 0 up")
            return history
        except Exception as error:  # a state that does not fit makes its part raise many kinds
            reason = " ".join(str(error).split())
            raise DataError(f"{path}: the checkpoint cannot be used ({reason}); delete it to train anew") from error


def _epochs_since_best(history: list[Figures], figure: str | None) -> int:
    if not history or figure is None:
        return 0
    best = max(range(len(history)), key=lambda epoch: history[epoch][figure])
    return len(history) - 1 - best
