"""The GPU check without a GPU: every check of correctness on a pretended one, the others on the CPU, and the runner."""

import json
import os
import signal
import time

import pytest
import torch

from benchmarks import _gpu_checks, _gpu_times, gpu_check
from benchmarks._gpu_checks import CPU, Place
from benchmarks.packed_spikes import random_graph
from dgl_dysign.data import TemporalGraph
from dgl_dysign.experiments.options import LinkOptions, NodeOptions
from dgl_dysign.nn import SpikingGraphConv
from dgl_dysign.ops import PackedSpikes
from tests.pretended_gpu import pretended_gpu

CORRECT = [check for check in gpu_check.CHECKS if check.function.startswith("_gpu_checks.")]
FAST = ["sums-speed", "neurons-speed", "store-speed"]


def function_of(name):
    (check,) = [check for check in gpu_check.CHECKS if check.name == name]
    module, function = check.function.split(".")
    return getattr({"_gpu_checks": _gpu_checks, "_gpu_times": _gpu_times}[module], function)


def test_a_pretended_gpu_refuses_what_a_gpu_refuses():
    with pretended_gpu() as device:
        there = torch.ones(2, device=device)
        assert (there + torch.tensor(1.0)).tolist() == [2.0, 2.0]
        with pytest.raises(RuntimeError, match="one device"):
            there + torch.ones(2)
        with pytest.raises(TypeError, match="cuda:0"):
            there.numpy()


@pytest.mark.parametrize("check", CORRECT, ids=[check.name for check in CORRECT])
def test_what_runs_on_a_gpu_gives_what_the_cpu_gives(check, tmp_path):
    with pretended_gpu() as device:
        row = function_of(check.name)(Place(device, True, tmp_path))
    assert row.get("block_on", "cpu") == "cpu"
    assert row.get("kernels", "packed" if check.name == "packed-sums" else "torch-csr") != "dgl"


def test_packed_spikes_on_a_gpu_leave_the_autocast_of_the_gpu(monkeypatch):
    left, autocast = [], torch.autocast
    monkeypatch.setattr(torch, "autocast", lambda kind, **given: left.append(kind) or autocast("cpu", **given))
    with pretended_gpu() as device, torch.no_grad():
        spikes = PackedSpikes.pack(torch.ones(9, 3, device=device))
        SpikingGraphConv(3, 3, latency=1, allow_zero_in_degree=True).to(device)(random_graph(9, 20), spikes)
    assert left[0] == "cuda"


@pytest.mark.parametrize("name", FAST)
def test_times_on_a_cpu(name, tmp_path):
    row = function_of(name)(Place(CPU, True, tmp_path))
    assert row.get("equals_cpu", True)
    assert json.loads(json.dumps(row)) == row


@pytest.mark.parametrize(("name", "options", "score"), [("dblp", NodeOptions, "micro_f1"), ("otc", LinkOptions, "mrr")])
def test_end_to_end(name, options, score, tmp_path, monkeypatch):
    """Up to the training, of which the settings are checked; tables are trained in their own tests."""
    asked = []

    def train(prepared, run_dir, **given):
        asked.append(options(prepared=prepared, run_dir=run_dir, **given))
        return [{score: {"mean": 50.0}}]

    monkeypatch.setattr(_gpu_times, "train_nodes" if name == "dblp" else "train_links", train)
    assert getattr(_gpu_times, name)(Place(CPU, True, tmp_path))[score] == {"cpu": 50.0}
    (settings,) = asked
    assert (settings.device, settings.epochs, TemporalGraph.load(settings.prepared).num_snapshots > 2) == (
        "cpu",
        1,
        True,
    )


def test_scores_that_differ_fail(tmp_path):
    def fit(prepared, run_dir, device, **options):
        return [{"mrr": {"mean": 40.0 if device == "cpu" else 30.0}}]

    place = Place(torch.device("cuda", 0), True, tmp_path)
    assert _gpu_times._fitted(place, fit, tmp_path, "mrr", 11.0)["mrr"] == {"cuda:0": 30.0, "cpu": 40.0}
    with pytest.raises(AssertionError, match=r"mrr of both devices: .*30.0.*40.0.*, expected within 5"):
        _gpu_times._fitted(place, fit, tmp_path, "mrr", 5.0)


def test_differences_are_seen():
    same = torch.ones(3)
    with pytest.raises(AssertionError, match=r"largest relative difference is 0.5, expected at most 0.1"):
        _gpu_checks._difference([same], [torch.tensor([1.0, 1.0, 1.5])], 0.1)
    with pytest.raises(AssertionError, match="is nan"):
        _gpu_checks._difference([same], [same * torch.nan], 0.1)
    with pytest.raises(AssertionError, match="words: 1 of 3 numbers differ"):
        _gpu_checks._equal(words=(same, torch.tensor([1.0, 1.0, 2.0])))


def work(function, device, small):
    """Stand for a check that does what its name says."""
    if function == "wrong":
        raise AssertionError("4 of 9 numbers differ")
    if function == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"found": function}


def test_checks_that_fail_stop_no_other(monkeypatch, capsys):
    names = ["good", "wrong", "crash", "last"]
    monkeypatch.setattr(gpu_check, "_run", work)
    monkeypatch.setattr(gpu_check, "CHECKS", [gpu_check.Check(name, name, 1, "") for name in names])
    assert gpu_check.main(["--device", "cpu"]) == 1
    lines = capsys.readouterr().out.splitlines()
    rows = [json.loads(line) for line in lines[1:5]]
    assert [row["status"] for row in rows] == ["ok", "failed", "failed", "ok"]
    assert (rows[1]["error"], rows[3]["found"]) == ("AssertionError: 4 of 9 numbers differ", "last")
    assert rows[2]["error"] == "the process ended with status -9"
    assert [line.split()[0] for line in lines[5:]] == names
    assert gpu_check.main(["--device", "cpu", "--only", "good", "last"]) == 0
    capsys.readouterr()
    assert gpu_check.main(["--device", "cpu", "--budget", "0"]) == 1  # what was not reached was not checked
    assert capsys.readouterr().out.count("not reached") == 8


def test_a_check_that_hangs_is_ended():
    row = gpu_check.apart(time.sleep, 60, limit=0.2)
    assert (row["status"], row["error"]) == ("failed", "not done after 0 s")
    assert row["wall_seconds"] < 30


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(capsys):
    assert gpu_check.main([]) == 2
    said = capsys.readouterr().err
    assert "found no GPU 'cuda:0'" in said
    assert "pass --device cpu" in said


@pytest.mark.parametrize(
    ("options", "free", "remedy"), [([], 3.2, "pass --small"), (["--small"], 0.2, "pass --device cpu")]
)
def test_a_gpu_of_too_little_memory(options, free, remedy, monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "machine", lambda device: {"gpu": "Tiny", "free_gib": free})
    assert gpu_check.main(options) == 2
    said = capsys.readouterr().err
    assert f"found Tiny with {free} GiB free" in said
    assert remedy in said


def test_what_is_missing_is_named(monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "NEEDED", ["torch", "no_such_package"])
    assert gpu_check.main(["--device", "cpu"]) == 2
    assert "found no no_such_package, which the checks need; carry them: `make gpu-wheels`" in capsys.readouterr().err


def test_the_list(capsys):
    assert gpu_check.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [check.name for check in gpu_check.CHECKS]
    assert all("(estimate)" in line for line in lines)
    assert sum(check.seconds for check in gpu_check.CHECKS) <= gpu_check.BUDGET < 480
    assert all(callable(function_of(check.name)) for check in gpu_check.CHECKS)
