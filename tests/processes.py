"""Real processes, forked from a server that has PyTorch and DGL imported: alone, or several that talk over gloo."""

import multiprocessing
import os
import socket
import traceback
from contextlib import contextmanager

PATIENCE = 600
"""Seconds after which a process hangs, on the busiest machine."""


def free_port():
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _serve(pipe, rank, world, port):
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    import torch

    from dgl_dysign.training import distributed

    torch.set_num_threads(1)
    with distributed.processes():
        while (asked := pipe.recv()) is not None:
            function, arguments = asked
            try:
                pipe.send((function(*arguments), None))
            except Exception:
                pipe.send((None, traceback.format_exc()))


def server():
    """Return the context of the server, which imports what takes seconds once for all."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preloaded"])
    return context


def apart(function, *arguments):
    """Return what a function of a module gives in a process of its own, which has computed nothing before."""
    with server().Pool(1) as pool:
        return pool.apply_async(function, arguments).get(PATIENCE)


class Together:
    """Some processes; `run` lets all of them call a function of a module, and returns what each gave."""

    def __init__(self, world=2):
        context, port = server(), free_port()
        self.pipes, self.workers = [], []
        for rank in range(world):
            here, there = context.Pipe()
            self.workers.append(context.Process(target=_serve, args=(there, rank, world, port), daemon=True))
            self.pipes.append(here)
            self.workers[-1].start()

    def run(self, function, *arguments):
        """Return the results, by rank; an error in one of them is raised here."""
        for pipe in self.pipes:
            pipe.send((function, arguments))
        answers = []
        for rank, pipe in enumerate(self.pipes):
            assert pipe.poll(PATIENCE), f"process {rank} does not answer: {answers}"
            answers.append(pipe.recv())
        errors = [error for _, error in answers if error is not None]
        assert not errors, errors[0]
        return [value for value, _ in answers]

    def close(self):
        """Let all of them end."""
        for pipe in self.pipes:
            pipe.send(None)
        for worker in self.workers:
            worker.join(PATIENCE)
            if worker.is_alive():
                worker.kill()


@contextmanager
def together(world=2):
    """Give processes for as long as the context lasts."""
    found = Together(world)
    try:
        yield found
    finally:
        found.close()
