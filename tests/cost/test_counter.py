"""Operations against counts by hand and in loops, on networks small enough for that."""

import sys

import pytest
import torch
from torch import nn

from dgl_dysign._dgl import dgl
from dgl_dysign.cost import OperationCounter, Operations, count_operations, register
from dgl_dysign.cost.counter import _registered
from dgl_dysign.errors import ConfigError, CountError
from dgl_dysign.models import DySIGN, Snapshot
from dgl_dysign.nn import LIF, EquilibriumSpikingConv, InfluenceConv, SpikingGraphConv
from dgl_dysign.ops import PackedSpikes, aggregate, packed_linear, symmetric_norm
from dgl_dysign.ops._listeners import listeners

SRC, DST = [0, 1, 1, 2, 0, 3], [1, 0, 2, 1, 3, 0]
OUT_DEGREE = torch.tensor([2, 2, 1, 1])
N, E = 4, 6


@pytest.fixture
def graph():
    return dgl.graph((SRC, DST))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


class Does(nn.Module):
    """A module that does one thing."""

    def __init__(self, what):
        super().__init__()
        self.what = what

    def forward(self, *args):
        return self.what(*args)


def counted(what, *args):
    return count_operations(Does(what), *args, num_nodes=1).total


def spikes(*shape, rate=0.4):
    return (torch.rand(shape) < rate).float()


def test_a_linear_layer_multiplies_numbers_and_adds_up_spikes():
    layer, fired = nn.Linear(4, 3), spikes(5, 4)
    assert count_operations(layer, torch.rand(5, 4)).total == Operations(macs=5 * 4 * 3)
    assert 0 < fired.sum() < 20
    for each in (fired, -2.5 * fired, fired - fired):  # of any size and sign; none
        expected = Operations(synops=int((each != 0).sum()) * 3)
        assert count_operations(layer, each).total == expected
    count = count_operations(layer, torch.rand(5, 4))
    assert (count.num_nodes, count.a_node.macs, count.parameter_bytes) == (5, 12, 4 * (12 + 3))
    with torch.inference_mode(), OperationCounter() as counter:  # in which PyTorch does not take layers apart
        layer(torch.rand(2, 5, 4))
    assert counter.by_module == {"Linear": Operations(macs=2 * 5 * 4 * 3)}


def test_every_pair_of_numbers_in_a_product_counts_once():
    left, right, fired = torch.randn(2, 3, 4), torch.randn(2, 4, 5), spikes(2, 3, 4)
    pairs = [(b, i, k, j) for b in range(2) for i in range(3) for k in range(4) for j in range(5)]
    assert counted(torch.matmul, left, right) == Operations(macs=len(pairs))
    met = sum(int(fired[b, i, k] != 0) for b, i, k, j in pairs)
    assert counted(torch.matmul, fired, right) == Operations(synops=met)
    other = spikes(2, 4, 5)
    both = sum(int(fired[b, i, k] != 0 and other[b, k, j] != 0) for b, i, k, j in pairs)
    assert counted(torch.matmul, fired, other) == Operations(synops=both)
    assert counted(torch.mv, left[0], right[0, :, 0]) == Operations(macs=12)
    assert counted(torch.dot, left[0, 0], right[0, :, 0]) == Operations(macs=4)
    pruned = right[0].clone()
    pruned[1:3, 2] = 0
    assert counted(torch.mm, left[0], pruned) == Operations(macs=3 * (4 * 5 - 2))
    assert counted(torch.mm, left[0] * fired[0], right[0]) == Operations(macs=3 * 4 * 5)  # zeros of inputs count
    sparse = (left[0] * fired[0]).to_sparse()
    for multiply in (torch.mm, torch.sparse.mm):
        assert counted(multiply, sparse, right[0]) == Operations(macs=int(fired[0].sum()) * 5)


