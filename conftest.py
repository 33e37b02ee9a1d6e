"""Settings that must stand before PyTorch is imported, and what the examples in docstrings may use."""

import gc
import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import dgl_dysign  # noqa: F401  so that the process that hands out tests can import DGL too, and reads its warnings

collect_ignore = ["dgl_dysign/ops/_packed_triton.py"]  # wants Triton, and has no examples to run

# Tests work on small tensors and run side by side: threads of their own only get in each other's way.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# A shell has what it starts in the background ignore Ctrl-C, and so would all commands that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def prepared_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder as after ``dysign-prep synth dblp RAW --nodes 100`` and ``dysign-prep dblp RAW OUT --features degree``."""
    from data_prep import PrepareOptions, prepare
    from data_prep.synth import DblpLike

    home = tmp_path_factory.mktemp("example")
    (home / "raw").mkdir()
    DblpLike(100).write(home / "raw")
    prepare("dblp", home / "raw", home / "out", PrepareOptions(features="degree"))
    return home / "out"


@pytest.fixture(autouse=True)
def _names_in_docstrings(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]) -> None:
    """Let examples speak of ``prepared``, a prepared folder."""
    examples = request.node.dtest.examples if isinstance(request.node, pytest.DoctestItem) else ()
    if any("prepared" in example.source for example in examples):
        doctest_namespace["prepared"] = request.getfixturevalue("prepared_example")


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Keep modules and tests out of the garbage collector's sight: its rounds would take half a second each."""
    gc.disable()
    try:
        collected = yield
        if hasattr(session.config, "workerinput"):  # one of several processes for all tests: optimizers will import it
            import torch._dynamo  # noqa: F401
        return collected
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000)  # what Numba and Dynamo hold would be looked through every second
        gc.enable()
