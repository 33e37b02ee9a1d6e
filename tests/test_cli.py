"""What all commands share: lists of values, option files, errors, versions and tables of any width."""

import importlib.metadata
import os
import re
import subprocess
import sys
from typing import Annotated, Literal

import numpy as np
import pytest
import typer
from rich.console import Console
from rich.table import Table

from dgl_dysign.cli import App, Config, Version, show
from dgl_dysign.errors import DataError

app = App("dysign-try", "Try.")
told = []


@app.callback()
def about(version: Version = False) -> None:
    pass


@app.command()
def fit(
    data: str,
    rows: Annotated[list[str], typer.Option()] = ["all"],  # noqa: B006
    lr: Annotated[list[float], typer.Option()] = [],  # noqa: B006
    kind: Literal["a", "b"] = "a",
    seeds: int = 3,
    quiet: Annotated[bool, typer.Option("--quiet")] = False,
    config: Config = None,
) -> None:
    told.append((data, rows, lr, kind, seeds, quiet))


@app.command()
def fail(how: str) -> int:
    errors = {"data": DataError("a.csv: line 3\nno time"), "system": FileNotFoundError(2, "No such file", "x")}
    errors |= {"rights": PermissionError(13, "Permission denied", "/x/\n.y.work")}
    errors |= {"stop": KeyboardInterrupt("go on with: --resume"), "mistake": ZeroDivisionError()}
    if how in errors:
        raise errors[how]
    return int(how)


def run(capsys, *argv):
    """Return the exit status, what was printed, and what the command was told."""
    told.clear()
    status = app.run([str(word) for word in argv])
    return status, *capsys.readouterr(), *told


def test_options_take_several_values_and_a_file_gives_defaults(tmp_path, capsys):
    file = tmp_path / "o.toml"
    file.write_text('data = "folder"\nrows = ["x", "y"]\nlr = [1, 0.5]\nkind = "b"\nseeds = 4\nquiet = true\n')
    words = ["fit", "--rows", "a", "b", "--lr", "-1", "2", "--rows", "c", "--quiet", "data"]
    assert run(capsys, *words) == (0, "", "", ("data", ["a", "b", "c"], [-1.0, 2.0], "a", 3, True))
    assert run(capsys, "fit", "--config", file)[3] == ("folder", ["x", "y"], [1.0, 0.5], "b", 4, True)
    words = ["fit", "data", "--seeds", "5", "--config", file, "--rows", "c"]
    assert run(capsys, *words)[3] == ("data", ["c"], [1.0, 0.5], "b", 5, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 1", "no option 'seed'; expected some of data, kind, lr, quiet, rows, seeds"),
        ('rows = "a"', "rows must be a list, but got 'a'"),
        ("seeds = [1]", "seeds must be one value, but got [1]"),
        ("seeds = true", "seeds must be one value, but got True"),
        ("quiet = 1", "quiet must be true or false, but got 1"),
        ("seeds = ]", "cannot be read as TOML (Invalid value (at line 1, column 9)): expected lines such as seeds = 3"),
    ],
)
def test_a_file_with_a_mistake_is_one_line_that_names_it(text, message, tmp_path, capsys):
    (tmp_path / "o.toml").write_text(text)
    line = f"dysign-try: {tmp_path / 'o.toml'}: {message}\n"
    assert run(capsys, "fit", "data", "--config", tmp_path / "o.toml") == (2, "", line)


@pytest.mark.parametrize(
    ("argv", "status", "line"),
    [
        (["fit", "data", "--rows"], 2, "dysign-try fit: Option '--rows' requires a value (see dysign-try fit --help)"),
        (["fit", "data", "--rows", "--quiet"], 2, "dysign-try fit: Option '--rows' requires a value (see dysign-"),
        (["fit", "data", "--row", "a"], 2, "dysign-try fit: No such option: --row"),
        (["fit"], 2, "dysign-try fit: Missing argument"),
        (["fit", "data", "--kind", "c"], 2, "dysign-try fit: Invalid value for '--kind': "),
        (["fit", "data", "--config", "no.toml"], 2, "dysign-try: no.toml: cannot be read as TOML"),
        (["fat"], 2, "dysign-try: No such command 'fat'"),
        (["fail", "data"], 2, "dysign-try: a.csv: line 3 no time"),
        (["fail", "system"], 2, "dysign-try: [Errno 2] No such file: 'x'"),
        (["fail", "rights"], 2, "dysign-try: /x/ .y.work: no permission to read or write it; change its rights or"),
        (["fail", "stop"], 130, "dysign-try: interrupted; go on with: --resume"),
    ],
)
def test_errors_are_one_line_and_a_status(argv, status, line, capsys):
    found, out, errors = run(capsys, *argv)
    assert (found, out, errors.count("\n")) == (status, "", 1)
    assert errors.startswith(line)


def test_mistakes_pass_and_a_command_has_a_status_of_its_own(capsys):
    with pytest.raises(ZeroDivisionError):
        app.run(["fail", "mistake"])
    assert run(capsys, "fail", "1") == (1, "", "")
    with pytest.raises(SystemExit) as stop:  # another process prints
        app.run(["fail", "stop"], first=lambda error: False)
    assert (stop.value.code, capsys.readouterr()) == (130, ("", ""))


def test_versions_and_help(capsys):
    status, out, errors = run(capsys, "--version")
    assert (status, errors) == (0, "")
    assert out.startswith(f"dysign-try (dgl-dysign {importlib.metadata.version('dgl-dysign')}), Python 3.")
    assert f"torch {importlib.metadata.version('torch')}, dgl {importlib.metadata.version('dgl')}\n" in out
    assert "--install-completion" in run(capsys, "--help")[1]


@pytest.mark.parametrize("width", [80, 120, 10_000])
def test_tables_keep_names_and_figures_whole(width, capsys):
    table = Table("entry", *(f"score {i}" for i in range(12)), title="All", caption="of the data")
    names = ["edgebank-undirected-window-of-8-weeks", "undergs"]
    for name in names:
        table.add_row(name, *(f"{i}.5 ± 1.{i}" for i in range(12)))
    show(table, Console(width=width))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= max(width, 0)
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    assert len(cells) == {80: 10, 120: 4, 10_000: 2}[width]
    for name in names:
        row = [cell for part in cells if part[0] == name for cell in part[1:]]
        assert row == [f"{i}.5 ± 1.{i}" for i in range(12)]
    assert sum("of the data" in line for line in lines) == 1


def test_what_asks_for_too_much_memory_is_told_in_one_line(capsys):
    app = App("dysign-count", "Count.")

    @app.command()
    def count() -> None:
        np.zeros(10**17)

    assert app.run([]) == 2
    assert re.fullmatch(r"dysign-count: out of memory \(Unable to allocate .*\); .*\n", capsys.readouterr().err)


COMMANDS = ["data_prep.cli", "dgl_dysign.report.cli", "dgl_dysign.doctor"]


@pytest.mark.parametrize("module", COMMANDS)
def test_help_and_version_start_without_what_computes(module):
    code = f"import sys; from {module} import main; sys.argv[1:] = ['--version']; status = main(); " + (
        "sys.exit(status or sorted({'torch', 'dgl', 'pandas', 'pyarrow', 'numba'} & sys.modules.keys()) or 0)"
    )
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("dysign-")
