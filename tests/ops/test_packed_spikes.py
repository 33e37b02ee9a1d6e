import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgl_dysign import ops
from dgl_dysign._dgl import dgl
from dgl_dysign.errors import ConfigError, GraphError
from dgl_dysign.nn import LIF
from dgl_dysign.ops import PackedSpikes, aggregate
from dgl_dysign.ops._packed_compiled import MOST


@st.composite
def spiking_graphs(draw):
    num_nodes = draw(st.integers(0, 12))
    num_edges = draw(st.integers(0, 60)) if num_nodes else 0
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    src, dst = (torch.randint(max(num_nodes, 1), (num_edges,), generator=generator) for _ in range(2))
    shape = (num_nodes, *draw(st.sampled_from([(), (1,), (3,)])), draw(st.sampled_from([1, 63, 64, 65, 130, 700])))
    spikes = (torch.rand(shape, generator=generator) < draw(st.floats(0, 1))).float()
    graph = dgl.graph((src, dst), num_nodes=num_nodes, idtype=draw(st.sampled_from([torch.int32, torch.int64])))
    return graph, spikes, torch.rand(num_edges, generator=generator)


@settings(max_examples=60, deadline=None)
@given(spiking_graphs(), st.sampled_from(ops.NORMS), st.booleans())
def test_packed_sums_are_those_of_floats(case, norm, weighted):
    graph, spikes, weight = case
    weight = weight if weighted else None
    packed = PackedSpikes.pack(spikes)
    found = aggregate(graph, packed, weight, norm)
    assert ops.backend() == "packed"
    exact = aggregate(graph, spikes.double(), None if weight is None else weight.double(), norm)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-6)
    if norm in ("none", "right"):  # the same bits as the float path
        assert torch.equal(found, aggregate(graph, packed, weight, norm, kernels="torch-csr"))


@settings(max_examples=60, deadline=None)
@given(spiking_graphs())
def test_packing_keeps_every_spike_and_nothing_else(case):
    _, spikes, _ = case
    packed = PackedSpikes.pack(spikes)
    assert packed.shape == spikes.shape
    assert packed.nbytes == spikes[..., 0].numel() * 8 * -(-spikes.shape[-1] // 64)
    assert torch.equal(packed.unpack(), spikes)
    assert torch.equal(PackedSpikes.pack(spikes.double()).words, packed.words)  # the path of other types and devices
    numpy = np.packbits(spikes.flatten(0, -2).numpy() > 0, axis=1, bitorder="little")
    assert packed.words.flatten(0, -2).numpy().view(np.uint8)[:, : numpy.shape[1]].tobytes() == numpy.tobytes()


def test_more_neighbours_than_a_byte_counts():
    num = 3 * MOST + 7
    graph = dgl.graph((torch.arange(num), torch.zeros(num, dtype=torch.int64)), num_nodes=num)
    spikes = torch.ones(num, 70)
    spikes[::2, 3] = 0
    counts = aggregate(graph, PackedSpikes.pack(spikes), norm="none")
    assert counts[0, 0] == num
    assert counts[0, 3] == num // 2
    assert not counts[1:].any()


def test_several_threads_give_the_bits_of_one():
    generator, num = torch.Generator().manual_seed(0), 3 * 4096 + 5  # fewer rows or edges are not worth a thread
    src, dst = (torch.randint(num, (80_000,), generator=generator) for _ in range(2))
    graph, weight = dgl.graph((src, dst), num_nodes=num), torch.rand(80_000, generator=generator)
    packed = PackedSpikes.pack((torch.rand(num, 130, generator=generator) < 0.2).float())
    start, current = torch.rand(2, num, 130, generator=generator)
    threads = torch.get_num_threads()
    try:
        found = []
        for number in (1, 3):
            torch.set_num_threads(number)
            membrane, total = start.clone(), torch.zeros(num, 130)
            fired = ops.fire_packed(membrane, total, 1.0, 0.9, current).words
            found.append((aggregate(graph, packed), aggregate(graph, packed, weight), fired, membrane, total))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, several) for one, several in zip(*found, strict=True))


@pytest.mark.parametrize("size", [1, 64, 130])
@pytest.mark.parametrize("leak", [1.0, 0.9])
def test_one_pass_fires_as_the_neuron_does(size, leak):
    generator = torch.Generator().manual_seed(size)
    current, membrane, total = (2 * torch.rand(9, size, generator=generator) for _ in range(3))
    spikes, after = LIF(1.5, leak)(current, membrane)
    summed = total * leak + spikes
    charged, counted = LIF(1.5, leak).charge(current, membrane), total.clone()
    assert torch.equal(ops.fire_packed(charged, counted, 1.5, leak).unpack(), spikes)
    assert torch.equal(counted, summed)
    assert torch.equal(charged, after)
    assert torch.equal(ops.fire_packed(membrane, total, 1.5, leak, current).unpack(), spikes)
    torch.testing.assert_close(membrane, after, rtol=0, atol=3e-7)  # the neuron rounds once where it adds and scales
    assert torch.equal(total, summed)


