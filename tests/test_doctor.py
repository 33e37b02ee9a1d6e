"""``dysign-doctor`` tells what is there, and what to do about what is not."""

import configparser
import importlib.metadata
import json
import platform
import sys
from pathlib import Path
from types import ModuleType

import pytest

from dgl_dysign import _dgl, doctor
from dgl_dysign.errors import BackendError


def test_all_is_well_here(capsys):
    assert doctor.main([]) == 0
    out = capsys.readouterr().out
    assert "All is well." in out
    assert "BAD" not in out
    assert "value and gradient right" in out


def test_json_is_one_object_that_says_the_same(capsys):
    assert doctor.main(["--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    names = [check["name"] for check in report["checks"]]
    assert report["ok"] is True
    assert {"python", "torch", "dgl", "import dgl", "message passing", "cuda"} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("found", [None, "1.0.2"])
def test_missing_or_old_package_is_exit_2_with_the_fix(monkeypatch, capsys, found):
    real = _dgl.installed_version
    monkeypatch.setattr(_dgl, "installed_version", lambda name: found if name == "pyarrow" else real(name))
    assert doctor.main([]) == 2
    assert f"-> pip install 'pyarrow>={doctor.minimum_versions()['pyarrow']}'" in capsys.readouterr().out


def test_newer_release_is_not_older_as_a_string(monkeypatch):
    monkeypatch.setattr(_dgl, "installed_version", lambda name: "100.10.0.dev1+local")
    assert all(check.ok for check in doctor.check_versions())


def test_a_dgl_that_fails_is_reported_with_its_remedy(monkeypatch, capsys):
    def fail():
        raise BackendError(f"import dgl failed (x. y){_dgl.TO_FIX}do this")

    monkeypatch.setattr(_dgl, "load", fail)
    assert doctor.main([]) == 2
    out = capsys.readouterr().out
    assert "import dgl failed (x. y)\n" in out
    assert "-> do this" in out
    assert "message passing" not in out


def test_wrong_arithmetic_is_seen(monkeypatch):
    dgl = _dgl.load()
    monkeypatch.setattr(dgl.function, "sum", dgl.function.max)
    check = doctor.check_message_passing()
    assert not check.ok
    assert "value [0.0, 20.0, 0.0], gradient [0.0, 0.0, 10.0]" in check.found


def test_a_crash_in_a_check_is_reported(monkeypatch, capsys):
    def check_cuda():
        raise RuntimeError("driver too old")

    monkeypatch.setattr(doctor, "check_cuda", check_cuda)
    assert doctor.main([]) == 2
    assert "RuntimeError: driver too old" in capsys.readouterr().out


def test_minimum_versions_are_those_of_setup_cfg():
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[1] / "setup.cfg")
    declared = dict(
        line.split(">=")
        for line in config["options"]["install_requires"].split("\n")
        if ">" in line and ";" not in line
    )
    assert doctor.minimum_versions() == {"python": config["options"]["python_requires"].removeprefix(">="), **declared}


def test_a_checkout_that_is_not_installed_is_told_so(monkeypatch, capsys):
    def fail(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "metadata", fail)
    assert doctor.main([]) == 2
    assert "-> pip install -e" in capsys.readouterr().out


def test_an_old_python_is_named(monkeypatch, capsys):
    monkeypatch.setattr(platform, "python_version", lambda: "3.9.18")
    assert doctor.main([]) == 2
    assert "-> use Python 3.10 or newer" in capsys.readouterr().out


def test_what_is_tested_together_and_where_this_stands(monkeypatch, capsys):
    monkeypatch.setattr(platform, "python_version", lambda: "3.11.4")
    versions = {"torch": "2.13.0+cpu", "dgl": "2.1.0"}
    monkeypatch.setattr(_dgl, "installed_version", versions.get)
    assert doctor.main(["--matrix"]) == 0
    title, *rows = capsys.readouterr().out.splitlines()
    assert title.split() == ["Python", "PyTorch", "DGL", "dgl.graphbolt", "tests"]
    assert [row.split()[:4] for row in rows if "<- here" in row] == [["3.11", "2.13.0", "2.1.0", "stub"]]
    versions["torch"] = "2.9.1"
    assert doctor.main(["--matrix"]) == 1
    assert capsys.readouterr().out.endswith(
        "Here: Python 3.11, PyTorch 2.9.1, DGL 2.1.0. Not tested together; dysign-doctor tries what is here.\n"
    )
    del versions["torch"]
    assert doctor.main(["--matrix", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["here"] == {"python": "3.11", "torch": "missing", "dgl": "2.1.0"}


def test_another_data_prep_is_bad(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "data_prep", ModuleType("data_prep"))
    sys.modules["data_prep"].__file__ = "/theirs/data_prep.py"
    check = doctor.check_preparation()
    assert not check.ok
    assert "/theirs/data_prep.py" in check.found
    assert check.fix.startswith("rename it")
