"""Run folders of which one file is damaged or gone: refused in one line, or read as before; never another table."""

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from dgl_dysign.report.cli import main as report
from tests.abuse.attempts import Attempt, Work, attempt
from tests.abuse.killed import plain, whole
from tests.abuse.samples import training
from tests.abuse.tampering import flip

Table = dict[str, Any]


def damages(data: bytes, rng: random.Random, times: int) -> Iterator[tuple[str, bytes]]:
    """Yield what a bad disk and a copy that was cut off make of a file, so many times each."""
    for _ in range(times if data else 0):
        at = rng.randrange(len(data))
        yield f"flipped in byte {at} or so", flip(data, random.Random(at))
        yield f"cut after {at} bytes", data[:at]
        yield f"zeros from byte {at} on", data[:at] + bytes(len(data) - at)


def tried(table: str, folder: Path, home: Path, times: int, seed: int) -> Iterator[tuple[str, Work]]:
    """Yield attempts to resume, and to report, copies of a finished run and of one that was killed."""
    rng, done, copy = random.Random(f"{seed} {table}"), home / "done", home / "copy"
    expected = {"resumed": whole(table, folder, done)[0]["summary.json"]}
    assert attempt(partial(_resumed, done, copy, training(table, folder, copy, "--resume"), expected)).status == 0
    assert attempt(partial(_reported, done, copy, home / "page.html", {})).status == 0
    expected["page"] = (home / "page.html").read_text()
    for base in (done, _killed(table, folder, home / "killed")):
        for name in sorted(str(file.relative_to(base)) for file in base.rglob("*") if file.suffix != ".png"):
            if not (base / name).is_file():
                continue
            changes = list(damages((base / name).read_bytes(), rng, times))
            for label, data in [("gone", None)] * (name != "config.json") + changes:
                change = partial(_changed, copy / name, data)
                work = training(table, folder, copy, "--resume")
                yield f"{table}, {base.name} run: {name} {label}", partial(_resumed, base, copy, work, expected, change)
                if base is done and data is not None:
                    out = home / "page.html"
                    yield f"{table}, report: {name} {label}", partial(_reported, base, copy, out, expected, change)


def _killed(table: str, folder: Path, run: Path) -> Path:
    """Kill a run when it has a checkpoint."""
    begun = Attempt([training(table, folder, run)])
    while not any(run.glob("checkpoints/*.pt")):
        time.sleep(0.01)
    os.kill(begun.process, signal.SIGKILL)
    begun.ends()
    return run


def _changed(file: Path, data: bytes | None) -> None:
    file.unlink() if data is None else file.write_bytes(data)


def _resumed(base: Path, copy: Path, work: Work, expected: Table, change: Work = lambda: None) -> int | None:
    """Resume a copy of a run in which something was changed; what was deleted has to come back."""
    _copied(base, copy)
    change()
    status = work()
    if not status and plain(copy / "summary.json") != expected["resumed"]:
        raise SystemError("another table")
    return status


def _reported(base: Path, copy: Path, out: Path, expected: Table, change: Work = lambda: None) -> int | None:
    _copied(base, copy)
    out.unlink(missing_ok=True)
    change()
    status = report([str(copy), "-o", str(out), "--quiet"])
    if status and out.exists():
        raise SystemError("a page was left behind")
    if not status and expected and out.read_text() != expected["page"]:
        raise SystemError("another page")
    return status


def _copied(base: Path, copy: Path) -> None:
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(base, copy)
