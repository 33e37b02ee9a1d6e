"""Drop-in modules: neurons, encoders, spiking and influence-weighted convolutions, ``forward(graph, feat, ...)``.

An argument outside its range raises `ConfigError`; shapes, scores and graphs that do not fit raise `GraphError`, which
is a ``DGLError`` too. Under autocast the convolutions compute in the precision of their parameters, and return it.
"""

from dgl_dysign.nn.encoders import BernoulliEncoder, ConstantEncoder
from dgl_dysign.nn.equilibrium_spiking_conv import EquilibriumSpikingConv, EquilibriumState
from dgl_dysign.nn.firing_rates import FiringRates
from dgl_dysign.nn.influence_conv import InfluenceConv
from dgl_dysign.nn.influence_mixer import InfluenceMixer
from dgl_dysign.nn.lif import LIF
from dgl_dysign.nn.spectral import SpectralBound
from dgl_dysign.nn.spiking_graph_conv import SpikingGraphConv
from dgl_dysign.nn.threshold_encoder import ThresholdEncoder, keep_blocks
from dgl_dysign.nn.time_encoding import TimeEncoding

__all__ = [
    "LIF", "BernoulliEncoder", "ConstantEncoder", "EquilibriumSpikingConv", "EquilibriumState", "FiringRates",
    "InfluenceConv", "InfluenceMixer", "SpectralBound", "SpikingGraphConv", "ThresholdEncoder", "TimeEncoding",
    "keep_blocks",
]  # fmt: skip
