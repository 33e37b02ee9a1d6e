"""Commands that start at once: stand-ins for ``python`` and others, forked from a process with PyTorch and DGL.

A fresh process imports them for six seconds. A stand-in is a small program that hands its arguments, folder,
environment and open files to the server, and lives as long as the process that is forked there: it passes signals on,
ends with the same status, and takes the process along when it is killed.
"""

import contextlib
import json
import multiprocessing
import multiprocessing.connection
import os
import runpy
import socket
import sys
from pathlib import Path

from tests.processes import server

_FORK = multiprocessing.get_context("fork")
_MODULES = {
    "torchrun": "torch.distributed.run",
    "dysign-prep": "data_prep.cli",
    "dysign-train": "dgl_dysign.experiments.train_cli",
}
_STAND_IN = """#!{python} -IS
import json, os, signal, socket, sys
handlers = {{number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}}
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    told = json.dumps([{first!r} + sys.argv[1:], os.getcwd(), dict(os.environ)]) + "\\n"
    socket.send_fds(server, [told.encode()], [0, 1, 2])
    answers = server.makefile()
    process = int(answers.readline())
    for number in handlers:
        signal.signal(number, lambda number, frame: os.kill(process, number))
    status = int(answers.readline())
if status < 0:
    for number in handlers:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


@contextlib.contextmanager
def stand_ins(folder: Path):
    """Write the programs into a folder; they work as long as the context lasts."""
    address = str(folder / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        process = server().Process(target=_serve, args=(listener,))
        process.start()
    for name, first in {"python": [], **{name: ["-m", module] for name, module in _MODULES.items()}}.items():
        (folder / name).write_text(_STAND_IN.format(python=sys.executable, address=address, first=first))
        (folder / name).chmod(0o755)
    try:
        yield folder
    finally:
        process.terminate()
        process.join()


def _serve(listener):
    while True:
        connection, _ = listener.accept()
        _FORK.Process(target=_keep, args=(connection,)).start()
        connection.close()


def _keep(connection):
    """Fork a process for a stand-in; they end together."""
    told, files, *_ = socket.recv_fds(connection, 1 << 20, 3)
    while not told.endswith(b"\n"):
        told += connection.recv(1 << 20)
    process = _FORK.Process(target=_become, args=(files, *json.loads(told)))
    process.start()
    for file in files:
        os.close(file)
    connection.sendall(b"%d\n" % process.pid)
    multiprocessing.connection.wait([os.pidfd_open(process.pid), connection])  # the second ends with the stand-in
    process.kill()
    process.join()
    with contextlib.suppress(OSError):
        connection.sendall(b"%d\n" % process.exitcode)


def _become(files, arguments, folder, environment):
    """Do what ``python`` does with these arguments."""
    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.stdin = os.fdopen(0, closefd=False)  # multiprocessing has closed it
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = arguments = arguments[arguments[0] == "-u" :]
    if arguments[0] == "-c":
        exec(arguments.pop(1), {"__name__": "__main__"})
    elif arguments[0] == "-m":
        sys.path.insert(0, folder)
        sys.modules.pop(arguments[1], None)
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, os.path.dirname(os.path.abspath(arguments[0])))
        runpy.run_path(arguments[0], run_name="__main__")
