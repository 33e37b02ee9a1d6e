"""The only door to DGL: makes it importable on today's PyTorch and hands it out as ``dgl``.

DGL 2.x imports ``dgl.graphbolt`` at its top level, and graphbolt needs a binary built for exactly the installed torch;
the wheels on PyPI stop at torch 2.2.1. Nothing in this package uses graphbolt, so where that binary is missing a stub
takes its place. It is put in by a finder on ``sys.meta_path`` that looks when ``dgl.graphbolt`` is imported: a DGL
that imports by itself is left alone, and the user's own ``import dgl`` works too once ``dgl_dysign`` is imported.
``dgl.sparse``, which DGL does not import by itself, lacks its binary in the same way: its error says what to use.
``DGL_DYSIGN_NO_SHIM=1`` switches it off.

Examples
--------
>>> from dgl_dysign._dgl import dgl
>>> dgl.graph(([0, 1], [1, 2])).num_nodes()
3
"""

import importlib
import importlib.metadata
import importlib.util
import logging
import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from dgl_dysign.errors import BackendError

if TYPE_CHECKING:
    import dgl as dgl

NO_SHIM = "DGL_DYSIGN_NO_SHIM"
TO_FIX = "; to fix it: "
_GRAPHBOLT, _SPARSE = "dgl.graphbolt", "dgl.sparse"
#: Parts of DGL that need a binary for each PyTorch, and the folder and the beginning of its name.
_BINARIES = {_GRAPHBOLT: "graphbolt", _SPARSE: "dgl_sparse"}
_INSTEAD = {
    _SPARSE: "torch.sparse, or message passing (graph.update_all)",
    f"{_GRAPHBOLT}.BuiltinDataset": "dgl.data",
    f"{_GRAPHBOLT}.DataLoader": "dgl.dataloading.DataLoader",
    f"{_GRAPHBOLT}.FusedCSCSamplingGraph": "the DGLGraph itself",
    f"{_GRAPHBOLT}.ItemSampler": "dgl.dataloading.DataLoader, which is given the ids",
    f"{_GRAPHBOLT}.ItemSet": "dgl.dataloading.DataLoader, which is given the ids",
    f"{_GRAPHBOLT}.LayerNeighborSampler": "dgl.dataloading.LaborSampler",
    f"{_GRAPHBOLT}.NeighborSampler": "dgl.dataloading.NeighborSampler",
    f"{_GRAPHBOLT}.OnDiskDataset": "dgl.data",
    f"{_GRAPHBOLT}.UniformNegativeSampler": "dgl.dataloading.negative_sampler.PerSourceUniform",
    f"{_GRAPHBOLT}.from_dglgraph": "the DGLGraph itself",
}

_log = logging.getLogger("dgl_dysign")


def shim_enabled() -> bool:
    """Tell whether the stub may be used; ``DGL_DYSIGN_NO_SHIM`` set to anything but ``0`` or nothing forbids it."""
    return os.environ.get(NO_SHIM, "0") in ("", "0")


def shim_active() -> bool:
    """Tell whether the stub stands in for ``dgl.graphbolt`` in this process."""
    return isinstance(sys.modules.get(_GRAPHBOLT), GraphboltStub)


