"""What every test may use, and settings that must stand before PyTorch is imported."""

import os
from pathlib import Path

import pytest

# Tests work on small tensors and run side by side: threads of their own only get in each other's way.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

_ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data sets (``DYSIGN_DATA``, default ``../shared/data``); skips where it is absent."""
    folder = Path(os.environ.get("DYSIGN_DATA", _ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set DYSIGN_DATA to the folder that holds dblp/, tmall/, ...")
    return folder
