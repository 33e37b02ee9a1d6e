"""The leaky integrate-and-fire neuron, with its state in the open."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dgl_dysign.errors import ConfigError
from dgl_dysign.ops import Surrogate, get_surrogate
from dgl_dysign.ops._checks import DGLGraphError, check_choice, check_floating
from dgl_dysign.ops._listeners import tell_fired, uncounted
from dgl_dysign.ops.spikes import Spiking

RESETS = ("soft", "hard")


class LIF(nn.Module):
    r"""Leaky integrate-and-fire neurons: potentials in, spikes and potentials out.

    Equations 1 and 2 of Dy-SIGN (AAAI 2024); under the reset by subtraction firing rates have an equilibrium.

    .. math:: p_\tau = \lambda u_{\tau-1} + I_\tau, \qquad s_\tau = [p_\tau \ge V_{th}], \qquad
              u_\tau = p_\tau - V_{th} s_\tau

    The gradient goes through the reset as well.

    Parameters
    ----------
    threshold : float, default 1
        Potential :math:`V_{th}` at which a neuron fires, and which a soft reset subtracts.
    leak : float, default 1
        Share :math:`\lambda` of the potential kept from step to step; above 1 it needs ``allow_growth``.
    surrogate : str or callable, default "rectangle"
        Gradient of a spike, see `dgl_dysign.ops.Surrogate`; or any function of (potential - threshold).
    reset : {"soft", "hard"}, default "soft"
        Subtract the threshold, or set the potential to zero.
    allow_growth : bool, default False
        Accept a leak above 1.
    num_neurons : int, optional
        Learn a threshold for each of so many neurons, the last axis; default: one threshold, fixed.
    learn_threshold : {True, "homeostatic"}, default True
        How. True: from the loss. What is learned is the logarithm of the ratio to ``threshold``, where it starts, so
        that it stays positive; potentials are in units of the neuron's own threshold, so that a current counts
        ``threshold / thresholds`` times. ``homeostatic``: for a firing rate that is asked for, see `FiringRates`. What
        is learned is added to ``threshold``, which is done by taking it from the current at every step.

    Attributes
    ----------
    thresholds : float or Tensor
        Those that act (at the first step, if they are homeostatic), ``(num_neurons,)`` where they are learned.

    Shapes
    ------
    current, membrane, spikes : any shape ``(*)``, all the same; `sequence` has a leading axis of steps.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.nn import LIF, ConstantEncoder
    >>> lif, current = LIF(), torch.tensor([0.25, 0.75, 1.5])
    >>> spikes, membrane = lif(current)
    >>> spikes, membrane
    (tensor([0., 0., 1.]), tensor([0.2500, 0.7500, 0.5000]))
    >>> spikes, membrane = lif.sequence(ConstantEncoder(latency=8)(current))
    >>> lif.rate(spikes)
    tensor([0.2500, 0.7500, 1.0000])
    """

    def __init__(
        self,
        threshold: float = 1.0,
        leak: float = 1.0,
        surrogate: str | Spiking = "rectangle",
        reset: str = "soft",
        allow_growth: bool = False,
        num_neurons: int | None = None,
        learn_threshold: bool | str = True,
    ) -> None:
        super().__init__()
        if learn_threshold not in (True, "homeostatic"):
            raise ConfigError(f"learn_threshold must be True or 'homeostatic', but got {learn_threshold!r}")
        if num_neurons is not None and num_neurons < 1:
            raise ConfigError(f"num_neurons must be at least 1, or None for one fixed threshold, but got {num_neurons}")
        if not threshold > 0:
            raise ConfigError(f"threshold must be positive, but got {threshold}")
        if not leak > 0:
            raise ConfigError(f"leak must be positive, but got {leak}; 1 keeps the whole potential from step to step")
        if leak > 1 and not allow_growth:
            raise ConfigError(
                f"leak must not exceed 1, but got {leak}: above 1 the potential grows by itself at every step, so the "
                f"firing rate has no equilibrium however many steps are taken; allow_growth=True runs it all the same"
            )
        check_choice("reset", reset, RESETS)
        self.threshold, self.leak, self.reset = threshold, leak, reset
        self.surrogate = surrogate
        self.spiking = get_surrogate(surrogate, threshold)
        self.log_ratio: nn.Parameter | None = None
        self.offset: nn.Parameter | None = None
        if num_neurons is not None:
            setattr(self, "log_ratio" if learn_threshold is True else "offset", nn.Parameter(torch.zeros(num_neurons)))

    def reset_parameters(self) -> None:
        """Let learned thresholds begin at ``threshold``."""
        for parameter in self.parameters(recurse=False):
            nn.init.zeros_(parameter)

    @property
    def thresholds(self) -> float | Tensor:
        """The thresholds that act."""
        if self.log_ratio is not None:
            return self.threshold * self.log_ratio.exp()
        return self.threshold if self.offset is None else self.threshold + self.offset

    def relative(self, current: Tensor) -> Tensor:
        """Return a part of the current ``(*, num_neurons)`` as if every threshold learned from the loss were one."""
        return current if self.log_ratio is None else current * torch.exp(-self.log_ratio).to(current.dtype)

    def entering(self, current: Tensor) -> Tensor:
        """Return the current of a step ``(*, num_neurons)`` as if every threshold were ``threshold``."""
        for learned in self.parameters(recurse=False):
            if current.shape[-1] != len(learned):
                raise DGLGraphError(
                    f"current must have {len(learned)} neurons, each with its threshold, in its last axis, but has "
                    f"shape {tuple(current.shape)}"
                )
        current = self.relative(current)
        return current if self.offset is None else current - self.offset.to(current.dtype)

    def forward(self, current: Tensor, membrane: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Take one step: return the spikes, 0 or 1, and the potential after the reset.

        ``membrane`` is the potential after the step before; zero if not given.
        """
        check_floating(current, "current")
        if membrane is not None and membrane.shape != current.shape:
            raise DGLGraphError(
                f"membrane must have the shape of the current, {tuple(current.shape)}, but has "
                f"{tuple(membrane.shape)}; neurons without a past start at zero: append rows of zeros for new ones"
            )
        return self.fire(self.charge(self.entering(current), membrane))

    def charge(self, current: Tensor, membrane: Tensor | None = None) -> Tensor:
        """Return the potential before firing: the leaked old one and the current, which is `entering` already."""
        return current if membrane is None else torch.add(current, membrane, alpha=self.leak)

    def fire(self, potential: Tensor) -> tuple[Tensor, Tensor]:
        """Return the spikes and the potential after the reset.

        The same step stands, in place and in blocks, in ``_Neurons.step`` of ``simulation.py`` and in the
        kernels ``_fire`` and ``fire_rows`` of ``ops/_packed_compiled.py``, ``_fire`` of ``ops/_packed_triton.py``, all
        held to these bits by tests; the solver's rate, current over threshold, is the mean of it.
        """
        spikes = self.spiking(potential - self.threshold)
        if not isinstance(self.spiking, Surrogate):  # which tells itself
            tell_fired(spikes)
        if self.reset == "soft":
            return spikes, torch.sub(potential, spikes, alpha=self.threshold)
        return spikes, potential * (1 - spikes)

    def sequence(self, currents: Tensor, membrane: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Take many steps: return the spikes, ``(latency, *)``, and the potential after the last one, ``(*)``.

        ``currents`` is ``(latency, *)``, as an encoder gives it, ``membrane`` the potential before, ``(*)``; zero if
        not given.
        """
        if currents.dim() == 0 or currents.shape[0] == 0:
            raise ConfigError(
                f"currents must have shape (latency, *) with latency >= 1, but got {tuple(currents.shape)}"
            )
        potential = torch.zeros_like(currents[0]) if membrane is None else membrane
        spikes = []
        for current in currents:
            fired, potential = self(current, potential)
            spikes.append(fired)
        return torch.stack(spikes), potential

    def rate(self, spikes: Tensor) -> Tensor:
        r"""Return the rates :math:`\sum_\tau \lambda^{K-\tau} s_\tau / \sum_\tau \lambda^{K-\tau}` of ``(K, *)``."""
        check_floating(spikes, "spikes")
        age = torch.arange(spikes.shape[0] - 1, -1, -1, dtype=spikes.dtype, device=spikes.device)
        weight = self.leak**age
        with uncounted():  # a neuron can keep this sum itself
            return torch.tensordot(weight / weight.sum(), spikes, dims=1)

    def extra_repr(self) -> str:
        """Describe the neuron in one line."""
        own = self.named_parameters(recurse=False)
        learned = "".join(f", num_neurons={len(each)}, learned={name!r}" for name, each in own)
        options = f"threshold={self.threshold}, leak={self.leak}, surrogate={self.surrogate!r}, reset={self.reset!r}"
        return options + learned


def pass_nan(rates: Tensor, membrane: Tensor) -> Tensor:
    """Return the rates, NaN now where the potential is: such a neuron never fires, but it is not silent."""
    # A sum is a tenth of the passes that filling takes; another device would have to be waited for.
    if membrane.device.type == "cpu" and not membrane.detach().sum().isnan():
        return rates
    return rates.masked_fill_(membrane.isnan(), torch.nan)
