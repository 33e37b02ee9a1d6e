import sys

import pytest
from hypothesis import settings

from data_prep import cli

# The machine may have other things to do.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

EDGES = "0 1 0.0\n1 2 0.0\n0 1 0.0\n2 0 0.333333\n3 1 1.0\n1 3 1.0\n"
LABELS = "3 7\n0 2\n1 7\n"


@pytest.fixture
def raw(tmp_path):
    """A raw folder of four nodes, of which 2 has no label, and steps 0, 1 and 3 of 0 to 3."""
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "dblp.txt").write_text(EDGES)
    (folder / "node2label.txt").write_text(LABELS)
    return folder


@pytest.fixture
def prep(monkeypatch, capsys):
    """Run ``dysign-prep`` in this process: (exit status, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["dysign-prep", *map(str, arguments)])
        try:
            status = cli.main()
        except SystemExit as stop:
            status = stop.code or 0
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run
