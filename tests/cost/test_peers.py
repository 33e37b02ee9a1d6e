"""Operations as SpikingJelly's and NeuroBench's own counters count them, on one spiking network of two linear layers.

`pip install --no-deps spikingjelly neurobench snntorch loguru` is enough; it was done with 2.0.0, 2.3.0 and 1.0.0.
"""

import pytest
import torch
from torch import nn

from dgl_dysign.cost import OperationCounter
from dgl_dysign.nn import LIF

STEPS, ROWS, WIDTHS, THRESHOLD = 4, 64, (128, 256, 10), 0.5


class Spiking(nn.Module):
    """Two linear layers with neurons between them, whose potentials are kept from call to call."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(*WIDTHS[:2]), nn.Linear(*WIDTHS[1:])
        self.lif, self.membrane = LIF(threshold=THRESHOLD), None

    def forward(self, feat):
        """Return what one step gives."""
        spikes, self.membrane = self.lif(self.first(feat), self.membrane)
        return self.second(spikes)


def pruned(model):
    """Return the network without half of the weights of each layer."""
    for layer in (model.first, model.second):
        layer.weight.data[:, ::2] = 0
    return model


def floats():
    return torch.rand(ROWS, WIDTHS[0], generator=torch.Generator().manual_seed(1)) + 0.01


def fired(rate=0.3):
    return (floats() < rate).float()


def signed():
    return fired() * torch.where(floats() < 0.15, -1.0, 1.0)


def ours(model, feat):
    model.membrane = None
    with OperationCounter(model) as counter, torch.no_grad():
        for _ in range(STEPS):
            model(feat)
    return counter.count(ROWS)


def of_spikingjelly(model, feat):
    """Return products, and additions by spikes."""
    model.membrane = None
    counting = pytest.importorskip(
        "spikingjelly.activation_based.op_counter", reason="SpikingJelly 2 is not installed (pip install spikingjelly)"
    )
    counters = counting.MACCounter(), counting.SynOpCounter()
    with counting.DispatchCounterMode(list(counters)), torch.no_grad():
        for _ in range(STEPS):
            model(feat)
    return tuple(counter.get_total() for counter in counters)


def of_neurobench(model, feat):
    """Return products, additions by spikes and updates of membranes, all a row.

    The network has neurons of snnTorch, to which NeuroBench listens, in place of ours; they fire at the same steps.
    """
    reason = "NeuroBench is not installed (pip install neurobench)"
    metrics = pytest.importorskip("neurobench.metrics.workload", reason=reason)
    models, snn = pytest.importorskip("neurobench.models"), pytest.importorskip("snntorch")
    neurons = snn.Leaky(beta=1.0, threshold=THRESHOLD, init_hidden=True)
    network = models.SNNTorchModel(Pair(nn.Sequential(model.first, neurons, model.second)))
    network.register_hooks()
    counters = metrics.SynapticOperations(), metrics.MembraneUpdates()
    data = feat[:, None].expand(-1, STEPS, -1)
    with torch.no_grad():
        answer = network(data)
    counts, updates = (counter(network, answer, (data, None)) for counter in counters)
    return counts["Effective_MACs"], counts["Effective_ACs"], updates


class Pair(nn.Module):
    """What `SNNTorchModel` expects: answers come with potentials."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, feat):
        return self.net(feat), None


@pytest.mark.parametrize("entry", [floats, fired])
def test_products_and_additions_are_those_of_spikingjelly(entry):
    count = ours(Spiking(), entry()).total
    assert (count.macs, count.synops) == of_spikingjelly(Spiking(), entry())
    assert 0.1 < count.firing_rate < 0.9


@pytest.mark.parametrize("change", [nn.Identity(), pruned])
@pytest.mark.parametrize("entry", [floats, fired, signed])
def test_products_additions_and_updates_are_those_of_neurobench(entry, change):
    count = ours(change(Spiking()), entry()).a_node
    assert (count.macs, count.synops, count.membrane_updates) == of_neurobench(change(Spiking()), entry())


def test_spikingjelly_counts_pruned_weights_and_negative_spikes_as_products():
    whole = ROWS * STEPS * WIDTHS[0] * WIDTHS[1]
    for model, feat, products in ((pruned(Spiking()), floats(), whole / 2), (Spiking(), signed(), 0)):
        assert ours(model, feat).total.macs == products
        assert of_spikingjelly(model, feat)[0] == whole


def test_neurobench_leaves_out_zeros_among_floats_and_potentials_that_stand_still():
    feat, model = floats(), Spiking()
    feat[: ROWS // 2] = 0
    model.first.bias.data.zero_()
    a_row = STEPS * WIDTHS[0] * WIDTHS[1]
    still = (STEPS - 1) * WIDTHS[1] / 2  # the first step counts in full
    macs, synops, updates = of_neurobench(model, feat)
    count = ours(model, feat).a_node
    assert (macs, count.macs) == (a_row / 2, a_row)
    assert (updates, count.membrane_updates) == (STEPS * WIDTHS[1] - still, STEPS * WIDTHS[1])
    assert synops == count.synops
