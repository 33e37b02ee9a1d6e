"""Model folders on disk: ``model.safetensors`` and ``config.json``, there whole or not at all, and free of code."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from dgl_dysign import __version__
from dgl_dysign.data import schema
from dgl_dysign.errors import ConfigError, DataError, DGLDySignError
from dgl_dysign.files import replace_folder, write_json

FORMAT, FORMAT_VERSION = "dgl_dysign model", 1
WEIGHTS, CONFIG = "model.safetensors", "config.json"
_KINDS: dict[str, Any] = {
    "class": str,
    "arguments": dict,
    "settings": dict,
    "data": (dict, type(None)),
    "preprocessing": (dict, type(None)),
    "files": dict,
}


def as_json(what: str, value: Any) -> Any:
    """Return a value as JSON gives it back.

    Raises
    ------
    ConfigError
        If JSON cannot hold it, such as a function.
    """
    try:
        return json.loads(json.dumps(value, allow_nan=False, default=lambda number: number.item()))
    except (TypeError, ValueError, AttributeError, RuntimeError):
        raise ConfigError(
            f"{what}={value!r} cannot be saved: a folder holds finite numbers, names and lists, no code: make the "
            f"model with a value that has a name, or save model.state_dict() instead"
        ) from None


def write_folder(
    folder: str | os.PathLike[str], config: Mapping[str, Any], tensors: Mapping[str, Tensor], overwrite: bool
) -> Path:
    """Write a model folder, which appears whole or not at all; return its path.

    Raises
    ------
    ConfigError
        If the folder is there and `overwrite` is not given, or it is no model folder.
    """
    target = Path(folder).absolute()
    check_target(target, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}.new-", dir=target.parent))
    try:
        _write_tensors(made / WEIGHTS, tensors)
        head = {"format": FORMAT, "format_version": FORMAT_VERSION, "dgl_dysign": __version__}
        files = {"files": {WEIGHTS: schema.sha256(made / WEIGHTS)}}
        write_json(made / CONFIG, {**head, **config, **files})
        made.chmod(0o755)  # temporary folders are for their maker alone
        replace_folder(made, target, made.with_name(made.name.replace(".new-", ".old-")), CONFIG)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return target


def check_target(folder: str | os.PathLike[str], overwrite: bool) -> None:
    """Raise ``ConfigError`` unless a model may be written there."""
    target = Path(folder)
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise ConfigError(f"{target} exists: name another folder, or pass overwrite=True")
    if not target.is_dir() or target.is_symlink() or (any(target.iterdir()) and not _is_model(target)):
        raise ConfigError(f"{target} exists and is no model folder, so it is not overwritten: name another")


def _is_model(folder: Path) -> bool:
    try:
        found = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("format") == FORMAT


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    try:
        safetensors.torch.save_file(whole, path, {"format": "pt"})
    except SafetensorError as error:  # such as a full disk
        raise DataError(f"{path}: cannot be written ({error}); free some space, or name another folder") from error


def read_config(folder: str | os.PathLike[str], expected: str) -> dict[str, Any]:
    """Read and check ``config.json``.

    Parameters
    ----------
    folder : path
        A model folder.
    expected : str
        Name of the class that is to be loaded.

    Raises
    ------
    DataError
        If it is missing or damaged, of a later format, or of another class.
    """
    path = Path(folder) / CONFIG
    try:
        config = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            f"{folder}: found no {CONFIG}, expected a model folder as save_pretrained writes it{_left(Path(folder))}"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error}); save the model again") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise DataError(f"{path}: found no format {FORMAT!r}, expected the file that save_pretrained writes")
    version = config.get("format_version")
    if type(version) is not int or version < 1:
        raise DataError(f"{path}: found format_version {version!r}, expected {FORMAT_VERSION}; save the model again")
    if version > FORMAT_VERSION:
        raise DataError(
            f"{path}: found format_version {version}, written by dgl-dysign {config.get('dgl_dysign')}, but this "
            f"dgl-dysign ({__version__}) reads up to {FORMAT_VERSION}: upgrade it (pip install -U dgl-dysign)"
        )
    for key, kind in _KINDS.items():
        if key not in config or not isinstance(config[key], kind):
            raise DataError(f"{path}: found {key} = {config.get(key)!r}, which is damaged; save the model again")
    if config["class"] != expected:
        raise DataError(
            f"{path}: found a {config['class']}, expected a {expected}: load it with {config['class']}.from_pretrained"
        )
    return config


def _left(folder: Path) -> str:
    """Name what a save that was killed at its last step moved aside."""
    old = sorted(folder.absolute().parent.glob(f".{folder.name}.old-*")) if folder.name else []
    return f"; a save was killed here and left the model before it in {old[-1]}" if old else ""


def read_tensors(folder: str | os.PathLike[str], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Read ``model.safetensors``.

    Raises
    ------
    DataError
        If it is missing, or its bytes are not those that were written with the config.
    """
    path, expected = Path(folder) / WEIGHTS, str(config["files"].get(WEIGHTS))
    try:
        digest = schema.sha256(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); save the model again") from error
    if digest != expected:
        raise DataError(
            f"{path}: found SHA-256 {digest[:12]}..., but {CONFIG} says {expected[:12]}...: the file is damaged or "
            f"belongs to another model; copy the folder again, or save the model again"
        )
    try:
        # Copies: the tensors of safetensors may be a view of the file.
        return {name: value.clone() for name, value in safetensors.torch.load_file(path).items()}
    except (SafetensorError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); save the model again") from error


@contextmanager
def reading(folder: str | os.PathLike[str], expected: str) -> Iterator[None]:
    """Turn whatever goes wrong with the content of a folder into a :class:`DataError` that names it."""
    try:
        yield
    except DataError:
        raise
    except (DGLDySignError, TypeError, KeyError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{Path(folder) / CONFIG}: makes no {expected} ({reason}); save the model again") from error


def json_tensor(value: Any) -> Tensor:
    """Return JSON as bytes in a tensor: what is as long as the data has no place in the config.

    >>> from_json_tensor(json_tensor([["user", "7"]]))
    [['user', '7']]
    """
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def from_json_tensor(tensor: Tensor) -> Any:
    """Return what `json_tensor` was given."""
    return json.loads(tensor.numpy().tobytes())
