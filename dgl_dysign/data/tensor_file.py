"""Files of ``torch.save``, whoever wrote them: tensors and plain values come out, and no code of theirs runs."""

import os
import warnings
import zipfile
from pickle import UnpicklingError
from typing import Any

import torch

from dgl_dysign.files import regular, system_errors, write_file


def load_tensors(path: str | os.PathLike[str], mmap: bool = True, check: bool = False) -> Any:
    """Return the tensors, on the CPU, and plain values that a file of ``torch.save`` holds.

    Parameters
    ----------
    path : path
        The file.
    mmap : bool, default True
        Whether tensors stay on the disk until they are read; files in the format of PyTorch before 1.6 cannot.
    check : bool, default False
        Whether to compare all parts of the file with their checksums first, which PyTorch writes and does not read.

    Raises
    ------
    ValueError
        If the file is damaged, or holds anything else, such as code; the message is one line and does not name it.
    OSError
        If there is no regular file.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     torch.save({"weight": torch.ones(2)}, Path(folder) / "tensors.pt")
    ...     load_tensors(Path(folder) / "tensors.pt")
    {'weight': tensor([1., 1.])}
    """
    try:
        if check:
            with zipfile.ZipFile(regular(path)) as parts:
                if (wrong := parts.testzip()) is not None:
                    raise zipfile.BadZipFile(f"the checksum of {wrong} does not fit")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that are refused anyhow
            return torch.load(regular(path), map_location="cpu", weights_only=True, mmap=mmap)
    except OSError:
        raise
    except UnpicklingError as error:  # PyTorch's message says how to run the code
        raise ValueError("it is damaged, or holds code, which is not run; write it again") from error
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"it is damaged ({reason}); write it again") from error


def save_tensors(value: Any, path: str | os.PathLike[str]) -> None:
    """Write a file of ``torch.save``, which appears whole; raise ``OSError`` if it cannot be, as on a full disk."""
    with write_file(path) as temporary, open(temporary, "wb") as file, system_errors():
        torch.save(value, file)
