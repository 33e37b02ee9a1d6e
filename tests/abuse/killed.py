"""Trainings that are killed, share a folder, or have a full disk: resumed, they end as if nothing had happened."""

import errno
import json
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from dgl_dysign.training import distributed
from tests.abuse.attempts import Attempt, End, Work, attempt
from tests.abuse.samples import training
from tests.processes import free_port

_MEASURED = ("cpu_seconds", "peak_rss_bytes", "choice_cpu_seconds", "checksum")  # the last is of the others, too
_WRITES = ("open", "os.rename", "os.mkdir")


def outcome(run: Path) -> dict[str, Any]:
    """Return all that a run folder holds, but for what was measured, its versions and its pictures."""
    kept = {str(file.relative_to(run)): file for file in run.rglob("*") if file.is_file() and file.suffix != ".png"}
    return {name: file.read_bytes() if file.suffix == ".npy" else plain(file) for name, file in sorted(kept.items())}


def plain(file: Path) -> Any:
    """Return what a file of JSON holds, but for what was measured."""
    text = file.read_text()
    return _unmeasured(
        [json.loads(line) for line in text.splitlines()] if file.suffix == ".jsonl" else json.loads(text)
    )


def _unmeasured(value: Any) -> Any:
    if isinstance(value, list):
        return [_unmeasured(item) for item in value]
    if isinstance(value, dict):
        return {key: _unmeasured(item) for key, item in value.items() if key not in _MEASURED}
    return value


def whole(table: str, folder: Path, run: Path) -> tuple[dict[str, Any], float]:
    """Run a training undisturbed; return its outcome, and the seconds of the processor that it took."""
    before = _children_seconds()
    end = attempt(training(table, folder, run))
    assert end.status == 0, end
    return outcome(run), _children_seconds() - before


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def kills(table: str, folder: Path, home: Path, times: int, seed: int = 0) -> list[str]:
    """Kill a training so many times at random moments, resuming it after each; return what went wrong."""
    rng, wrong, killed, number = random.Random(seed), [], 0, 0
    expected, seconds = whole(table, folder, home / "whole")
    while killed < times:
        run, before, number = home / f"run{number}", killed, number + 1
        while True:
            moment = rng.uniform(0, 1.1) * seconds if killed < times else None
            end = attempt(training(table, folder, run, "--resume"), kill_after=moment)
            if end.status != -signal.SIGKILL or end.hung:
                break
            killed += 1
        if end.status or outcome(run) != expected:
            wrong.append(f"{table}, kills {before + 1} to {killed}: {end.wrong or 'another outcome'}")
    return wrong


def full_disk(table: str, folder: Path, home: Path, moments: list[float]) -> list[str]:
    """Let the disk be full from some moments on, shares of all writes; return what went wrong."""
    wrong, count = [], home / "count"
    expected, _ = whole(table, folder, home / "whole")
    attempt(_on_disk(training(table, folder, home / "counted"), home / "counted", count))
    for moment in moments:
        run, at = home / f"full{moment}", int(moment * len(count.read_bytes()))
        end = attempt(_on_disk(training(table, folder, run, "--resume"), run, None, at))
        if end.status != 2 or end.wrong or "No space left" not in end.said:
            wrong.append(f"{table}, disk full from write {at}: {end.wrong or end}")
        if left := [str(file) for file in run.rglob(".*.tmp")]:
            wrong.append(f"{table}, disk full from write {at}: left {left}")
        end = attempt(training(table, folder, run, "--resume"))
        if end.status or outcome(run) != expected:
            wrong.append(f"{table}, after the disk was full from write {at}: {end.wrong or 'another outcome'}")
    return wrong


