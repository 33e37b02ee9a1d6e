"""Every Python and shell block of README.md and docs/*.md runs, page by page, in a folder of its own."""

from __future__ import annotations

import configparser
import contextlib
import doctest
import importlib.metadata
import io
import os
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import PAGES, ROOT, SHELL, Block, blocks_of, give, given_to

ALL = [block for page in PAGES for block in blocks_of(page)]
LEFT_OUT = [block for block in ALL if block.kind == "not run"]
CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "setup.cfg")
SCRIPTS = dict(line.split(" = ") for line in CONFIG["options.entry_points"]["console_scripts"].strip().splitlines())
LOOSE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("given")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands: Path) -> Path:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, (commands, Path(sys.executable).parent, os.environ["PATH"]))))
    monkeypatch.setenv("PYTHON_EXEC", str(commands / "python"))  # torchrun starts it
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


@pytest.mark.usefixtures("few_trees")  # no page shows their figures
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run(page: Path, home: Path, folder: Path) -> None:
    blocks = blocks_of(page)
    if not any(block.runs for block in blocks):
        pytest.skip("no block to run")
    for name in given_to(page):
        give(name, home, folder)
    names: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    for block in blocks:
        if block.kind == "file":
            (folder / block.value).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.value).write_text(block.text, encoding="utf-8")
        elif block.kind == "output":
            same = doctest.OutputChecker().check_output(block.text, printed, LOOSE)
            assert same, f"{block}: expected\n{block.text}got\n{printed}"
        elif block.runs:
            printed = _python(block, names) if block.language == "python" else _shell(block, folder)


def _python(block: Block, names: dict[str, Any]) -> str:
    code = compile("\n" * (block.line - 1) + block.text, str(block.page), "exec")
    said = None
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            exec(code, names)
        except Exception as error:
            if block.kind != "fails":
                raise AssertionError(f"{block}: {type(error).__name__}: {error}") from error
            said = str(error)
    if block.kind == "fails":
        assert said is not None, f"{block}: expected an error that says {block.value!r}"
        assert block.value in said, f"{block}: {said}"
    return out.getvalue()


def _shell(block: Block, folder: Path) -> str:
    commands = _lines(block)
    if all(line.startswith("make ") for line in commands):  # they are run as such, and run these tests
        targets = (ROOT / "Makefile").read_text(encoding="utf-8")
        for line in commands:
            assert f"\n{line.split()[1]}:" in targets, f"{block}: no such target: {line}"
        return ""
    if all(_is_ours(line) for line in commands):
        status, printed, errors = _here(commands)
    else:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.text], cwd=folder, capture_output=True, text=True
        )
        status, printed, errors = done.returncode, done.stdout, done.stderr
    if block.kind == "fails":
        assert status, f"{block}: expected it to fail"
        assert block.value in " ".join(errors.split()), f"{block}: {errors}"
        return errors
    assert status == 0, f"{block}: exit status {status}\n{printed[-2000:]}\n{errors[-4000:]}"
    return printed


def _lines(block: Block) -> list[str]:
    """Return the commands of a block, without comments and each on one line."""
    lines = (line.split(" #")[0].strip() for line in block.text.replace("\\\n", " ").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _is_ours(line: str) -> bool:
    """Tell whether a line is one command of this package, and needs nothing of the shell but its quotes."""
    ours = line.startswith((*(f"{script} " for script in SCRIPTS), "dysign-doctor", "python examples/"))
    return ours and not set("$&|;<>*?`") & set(line)


def _here(commands: list[str]) -> tuple[int, str, str]:
    """Run commands in this process, to the first that fails: a process for each takes seconds to import PyTorch."""
    out, errors = io.StringIO(), io.StringIO()
    status = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors), pytest.MonkeyPatch.context() as patch:
        for line in commands:
            program, *arguments = shlex.split(line)
            patch.setattr(sys, "argv", [program, *arguments] if program != "python" else arguments)
            try:
                if program == "python":
                    runpy.run_path(arguments[0], run_name="__main__")
                else:
                    status = importlib.metadata.EntryPoint(program, SCRIPTS[program], "console_scripts").load()() or 0
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else int(end.code is not None)
            if status:
                break
    return status, out.getvalue(), errors.getvalue()


def test_what_is_left_out_is_little_and_says_why(record_property: Any) -> None:
    run = [block for block in ALL if block.runs]
    record_property("blocks", f"{len(run)} run, {len(LEFT_OUT)} left out")
    for block in LEFT_OUT:
        assert len(block.value.split()) > 2, f"{block}: say why it is not run"
    assert len(LEFT_OUT) <= 12, [str(block) for block in LEFT_OUT]
    assert len(run) > 40


def test_every_block_says_its_language() -> None:
    known = {"python", *SHELL, "text", "json", "csv", "diff", "bibtex", "toml"}
    assert {block.language for block in ALL} <= known
    for page in PAGES:
        fences = sum(line.startswith("```") and "{" not in line for line in page.read_text().splitlines())
        sphinx = sum(line.startswith("```{") for line in page.read_text().splitlines())
        assert fences - sphinx == 2 * len(blocks_of(page)), f"{page.name}: a fence without a language or an end"
