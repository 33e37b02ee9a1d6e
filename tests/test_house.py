"""The rules of the house, read from the source: who may import whom, what a public name has, how long a function is.

What is imported in functions, or for types alone, counts too. Each test yields what breaks its rule, and fails with its
docstring: the rule, and what to do.
"""

import ast
import re
from functools import cache, wraps
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for room in ("dgl_dysign", "data_prep")
    for path in (ROOT / room).rglob("*.py")
}

#: Each room of the plugin, and the rooms or files below it that it may import; everybody may import `EVERYBODYS`.
BELOW = {
    "data": "",
    "ops": "",
    "nn": "ops data.row_store",
    "store": "ops data",
    "pairs": "ops data",
    "evaluation": "data",
    "models": "nn store pairs ops data evaluation.f1",
    "cost": "models ops",
    "baselines": "models nn store pairs ops data evaluation",
    "training": "baselines models nn store pairs ops data evaluation",
    "adapters": "models store data evaluation",
    "experiments": "adapters baselines cost training models nn store pairs ops data evaluation",
    "report": "experiments.record",
}
EVERYBODYS = ["_dgl", "_moved", "_preparation", "cli", "errors", "events", "files"]
#: What `data_prep` may import of the plugin: it needs neither DGL nor PyTorch.
OF_DATA_PREP = ["cli", "data.hashing", "data.schema", "data.verify", "errors", "events", "files"]
#: Files of `baselines` without a paper: counting, classifiers that everybody knows, and what several systems share.
WITHOUT_PAPER = (
    *("baselines", "counting", "link_counts", "node_counts", "node_models"),
    *("embedding", "sentences", "sampled_layers", "sampled_snapshots", "snapshot_graph", "triads"),
)


def imports(tree):
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            modules |= {name if name in FILES else node.module for name in names}
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            modules |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return modules


@cache
def trees():
    """Return what each file says; not read where tests are collected alone."""
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


@cache
def imported():
    return {name: imports(tree) for name, tree in trees().items()}


def imported_by_plugin():
    found = imported().items()
    return {name.removeprefix("dgl_dysign."): modules for name, modules in found if name[:10] == "dgl_dysign"}


def of_room(name, *rooms):
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def of_plugin(modules):
    """Return those that are the plugin's, by what follows ``dgl_dysign.``; the package itself is anybody's."""
    return {module.removeprefix("dgl_dysign.") for module in modules if module.startswith("dgl_dysign.")}


def rule(test):
    @wraps(test)
    def checked():
        broken = sorted(test())
        assert not broken, "\n".join(["", *broken, "", test.__doc__])

    return checked


@rule
def test_rooms_import_only_what_is_below_them():
    """A room imports only the rooms below it: BELOW in tests/test_house.py, where a new room needs a line.

    Move what both need down into the lower one of the two rooms, or hand it over as an argument.
    """
    for name, modules in imported_by_plugin().items():
        room, _, inside = name.partition(".")
        if room in BELOW:
            allowed = (room, *EVERYBODYS, *BELOW[room].split())
            yield from (f"{name} imports {module}" for module in of_plugin(modules) if not of_room(module, *allowed))
        elif inside:
            yield f"{room} is a room without a line"


@rule
def test_no_two_files_import_each_other():
    """Files that import each other are one file; or a third file has what both need."""
    try:
        TopologicalSorter({name: modules & FILES.keys() for name, modules in imported().items()}).prepare()
    except CycleError as error:
        yield " <- ".join(error.args[1])


@rule
def test_dgl_has_one_door():
    """Only dgl_dysign/_dgl.py imports DGL: write ``from dgl_dysign._dgl import dgl``. Nothing imports torchdata."""
    for name, modules in imported().items():
        if name != "dgl_dysign._dgl":
            yield from (f"{name} imports {module}" for module in modules if of_room(module, "dgl", "torchdata"))


@rule
def test_the_plugin_has_one_door_to_data_prep():
    """The plugin reaches data_prep through dgl_dysign/_preparation.py, which imports it when a name is used."""
    for name, modules in imported_by_plugin().items():
        if name != "_preparation":
            yield from (f"{name} imports {module}" for module in modules if of_room(module, "data_prep"))


