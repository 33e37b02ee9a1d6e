"""Files that run code when they are read as pickles, in every place where a file of somebody else is read."""

import io
import json
import os
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_prep import cli as prep
from dgl_dysign.adapters._files import read_array
from dgl_dysign.adapters.tgb_eval import read_negatives
from dgl_dysign.data.schema import sha256
from dgl_dysign.experiments.choice import _read_fit
from dgl_dysign.training.loop import Loop, LoopConfig
from tests.abuse.attempts import Work, refusing
from tests.abuse.samples import read_model
from tests.data_prep.damage import FORMS


class Evil:
    """Makes a folder when it is unpickled: it must never be there."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def payloads(mark: Path) -> dict[str, bytes]:
    """Return files of every kind that hold a pickle, which would make a folder."""
    evil: dict[str, Any] = {"asked": {}, "history": [], "model": Evil(mark)}
    return {
        "pickle": pickle.dumps(evil),
        "torch.save": _written(partial(torch.save, evil)),
        "torch.save before 1.6": _written(partial(torch.save, evil, _use_new_zipfile_serialization=False)),
        "npy": _written(lambda file: np.save(file, np.array([Evil(mark)], object), allow_pickle=True)),
        "npz": _written(lambda file: np.savez(file, indptr=np.array([Evil(mark)], object), indices=np.zeros(2))),
    }


def _written(write: Callable[[Any], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def readings(home: Path, model: Path, data: Path, mark: Path) -> Iterator[tuple[str, Work]]:
    """Yield what reads each payload in each place; all must refuse it."""
    for name, payload in payloads(mark).items():
        for place, reader in _PLACES.items():
            folder = home / f"{name} {place}".replace(" ", "-")
            folder.mkdir()
            yield f"{name} as {place}", refusing(partial(reader, folder, payload))
        folder = home / f"model {name}".replace(" ", "-")
        yield f"{name} as model.safetensors", partial(_weights, folder, payload, model, data)
        yield f"{name} as ml_wikipedia.npy", partial(_features, home / f"raw {name}", payload)


def _checkpoint(folder: Path, payload: bytes) -> None:
    (folder / "c.pt").write_bytes(payload)
    Loop(torch.nn.Linear(1, 1), LoopConfig(1, 0.1, 0.0), 1, torch.device("cpu"), {}, folder / "c.pt").run(dict)


def _fit(folder: Path, payload: bytes) -> None:
    (folder / "0-1.0.pt").write_bytes(payload)
    _read_fit(folder / "0-1.0.pt")


def _array(suffix: str, folder: Path, payload: bytes) -> None:
    (folder / f"edge_features{suffix}").write_bytes(payload)
    read_array(folder / f"edge_features{suffix}", None, "features")


def _negatives(folder: Path, payload: bytes) -> None:
    (folder / "ns.pkl").write_bytes(payload)
    read_negatives(folder / "ns.pkl")


_PLACES: dict[str, Callable[[Path, bytes], None]] = {
    "a checkpoint": _checkpoint,
    "a fit of a search": _fit,
    "TGL's edge_features.pt": partial(_array, ".pt"),
    "TGL's edge_features.npy": partial(_array, ".npy"),
    "TGB's negatives": _negatives,
}


def _weights(folder: Path, payload: bytes, model: Path, data: Path) -> int | None:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(payload)
    config = json.loads((model / "config.json").read_text())
    config["files"] = {"model.safetensors": sha256(folder / "model.safetensors")}
    (folder / "config.json").write_text(json.dumps(config))
    return read_model(folder, data)()


def _features(raw: Path, payload: bytes) -> int:
    raw.mkdir()
    for name, data in FORMS["dyglib"].files.items():
        (raw / name).write_bytes(payload if name.endswith(".npy") else data)
    return prep.main(["wikipedia", str(raw), str(raw / "out"), "-q"])