def installed_version(package: str) -> str | None:
    """Return the installed version of a distribution without importing it, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def missing_binary(dgl_path: Sequence[str], module: str = _GRAPHBOLT) -> str | None:
    """Say which binary of a part of DGL is missing, or None where the part can load or this DGL has none.

    Parameters
    ----------
    dgl_path : sequence of str
        Where DGL lies: its ``__path__``.
    module : str, default "dgl.graphbolt"
        The part, this or ``dgl.sparse``.

    Returns
    -------
    str or None
        The stem of the file that is missing, for example ``graphbolt_pytorch_2.13.0``.
    """
    kind = _BINARIES[module]
    if not any((Path(folder) / module[4:] / "__init__.py").is_file() for folder in dgl_path):
        return None
    torch = sys.modules.get("torch")
    version = getattr(torch, "__version__", None) or installed_version("torch")
    if version is None:
        return None  # DGL's own error, that torch is missing, is the right one
    stem = f"{kind}_pytorch_{str(version).split('+', maxsplit=1)[0]}"
    folders = [Path(folder) for folder in dgl_path]
    libinfo = sys.modules.get("dgl._ffi.libinfo")
    if libinfo is not None:  # DGL_LIBRARY_PATH and a build from source put the binaries elsewhere
        folders += [Path(library).parent for library in libinfo.find_lib_path(optional=True) or []]
    if any(any((folder / kind).glob(f"*{stem}.*")) for folder in folders):
        return None
    return stem


class GraphboltStub(ModuleType):
    """What stands in for ``dgl.graphbolt``: it imports, and any use of it raises ``BackendError``.

    Parameters
    ----------
    missing : str
        Stem of the binary that this DGL lacks.
    """

    def __init__(self, missing: str) -> None:
        super().__init__(_GRAPHBOLT, "Stub: DGL has no graphbolt binary for the installed torch.")
        self.__missing__ = missing

    def __getattr__(self, name: str) -> object:
        # inspect, doctest and pickle ask every loaded module for dunder names and expect AttributeError.
        if name.startswith("__") and name != "__all__":
            raise AttributeError(f"module {_GRAPHBOLT!r} (stub) has no attribute {name!r}")
        raise BackendError(_unusable(f"{_GRAPHBOLT}.{name}", self.__missing__))


def _unusable(what: str, stem: str) -> str:
    return (
        f"{what} is not usable here: this DGL ({installed_version('dgl')}) has no binary {stem} for the installed "
        f"torch. Use {_INSTEAD.get(what, 'dgl.dataloading')} instead, or install a DGL built for this torch."
    )


class _StubLoader(Loader):
    def __init__(self, stem: str) -> None:
        self.stem = stem

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return GraphboltStub(self.stem)

    def exec_module(self, module: ModuleType) -> None:
        _log.info(
            "DGL %s has no %s: dgl.graphbolt is a stub in this process (%s=1 switches this off)",
            installed_version("dgl"),
            self.stem,
            NO_SHIM,
        )


class _GraphboltFinder(MetaPathFinder):
    """Answers for ``dgl.graphbolt`` and ``dgl.sparse`` alone, and only where their binaries are missing."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        parent = sys.modules.get(_GRAPHBOLT)
        if fullname.startswith(f"{_GRAPHBOLT}.") and isinstance(parent, GraphboltStub):
            raise BackendError(_unusable(fullname, parent.__missing__))
        if fullname not in _BINARIES or not shim_enabled():
            return None
        stem = missing_binary(list(path or ()), fullname)
        if stem and fullname == _SPARSE:
            raise BackendError(_unusable(fullname, stem))
        return ModuleSpec(fullname, _StubLoader(stem), is_package=True) if stem else None


def install() -> None:
    """Put the finder first on ``sys.meta_path``, once; called by ``import dgl_dysign``."""
    if not any(isinstance(finder, _GraphboltFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _GraphboltFinder())


def load() -> ModuleType:
    """Import DGL with its PyTorch backend.

    Returns
    -------
    module
        The module ``dgl``.

    Raises
    ------
    BackendError
        If DGL is missing, cannot be imported, or runs on a backend other than PyTorch.
    """
    install()
    # Without this DGL prints a line and writes ~/.dgl/config.json when it is first imported.
    backend = os.environ.setdefault("DGLBACKEND", "pytorch")
    try:
        module = importlib.import_module("dgl")
    except Exception as error:  # DGL's import raises OSError, RuntimeError and FileNotFoundError as well
        raise BackendError(_import_failure(error)) from error
    backend = getattr(sys.modules.get("dgl.backend"), "backend_name", backend)
    if backend != "pytorch":
        raise BackendError(
            f"DGL runs on the backend {backend!r}, but dgl_dysign needs 'pytorch'{TO_FIX}set DGLBACKEND=pytorch"
        )
    return module


def _import_failure(error: Exception) -> str:
    found = f"found torch {installed_version('torch')}, dgl {installed_version('dgl')}"
    return f"import dgl failed ({type(error).__name__}: {_first_line(error)}); {found}{TO_FIX}{_remedy(error)}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def _dgl_path() -> list[str]:
    spec = importlib.util.find_spec("dgl")
    return list(spec.submodule_search_locations or ()) if spec else []


def _remedy(error: Exception) -> str:
    name = getattr(error, "name", None) or ""
    if name == "dgl":
        return "install it: pip install 'dgl>=1.1.3'"
    if name.split(".")[0] in ("setuptools", "packaging"):
        return "DGL needs 'packaging' without saying so: pip install packaging"
    if not shim_enabled() and missing_binary(_dgl_path()):
        return f"unset {NO_SHIM}, so that dgl_dysign may put a stub in place of dgl.graphbolt"
    if name == "torchdata.datapipes":
        return "this DGL's graphbolt needs an older torchdata: pip install 'torchdata<0.10'"
    if isinstance(error, ModuleNotFoundError) and name and not name.startswith("dgl."):
        return f"DGL needs the module {name!r}: pip install {'pyyaml' if name == 'yaml' else name.split('.')[0]}"
    return "reinstall DGL (pip install --force-reinstall --no-deps 'dgl>=1.1.3') and run dysign-doctor"


def __getattr__(name: str) -> ModuleType:
    if name == "dgl":
        globals()["dgl"] = module = load()
        return module
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