@rule
def test_data_prep_needs_neither_dgl_nor_pytorch():
    """data_prep starts at once: of the plugin it imports OF_DATA_PREP of tests/test_house.py, which is light."""
    for name, modules in imported().items():
        light = name.removeprefix("dgl_dysign.") in OF_DATA_PREP
        if light or of_room(name, "data_prep"):
            heavy = of_plugin(modules) - {*OF_DATA_PREP, "_moved"} | (modules & {"dgl", "torch"} if light else set())
            yield from (f"{name} imports {module}" for module in heavy)


def defined(module, name):
    """Return the module and the node where a public name is defined; None of a value."""
    for node in ast.walk(trees()[module]):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name and name[0] != "_":
            return module, node
        if isinstance(node, ast.ImportFrom) and node.module in trees() and name in [alias.name for alias in node.names]:
            return defined(node.module, name)
    return None


def public():
    """Return place, module and node of what docs/api.md lists, and of what the packages that it lists import."""
    listed = re.findall(r"^   ((?:dgl_dysign|data_prep)\.\S+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    nodes = [(name, node) for name in listed if name in trees() for node in ast.walk(trees()[name])]
    names = [f"{name}.{alias.name}" for name, node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
    places = {name: defined(*name.rsplit(".", 1)) for name in (*names, *listed) if name not in trees()}
    return [(name, *where) for name, where in places.items() if where]


PUBLIC = public()


def docs(module, *nodes):
    """Return docstrings: of the packages and the file around some nodes, and of the nodes."""
    parts = module.split(".")
    around = (trees().get(".".join(parts[:number])) for number in range(2, len(parts) + 1))
    return "\n".join(ast.get_docstring(node) or "" for node in (*filter(None, around), *nodes))


def functions(node):
    """Return a public function, or the public methods of a class and what makes one."""
    own = [part for part in (node, *getattr(node, "body", ())) if isinstance(part, ast.FunctionDef)]
    names = (node.name, "__init__", "__post_init__")
    return [part for part in own if part.name in names or (own[0] is not node and part.name[0] != "_")]


@rule
def test_public_names_say_which_errors_they_raise():
    """Name the error in the docstring of the function, its class, its file or its package; say when it is raised."""
    for name, module, node in PUBLIC:
        for function in functions(node):
            raised = [part.exc for part in ast.walk(function) if isinstance(part, ast.Raise)]
            errors = {getattr(e.func, "id", "").removeprefix("DGL") for e in raised if isinstance(e, ast.Call)}
            told = docs(module, node, function)
            yield from (f"{name}, {function.name}: {e}" for e in errors if e.endswith("Error") and e not in told)


@rule
def test_layers_state_shapes_and_have_an_example():
    """A layer's docstring has Parameters, Shapes and Examples: nn/spiking_graph_conv.py shows how."""
    for name, module, node in PUBLIC:
        if of_room(module, "dgl_dysign.nn") and "forward" in [function.name for function in functions(node)]:
            own = docs("", node)
            yield from (f"{name}: no {part}" for part in ("Shapes\n------", ">>> ") if part not in own)


@rule
def test_operations_on_tensors_state_shapes():
    """Say of each tensor its shape, such as ``(N, d)``, in the docstring of the function or its class."""
    for name, module, node in PUBLIC:
        if of_room(module, "dgl_dysign.nn", "dgl_dysign.ops", "dgl_dysign.store"):
            for function in functions(node):
                kinds = [ast.unparse(arg.annotation) for arg in function.args.args if arg.annotation]
                stated = re.search(r"\(\w+, .*\)|[Ss]hapes?\b|scalar", docs("", node, function))
                if "Tensor" in kinds and not stated:
                    yield f"{name}, {function.name}"


@rule
def test_comparison_systems_name_their_paper():
    """The class of a comparison system names its paper: authors, venue and year, and what differs from it."""
    for name, tree in trees().items():
        told = docs("", *(node for node in tree.body if isinstance(node, ast.ClassDef)))
        in_room = of_room(name, "dgl_dysign.baselines") and name.rpartition(".")[2] not in WITHOUT_PAPER
        if in_room and not re.search(r"\b20\d\d\b", told):
            yield name


@rule
def test_no_function_is_long():
    """A function has 60 lines of code at most, better 40: find the step in it that deserves a name."""
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                first = node.body[min(ast.get_docstring(node) is not None, len(node.body) - 1)]
                if node.end_lineno - first.lineno >= 60:
                    yield f"{name}.{node.name}"
