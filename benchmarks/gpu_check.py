"""Check and time every path that runs on a GPU: one JSON line a check, a table at the end, under eight minutes.

Correctness comes first (each path beside the CPU's), then times beside cuSPARSE, torch.sparse and a copy on the device,
then training end to end. Every check has a process of its own, so that one that fails, crashes or hangs stops no
other. Real data is read from ``$DYSIGN_DATA`` where it is, and generated elsewhere.

    python benchmarks/gpu_check.py                 # a GPU with 12 GiB free
    python benchmarks/gpu_check.py --small         # the same on small sizes: 1 GiB
    python benchmarks/gpu_check.py --device cpu    # the same without a GPU, on small sizes
    python benchmarks/gpu_check.py --list          # the checks, and what they take
    python benchmarks/gpu_check.py --only store store-speed

The exit status is 1 if a check failed or was not reached, 2 if there is nothing to check on.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)] if str(ROOT) not in sys.path else []
NEEDED = [
    "torch",
    "dgl",
    "numba",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "typer",
    "rich",
    "safetensors",
    "threadpoolctl",
    "packaging",
]
FULL_GIB, SMALL_GIB = 12, 1
BUDGET = 450.0  # seconds for all checks
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # looking for a GPU spoils no fork
_FORK = multiprocessing.get_context("fork")
Row = dict[str, Any]


class Check(NamedTuple):
    """A function of `_gpu_checks` or `_gpu_times`, seconds on a GPU (estimated: none was at hand), and what it is."""

    name: str
    function: str
    seconds: float
    what: str


#: In the order of importance.
CHECKS = [
    Check("aggregate", "_gpu_checks.aggregate", 10, "sums over neighbours and their gradients"),
    Check("packed-sums", "_gpu_checks.packed_sums", 15, "packing, sums of bits and firing in Triton"),
    Check("neurons", "_gpu_checks.neurons", 5, "LIF neurons and their gradient"),
    Check("simulation", "_gpu_checks.simulation", 10, "spiking layers, packed and in floats"),
    Check("equilibrium", "_gpu_checks.equilibrium", 15, "the solver with three gradients"),
    Check("store", "_gpu_checks.store", 25, "the store: insertion, reading, blocks"),
    Check("influence", "_gpu_checks.influence", 15, "influence convolutions and mixer"),
    Check("pairs", "_gpu_checks.pairs", 15, "scores of links with features of pairs"),
    Check("dysign-steps", "_gpu_checks.dysign_steps", 15, "training steps of Dy-SIGN"),
    Check("undergs-steps", "_gpu_checks.undergs_steps", 25, "training steps of UnderGS"),
    Check("sums-speed", "_gpu_times.sums", 20, "sums beside cuSPARSE, torch.sparse and a copy"),
    Check("neurons-speed", "_gpu_times.neurons", 10, "a step of neurons beside PyTorch's and a copy"),
    Check("store-speed", "_gpu_times.store", 40, "the store: edges a second, share of bandwidth"),
    Check("dblp", "_gpu_times.dblp", 90, "Dy-SIGN on DBLP, end to end"),
    Check("otc", "_gpu_times.otc", 90, "UnderGS on Bitcoin-OTC, end to end"),
]


def _answer(pipe: Any, work: Callable[..., Row], given: tuple[Any, ...]) -> None:
    try:
        pipe.send({"status": "ok", **work(*given)})
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
        pipe.send({"status": "failed", "error": reason, "where": f"{Path(where.filename).name}:{where.lineno}"})


def apart(work: Callable[..., Row], *given: Any, limit: float = 60.0) -> Row:
    """Return what some work gives in a process of its own, or how it ended, within a limit in seconds."""
    here, there = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_answer, args=(there, work, given))
    begun = time.perf_counter()
    process.start()
    there.close()
    try:
        row = here.recv() if here.poll(limit) else {"status": "failed", "error": f"not done after {limit:.0f} s"}
    except EOFError:
        process.join()
        row = {"status": "failed", "error": f"the process ended with status {process.exitcode}"}
    process.kill()
    process.join()
    return {**row, "wall_seconds": round(time.perf_counter() - begun, 2)}


def machine(device: str) -> Row:
    """Return what a GPU is, and how much of its memory is free; used in a process apart, whose CUDA ends with it."""
    import torch

    free, total = torch.cuda.mem_get_info(device)
    found = {"gpu": torch.cuda.get_device_name(device), "free_gib": free / 2**30, "total_gib": total / 2**30}
    capability = ".".join(map(str, torch.cuda.get_device_capability(device)))
    versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "triton": find_spec("triton") is not None}
    return {**found, "capability": capability, **versions, "python": sys.version.split()[0]}


def _run(function: str, device: str, small: bool) -> Row:
    import torch

    from benchmarks import _gpu_checks, _gpu_times

    modules = {"_gpu_checks": _gpu_checks, "_gpu_times": _gpu_times}
    module, name = function.split(".")
    with tempfile.TemporaryDirectory() as home:
        row: Row = getattr(modules[module], name)(_gpu_checks.Place(torch.device(device), small, Path(home)))
    return row


def rows(checks: Sequence[Check], device: str, small: bool, budget: float) -> Iterator[Row]:
    """Run checks one after the other, and yield what each gave."""
    ends = time.perf_counter() + budget
    for check in checks:
        left = ends - time.perf_counter()
        if left < (1 if small else check.seconds / 2):
            yield {"check": check.name, "status": "not reached", "error": f"{left:.0f} s of {budget:.0f} s are left"}
        else:
            yield {
                "check": check.name,
                **apart(_run, check.function, device, small, limit=min(30 + 2 * check.seconds, left)),
            }


def problem(device: str, small: bool) -> tuple[str | None, Row]:
    """Return why nothing can be checked, with the option that helps, or None; and what the device is."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        remedy = "carry them: `make gpu-wheels` elsewhere, then `make gpu-check` here"
        return f"found no {', '.join(missing)}, which the checks need; {remedy}", {}
    if device == "cpu":
        return None, {"device": "cpu"}
    row = apart(machine, device)
    if row["status"] != "ok":
        return f"found no GPU {device!r} ({row['error']}); pass --device cpu for the same checks on small sizes", row
    needed = SMALL_GIB if small else FULL_GIB
    if row["free_gib"] >= needed:
        return None, row
    remedy = "pass --device cpu" if small else f"pass --small, which needs {SMALL_GIB} GiB"
    return f"found {row['gpu']} with {row['free_gib']:.1f} GiB free, expected {needed} GiB; {remedy}", row


