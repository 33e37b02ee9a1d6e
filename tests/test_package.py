"""What is said of the package in several places is the same everywhere: requirements, commands, versions."""

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dgl_dysign import __version__
from dgl_dysign.doctor import versions_tested

ROOT = Path(__file__).parents[1]
CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "setup.cfg")


def lines_under(title):
    """Return the items of a list of the conda recipe."""
    text = (ROOT / ".github" / "conda" / "meta.yaml").read_text(encoding="utf-8")
    return re.search(rf"^ *{title}:\n((?: +- .*\n)+)", text, re.MULTILINE)[1].replace("- ", "").split("\n")


def test_the_conda_recipe_asks_for_what_setup_cfg_asks_for():
    required = CONFIG["options"]["install_requires"].strip().split("\n")
    required = {line.split(";")[0].replace("torch>", "pytorch>").replace(">=", " >=") for line in required}
    required.add(f"python {CONFIG['options']['python_requires']}")
    assert {line.strip() for line in lines_under("run")} - {""} == required


def test_the_conda_recipe_has_all_commands():
    commands = CONFIG["options.entry_points"]["console_scripts"].strip().split("\n")
    assert [line.strip() for line in lines_under("entry_points")][:-1] == commands


def test_one_version():
    recipe = (ROOT / ".github" / "conda" / "meta.yaml").read_text(encoding="utf-8")
    assert f'{{% set version = "{__version__}" %}}' in recipe
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_versions_that_the_doctor_lists_are_those_of_constraints_and_workflow():
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^(torch|dgl)==(\S+)$", constraints, re.MULTILINE))
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    lists = [re.search(rf"^        {name}: (\[.*\])", workflow, re.MULTILINE)[1] for name in ("python", "dgl")]
    pythons, dgls = map(ast.literal_eval, lists)
    left_out = set(re.findall(r'- python: "([\d.]+)"\n +dgl: "([\d.]+)"', workflow))
    suite = [(row["python"], row["dgl"]) for row in versions_tested() if row["tests"] == "suite"]
    assert suite == [(python, dgl) for python in pythons for dgl in dgls if (python, dgl) not in left_out]
    assert {row["torch"] for row in versions_tested() if row["tests"] == "suite"} == {pins["torch"]}
    assert pins["dgl"] in dgls
    for row in versions_tested():
        if row["tests"] != "suite":
            assert f"torch=={row['torch']} dgl=={row['dgl']} " in workflow


def test_a_program_beside_the_clone_finds_the_package(tmp_path):
    # The folder of a clone has the package's name; where it comes before what is installed, it is an empty namespace.
    pytest.importorskip("setuptools", minversion="70")
    clone, site = tmp_path / "dgl_dysign", tmp_path / "site"
    for name in (
        "setup.cfg",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "dgl_dysign/__init__.py",
        "data_prep/__init__.py",
    ):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, clone / name)
    build = "from setuptools.build_meta import build_editable; build_editable('wheel')"
    subprocess.run([sys.executable, "-c", build], cwd=clone, check=True, capture_output=True)
    (wheel,) = (clone / "wheel").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    (clone / "dgl_dysign" / "__init__.py").write_text("HERE = True\n", encoding="utf-8")
    program = tmp_path / "program.py"
    program.write_text(
        f"import site; site.addsitedir({str(site)!r}); import dgl_dysign; dgl_dysign.HERE", encoding="utf-8"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-S", program], env=environment, check=True)
