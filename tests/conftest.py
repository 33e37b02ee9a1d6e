"""What every test may use."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Look for no examples in the docstrings of tests."""
    return [collector for collector in (yield) if isinstance(collector, pytest.Module)]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data sets (``DYSIGN_DATA``, default ``../shared/data``); skips where it is absent."""
    folder = Path(os.environ.get("DYSIGN_DATA", _ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set DYSIGN_DATA to the folder that holds dblp/, tmall/, ...")
    return folder


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of programs, ``python`` among them, that start without importing PyTorch and DGL anew."""
    from tests.warm import stand_ins

    with stand_ins(tmp_path_factory.mktemp("commands")) as folder:
        yield folder


@pytest.fixture(scope="module")
def sketches() -> Iterator[None]:
    """Let runs sketch their pictures; `tests/experiments/test_plots.py` has them as users do."""
    from tests.sketches import use_sketches

    with pytest.MonkeyPatch.context() as patch:
        use_sketches(patch.setattr)
        yield


@pytest.fixture(scope="module")
def few_trees() -> Iterator[None]:
    """Let models of counts grow five trees, which takes no time."""
    from dgl_dysign.baselines.link_counts import TREES

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TREES, "max_iter", 5)
        yield
