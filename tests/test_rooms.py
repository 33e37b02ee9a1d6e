"""Which files may import which others, read from the source: also what is imported in functions or for types alone."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = "dgl_dysign", "data_prep"
FILES = {path.relative_to(ROOT).as_posix(): path for room in ROOMS for path in (ROOT / room).rglob("*.py")}


def imports(path):
    """Modules that a file imports, and names of them, that may be modules."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            modules |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return modules


def test_the_plugin_has_one_door_to_data_prep():
    doors = [
        name
        for name, path in FILES.items()
        if name.startswith("dgl_dysign/") and any(module.split(".")[0] == "data_prep" for module in imports(path))
    ]
    assert doors == ["dgl_dysign/_preparation.py"]


def test_data_prep_needs_of_the_plugin_what_needs_neither_dgl_nor_pytorch():
    needed = set()
    for name, path in FILES.items():
        if name.startswith("data_prep/"):
            needed |= {module for module in imports(path) if f"{module.replace('.', '/')}.py" in FILES}
    ours = {module for module in needed if module.startswith("dgl_dysign")}
    # Beside what both packages share: the checks behind `dysign-prep verify`, and the random bits that go with them.
    assert ours == {
        f"dgl_dysign.{name}" for name in ("data.hashing", "data.schema", "data.verify", "errors", "events", "files")
    }
    used = set().union(*(imports(FILES[f"{module.replace('.', '/')}.py"]) for module in ours))
    assert not {module.split(".")[0] for module in used} & {"dgl", "torch"}
    assert {module for module in used if f"{module.replace('.', '/')}.py" in FILES} <= {*ours, "dgl_dysign._moved"}
