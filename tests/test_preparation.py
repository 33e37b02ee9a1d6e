"""The door to ``data_prep``: another package of that name, found first, is an error that explains itself."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from dgl_dysign import _preparation

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("form", ["data_prep.py", "data_prep/__init__.py"])
def test_another_package_of_that_name_is_named(tmp_path, form):
    (tmp_path / form).parent.mkdir(exist_ok=True)
    (tmp_path / form).write_text('"""Clean my tables."""\n')
    program = "from dgl_dysign import _preparation as door; print(door.main()); door.prepare"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd=tmp_path)
    first, *_, last = run.stderr.strip().splitlines()
    place = tmp_path / form.removesuffix("/__init__.py")
    told = f"data_prep: found another package of this name, {place}, before that of dgl-dysign, expected {ROOT}"
    assert (run.stdout, run.returncode) == ("2\n", 1)
    assert first.startswith(f"dysign-prep: {told}/data_prep; rename it")
    assert last.startswith(f"dgl_dysign.errors.BackendError: {told}")


def test_ours_is_taken_as_it_is(monkeypatch, capsys):
    assert _preparation.package() is import_module("data_prep")
    monkeypatch.setattr(sys, "argv", ["dysign-prep", "--version"])
    assert _preparation.main() == 0
    assert capsys.readouterr().out.startswith("dysign-prep (dgl-dysign ")
