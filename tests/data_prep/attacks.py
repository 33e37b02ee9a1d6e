r"""Attacks on ``dysign-prep``: damaged raw files, and kills at random moments.

A run on a damaged file must end with status 0 and a folder that verifies, or with status 2, one line on stderr and
nothing left behind. A killed run must leave OUT absent or whole, and the same command then gives the bytes of an
undisturbed run.

    python -m tests.data_prep.attacks --runs 10000 --seed 0     # damaged files; --first N goes on from run N
    python -m tests.data_prep.attacks --kills 50 --seed 0       # kills

Each run depends on the seed and its own number alone, so that one can be looked at again with ``--first N --runs 1
--keep FOLDER``.
"""

import argparse
import bz2
import contextlib
import faulthandler
import gzip
import io
import json
import lzma
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep import cli
from dgl_dysign.data.verify import verify
from dgl_dysign.errors import DGLDySignError
from tests.data_prep.brute import contents
from tests.data_prep.damage import FORMS, mutate
from tests.data_prep.raw_files import COMPRESS

SECONDS, PATIENCE = 20, 300
"""A run that takes more of the processor's time, or of the clock's, hangs."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended; `wrong` says what should not have been."""

    status: int
    said: str
    wrong: str = ""


_TIMERS = (signal.SIGPROF, signal.ITIMER_PROF, SECONDS), (signal.SIGALRM, signal.ITIMER_REAL, PATIENCE)


class _TooSlow(BaseException):
    """A run takes too long."""


def attack(number: int, seed: int, home: Path) -> tuple[list[str], Outcome]:
    """Make a damaged data set in `home`, and prepare it."""
    rng = random.Random(f"{seed}-{number}")
    form = FORMS[rng.choice(list(FORMS))]
    raw = home / "raw"
    raw.mkdir(parents=True)
    victims = rng.sample(list(form.files), k=min(rng.choice([1, 1, 1, 2]), len(form.files)))
    names = []
    for name, data in form.files.items():
        suffix = rng.choice(list(COMPRESS)) if rng.random() < 0.3 else ""
        damaged = name in victims
        if damaged and not (suffix and rng.random() < 0.3):
            data = mutate(data, rng)
            damaged = False
        data = _compressed(data, suffix, rng)
        if damaged:
            data = mutate(data, rng)
        # Archives are told by their content, and some names leave no room for a suffix.
        keeps_name = name.endswith((".npy", "labels.txt", "node2label.txt")) or rng.random() < 0.2
        names.append(name if keeps_name else name + suffix)
        (raw / names[-1]).write_bytes(data)
    command = [part.format(raw=raw) for part in form.command]
    path = raw / names[list(form.files).index(form.raw)] if form.raw else raw
    arguments = [command[0], str(path), str(home / "deep" / "out"), *command[1:], *_options(command[0], rng)]
    return arguments, run(arguments, home)


def _compressed(data: bytes, suffix: str, rng: random.Random) -> bytes:
    if suffix and rng.random() < 0.2:  # several members one after the other
        half = len(data) // 2
        join = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get(suffix, COMPRESS[suffix])
        return join(data[:half]) + join(data[half:])
    return COMPRESS[suffix](data)


def _options(name: str, rng: random.Random) -> list[str]:
    options = ["--features", "none"]
    options += ["--on-error", "quarantine"] if rng.random() < 0.5 else []
    options += ["--allow-unknown-labels"] if rng.random() < 0.2 else []
    options += ["--max-bytes", str(rng.choice([1, 300, 10**6]))] if rng.random() < 0.1 else []
    rules = [[], [], [], ["--every", "step"], ["--every", "1d"], ["--every", "3600"], ["--snapshots", "3"]]
    return options + rng.choice(rules)


def run(arguments: list[str], home: Path) -> Outcome:
    """Run the command in this process, whose OUT is ``deep/out`` in `home`; a good OUT is removed."""
    before = sorted(os.listdir(home))
    out, said = home / "deep" / "out", io.StringIO()
    status = 0
    for number, timer, seconds in _TIMERS:
        signal.signal(number, _too_slow)
        signal.setitimer(timer, seconds)
    argv, sys.argv = sys.argv, ["dysign-prep", *arguments, "--json"]
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()) as printed:
            status = cli.main()
    except (Exception, _TooSlow):
        return Outcome(1, said.getvalue(), traceback.format_exc(limit=-3))
    finally:
        for _, timer, _ in _TIMERS:
            signal.setitimer(timer, 0)
        sys.argv = argv
    text = said.getvalue()
    try:
        if status == 0:
            _check_good(out, printed.getvalue(), text)
            shutil.rmtree(home / "deep")
        elif status != 2 or len(text.splitlines()) != 1 or not text.startswith("dysign-prep: ") or len(text) > 2000:
            return Outcome(status, text, "not one line of sense on stderr")
        if sorted(os.listdir(home)) != before:
            return Outcome(status, text, f"left behind: {sorted(os.listdir(home))}")
    except (AssertionError, DGLDySignError) as error:
        return Outcome(status, text, f"{type(error).__name__}: {error}")
    return Outcome(status, text)


def _too_slow(*_: object) -> None:
    raise _TooSlow


def _check_good(out: Path, printed: str, said: str) -> None:
    manifest = verify(out)
    assert os.listdir(out.parent) == [out.name], "something beside OUT"
    assert said == "", f"said {said!r}"
    assert json.loads(printed)["num_edges"] == manifest["num_edges"]
    assert manifest["num_edges"] > 0
    assert "edges.parquet" in manifest["files"]
    counted = sum(source["rejected"] for source in manifest["sources"])
    assert counted == manifest["rejected_rows"]