def test_convolutions_attention_and_recurrent_layers():
    feat = torch.randn(2, 4, 6)
    assert count_operations(nn.Conv1d(4, 3, 3), feat).total == Operations(macs=2 * 3 * 4 * 4 * 3)
    assert count_operations(nn.ConvTranspose1d(4, 3, 3), feat).total == Operations(macs=2 * 6 * 4 * 3 * 3)
    fired = spikes(2, 4, 6)
    reached = sum(int(fired[:, :, place : place + 3].sum()) for place in range(4))
    assert count_operations(nn.Conv1d(4, 3, 3), fired).total == Operations(synops=3 * reached)
    attention = counted(nn.functional.scaled_dot_product_attention, *[torch.randn(2, 1, 5, 4)] * 3)
    assert attention == Operations(macs=2 * 5 * 5 * (4 + 4))
    assert count_operations(nn.LSTM(4, 3), torch.randn(5, 2, 4)).total.macs == 5 * 2 * (4 + 3) * 4 * 3
    state = torch.randn(1, 2, 3)
    gates = counted(lambda x: nn.GRU(4, 3)(x, state), torch.randn(1, 2, 4))
    assert gates.macs == 2 * (4 + 3) * 3 * 3


def test_a_spiking_mlp_is_counted_as_the_published_counters_do():
    """SpikingJelly's SynOpCounter: spikes times outputs; NeuroBench's effective ACs the same, its dense MACs for input.

    Both count no bias. NeuroBench leaves weights of zero out, of which there are none here.
    """
    first, lif, second = nn.Linear(6, 5), LIF(threshold=0.5), nn.Linear(5, 3)
    steps, feat = 4, torch.rand(7, 6)
    macs = synops = updates = fired = 0
    membrane = None
    with OperationCounter() as counter, torch.no_grad():
        for _ in range(steps):
            out, membrane = lif(first(feat), membrane)
            second(out)
            macs += sum(1 for _ in range(7) for _ in range(6) for _ in range(5))
            synops += sum(3 for row in out.tolist() for entry in row if entry)
            updates, fired = updates + out.numel(), fired + int(out.sum())
    assert 0 < fired < updates
    assert counter.total == Operations(macs=macs, synops=synops, membrane_updates=updates, spikes=fired)
    assert counter.total.firing_rate == fired / updates
    assert counter.total.energy_pj() == pytest.approx(4.6 * macs + 0.9 * (synops + updates))
    assert counter.total.energy_pj(1.0, 0.0) == macs


def test_a_neuron_is_counted_once_a_step_whatever_gives_its_gradient():
    def step(x):
        return (x >= 0).float()

    current = torch.rand(3, 2)
    for surrogate in ("rectangle", step):
        total = counted(LIF(surrogate=surrogate).sequence, current.expand(4, 3, 2))
        assert total.membrane_updates == 4 * 3 * 2
        assert total.spikes == int(LIF().sequence(current.expand(4, 3, 2))[0].sum())


def test_messages_are_products_additions_or_one_addition_a_spike(graph):
    feat, fired, weight = torch.rand(N, 5), spikes(N, 5), torch.rand(E)
    per_spike = int((fired.sum(1) * OUT_DEGREE).sum())
    bits = E * 5 * 32
    for norm in ("none", "both"):
        weighted = counted(aggregate, graph, feat, weight, norm)
        assert weighted == Operations(macs=E * 5, message_bits=bits)
        assert counted(aggregate, graph, feat, None, norm) == Operations(additions=E * 5, message_bits=bits)
        for values in (None, weight):
            assert counted(aggregate, graph, fired, values, norm) == Operations(synops=per_spike, message_bits=bits)
            packed = counted(aggregate, graph, PackedSpikes.pack(fired), values, norm)
            assert packed == Operations(synops=per_spike, message_bits=E * 5)
    assert counted(packed_linear, PackedSpikes.pack(fired), torch.rand(3, 5)) == Operations(synops=3 * int(fired.sum()))
    assert counted(symmetric_norm, graph, torch.rand(E)) == Operations()  # once for a graph


