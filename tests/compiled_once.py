"""Processes that compile with Numba do so one after the other, and find in its cache what another has compiled.

Two that begin at the same time would compile the same for ten seconds each.
"""

import fcntl
import os
import threading

from numba.core import event


class _OneByOne(event.Listener):
    """Hold a lock on this file for as long as Numba holds its own, within which it looks into its cache too."""

    def __init__(self) -> None:
        self.turn, self.depth = threading.RLock(), 0

    def on_start(self, event: event.Event) -> None:
        self.turn.acquire()
        if not self.depth:
            self.file = os.open(__file__, os.O_RDONLY)
            fcntl.flock(self.file, fcntl.LOCK_EX)
        self.depth += 1

    def on_end(self, event: event.Event) -> None:
        self.depth -= 1
        if not self.depth:
            fcntl.flock(self.file, fcntl.LOCK_UN)
            os.close(self.file)
        self.turn.release()


def one_by_one() -> None:
    """Let this process, and those that are forked from it, compile so from now on."""
    event.register("numba:compiler_lock", _OneByOne())