def attacks(runs: int, first: int = 0, seed: int = 0, keep: Path | None = None, progress: bool = False) -> list[str]:
    """Run some attacks; return a description of each that went wrong."""
    wrong, ends, slowest, start = [], Counter(), 0.0, time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="attacks-") as folder:
        for number in range(first, first + runs):
            home, begin = Path(folder) / str(number), time.process_time()
            # What hangs where no signal reaches it ends all, and leaves the data set where it is.
            faulthandler.dump_traceback_later(PATIENCE + 30, exit=True, file=sys.__stderr__)
            arguments, outcome = attack(number, seed, home)
            faulthandler.cancel_dump_traceback_later()
            seconds = time.process_time() - begin
            slowest = max(slowest, seconds)
            ends[outcome.status] += 1
            if outcome.wrong or seconds > SECONDS / 2:
                wrong.append(f"run {number}: {' '.join(arguments)}\n{outcome.said}{outcome.wrong} ({seconds:.1f} s)\n")
                if progress:
                    print(wrong[-1], flush=True)
                if keep:
                    shutil.copytree(home, keep / str(number), dirs_exist_ok=True)
            shutil.rmtree(home)
            if progress and (number + 1 - first) % 500 == 0:
                rate = (number + 1 - first) / (time.perf_counter() - start)
                print(
                    f"{number + 1}: {dict(ends)}, {len(wrong)} wrong, {rate:.0f} a second, slowest {slowest:.2f} s",
                    flush=True,
                )
    return wrong


def write_large(raw: Path, rows: int, parts: int = 3) -> None:
    """Write an unsorted list of events with ratings in some parts, so that every stage has something to do."""
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part in range(parts):
        src, dst = rng.integers(0, 50_000, (2, rows // parts)).tolist()
        time_, rating = (
            rng.integers(0, 3_000_000, rows // parts).tolist(),
            rng.integers(-10, 11, rows // parts).tolist(),
        )
        lines = (f"{a},{b},{t},{r},{r / 4}\n" for a, b, t, r in zip(src, dst, time_, rating, strict=True))
        (raw / f"large-{part}.csv").write_text("".join(lines))


def kills(
    count: int, home: Path, seed: int = 0, rows: int = 1_500_000, workers: int = 1, progress: bool = False
) -> dict[str, object]:
    """Kill the command `count` times at random moments; raise AssertionError if OUT is ever half there or differs."""
    rng, raw, out = random.Random(seed), home / "raw", home / "made" / "out"
    write_large(raw, rows)
    arguments = ["edges", str(raw), str(out), "--weight", "4", "--edge-features", "5", "--every", "7d", "-q"]
    arguments += ["--features", "degree", "--workers", str(workers)]
    command = [sys.executable, "-m", "data_prep.cli", *arguments]
    whole = float("inf")
    for _ in range(2):
        start = time.perf_counter()
        subprocess.run(command, check=True)
        whole, good = min(whole, time.perf_counter() - start), contents(out)
        shutil.rmtree(out)
    ends: Counter[str] = Counter()
    killed = 0
    while killed < count:
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        moment = rng.uniform(0.1, 1.1) * whole
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        assert process.stderr is not None
        _, said = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), said.decode()
        killed += process.returncode != 0
        ends["ended before the kill" if process.returncode == 0 else _stage(out)] += 1
        if out.exists():
            assert contents(out) == good, f"kill {killed} at {moment:.3f} s: OUT is there, but not whole"
        # Every other time the command is killed again before it is let through.
        if out.exists() or rng.random() < 0.5:
            if not out.exists():
                subprocess.run(command, check=True)
            assert contents(out) == good, f"kill {killed} at {moment:.3f} s: other bytes after going on"
            shutil.rmtree(out)
            if process.returncode == 0 or rng.random() < 0.5:
                shutil.rmtree(out.parent)
        if progress:
            print(f"kill {killed} at {moment:.3f} s of {whole:.3f}: {dict(ends)}", flush=True)
    if not out.exists():
        subprocess.run(command, check=True)
    assert contents(out) == good
    assert os.listdir(out.parent) == ["out"]
    return {"kills": count, "seconds": round(whole, 3), **ends}


def _stage(out: Path) -> str:
    """Say what a killed run had done."""
    work = out.parent / ".out.work"
    if out.exists():
        return "killed after the move"
    stages = {
        "new/manifest.json": "the move",
        "new/features/00000.parquet": "node features",
        "new/nodes.parquet": "nodes",
        "edge_features.json": "nodes",
        "edges.json": "edge features",
        "new/edges.parquet": "edges",
    }
    for name, stage in stages.items():
        if (work / name).exists():
            return f"killed at {stage}"
    parts = len(list(work.glob("spool/*/part.json")))
    return f"killed with {parts} parts read" if work.exists() else "killed before it began"


def main() -> None:
    """Run the attacks that the command line asks for; exit status 1 if one goes wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=0, help="number of damaged data sets")
    parser.add_argument("--first", type=int, default=0, help="number of the first of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="where data sets go on which a run went wrong")
    parser.add_argument("--kills", type=int, default=0, help="number of kills")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of the command that is killed")
    parser.add_argument("--rows", type=int, default=1_500_000, help="events of the data set that is killed")
    chosen = parser.parse_args()
    # What takes too much memory shall fail here, not take the machine with it.
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    start = time.perf_counter()
    wrong = attacks(chosen.runs, chosen.first, chosen.seed, chosen.keep, progress=True)
    if chosen.runs:
        print(json.dumps({"runs": chosen.runs, "wrong": len(wrong), "seconds": round(time.perf_counter() - start)}))
    if chosen.kills:
        with tempfile.TemporaryDirectory(prefix="kills-") as folder:
            print(json.dumps(kills(chosen.kills, Path(folder), chosen.seed, chosen.rows, chosen.workers, True)))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