@pytest.mark.parametrize(
    ("num", "size", "offset", "weighted"),
    [(2 * MOST, 640, 0, True), (13_200, 640, 0, False), (13_200, 640, 0, True), (13_200, 700, 5, True)],
)
def test_memory_for_the_result_is_given(num, size, offset, weighted):
    """Results of more than 32 MiB go past the cache where the memory is aligned; the bits are those of new memory."""
    generator = torch.Generator().manual_seed(0)
    padded = 64 * -(-size // 64)
    ends = torch.stack((torch.arange(num), torch.zeros(num, dtype=torch.int64)))  # more than a byte counts, to node 0
    graph = dgl.graph(tuple(torch.cat((ends, torch.randint(num, (2, 3000), generator=generator)), 1)), num_nodes=num)
    weight = torch.rand(graph.num_edges(), generator=generator) if weighted else None
    packed = PackedSpikes.pack((torch.rand(num, size, generator=generator) < 0.6).float())
    memory = torch.empty(num * padded + offset)[offset:].fill_(torch.nan).view(num, padded)
    for norm in ("none", "right"):
        found = aggregate(graph, packed, weight, norm, out=memory)
        assert found.data_ptr() == memory.data_ptr()
        assert torch.equal(found, aggregate(graph, packed, weight, norm))


def test_memory_that_does_not_fit_is_refused():
    graph, packed = dgl.graph(([0], [1])), PackedSpikes.pack(torch.ones(2, 70))
    for wrong in (torch.empty(2, 70), torch.empty(2, 128).double(), torch.empty(128, 2).t()):
        with pytest.raises(ConfigError, match=r"contiguous float32 on cpu of shape \(2, 128\)"):
            aggregate(graph, packed, out=wrong)
    for potential, total in ((torch.ones(2, 128)[:, ::2], torch.ones(2, 64)), (torch.ones(2, 64), torch.ones(2, 63))):
        with pytest.raises(ConfigError, match=r"must be contiguous float32 on cpu of shape \(2, 64\)"):
            ops.fire_packed(potential, total, 1.0, 1.0)
    with pytest.raises(ConfigError, match="out is for the packed kernels, but these are 'dgl'"):
        aggregate(graph, packed.unpack(), out=torch.empty(2, 128))


def test_blocks_and_what_is_refused():
    block = dgl.to_block(dgl.graph(([0, 1, 2], [3, 3, 0])), dst_nodes=[3, 0])
    spikes = torch.eye(block.num_src_nodes(), 5)
    assert torch.equal(aggregate(block, PackedSpikes.pack(spikes), norm="none"), aggregate(block, spikes, norm="none"))
    with pytest.raises(ConfigError, match=r"PackedSpikes\.pack"):
        aggregate(block, spikes, kernels="packed")
    with pytest.raises(ConfigError, match=r"int64 words of shape \(N, \*, 2\) for 65 features"):
        PackedSpikes(torch.zeros(3, 1, dtype=torch.int64), 65)
    with pytest.raises(GraphError, match="one row for each of the 4 source nodes"):
        aggregate(block, PackedSpikes.pack(spikes[:2]))


@settings(max_examples=30, deadline=None)
@given(spiking_graphs(), st.sampled_from([1, 20, 64, 130]), st.booleans())
def test_the_linear_map_of_spikes(case, out_feats, with_bias):
    spikes = case[1]
    weight, bias = torch.randn(out_feats, spikes.shape[-1]), torch.randn(out_feats) if with_bias else None
    found = ops.packed_linear(PackedSpikes.pack(spikes), weight, bias)
    exact = torch.nn.functional.linear(spikes.double(), weight.double(), None if bias is None else bias.double())
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-4)


def test_the_linear_map_of_one_node_leaves_the_bias_alone():
    bias = torch.ones(3)
    ops.packed_linear(PackedSpikes.pack(torch.ones(1, 2)), torch.ones(3, 2), bias)
    assert torch.equal(bias, torch.ones(3))


def test_the_linear_map_refuses_other_widths():
    with pytest.raises(ConfigError, match=r"weight must have shape \(out_feats, 70\), but has \(3, 7\)"):
        ops.packed_linear(PackedSpikes.pack(torch.ones(2, 70)), torch.ones(3, 7))
