"""Which modules import which others, read from the source: also what is imported in functions or for types alone."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for room in ("dgl_dysign", "data_prep")
    for path in (ROOT / room).rglob("*.py")
}


def imports(path):
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            modules |= {name if name in FILES else node.module for name in names}
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            modules |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return modules


IMPORTS = {name: imports(path) for name, path in FILES.items()}


def of_room(name, room):
    return name == room or name.startswith(f"{room}.")


def test_no_two_files_import_each_other():
    order = list(TopologicalSorter({name: modules & FILES.keys() for name, modules in IMPORTS.items()}).static_order())
    assert set(order) == FILES.keys()


def test_the_plugin_has_one_door_to_data_prep():
    plugin = {name: modules for name, modules in IMPORTS.items() if of_room(name, "dgl_dysign")}
    doors = [name for name, modules in plugin.items() if any(of_room(module, "data_prep") for module in modules)]
    assert doors == ["dgl_dysign._preparation"]


def test_data_prep_needs_of_the_plugin_what_needs_neither_dgl_nor_pytorch():
    used = set().union(*(modules for name, modules in IMPORTS.items() if of_room(name, "data_prep")))
    # Beside what both share: the style of commands, the checks behind `dysign-prep verify`, random bits, the version.
    names = {"cli", "data.hashing", "data.schema", "data.verify", "errors", "events", "files"}
    needed = {f"dgl_dysign.{name}" for name in names}
    assert {module for module in used if of_room(module, "dgl_dysign")} == {*needed, "dgl_dysign"}
    behind = set().union(*(IMPORTS[name] for name in needed))
    assert not behind & {"dgl", "torch"}
    assert {module for module in behind if of_room(module, "dgl_dysign")} <= {*needed, "dgl_dysign._moved"}
