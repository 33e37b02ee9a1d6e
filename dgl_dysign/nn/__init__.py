"""Drop-in modules: spiking neurons, encoders and spiking graph convolutions, ``forward(graph, feat, ...)``."""

from dgl_dysign.nn.bernoulli_encoder import BernoulliEncoder
from dgl_dysign.nn.constant_encoder import ConstantEncoder
from dgl_dysign.nn.equilibrium_spiking_conv import EquilibriumSpikingConv
from dgl_dysign.nn.equilibrium_state import EquilibriumState
from dgl_dysign.nn.lif import LIF
from dgl_dysign.nn.spectral import SpectralBound
from dgl_dysign.nn.spiking_graph_conv import SpikingGraphConv

__all__ = [
    "LIF",
    "BernoulliEncoder",
    "ConstantEncoder",
    "EquilibriumSpikingConv",
    "EquilibriumState",
    "SpectralBound",
    "SpikingGraphConv",
]
