"""The two examples that show a whole training loop: they run, learn, and end with figures beside a reference."""

import re
import subprocess
from pathlib import Path

import pytest

from data_prep.cli import app

EXAMPLES = Path(__file__).parents[2] / "examples"


def output(commands: Path, name: str, *arguments: object) -> str:
    command = [str(commands / "python"), str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def figure(text: str, row: str) -> float:
    match = re.search(rf"^{row}.*? (\d+\.\d)", text, re.MULTILINE)
    assert match, text
    return float(match[1])


@pytest.mark.parametrize("name", ["minimal_dysign", "minimal_undergs"])
def test_it_fits_on_one_screen(name):
    assert len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 80


def test_dysign_is_far_above_the_majority(commands, tmp_path):
    app(["synth", "dblp", str(tmp_path / "raw"), "--nodes", "300", "--quiet"], standalone_mode=False)
    app(["dblp", str(tmp_path / "raw"), str(tmp_path / "out"), "--dim", "16", "--quiet"], standalone_mode=False)
    text = output(commands, "minimal_dysign", tmp_path / "out", "--hidden", 32)
    assert figure(text, "Dy-SIGN, spiking") > figure(text, "majority class") + 20
    assert abs(figure(text, "Dy-SIGN, spiking") - figure(text, "Dy-SIGN, equilibrium")) < 10


def test_undergs_is_far_above_chance(commands, tmp_path):
    app(["synth", "bitcoin-otc", str(tmp_path / "raw"), "--events", "1500", "--quiet"], standalone_mode=False)
    app(["edges", str(tmp_path / "raw"), str(tmp_path / "out"), "--every", "8w", "--quiet"], standalone_mode=False)
    text = output(commands, "minimal_undergs", tmp_path / "out", "--epochs", 2)
    assert figure(text, "UnderGS") > 15  # chance: 5
    assert figure(text, "recent degree") > 5
