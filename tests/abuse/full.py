"""A small disk that is full: one clear error, nothing half-written, and it goes on when there is room again."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from data_prep import cli as prep
from dgl_dysign.experiments import train_cli
from dgl_dysign.report.cli import main as report
from tests.abuse.attempts import Work, attempt, refusing
from tests.abuse.killed import outcome
from tests.abuse.samples import saved_model, training
from tests.data_prep.damage import FORMS

SHARES = (0.0, 0.1, 0.3, 0.6, 0.9)
"""Of the bytes that are needed: what is free."""
_SIZE = 64 << 20
Write = Callable[[Path], Work]
"""What writes a folder or a file, told where to."""


def why_not(home: Path) -> str:
    """Say why no disk can be mounted here; empty where one can."""
    with _disk(home / "disk") as reason:
        return reason


@contextmanager
def _disk(at: Path) -> Iterator[str]:
    """Mount a disk in memory; give the reason if that cannot be done."""
    at.mkdir()
    how = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(at)]
    done = subprocess.run(how, capture_output=True, text=True, check=False)
    try:
        yield done.stderr.strip()
    finally:
        if not done.returncode:
            subprocess.run(["umount", str(at)], check=True)
        at.rmdir()


def writers(made: dict[str, Path], home: Path) -> dict[str, Write]:
    """Return what writes a folder or a file, by name, each told where to."""
    raw, run = home / "raw-of-wikipedia", home / "a-run"
    raw.mkdir()
    for name, data in FORMS["dyglib"].files.items():
        (raw / name).write_bytes(data)
    assert attempt(training("nodes", made["nodes"], run)).status == 0

    def trained(table: str, *more: str) -> Write:
        return lambda at: training(table, made[table], at, "--resume", *more)

    def command(main: Callable[[list[str]], int], *before: object, after: tuple[str, ...] = ()) -> Write:
        return lambda at: partial(main, [*map(str, before), str(at), *after])

    return {
        **{f"run folder of {table}": trained(table) for table in made},
        "run folder of nodes, rows in files": trained("nodes", "--out-of-core"),
        "prepared folder": command(prep.main, "wikipedia", raw, after=("-q",)),
        **{
            f"export to {form}": command(prep.main, "export", made["events"], after=("--to", form))
            for form in ("csv", "tgl", "dyglib")
        },
        "report": command(report, "--quiet", run, "-o"),
        **{
            f"exported task of {table}": command(train_cli.main, "export-task", made[table], after=("--table", table))
            for table in made
        },
        "saved model": lambda at: refusing(partial(saved_model, at.parent, made["events"]), OSError),
    }


def tried(name: str, write: Write, home: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield what went wrong, for each share of what is needed that is free."""
    disk, at = home / "disk", home / "disk" / "made"
    with _disk(disk):
        end = attempt(write(at))
        assert end.status == 0, (name, end)
        needed, expected = _SIZE - _free(disk), _made(at)
    for share in SHARES:
        with _disk(disk):
            ballast = disk / "ballast"
            ballast.write_bytes(bytes(_SIZE - int(share * needed)))
            end, wrong = attempt(write(at)), []
            if end.status == 0:
                yield f"{name}, {share:.0%} free", wrong
                continue
            if end.status != 2 or end.wrong or "No space left" not in end.said:
                wrong.append(f"{name}, {share:.0%} free: {end.wrong or end}")
            left = [file for file in disk.rglob("*") if file != ballast]
            if "run folder" in name:  # what is whole stays, to go on from
                left = [file for file in left if file.suffix == ".tmp"]
            elif name == "prepared folder":  # the same
                left = [file for file in left if disk / ".made.work" not in (file, *file.parents)]
            if left:
                wrong.append(f"{name}, {share:.0%} free: left {[str(file.relative_to(disk)) for file in left]}")
            ballast.unlink()
            end = attempt(write(at))
            if end.status or _made(at) != expected:
                wrong.append(f"{name}, {share:.0%} free, with room again: {end.wrong or end.said or 'another outcome'}")
            yield f"{name}, {share:.0%} free", wrong


def _free(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def _made(at: Path) -> object:
    """Return what a run came to; of all else which files there are."""
    if (at / "config.json").exists() and (at / "units").exists():
        return outcome(at)
    return sorted(str(file.relative_to(at.parent)) for file in at.parent.rglob("*"))
