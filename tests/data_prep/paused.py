"""``dysign-prep`` that stops and waits where it opens a file of a certain name, in whichever of its processes.

A test starts it, waits for its line, does what it has to while nothing moves, and ends it or lets it go on: no race
between the two, however busy the machine is.
"""

import fcntl
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import IO

from tests.processes import PATIENCE


class Paused(subprocess.Popen[str]):
    """The running command; `gate` is the file whose lock its processes `waiting` wait for."""

    gate: IO[str]
    waiting: set[int]

    def wait_until_paused(self, processes: int) -> None:
        """Return once so many processes wait; fail if the command ends before."""
        assert self.stdout is not None
        self.waiting = set()
        for _ in range(processes):
            word, number = (self.stdout.readline() or "ended 0").split()
            assert word == "waiting", "it ended before it opened the file"
            self.waiting.add(int(number))

    def has_ended(self) -> bool:
        """Tell whether all processes of the command end, having printed nothing more; wait until they do."""
        assert self.stdout is not None
        # Its end is there once nobody holds the other side, and all of them have inherited it.
        return bool(select.select([self.stdout], [], [], PATIENCE)[0]) and not self.stdout.read()

    def go_on(self) -> None:
        """Let the command go on, now and wherever else it would wait."""
        fcntl.flock(self.gate, fcntl.LOCK_UN)


@contextmanager
def paused(gate: Path, pattern: str, *arguments: object, processes: int = 1) -> Iterator[Paused]:
    """Run ``dysign-prep`` with `arguments` until `processes` of its processes open files with names like `pattern`.

    It waits for a lock on the new file `gate`.
    """
    command = [sys.executable, "-m", "tests.data_prep.paused", *map(str, arguments)]
    env = {**os.environ, "PAUSE_AT": pattern, "GATE": str(gate)}
    pipe = subprocess.PIPE
    with open(gate, "x") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # A group of its own, as a terminal gives it.
        with Paused(command, stdout=pipe, stderr=pipe, text=True, env=env, start_new_session=True) as process:
            process.gate = lock
            try:
                process.wait_until_paused(processes)
                yield process
            finally:
                process.kill()


def _pause(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and fnmatch(os.path.basename(str(arguments[0])), os.environ["PAUSE_AT"]):
        os.write(1, b"waiting %d\n" % os.getpid())
        with open(os.environ["GATE"]) as gate:
            fcntl.flock(gate, fcntl.LOCK_SH)


if __name__ in ("__main__", "__mp_main__"):  # the second: in a worker process
    sys.addaudithook(_pause)
if __name__ == "__main__":
    from data_prep import cli

    sys.exit(cli.main())