def table(results: Sequence[Row]) -> str:
    """Return the summary."""
    lines = [f"{row['check']:15} {row['status']:12} {row.get('wall_seconds', 0):8.2f} s" for row in results]
    return "\n".join(f"{line}  {row.get('error', '')}".rstrip() for line, row in zip(lines, results, strict=True))


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0", help="cuda:0, cuda:1, ... or cpu, for small sizes")
    parser.add_argument("--small", action="store_true", help="small sizes: for a GPU with little memory")
    parser.add_argument("--only", nargs="+", metavar="CHECK", choices=[check.name for check in CHECKS])
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds for all checks")
    parser.add_argument("--list", action="store_true", help="name the checks")
    args = parser.parse_args(argv)
    small = args.small or args.device == "cpu"
    checks = [check for check in CHECKS if not args.only or check.name in args.only]
    if args.list:
        print("\n".join(f"{c.name:15} {c.seconds:4.0f} s (estimate)  {c.what}" for c in checks))
        return 0
    error, about = problem(args.device, small)
    if error is not None:
        print(f"gpu_check: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"check": "machine", **about}), flush=True)
    import torch._dynamo  # noqa: F401  which optimizers want: imported once, for all processes

    from benchmarks import _gpu_checks, _gpu_times  # noqa: F401

    results = []
    for row in rows(checks, args.device, small, args.budget):
        print(json.dumps(row), flush=True)
        results.append(row)
    print(table(results))
    return 0 if all(row["status"] == "ok" for row in results) else 1


if __name__ == "__main__":
    sys.exit(main())
