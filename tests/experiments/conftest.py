"""What holds for all tests of tables."""

import pickle

import pytest


@pytest.fixture(scope="module", autouse=True)
def _sketches(sketches):
    """Let no picture be laid out."""


@pytest.fixture(scope="session", autouse=True)
def _written_once(tmp_path_factory):
    """Write each sample that entries are checked on once: they are the same ones for all entries, which only read."""
    from dgl_dysign.data import TemporalGraph
    from dgl_dysign.experiments.check.data import Sample

    home, folders, write = tmp_path_factory.mktemp("samples"), {}, Sample.write

    def once(sample, folder):
        key = pickle.dumps(sample)
        if key not in folders:
            folders[key] = write(sample, home / str(len(folders))).folder
        return TemporalGraph.load(folders[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sample, "write", once)
        yield
