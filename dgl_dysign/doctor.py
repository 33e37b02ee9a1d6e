"""``dysign-doctor``: look at this installation and say how to fix what is wrong.

It uses little but the standard library until it tries DGL and PyTorch, so that it still speaks where they are broken.
"""

import importlib.metadata
import json
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import as_file, files
from typing import Annotated

import typer

from dgl_dysign import _dgl, _preparation
from dgl_dysign.cli import App, Version, examples
from dgl_dysign.errors import BackendError
from dgl_dysign.files import read_toml

#: Packages of extras: their absence is no fault.
OPTIONAL = {"matplotlib": "viz", "torchdeq": "deq"}


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Parameters
    ----------
    name : str
        What was looked at.
    ok : bool
        Whether it is as it should be.
    found : str
        What was found.
    fix : str
        What to do about it; empty where there is nothing to do.
    """

    name: str
    ok: bool
    found: str
    fix: str = ""


def _release(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def minimum_versions() -> dict[str, str]:
    """Return the oldest accepted version of Python and of each required package, as ``setup.cfg`` declares them.

    Raises
    ------
    PackageNotFoundError
        If this package is not installed.
    """
    declared = [f"python{importlib.metadata.metadata('dgl-dysign')['Requires-Python']}"]
    declared += [line for line in importlib.metadata.requires("dgl-dysign") or () if ";" not in line]  # of no extra
    return dict(re.split(" *>= *", line, maxsplit=1) for line in declared)


def check_versions() -> list[Check]:
    """Check that Python and all required packages are there and new enough; optional packages are only reported."""
    try:
        least = minimum_versions()
    except importlib.metadata.PackageNotFoundError:
        fix = "pip install -e FOLDER, the one with setup.cfg"
        return [Check("dgl-dysign", False, "not installed: its requirements are unknown", fix)]
    python, checks = least.pop("python"), []
    ok = _release(platform.python_version()) >= _release(python)
    checks.append(Check("python", ok, platform.python_version(), "" if ok else f"use Python {python} or newer"))
    for package, version in least.items():
        installed = _dgl.installed_version(package)
        ok = installed is not None and _release(installed) >= _release(version)
        checks.append(Check(package, ok, installed or "missing", "" if ok else f"pip install '{package}>={version}'"))
    for package, extra in OPTIONAL.items():
        installed = _dgl.installed_version(package) or f"not installed (optional: pip install 'dgl-dysign[{extra}]')"
        checks.append(Check(package, True, installed))
    return checks


def check_preparation() -> Check:
    """Check that ``data_prep`` is ours, and not another package of that name."""
    try:
        module = _preparation.package()
    except ImportError as error:
        found, _, fix = str(error).partition("; ")
        return Check("data_prep", False, found, fix or "pip install --force-reinstall --no-deps dgl-dysign")
    return Check("data_prep", True, str(module.__path__[0]))


def versions_tested() -> list[dict[str, str]]:
    """Return what is tested together, as ``versions.toml`` lists it: Python, PyTorch, DGL, its graphbolt, and by what.

    Examples
    --------
    >>> versions_tested()[-1]["torch"]
    '2.2.1'
    """
    with as_file(files("dgl_dysign") / "versions.toml") as path:
        rows: list[dict[str, str]] = read_toml(path)["tested"]
    return rows


def here() -> dict[str, str]:
    """Return the versions of Python, PyTorch and DGL in this environment, as far as they are told apart in a row."""
    versions = {"python": platform.python_version()}
    versions |= {name: _dgl.installed_version(name) or "missing" for name in ("torch", "dgl")}
    parts = {"python": 2, "torch": 3, "dgl": 3}
    return {name: ".".join(map(str, _release(v)[: parts[name]])) or v for name, v in versions.items()}


def show_matrix(as_json: bool) -> int:
    """Print what is tested together, and where this environment stands; return 0 if it is among it, else 1."""
    rows, own = versions_tested(), here()
    place = next((place for place, row in enumerate(rows) if own.items() <= row.items()), None)
    if as_json:
        print(json.dumps({"tested": rows, "here": own, "among_them": place is not None}, indent=2))
        return int(place is None)
    titles = {"python": "Python", "torch": "PyTorch", "dgl": "DGL", "graphbolt": "dgl.graphbolt", "tests": "tests"}
    widths = {key: max(len(row[key]) for row in (titles, *rows)) for key in titles}
    for number, row in enumerate((titles, *rows), -1):
        mark = "  <- here" if number == place else ""
        print("  ".join(f"{row[key]:<{width}}" for key, width in widths.items()).rstrip() + mark)
    if place is None:
        named = ", ".join(f"{titles[name]} {version}" for name, version in own.items())
        print(f"Here: {named}. Not tested together; dysign-doctor tries what is here.")
    return int(place is None)


def check_import() -> Check:
    """Check that DGL imports, and say whether the graphbolt stub was needed for it."""
    try:
        _dgl.load()
    except BackendError as error:
        message, _, fix = str(error).partition(_dgl.TO_FIX)
        return Check("import dgl", False, message, fix)
    if _dgl.shim_active():
        return Check("import dgl", True, "works; a stub stands in for dgl.graphbolt (no binary for this torch)")
    return Check("import dgl", True, "works by itself; nothing was touched")


def check_message_passing() -> Check:
    """Check value and gradient of one weighted sum over the edges 0 -> 1 and 2 -> 1."""
    import torch

    dgl = _dgl.load()
    graph = dgl.graph(([0, 2], [1, 1]))
    feat = torch.tensor([[1.0], [5.0], [2.0]], requires_grad=True)
    graph.srcdata["h"] = feat
    graph.edata["w"] = torch.tensor([[3.0], [10.0]])
    graph.update_all(dgl.function.u_mul_e("h", "w", "m"), dgl.function.sum("m", "h_new"))
    out = graph.dstdata["h_new"]
    out.sum().backward()
    grad = None if feat.grad is None else feat.grad.flatten().tolist()
    ok = out.flatten().tolist() == [0.0, 23.0, 0.0] and grad == [3.0, 0.0, 10.0]
    found = "value and gradient right" if ok else f"value {out.flatten().tolist()}, gradient {grad}"
    return Check("message passing", ok, found, "" if ok else "reinstall dgl and torch")


def check_cuda() -> Check:
    """Report the GPU and whether this DGL can use it; a machine without one is fine."""
    import torch

    if not torch.cuda.is_available():
        return Check("cuda", True, "none; everything runs on the CPU")
    name = torch.cuda.get_device_name()
    try:
        _dgl.load().graph(([0], [0])).to("cuda")
    except Exception:  # DGL raises its own error class where it was built without CUDA
        return Check("cuda", True, f"{name}; this DGL is a CPU build: keep graphs on the CPU, features may be on CUDA")
    return Check("cuda", True, f"{name}; DGL runs on it too")


def examine() -> list[Check]:
    """Run every check; those that need DGL run only if it imports."""
    checks = [*check_versions(), check_preparation(), check_import()]
    state = "on" if _dgl.shim_enabled() else f"off ({_dgl.NO_SHIM} is set)"
    checks.insert(-1, Check("graphbolt stub", True, f"switched {state}"))
    if checks[-1].ok:
        for check in (check_message_passing, check_cuda):
            try:
                checks.append(check())
            except Exception as error:  # a broken build fails in ways of its own: report, do not crash
                name = check.__name__.removeprefix("check_").replace("_", " ")
                checks.append(Check(name, False, f"{type(error).__name__}: {error}", "reinstall dgl and torch"))
    return checks


app = App("dysign-doctor", "Check this installation of dgl_dysign.")


@app.command(epilog=examples("dysign-doctor", "dysign-doctor --json", "dysign-doctor --matrix"))
def examine_and_tell(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
    matrix: Annotated[bool, typer.Option("--matrix", help="Print the versions tested together; try nothing.")] = False,
    version: Version = False,
) -> int:
    """Check this installation of dgl_dysign, and say how to fix what is wrong; exit status 2 if something is."""
    if matrix:
        return show_matrix(as_json)
    checks = examine()
    ok = all(check.ok for check in checks)
    if as_json:
        print(json.dumps({"ok": ok, "checks": [asdict(check) for check in checks]}, indent=2))
        return 0 if ok else 2
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(f"{'ok ' if check.ok else 'BAD'}  {check.name:<{width}}  {check.found}")
        if check.fix:
            print(f"     {'':<{width}}  -> {check.fix}")
    print("All is well." if ok else "Something has to be fixed: see the lines marked BAD.")
    return 0 if ok else 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status: 0 if all is well, 2 if something has to be fixed."""
    return app.run(argv)


if __name__ == "__main__":
    sys.exit(main())
