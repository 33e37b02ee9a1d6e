"""Triton's kernels against the compiled loops of the CPU: on a GPU where there is one, else under the interpreter."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from dgl_dysign import ops
from dgl_dysign._dgl import dgl
from dgl_dysign.nn import EquilibriumSpikingConv
from dgl_dysign.ops import PackedSpikes, fire_packed, packed_spikes
from dgl_dysign.ops.csr import EdgeIndex
from dgl_dysign.ops.packed_spikes import packed_sum

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported
pytest.importorskip("triton", reason="Triton is not installed: make test-gpu installs it")

from dgl_dysign.ops import _packed_triton as kernels

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SIZES = [1, 63, 64, 65, 130, 300]
LEAK, THRESHOLD = float(np.float32(0.9)), float(np.float32(0.7))


def spikes_of(num, size, seed=0, rate=0.3):
    return (torch.rand(num, size, generator=torch.Generator().manual_seed(seed)) < rate).float()


def sum_rows(layout, words, values=None):
    return kernels.sum_rows(layout.indptr[:-1], layout.indptr[1:], layout.indices, words, values)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("weighted", [False, True])
def test_sums_are_those_of_the_cpu_to_the_last_bit(size, weighted):
    generator = torch.Generator().manual_seed(size)
    src, dst = torch.randint(20, (90,), generator=generator), torch.randint(15, (90,), generator=generator)
    graph = dgl.graph((src, dst), num_nodes=20)  # nodes 15 to 19 have no neighbours
    packed = PackedSpikes.pack(spikes_of(20, size))
    weight = torch.randn(90, generator=generator) if weighted else None
    layout = EdgeIndex(graph, DEVICE).by_dst
    values = None if weight is None else weight.to(DEVICE)[layout.edges.long()]
    found = sum_rows(layout, packed.words.to(DEVICE), values).cpu()
    assert torch.equal(found[:, :size], packed_sum(graph, packed, weight))
    assert not found[:, size:].any()


def test_a_weight_that_is_not_finite_reaches_only_those_that_fire():
    graph = dgl.graph(([0, 1], [1, 1]), num_nodes=2)
    packed = PackedSpikes.pack(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    layout = EdgeIndex(graph, DEVICE).by_dst
    values = torch.tensor([float("inf"), 2.0], device=DEVICE)
    assert sum_rows(layout, packed.words.to(DEVICE), values)[1, :2].tolist() == [float("inf"), 2.0]


@pytest.mark.parametrize("size", SIZES)
def test_packing_is_that_of_the_cpu(size):
    values = torch.randn(9, size, generator=torch.Generator().manual_seed(size))
    values[0, 0], values[1, 0] = float("nan"), 0.25
    found = kernels.pack_rows(values.to(DEVICE), 0.25).cpu()
    assert torch.equal(found, PackedSpikes.pack(values, 0.25).words)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("charged", [False, True])
def test_neurons_are_those_of_the_cpu_over_several_steps(size, charged):
    generator = torch.Generator().manual_seed(size)
    start, current = torch.randn(2, 7, size, generator=generator)
    enters = current if charged else None
    potential, total = start.clone(), torch.zeros(7, size)
    there = potential.to(DEVICE, copy=True), total.to(DEVICE, copy=True)
    for _ in range(4):
        expected = fire_packed(potential, total, THRESHOLD, LEAK, enters).words
        found = kernels.fire_rows(enters if enters is None else enters.to(DEVICE), *there, LEAK, THRESHOLD)
        assert torch.equal(found.cpu(), expected)
        assert torch.equal(there[0].cpu(), potential)
        assert torch.equal(there[1].cpu(), total)


def test_nothing_to_do():
    layout = EdgeIndex(dgl.graph(([], []), num_nodes=0), DEVICE).by_dst
    assert sum_rows(layout, torch.empty(0, 2, dtype=torch.int64, device=DEVICE)).shape == (0, 128)
    assert kernels.pack_rows(torch.empty(0, 3, device=DEVICE), 0.5).shape == (0, 1)


@pytest.fixture
def everywhere(monkeypatch):
    """Let Triton's kernels take whatever packed spikes do, and count their calls."""
    calls = dict.fromkeys(("sum_rows", "pack_rows", "fire_rows"), 0)

    def counted(name, work):
        def run(*args):
            calls[name] += 1
            return work(*args)

        return run

    for name in calls:
        monkeypatch.setattr(kernels, name, counted(name, getattr(kernels, name)))
    monkeypatch.setattr(packed_spikes, "_in_triton", lambda device: True)
    return calls


@pytest.mark.parametrize("norm", ops.NORMS)
@pytest.mark.parametrize("weighted", [False, True])
def test_aggregate_takes_them(everywhere, norm, weighted, monkeypatch):
    graph = dgl.rand_graph(12, 40)
    spikes, weight = spikes_of(12, 70).reshape(12, 1, 70), torch.rand(40) if weighted else None
    found = ops.aggregate(graph, PackedSpikes.pack(spikes.to(DEVICE)), weight, norm)
    assert everywhere == {"sum_rows": 1, "pack_rows": 1, "fire_rows": 0}
    monkeypatch.undo()
    assert torch.equal(found.cpu(), ops.aggregate(graph, PackedSpikes.pack(spikes), weight, norm))


def test_a_simulation_takes_them(everywhere, monkeypatch):
    torch.manual_seed(0)
    graph, feat = dgl.rand_graph(15, 60), torch.rand(15, 70)
    conv = EquilibriumSpikingConv(70, 66, simulate=True, latency=4, return_state=False).eval().to(DEVICE)
    with torch.no_grad():
        found = conv(graph, feat.to(DEVICE))
        assert everywhere["sum_rows"] > 0
        assert everywhere["fire_rows"] > 0
        monkeypatch.undo()
        expected = conv.cpu()(graph, feat)
    if DEVICE.type == "cpu":
        assert torch.equal(found, expected)
    else:  # dense products differ in their last bits there
        assert (found.cpu() - expected).abs().mean() < 0.01


COMPILE = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from dgl_dysign.ops import _packed_triton as kernels

NUMBERS, FLOATS = dict.fromkeys(("size", "num_words"), "i32"), dict.fromkeys(("threshold", "leak"), "fp32")
ARRAYS = dict(begins="*i32", ends="*i32", columns="*i32", values="*fp32", words="*i64", out="*fp32")
ARRAYS |= dict.fromkeys(("current", "potential", "total"), "*fp32")
for kernel, flags in ((kernels._sum, {"WORDS": 2, "WEIGHTED": True}), (kernels._sum, {"WORDS": 2, "WEIGHTED": False}),
                      (kernels._pack, {}), (kernels._fire, {"CHARGE": True}), (kernels._fire, {"CHARGE": False})):
    kinds = NUMBERS | FLOATS | ARRAYS | dict.fromkeys(flags, "constexpr")
    source = ASTSource(kernel, {name: kinds[name] for name in kernel.arg_names}, flags)
    for capability in (80, 90):
        made = compile(source, target=GPUTarget("cuda", capability, 32), options={"enable_fp_fusion": False})
        assert "fma" not in made.asm["ptx"]
        print(kernel.__name__, flags, capability)
"""


def test_kernels_compile_for_gpus_without_one():
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 10
