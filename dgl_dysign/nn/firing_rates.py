"""Firing rates that a loss asks for: fewer spikes, or a share of them for each neuron."""

from __future__ import annotations

from contextvars import ContextVar, Token

import torch
from torch import Tensor

from dgl_dysign.errors import ConfigError
from dgl_dysign.nn.lif import LIF

_recording: ContextVar[FiringRates | None] = ContextVar("recording", default=None)


class FiringRates:
    r"""Remembers the rates of the spiking layers that run within its context, and makes a loss of them.

    Every call of `SpikingGraphConv` and `EquilibriumSpikingConv` is a population; of several contexts the innermost
    remembers. Two terms can be asked for, each a sum over populations:

    .. math:: \ell = \rho \, \mathrm{mean}_{n,i}\, a_{ni} \;+\; \sum_i (a^* - \bar a_i) \, h_i

    The first is a penalty on the mean rate (as L1 regularisation of activity in Zenke and Vogels, Neural Computation
    2021). The second is for homeostatic thresholds :math:`V_{th} + h_i` (Diehl and Cook, Frontiers in Computational
    Neuroscience 2015, where they rise with each spike): :math:`\bar a_i`, the mean rate of a neuron over the rows, is
    held fixed in it, and its value is kept at zero, so that its gradient alone acts, and on thresholds alone. That of
    a neuron rises while it fires more often than :math:`a^*`, and falls while it fires less.

    Attributes
    ----------
    populations : list of (LIF, Tensor)
        Neurons and rates of each call, in the order of the calls.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign._dgl import dgl
    >>> from dgl_dysign.nn import FiringRates, SpikingGraphConv
    >>> graph = dgl.add_self_loop(dgl.graph(([0, 1], [1, 2])))
    >>> conv = SpikingGraphConv(1, 1, latency=4, norm="right")
    >>> _ = torch.nn.init.ones_(conv.weight)
    >>> with FiringRates() as rates:
    ...     out = conv(graph, torch.tensor([[0.5], [1.0], [0.25]]))
    >>> round(rates.mean, 4), round(rates.loss(rate_penalty=0.1).item(), 4)
    (0.5833, 0.0583)
    """

    def __init__(self) -> None:
        self.populations: list[tuple[LIF, Tensor]] = []
        self._outer: Token[FiringRates | None] | None = None

    def __enter__(self) -> FiringRates:
        self._outer = _recording.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._outer is not None
        _recording.reset(self._outer)

    @property
    def mean(self) -> float:
        """The mean rate of all populations, 0 without any."""
        means = [float(rate.detach().mean()) for _, rate in self._present]
        return sum(means) / max(len(means), 1)

    @property
    def _present(self) -> list[tuple[LIF, Tensor]]:
        return [(lif, rate) for lif, rate in self.populations if rate.numel()]

    def loss(self, rate_penalty: float = 0.0, target_rate: float | None = None) -> Tensor:
        """Return what is asked of the rates, a scalar.

        Parameters
        ----------
        rate_penalty : float, default 0
            Weight of the mean rate, not negative.
        target_rate : float, optional
            Mean rate of each neuron, in (0, 1). Layers need ``learn_threshold="homeostatic"``.

        Raises
        ------
        ConfigError
            If a number is out of range, no spiking layer ran, or the thresholds of one are not homeostatic.
        """
        check_rates(rate_penalty, target_rate)
        if not self.populations:
            raise ConfigError("no spiking layer ran: leave out rate_penalty and target_rate, which ask for its rates")
        terms = [rate_penalty * rate.mean() for _, rate in self._present if rate_penalty]
        if target_rate is not None:
            terms += [_homeostasis(lif, rate, target_rate) for lif, rate in self._present]
        return torch.stack(terms).sum() if terms else self.populations[0][1].new_zeros(())


def check_rates(rate_penalty: float, target_rate: float | None) -> None:
    """Raise ``ConfigError`` unless rates can be asked for so."""
    if not rate_penalty >= 0:
        raise ConfigError(f"rate_penalty must be 0 or more, but got {rate_penalty}: it is the weight of the mean rate")
    if target_rate is not None and not 0 < target_rate < 1:
        raise ConfigError(
            f"target_rate must lie in (0, 1), but got {target_rate}: a rate is the share of steps with a spike"
        )


def note_rates(lif: LIF, rate: Tensor, active: Tensor | None = None) -> None:
    """Tell the context, if there is one, the rates ``(N, *, d)`` of some neurons; rows outside a mask do not count."""
    recording = _recording.get()
    if recording is not None:
        recording.populations.append((lif, rate if active is None else rate[active]))


def _homeostasis(lif: LIF, rate: Tensor, target: float) -> Tensor:
    """Return zero, with the gradient that moves thresholds towards a mean rate."""
    if lif.offset is None:
        raise ConfigError(
            "target_rate moves homeostatic thresholds: make each layer with learn_threshold='homeostatic'"
        )
    mean = rate.detach().flatten(0, -2).mean(0)
    term = lif.offset @ (target - mean)
    return term - term.detach()