def test_dgl_convolutions(graph):
    import dgl.nn as convs

    graph, feat, fired = dgl.add_self_loop(graph), torch.rand(N, 5), spikes(N, 5)
    edges, bits = E + N, 32 * (E + N)
    assert count_operations(convs.GraphConv(5, 3), graph, feat).total == Operations(
        macs=N * 5 * 3, additions=edges * 3, message_bits=bits * 3
    )
    assert count_operations(convs.GraphConv(5, 3, norm="none"), graph, fired).total == Operations(
        synops=3 * int(fired.sum()), additions=edges * 3, message_bits=bits * 3
    )
    gat = count_operations(convs.GATConv(5, 3, num_heads=2), graph, feat)  # the scores move as well
    assert gat.by_module["fc"] == Operations(macs=N * 5 * 6)
    assert gat.by_module["GATConv"] == Operations(macs=edges * 6, message_bits=bits * (6 + 2))
    dot = count_operations(convs.DotGatConv(5, 3, num_heads=2), graph, feat).total
    assert dot == Operations(macs=N * 5 * 6 + 2 * edges * 6, message_bits=2 * bits * 6)
    pool = count_operations(convs.SAGEConv(5, 3, "pool"), graph, feat).total
    assert pool == Operations(macs=N * (5 * 5 + 2 * 5 * 3), message_bits=bits * 5)
    typed = convs.RelGraphConv(5, 3, num_rels=2, self_loop=False, bias=False)
    kinds = torch.arange(edges) % 2
    assert count_operations(typed, graph, feat, kinds).total.macs == edges * 5 * 3


@pytest.mark.parametrize("latency", [1, 2, 8])
def test_the_spiking_graph_convolution(graph, latency):
    narrow = SpikingGraphConv(3, 5, latency=latency, threshold=0.5)
    feat = torch.rand(N, 3)
    fired = narrow(graph, feat, return_spikes=True)[1]
    total = count_operations(narrow, graph, feat).total
    neurons = {"membrane_updates": latency * N * 5, "spikes": int(fired.sum())}
    assert total == Operations(macs=N * 3 * 5, additions=E * 3, message_bits=E * 3 * 32, **neurons)

    wide, sure = SpikingGraphConv(5, 3, latency=latency, encoding="bernoulli"), spikes(N, 5)
    total = count_operations(wide, graph, sure).total  # each step draws the same: multiplied first, then aggregated
    assert total.synops == latency * 3 * int(sure.sum())
    assert (total.additions, total.message_bits) == (latency * E * 3, latency * E * 3 * 32)

    drawn = SpikingGraphConv(3, 5, latency=latency, encoding="bernoulli")
    sure = spikes(N, 3)
    total = count_operations(drawn, graph, sure).total  # aggregated first, and then no spikes any more
    assert total.synops == latency * int((sure.sum(1) * OUT_DEGREE).sum())
    assert total.macs == latency * N * 3 * 5


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("latency", [1, 3])
def test_the_equilibrium_as_it_spikes(graph, layers, latency):
    """The simulation again, in loops, from what it says of itself."""
    conv = EquilibriumSpikingConv(3, 5, num_layers=layers, latency=latency, simulate=True).eval()
    for bias in conv.biases:  # some fire at once, some never
        nn.init.uniform_(bias, -0.2, 1.0)
    feat, edge_weight, ahat = torch.rand(N, 3), torch.rand(E), torch.zeros(N, N)
    ahat[DST, SRC] = symmetric_norm(graph, edge_weight)
    weights = conv.effective_weights()
    membrane = [torch.full((N, 5), 0.5) for _ in range(layers)]
    constant = ahat @ feat @ conv.injection_weight.t() + conv.biases[0]
    macs, synops, messages, fired, total = E * 3 + N * 3 * 5, 0, 0, None, 0
    for _ in range(latency):
        below = fired
        for layer in range(layers):
            current = constant if layer == 0 else conv.biases[layer]
            if below is not None:
                current = current + ahat @ below @ weights[layer].t()
                synops += sum(int(below[u].sum()) for u in SRC)
                macs, messages = macs + N * 5 * 5, messages + E * 5
            membrane[layer] = membrane[layer] + current
            below = (membrane[layer] >= 1).float()
            membrane[layer] = membrane[layer] - below
            total += int(below.sum())
        fired = below
    assert 0 < total < latency * layers * N * 5
    neurons = {"membrane_updates": latency * layers * N * 5, "spikes": total}
    for backend, bits in (("packed", 1), ("float", 32)):
        conv.backend = backend
        counted_bits = E * 3 * 32 + bits * messages
        expected = Operations(macs=macs, synops=synops, message_bits=counted_bits, **neurons)
        assert count_operations(conv, graph, feat, edge_weight=edge_weight).total == expected


