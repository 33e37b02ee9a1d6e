"""The door to DGL: a stub only where a binary is missing, clear errors, nothing touched otherwise.

Each case runs in a fresh interpreter, because what is in ``sys.modules`` decides. Small made-up ``dgl`` packages
stand for the DGLs that are not installed here.
"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(code: str, *paths: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a fresh interpreter that finds ``paths`` before anything else."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DGL", "PYTHONPATH"))}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, [*paths, ROOT]))
    environment.update(env)
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=environment, check=False
    )


def passes(code: str, *paths: Path, **env: str) -> str:
    done = run(code, *paths, **env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_dgl(folder: Path, binary: str | None = None, init: str = "from . import graphbolt", graphbolt: bool = True):
    """Write a dummy ``dgl`` and a dummy ``torch`` 9.1.0; the dummy graphbolt fails like the real one."""
    (folder / "dgl").mkdir(parents=True)
    (folder / "dgl" / "__init__.py").write_text(f"__version__ = '2.1.0'\n{init}\n")
    (folder / "torch.py").write_text("__version__ = '9.1.0+cpu'\n")
    if graphbolt:
        (folder / "dgl" / "graphbolt").mkdir()
        (folder / "dgl" / "graphbolt" / "__init__.py").write_text(
            "from pathlib import Path\nif not list(Path(__file__).parent.glob('*.so')):\n"
            "    raise FileNotFoundError('Cannot find DGL C++ graphbolt library')\nREAL = True\n"
        )
    if binary:
        (folder / "dgl" / "graphbolt" / binary).touch()
    return folder


def test_importing_the_package_is_light():
    passes("""
        import sys, dgl_dysign
        heavy = {"torch", "dgl", "numpy", "pandas", "pyarrow"} & set(sys.modules)
        assert not heavy, heavy
    """)


def test_users_own_import_works_after_the_package_was_imported():
    passes("""
        import dgl_dysign
        import dgl
        from dgl_dysign._dgl import dgl as ours
        assert ours is dgl
    """, DGLBACKEND="pytorch")  # fmt: skip


def test_stub_where_the_binary_for_this_torch_is_missing(tmp_path):
    path = make_dgl(tmp_path, binary="libgraphbolt_pytorch_9.0.0.so")
    out = passes(
        """
        import logging
        logging.basicConfig(level="INFO", format="%(message)s")
        import torch, dgl_dysign, dgl
        from dgl_dysign._dgl import shim_active, load
        load(); load()
        print(shim_active(), hasattr(dgl.graphbolt, "__file__"))
        """,
        path,
    )
    assert out == "True False\n"


def test_what_was_done_is_logged_once(tmp_path):
    code = """
        import logging
        logging.basicConfig(level="INFO", format="%(message)s")
        from dgl_dysign._dgl import dgl
        import dgl, dgl.graphbolt
    """
    done = run(code, make_dgl(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("dgl.graphbolt is a stub in this process") == 1
    assert "DGL_DYSIGN_NO_SHIM=1" in done.stderr


@pytest.mark.parametrize(
    "use",
    [
        "from dgl.graphbolt import MiniBatch",
        "import dgl.graphbolt as gb; gb.MiniBatch",
        "from dgl.graphbolt import *",
        "import dgl.graphbolt.impl",
    ],
)
def test_using_the_stub_says_what_is_missing_and_what_to_do(tmp_path, use):
    done = run(f"import torch, dgl_dysign\n{use}", make_dgl(tmp_path))
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("dgl_dysign.errors.BackendError: dgl.graphbolt.")
    assert "graphbolt_pytorch_9.1.0" in last
    assert "Use dgl.dataloading" in last


def test_real_dgl_imports_through_the_door_computes_and_without_its_binaries_names_what_to_use(tmp_path):
    """Looks at what is installed; where the binaries are there nothing is refused."""
    cases = {
        "dgl.graphbolt.NeighborSampler": "dgl.dataloading.NeighborSampler",
        "dgl.graphbolt.LayerNeighborSampler": "dgl.dataloading.LaborSampler",
        "dgl.graphbolt.from_dglgraph": "the DGLGraph itself",
        "dgl.sparse.spmatrix": "torch.sparse, or message passing (graph.update_all)",
    }
    out = passes(
        f"""
        from dgl_dysign._dgl import dgl, missing_binary
        import os
        print(dgl.graph(([0, 1], [1, 2])).in_degrees().tolist())
        assert os.environ["DGLBACKEND"] == "pytorch"
        from importlib import import_module
        from dgl_dysign.errors import BackendError
        for use in {list(cases)}:
            part, _, name = use.rpartition(".")
            try:
                getattr(import_module(part), name)
            except BackendError as error:
                print(error)
            except ImportError:
                assert missing_binary(dgl.__path__, part) is None
                print()
            else:
                print()
        """,
        DGLDEFAULTDIR=str(tmp_path / "dgl-home"),
    )
    degrees, *messages = out.splitlines()
    assert degrees == "[0, 1, 1]"
    assert not (tmp_path / "dgl-home").exists(), "DGL wrote its configuration"
    for message, (use, instead) in zip(messages, cases.items(), strict=True):
        assert not message or message.startswith((use, "dgl.sparse is"))
        assert not message or f"Use {instead} instead" in message


def test_what_is_named_instead_is_there():
    """Of each alternative that is a name, looked up in the installed DGL."""
    from dgl_dysign import _dgl

    names = {instead.split(",")[0] for instead in _dgl._INSTEAD.values() if instead.startswith("dgl.")}
    for name in names:
        value = _dgl.load()
        for part in name.split(".")[1:]:
            value = getattr(value, part)


def test_stub_survives_those_who_look_at_every_module(tmp_path):
    passes("import dgl_dysign, dgl, inspect, pickle; inspect.getmodule(dgl); inspect.stack()", make_dgl(tmp_path))


@pytest.mark.parametrize("binary", ["libgraphbolt_pytorch_9.1.0.so", "graphbolt_pytorch_9.1.0.so"])
def test_a_dgl_with_its_binary_is_left_alone(tmp_path, binary):
    code = "import torch, dgl_dysign, dgl; assert dgl.graphbolt.REAL; print(dgl_dysign._dgl.shim_active())"
    assert passes(code, make_dgl(tmp_path, binary=binary)) == "False\n"


def test_a_binary_in_dgls_library_path_counts(tmp_path):
    """A DGL built from source keeps its binaries in a build folder that libinfo knows."""
    path = make_dgl(tmp_path, init="from ._ffi import libinfo\nfrom . import graphbolt")
    (path / "dgl" / "_ffi").mkdir()
    (path / "dgl" / "_ffi" / "__init__.py").touch()
    build = tmp_path / "build"
    (build / "graphbolt").mkdir(parents=True)
    (build / "graphbolt" / "libgraphbolt_pytorch_9.1.0.so").touch()
    (path / "dgl" / "_ffi" / "libinfo.py").write_text(
        f"def find_lib_path(optional=False):\n    return [{str(build / 'libdgl.so')!r}]\n"
    )
    (path / "dgl" / "graphbolt" / "__init__.py").write_text("REAL = True\n")
    passes("import torch, dgl_dysign, dgl; assert dgl.graphbolt.REAL", path)


def test_a_dgl_without_graphbolt_is_left_alone(tmp_path):
    path = make_dgl(tmp_path, init="", graphbolt=False)
    done = run("import torch, dgl_dysign, dgl\nimport dgl.graphbolt", path)
    assert done.stderr.strip().endswith("ModuleNotFoundError: No module named 'dgl.graphbolt'")


@pytest.mark.parametrize(("value", "stubbed"), [("1", False), ("0", True), ("", True)])
def test_switch(tmp_path, value, stubbed):
    done = run("import torch, dgl_dysign, dgl", make_dgl(tmp_path), DGL_DYSIGN_NO_SHIM=value)
    assert (done.returncode == 0) is stubbed
    assert stubbed or "FileNotFoundError: Cannot find DGL" in done.stderr


def test_the_switch_is_named_as_the_remedy(tmp_path):
    done = run("from dgl_dysign._dgl import dgl", make_dgl(tmp_path), DGL_DYSIGN_NO_SHIM="1")
    last = done.stderr.strip().splitlines()[-1]
    assert "BackendError: import dgl failed (FileNotFoundError" in last
    assert last.endswith("so that dgl_dysign may put a stub in place of dgl.graphbolt")


@pytest.mark.parametrize(
    ("init", "remedy"),
    [
        ("raise ModuleNotFoundError(\"No module named 'dgl'\", name='dgl')", "pip install 'dgl>=1.1.3'"),
        ("import setuptools.extern", "pip install packaging"),
        ("raise ModuleNotFoundError(\"No module named 'yaml'\", name='yaml')", "pip install pyyaml"),
        ("raise ModuleNotFoundError('x', name='torchdata.datapipes')", "pip install 'torchdata<0.10'"),
        ("raise OSError('libdgl.so: cannot open shared object file')", "run dysign-doctor"),
    ],
)
def test_each_failure_names_its_remedy(tmp_path, init, remedy):
    done = run("from dgl_dysign._dgl import dgl", make_dgl(tmp_path, init=init))
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("dgl_dysign.errors.BackendError: import dgl failed")
    assert remedy in last


def test_a_failed_import_can_be_repaired_in_the_same_process():
    passes("""
        import os
        os.environ["DGL_DYSIGN_NO_SHIM"] = "1"
        from dgl_dysign import _dgl
        try:
            _dgl.load()
        except ImportError:
            os.environ["DGL_DYSIGN_NO_SHIM"] = "0"
        assert _dgl.load().graph(([0], [1])).num_nodes() == 2
    """)


def test_another_backend_is_refused(tmp_path):
    path = make_dgl(tmp_path, init="from . import backend", graphbolt=False)
    (path / "dgl" / "backend.py").write_text("import os\nbackend_name = os.environ['DGLBACKEND']\n")
    done = run("from dgl_dysign._dgl import dgl", path, DGLBACKEND="tensorflow")
    assert "DGL runs on the backend 'tensorflow'" in done.stderr
    assert "set DGLBACKEND=pytorch" in done.stderr


def test_other_names_of_the_module_are_attribute_errors():
    from dgl_dysign import _dgl

    with pytest.raises(AttributeError, match="no attribute 'dg'"):
        _dgl.dg  # noqa: B018
