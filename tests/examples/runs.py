"""Examples as modules, their command lines, and runs of them that are stopped and resumed."""

import importlib.util
import json
import re
import sys
from pathlib import Path

from dgl_dysign.experiments.record import OPERATIONS
from dgl_dysign.files import unsealed

FOLDER = Path(__file__).parents[2] / "examples"
MEASURED = ("cpu_seconds", "peak_rss_bytes", *OPERATIONS)  # the last are not counted where rows lie in files


class Killed(BaseException):
    """What no `except Exception` catches."""


def load(name):
    """Return the example of a name as a module."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def summary(run):
    """Return what a run found."""
    return [unsealed(line) for line in json.loads((run / "summary.json").read_text())]


def units(run):
    """Return the records of a run's units."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def figures(run):
    """Return what a run found, without its cost: the same for the same command line."""
    return [{key: value for key, value in row.items() if key not in MEASURED} for row in summary(run)]


def histories(run):
    """Return the epochs of a run's units, without time."""
    return [
        [{k: v for k, v in epoch.items() if k != "cpu_seconds"} for epoch in unit["history"]] for unit in units(run)
    ]


def written(run):
    """Return when each unit of a run was written."""
    return {file.name: file.stat().st_mtime_ns for file in (run / "units").iterdir()}


def refused(example, argv, text, capsys):
    """Check that a command line ends with status 2 and one line that matches."""
    capsys.readouterr()
    assert example.main([str(word) for word in argv]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"{example.__name__}: ")
    assert printed.err.count("\n") == 1
    assert re.search(text, printed.err), printed.err