def test_dysign_by_module_and_a_node(graph):
    model = DySIGN(3, 5, 2, label_feats=4, label_hidden=6, latency=2)
    snapshot = Snapshot(graph, torch.rand(E), torch.randn(N, 3), torch.ones(N, dtype=torch.bool))
    count = count_operations(model, [snapshot], torch.randn(N, 4), simulate=True)
    conv, label = count.by_module["conv"], count.by_module["label_conv"]
    assert conv.macs == N * 3 * 5 + N * 5 * 5  # the input, and the feedback of the second step
    assert conv.message_bits == E * 5
    assert (label.macs, label.membrane_updates, label.message_bits) == (N * 4 * 6, 2 * N * 6, 0)
    readouts = count.by_module["DySIGN"]
    assert readouts.macs + readouts.synops <= N * 2 * (5 + 6)
    assert count.a_node.membrane_updates == 2 * (5 + 6)
    lines = str(count).splitlines()
    assert "model, not measurement" in lines[0]
    assert [line.split()[0] for line in lines[1:-1]] == list(count.by_module)


@pytest.mark.parametrize("aggregator", ["gcn", "sage", "gat", "gin"])
def test_the_influence_convolution(graph, aggregator):
    conv = InfluenceConv(3, 4, aggregator, time_feats=2)
    total = count_operations(conv, graph, torch.rand(N, 3), torch.rand(E), torch.rand(E)).total
    macs, bits = {
        "gcn": (E * (3 + 2) + N * (3 + 2) * 4, E * (3 + 2)),
        "sage": ((N * 3 + E * 2) * 5 + N * 5 * 4, E * 5),
        "gat": (2 * (N * 3 + E * 2) * 4 + N * 3 * 4 + 2 * E * 4, 2 * E * 4),
        "gin": (E * (3 + 2) + N * (3 + 2) * 3 + N * (3 * 4 + 4 * 4), E * (3 + 2)),
    }[aggregator]
    assert total == Operations(macs=macs, message_bits=32 * bits)


def test_counting_changes_nothing_and_leaves_nothing(graph):
    conv, feat = EquilibriumSpikingConv(3, 5, simulate=True), torch.rand(N, 3)
    kernel, expected = sys.modules["dgl.ops.spmm"].gspmm, conv.eval()(graph, feat)[0]
    conv.train()
    with OperationCounter(conv) as counter:
        rate, _ = conv(graph, feat)
    seen = counter.total
    conv(graph, feat)
    assert torch.equal(rate, expected)
    assert counter.total == seen
    assert conv.training
    assert listeners == []
    assert sys.modules["dgl.ops.spmm"].gspmm is kernel


def test_what_nobody_can_count_is_named_with_how_to_register_it():
    class Away(nn.Module):
        def forward(self, x):
            return torch.from_numpy(2 * x.numpy())

    class Apart(nn.Module):
        def forward(self, x):
            return torch.cdist(x, x)

    feat = torch.rand(4, 3)
    for module in (Away, Apart):
        with pytest.raises(CountError, match=rf"'1', a {module.__name__}: found .*cost\.register\({module.__name__}, "):
            count_operations(nn.Sequential(nn.Linear(3, 3), module()), feat)
    assert listeners == []
    register(Apart, lambda module, args, result: Operations(macs=result.numel() * args[0].shape[1]))
    try:
        model = nn.Sequential(nn.Linear(3, 3), Apart())
        assert count_operations(model, feat).by_module == {"0": Operations(macs=36), "1": Operations(macs=48)}
    finally:
        del _registered[Apart]
    for wrong in ((Apart(), len), (Apart, 3), (int, len)):
        with pytest.raises(ConfigError, match="expected a class of modules and a rule"):
            register(*wrong)


def test_nodes_are_the_rows_of_the_result_unless_they_are_given():
    feat = torch.rand(4, 3)
    for result in (lambda x: (x, None), lambda x: {"a": x[:1], "b": x[:3]}, lambda x: [x]):
        assert count_operations(Does(result), feat).num_nodes == 4
    assert count_operations(Does(lambda x: None), feat, num_nodes=2).num_nodes == 2
    with pytest.raises(ConfigError, match="no rows: pass num_nodes="):
        count_operations(Does(lambda x: None), feat)
