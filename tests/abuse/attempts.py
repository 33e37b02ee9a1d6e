"""Commands in processes of their own, which may hang, be killed or fill their disk; and how they ended."""

import contextlib
import io
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from dgl_dysign.errors import DGLDySignError

Work = Callable[[], int | None]
CPU_SECONDS, SILENT_SECONDS = 20, 20
"""What takes more of the processor, or none for so long, hangs: on a busy machine the clock alone says nothing."""
_ROOM = 3 << 30  # bytes beyond what the process has: what asks for more shall fail, not take the machine with it
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class End:
    """How work ended: its status (negative: killed by that signal), and what it wrote to stderr."""

    status: int
    said: str
    hung: bool = False

    @property
    def wrong(self) -> str:
        """What should not have been; empty after success, and after one line and status 2."""
        if self.hung:
            return "it hangs"
        if self.status == 0:
            return ""
        plain = len(self.said.strip().splitlines()) == 1 and len(self.said) < 2000 and "Traceback" not in self.said
        return "" if self.status == 2 and plain else f"status {self.status}: {self.said[-600:]}"


def refusing(work: Callable[[], object], *also: type[Exception]) -> Callable[[], int]:
    """Return a call of Python that ends as commands do: errors for users, `also` others, are one line and status 2."""

    def run() -> int:
        try:
            work()
        except (DGLDySignError, *also) as error:
            print(" ".join(str(error).split()), file=sys.stderr)
            return 2
        return 0

    return run


def in_process(work: Work) -> End:
    """Do some work here; return how it ended, and what was said by Python or by C++."""
    with TemporaryFile("w+", buffering=1) as stderr, contextlib.redirect_stdout(io.StringIO()):
        before = os.dup(2)
        os.dup2(stderr.fileno(), 2)
        try:
            with contextlib.redirect_stderr(stderr):
                status = _status(work)
        finally:
            os.dup2(before, 2)
            os.close(before)
        stderr.seek(0)
        return End(status, stderr.read())


def _status(work: Work) -> int:
    try:
        return work() or 0
    except BaseException:
        traceback.print_exc()
        return 1


class Attempt:
    """A forked process that does one piece of work after the other, under a limit of memory."""

    def __init__(self, works: Sequence[Work]) -> None:
        self._works, self._ends = works, TemporaryFile()  # noqa: SIM115 (closed with the end)
        self.process = os.fork()
        if not self.process:
            self._run()

    def _run(self) -> None:
        try:
            size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + _ROOM, size + _ROOM))
            for work in self._works:
                end = in_process(work)
                os.write(self._ends.fileno(), json.dumps([end.status, end.said]).encode() + b"\n")
        finally:
            os._exit(0)

    def ends(self, kill_after: float | None = None, patience: int = CPU_SECONDS) -> list[End]:
        """Wait, and return how each piece ended that was begun; kill the process after so many seconds of CPU."""
        used, since, size = 0, time.monotonic(), 0
        begun, hung = 0, False
        while os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            now = _cpu_ticks(self.process)
            if (written := os.fstat(self._ends.fileno()).st_size) != size:
                size, begun = written, now
            if now != used:
                used, since = now, time.monotonic()
            hung = now - begun > patience * _TICKS or time.monotonic() - since > SILENT_SECONDS
            if hung or (kill_after is not None and now >= kill_after * _TICKS):
                os.kill(self.process, signal.SIGKILL)
                break
            time.sleep(0.01)
        status = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        with self._ends as file:
            file.seek(0)
            ends = [End(*json.loads(line)) for line in file]
        return ends if len(ends) == len(self._works) else [*ends, End(status, "", hung)]


def _cpu_ticks(process: int) -> int:
    """Return the time of the processor that a process has used."""
    return sum(map(int, Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]))


def attempt(work: Work, kill_after: float | None = None) -> End:
    """Do some work in a process of its own; return how it ended."""
    return Attempt([work]).ends(kill_after)[0]


def attempts(works: Sequence[Work]) -> list[End]:
    """Do several pieces of work in one process, and go on in another where that ends; return how each ended."""
    ends: list[End] = []
    while len(ends) < len(works):
        ends += Attempt(works[len(ends) :]).ends()
    return ends