def _on_disk(work: Work, home: Path, count: Path | None, full_at: int | None = None) -> Work:
    """Return work that notes each write in a folder as a byte of a file; from one of them on the disk is full."""
    done = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        writes = event != "open" or (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if event in _WRITES and writes and any(str(home) in str(each) for each in arguments):
            done += 1
            if count is not None and str(count) not in map(str, arguments):
                count.write_bytes(b"." * done)
            if full_at is not None and done > full_at:
                raise OSError(errno.ENOSPC, "No space left on device", str(arguments[0]))

    def run() -> int | None:
        sys.addaudithook(hook)  # for good: such hooks cannot be taken away
        return work()

    return run


def two_at_once(table: str, folder: Path, home: Path) -> list[str]:
    """Start a second process in the folder of a run; return what went wrong."""
    expected, _ = whole(table, folder, home / "whole")
    run, wrong = home / "run", []
    first = Attempt([training(table, folder, run)])
    while not any(run.glob("checkpoints/*.json")):
        time.sleep(0.01)
    os.kill(first.process, signal.SIGSTOP)
    for how, said in (("--overwrite", "another process is writing"), ("--quiet", "pass --resume")):
        end = attempt(training(table, folder, run, how))
        if end.status != 2 or end.wrong or said not in end.said:
            wrong.append(f"a second process, {how}: {end}")
    os.kill(first.process, signal.SIGCONT)
    end = first.ends()[0]
    if end.status or outcome(run) != expected:
        wrong.append(f"the first process: {end.wrong or 'another outcome'}")
    return wrong


def pair_kills(table: str, folder: Path, home: Path, times: int, told: Counter[str], seed: int = 0) -> list[str]:
    """Kill one of two processes at random moments, resuming both after each; return what went wrong.

    `told` counts what the other one said.
    """
    rng, wrong, number, runs = random.Random(seed), [], 0, 0
    distributed._UNTIL_ALL_ARE_THERE = timedelta(seconds=5)  # else it waits ten minutes for one that was killed before
    before = _children_seconds()
    ends = _pair(training(table, folder, home / "whole"))
    assert not any(end.status for end in ends), ends
    expected, seconds = outcome(home / "whole"), (_children_seconds() - before) / 2
    while number < times:
        run, runs = home / f"run{runs}", runs + 1
        while number < times:
            victim = rng.randrange(2)
            ends = _pair(training(table, folder, run, "--resume"), victim, rng.uniform(0, 1.1) * seconds)
            if ends[victim].status == 0:
                break
            number, other = number + 1, ends[1 - victim]
            told[f"process {victim} killed, the other: {other.said[:60].strip() or other.status}"] += 1
            done = other.status == 0 and _records(run) == len(expected["metrics.jsonl"])
            if ends[victim].status != -signal.SIGKILL or not (done or other.status == 2) or other.wrong:
                wrong.append(f"kill {number}: process {victim} of the pair was killed, the other: {other}")
        last = _pair(training(table, folder, run, "--resume"))
        if any(end.status for end in last) or outcome(run) != expected:
            wrong.append(f"after kill {number}: {[end.wrong for end in last]} or another outcome")
    return wrong


def _records(run: Path) -> int:
    return (run / "metrics.jsonl").read_text().count("\n") if (run / "metrics.jsonl").exists() else 0


def _pair(work: Work, victim: int = 0, kill_after: float | None = None) -> list[End]:
    port = free_port()
    both = [Attempt([partial(_joined, rank, port, work)]) for rank in range(2)]
    ends = {victim: both[victim].ends(kill_after)[0], 1 - victim: both[1 - victim].ends()[0]}
    return [ends[0], ends[1]]


def _joined(rank: int, port: int, work: Work) -> int | None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    try:
        return work()
    except SystemExit as stop:  # how one of several processes ends after an error
        return int(stop.code or 0)


def half_a_line(table: str, folder: Path, home: Path) -> list[str]:
    """Cut the list of records within its last line, as a copy that was cut off has it; return what went wrong."""
    run, wrong = home / "run", []
    expected, _ = whole(table, folder, run)
    for text in (b"", b'{"kind": ', b"\0" * 4096):
        list_ = run / "metrics.jsonl"
        list_.write_bytes(list_.read_bytes()[:-30] + text)
        end = attempt(training(table, folder, run, "--resume"))
        if end.status or outcome(run) != expected:
            wrong.append(f"metrics.jsonl that ends in {text[:20]!r}: {end.wrong or 'another outcome'}")
    return wrong
