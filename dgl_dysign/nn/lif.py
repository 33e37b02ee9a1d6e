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
    ) -> None:
        super().__init__()
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
        return self.fire(self.charge(current, membrane))

    def charge(self, current: Tensor, membrane: Tensor | None = None) -> Tensor:
        """Return the potential before firing: the leaked old one and the current."""
        return current if membrane is None else torch.add(current, membrane, alpha=self.leak)

    def fire(self, potential: Tensor) -> tuple[Tensor, Tensor]:
        """Return the spikes and the potential after the reset.

        The same step stands, in place and in blocks, in ``_Neurons.step`` of ``equilibrium_spiking_conv.py`` and in the
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
        return f"threshold={self.threshold}, leak={self.leak}, surrogate={self.surrogate!r}, reset={self.reset!r}"
