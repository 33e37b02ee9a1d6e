"""Where the parts of a raw data set are read: in this process, in worker processes, or under Dask's scheduler."""

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

from data_prep.sources._source import ReadOptions, Source
from data_prep.spool import SpooledPart, load, spool
from dgl_dysign.errors import BackendError, ConfigError

ENGINES = ("local", "dask")
_DIED = "a worker process died, perhaps for want of memory; run the same command again, with fewer --workers"


@dataclass(frozen=True)
class Engine:
    """How parts are read.

    Parameters
    ----------
    name : str, default "local"
        ``"local"``, or ``"dask"`` (extra ``dask``).
    workers : int, default 1
        Worker processes; 1 with ``"local"``: this process.
    scheduler : str, optional
        Address of a running Dask scheduler, whose workers must see the raw files and OUT under the same paths; without
        it a cluster of `workers` processes is started on this machine.
    patience : str, default "15s"
        How long a scheduler is looked for.

    Raises
    ------
    ConfigError
        If the name is unknown, or `workers` is below 1.
    """

    name: str = "local"
    workers: int = 1
    scheduler: str | None = None
    patience: str = "15s"

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise ConfigError(f"--engine: found {self.name}, expected one of {', '.join(ENGINES)}")
        if self.workers < 1:
            raise ConfigError(f"--workers: found {self.workers}, expected 1 or more")
        if self.scheduler and self.name != "dask":
            raise ConfigError("--scheduler: found an address without Dask, expected --engine dask beside it")

    def read(self, source: Source, home: Path, options: ReadOptions) -> list[SpooledPart]:
        """Spool all parts of a source to folders in `home`; parts that are there whole are not read again.

        Raises
        ------
        DataError
            At the first bad row of the first bad part.
        BackendError
            If Dask is not installed.
        ChildProcessError
            If a worker process dies.
        """
        home.mkdir(parents=True, exist_ok=True)
        folders = [home / f"part-{number:05d}" for number in range(len(source.parts))]
        done = [load(folder) for folder in folders]
        missing = [number for number, part in enumerate(done) if part is None]
        advance = options.on_bytes or (lambda amount: None)
        for number, part in enumerate(done):
            if part is not None:
                advance(source.parts[number].stat().st_size)
        with self._submit(len(missing)) as submit:
            if submit is None:
                for number in missing:
                    done[number] = spool(source, number, folders[number], options)
            else:
                # Nothing that a worker has no use for, nor can be sent to it.
                edges, quiet = replace(source, nodes=None), replace(options, on_bytes=None)
                results = [submit(spool, edges, number, folders[number], quiet) for number in missing]
                for number, result in zip(missing, results, strict=True):
                    done[number] = result.result()
                    advance(source.parts[number].stat().st_size)
        return [part for part in done if part is not None]

    @contextmanager
    def _submit(self, tasks: int) -> Iterator[Callable[..., Any] | None]:
        if not tasks or (self.name == "local" and self.workers == 1):
            yield None
        elif self.name == "local":
            # Spawned, not forked: pyarrow's threads do not survive a fork.
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(min(self.workers, tasks), context, _end_with_parent) as pool:
                try:
                    yield pool.submit
                except BrokenExecutor as error:
                    raise ChildProcessError(_DIED) from error
                finally:
                    pool.shutdown(cancel_futures=True)
        else:
            with self._client() as client:
                from distributed.scheduler import KilledWorker

                try:
                    # Dask would otherwise take an equal call of an earlier run for this one.
                    yield lambda *call: client.submit(*call, pure=False)
                except KilledWorker as error:
                    raise ChildProcessError(_DIED) from error

    @contextmanager
    def _client(self) -> Iterator[Any]:
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise BackendError("Dask is missing; install it with `pip install dgl-dysign[dask]`") from error
        if self.scheduler:
            try:
                client = Client(self.scheduler, timeout=self.patience)
            except (OSError, ValueError) as error:
                raise ConfigError(
                    f"--scheduler: found no scheduler at {self.scheduler} ({error}), expected a running one; start it "
                    "with `dask scheduler`, or leave the address out"
                ) from error
            with client:
                yield client
        else:
            local = {"dashboard_address": None, "silence_logs": logging.ERROR}
            with (
                LocalCluster(n_workers=self.workers, threads_per_worker=1, **local) as cluster,
                Client(cluster) as client,
            ):
                yield client


def _end_with_parent() -> None:
    """Let a worker end with the process that started it, even if that is killed; otherwise it would wait for ever."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # at an interrupt one message is enough
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()
