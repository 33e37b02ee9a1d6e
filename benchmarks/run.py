"""Run every benchmark of this folder and keep what they print, with the machine and the versions that made it.

    python benchmarks/run.py --quick                       # everything on small sizes, under 5 minutes
    python benchmarks/run.py --only packed_spikes scaling  # some of them, at full size
    python benchmarks/run.py --resume                      # those that RUN does not hold yet

writes RUN (default ``build/benchmarks``): ``<benchmark>.jsonl`` with one JSON object a line, ``machine.json``, and the
pictures of those that draw some. A benchmark's file appears when it has ended well. Each can be run by itself as well
and says with ``--help`` what its rows mean, and what real data it takes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: Tables of scores, which take many hours, and checks of honesty and of readers measure no speed; a GPU has a check
#: of its own.
NOT_RUN = (
    *("run", "gpu_check", "transfer", "comparison", "front", "check_systems", "published_size", "projection_widths"),
    "fuzz",
)
ALL = sorted(script.stem for script in HERE.glob("*.py") if script.stem not in NOT_RUN and script.stem[0] != "_")
#: What makes a benchmark quick, where it has no option ``--quick``.
QUICK = {"leak": ["--seeds", "1", "--epochs", "1"], "preparation": ["--scale", "0.004", "--runs", "1"]}
PICTURES = {"leak": "leak.png", "replay": "replay.png", "scaling": "scaling.png"}
PACKAGES = ("dgl-dysign", "torch", "dgl", "numpy", "numba", "pyarrow", "scikit-learn")


def machine() -> dict[str, object]:
    """Return what the figures depend on."""
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "processor": cpu or platform.processor(), "cores": os.cpu_count(), "memory_gib": round(memory / 2**20, 1),
        "system": platform.platform(), "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }  # fmt: skip


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []


def run(name: str, folder: Path, quick: bool) -> bool:
    """Run one benchmark; its rows are kept if it ends well."""
    options = QUICK.get(name, ["--quick"]) if quick else []
    if name in PICTURES:
        options = [*options, "--picture", str(folder / PICTURES[name])]
    begun, target = time.perf_counter(), folder / f"{name}.jsonl"
    print(f"{name} ...", end=" ", flush=True)
    part = target.with_suffix(".part")
    with part.open("w", encoding="utf-8") as out:
        done = subprocess.run([sys.executable, str(HERE / f"{name}.py"), *options], stdout=out, check=False)
    if done.returncode:
        print(f"failed with status {done.returncode}; its rows so far are in {part}")
        return False
    part.replace(target)
    print(f"{sum(1 for _ in target.open(encoding='utf-8'))} rows, {time.perf_counter() - begun:.0f} s: {target}")
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked; the exit status is 1 if some failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("build/benchmarks"), metavar="RUN")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--only", nargs="+", choices=ALL, default=ALL, help="some of them")
    parser.add_argument("--resume", action="store_true", help="leave out those that RUN holds")
    args = parser.parse_args(argv)
    args.folder.mkdir(parents=True, exist_ok=True)
    (args.folder / "machine.json").write_text(json.dumps(machine(), indent=2) + "\n", encoding="utf-8")
    asked = [name for name in args.only if not (args.resume and (args.folder / f"{name}.jsonl").exists())]
    ended_well = [run(name, args.folder, args.quick) for name in asked]
    return 0 if all(ended_well) else 1


if __name__ == "__main__":
    sys.exit(main())
