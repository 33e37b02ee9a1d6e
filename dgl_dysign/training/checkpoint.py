"""Checkpoints: what a training goes on from, written whole, read without running code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from dgl_dysign.errors import DataError
from dgl_dysign.files import write_file


def save_checkpoint(path: Path, parts: Mapping[str, Any], record: Mapping[str, Any], device: torch.device) -> None:
    """Write the states of some parts, a record and the random state; the file appears whole.

    Parameters
    ----------
    path : Path
        The file.
    parts : mapping
        Things with ``state_dict``, by name.
    record : mapping
        Numbers, lists and tensors; ``asked`` in it says which training this is.
    device : torch.device
        Whose random state is kept beside the CPU's.
    """
    state = {**record, **{name: part.state_dict() for name, part in parts.items()}}
    state["random"] = torch.get_rng_state()
    if device.type == "cuda":
        state["cuda_random"] = torch.cuda.get_rng_state(device)
    with write_file(path) as temporary, open(temporary, "wb") as file:
        torch.save(state, file)


def load_checkpoint(
    path: Path | None, parts: Mapping[str, Any], asked: Mapping[str, Any], device: torch.device
) -> dict[str, Any] | None:
    """Load the states of some parts and the random state; return all that was written, None without a file.

    Raises
    ------
    DataError
        If it cannot be read, or ``asked`` is not what it was made with.
    """
    if path is None or not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
        if state["asked"] != asked:
            raise ValueError(f"it was made with {state['asked']}, but {asked} was asked")
        for name, part in parts.items():
            part.load_state_dict(state[name])
        torch.set_rng_state(state["random"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_random"], device)
        return state
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: the checkpoint cannot be used ({reason}); delete it to train anew") from error


def resume(
    path: Path | None, parts: Mapping[str, Any], asked: Mapping[str, Any], device: torch.device
) -> list[dict[str, float]]:
    """Do the same, and return the ``history`` that was written; empty without a file."""
    state = load_checkpoint(path, parts, asked, device)
    return [] if state is None else state["history"]
