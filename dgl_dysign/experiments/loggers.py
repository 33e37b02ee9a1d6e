"""Where figures of a run go beside its folder: TensorBoard, MLflow or Weights & Biases, where one is installed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dgl_dysign.errors import BackendError
from dgl_dysign.experiments.record import UnitRecord
from dgl_dysign.training import distributed


class Logger:
    """Where the runner sends figures; this one drops them. ``close`` is called once, however the run ends."""

    def on_epoch(self, key: str, record: Mapping[str, float]) -> None:
        """Take the record of an epoch of the unit `key`."""

    def on_unit(self, record: UnitRecord) -> None:
        """Take the record of a unit that was fitted and scored."""

    def close(self, failed: bool) -> None:
        """Write what is left."""


class _Figures(Logger):
    """Sends each figure by itself: ``UNIT/val_mrr`` of an epoch, ``UNIT/test/mrr`` of a unit."""

    def send(self, name: str, value: float, step: int) -> None:
        raise NotImplementedError

    def on_epoch(self, key: str, record: Mapping[str, float]) -> None:
        for name, value in record.items():
            if name != "epoch":
                self.send(_plain(f"{key}/{name}"), float(value), int(record["epoch"]))

    def on_unit(self, record: UnitRecord) -> None:
        for scoring in record.scorings:
            ways = [f"{name} {value}" for name, value in scoring.condition.items()] if len(record.scorings) > 1 else []
            for part, scores in (("test", scoring.scores), ("validation", scoring.val_scores)):
                for name, value in scores.items():
                    if value is not None:
                        self.send(_plain("/".join([record.key, part, *ways, name])), float(value), 0)


class _TensorBoard(_Figures):
    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._writer = import_module("torch.utils.tensorboard").SummaryWriter(str(folder / "tensorboard"))
        self._writer.add_text("config", f"```\n{json.dumps(config, indent=2)}\n```")

    def send(self, name: str, value: float, step: int) -> None:
        self._writer.add_scalar(name, value, step)

    def close(self, failed: bool) -> None:
        self._writer.close()


class _MLflow(_Figures):
    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._mlflow = import_module("mlflow")
        self._mlflow.start_run(run_name=folder.name)
        self._mlflow.log_dict(json.loads(json.dumps(config)), "config.json")

    def send(self, name: str, value: float, step: int) -> None:
        self._mlflow.log_metric(name, value, step=step)

    def close(self, failed: bool) -> None:
        self._mlflow.end_run("FAILED" if failed else "FINISHED")


class _Wandb(_Figures):
    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._run = import_module("wandb").init(name=folder.name, dir=str(folder), config=dict(config))

    def send(self, name: str, value: float, step: int) -> None:
        self._run.log({name: value, f"{name.rpartition('/')[0]}/epoch": step})  # units have epochs of their own

    def close(self, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


_KINDS: dict[str, Callable[[Path, Mapping[str, Any]], Logger]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _MLflow,
    "wandb": _Wandb,
}


def _plain(name: str) -> str:
    """Return a name that all of them take."""
    return re.sub(r"[^\w./ -]", "_", name)


def check_logger(name: str | None) -> None:
    """Raise ``BackendError`` unless the package is installed."""
    if name is not None and find_spec(name) is None:
        raise BackendError(f"--log {name}: {name} is not installed; pip install {name}, or leave --log out")


@contextmanager
def open_logger(name: str | None, folder: Path, config: Mapping[str, Any]) -> Iterator[Logger]:
    """Give a run folder its logger, which is closed when the run ends; of several processes the first one sends."""
    logger = Logger()
    if name is not None and not distributed.rank():
        try:
            logger = _KINDS[name](folder, config)
        except Exception as error:  # of a package that is not set up
            reason = " ".join(str(error).split())
            raise BackendError(f"--log {name} cannot be used ({reason}); set {name} up, or leave --log out") from error
    failed = True
    try:
        yield logger
        failed = False
    finally:
        logger.close(failed)
