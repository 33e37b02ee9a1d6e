"""Trainings that torchrun starts, of which one worker is killed: one line, no hang, and resumed they end alike."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.abuse.killed import outcome
from tests.abuse.samples import training
from tests.warm import stand_ins

_LONGEST = 300  # seconds, on the busiest machine; torchrun itself kills what does not end in 30


def worker_kills(table: str, folder: Path, home: Path, times: int, told: Counter[str], seed: int = 0) -> list[str]:
    """Kill one of two workers at random moments, resuming both after each; return what went wrong.

    `told` counts what was said beside torchrun's report.
    """
    rng, wrong, number, runs = random.Random(seed), [], 0, 0
    (home / "bin").mkdir()
    with stand_ins(home / "bin") as commands:
        seconds, _ = _whole(commands, table, folder, home / "whole")
        expected = outcome(home / "whole")
        while number < times:
            run, runs = home / f"run{runs}", runs + 1
            while number < times:
                with _started(commands, table, folder, run) as launcher:
                    begun, done = _killed(launcher, run, rng.randrange(2), rng.uniform(0, 1.1) * seconds)
                    said = _said(launcher)
                if launcher.returncode == 0:
                    break
                number += 1
                told[f"a worker killed: {said[0][:60] if said else 'torchrun alone reports'}"] += 1
                if len(said) > 1 or (begun and not done and not said):
                    wrong.append(f"{table}, kill {number}: {said or 'no line'}")
            _, last = _whole(commands, table, folder, run)
            if last or outcome(run) != expected:
                wrong.append(f"{table}, after kill {number}: {last or 'another outcome'}")
    return wrong


def _whole(commands: Path, table: str, folder: Path, run: Path) -> tuple[float, list[str]]:
    """Let a training end; return the seconds from its first worker on, and what it said."""
    with _started(commands, table, folder, run) as launcher:
        _worker(launcher, run, 0)
        begun = time.monotonic()
        said = _said(launcher)
    return time.monotonic() - begun, said or ["failed"] * bool(launcher.returncode)


@contextmanager
def _started(commands: Path, table: str, folder: Path, run: Path) -> Iterator[subprocess.Popen[str]]:
    command = [commands / "torchrun", "--standalone", "--nproc-per-node", "2", "-m", "dgl_dysign.experiments.train_cli"]
    environment = {**os.environ, "PYTHON_EXEC": str(commands / "python"), "ABUSED": str(run)}
    environment["OMP_NUM_THREADS"] = "1"
    command += training(table, folder, run, "--resume").args[0]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as launcher:
        yield launcher


def _killed(launcher: subprocess.Popen[str], run: Path, rank: int, after: float) -> tuple[bool, bool]:
    """Kill a worker some seconds after it began; return whether the run wrote by then, and whether all was done."""
    before = time.time()
    worker = _worker(launcher, run, rank)
    with suppress(subprocess.TimeoutExpired):
        launcher.wait(after)
    begun = True
    with suppress(FileNotFoundError):  # else a file went just now
        begun = any(file.stat().st_mtime > before for file in run.glob("**/*.*"))
    done = (run / "summary.json").exists()
    with suppress(ProcessLookupError):  # it was done before
        os.kill(worker, signal.SIGKILL)
    return begun, done


def _worker(launcher: subprocess.Popen[str], run: Path, rank: int) -> int:
    """Wait for a worker of torchrun, and return its process."""
    while launcher.poll() is None:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                found = (process / "environ").read_bytes().split(b"\0")
                if {f"ABUSED={run}".encode(), f"RANK={rank}".encode()} <= set(found):
                    return int(process.name)
        time.sleep(0.02)
    raise AssertionError(f"torchrun ended without a worker: {launcher.communicate()[1]}")


def _said(launcher: subprocess.Popen[str]) -> list[str]:
    """Wait for the end; return our lines, and others before those of torchrun."""
    try:
        error = launcher.communicate(timeout=_LONGEST)[1]
    except subprocess.TimeoutExpired:
        launcher.kill()
        return ["it", "hangs"]
    lines = [line for line in error.splitlines() if line.strip()]
    first = next((place for place, line in enumerate(lines) if "torch/distributed/" in line), len(lines))
    return lines[:first] + [line for line in lines[first:] if line.startswith("dysign-train:")]
