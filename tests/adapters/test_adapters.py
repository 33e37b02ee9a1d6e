"""Adapters are found by name and by what they read, with and without entry points."""

import configparser
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pandas as pd
import pytest

from data_prep import PrepareOptions, prepare
from dgl_dysign import adapters
from dgl_dysign.adapters import EventStream
from dgl_dysign.errors import ConfigError
from tests.adapters.streams import example


def test_names_are_those_of_the_entry_points_and_each_loads():
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[2] / "setup.cfg")
    lines = config["options.entry_points"][adapters.GROUP].strip().splitlines()
    registered = {line.split("=")[0].strip(): line.split("=")[1].strip() for line in lines}
    assert adapters.names() == sorted(registered)
    extras = config["options.extras_require"]
    for name, place in registered.items():
        adapter = adapters.get(name)
        assert f"{type(adapter).__module__}:{type(adapter).__name__}" == place
        assert adapter.name == name
        assert adapter.extra is None or adapter.extra in extras
        assert not adapter.matches(object())
        assert not adapter.matches("no such file")
        assert not adapter.matches(None)


class Theirs:
    name, extra = "theirs", None

    def matches(self, obj):
        return obj == 7 or (isinstance(obj, list) and bool(obj) and type(obj[0]).__name__ == "DGLGraph")

    def to_events(self, obj, **options):
        return EventStream.from_rows([0], [1], [obj], **options)


def test_an_adapter_of_another_package(monkeypatch):
    point = EntryPoint("theirs", "theirs:Adapter", adapters.GROUP)
    monkeypatch.setattr(adapters, "entry_points", lambda group: [point])
    monkeypatch.setitem(sys.modules, "theirs", type("Module", (), {"Adapter": Theirs}))
    assert "theirs" in adapters.names()
    assert "pyg" in adapters.names()
    assert adapters.to_events(7, name="x").time.tolist() == [7]
    graphs, _ = adapters.get("dgl").from_events(example())
    with pytest.raises(ConfigError, match="found list, which dgl and theirs reads, expected exactly one"):
        adapters.to_events(graphs)


def test_what_no_adapter_reads(tmp_path):
    with pytest.raises(ConfigError, match="adapter: found 'neo4j', expected one of dgl, dyglib"):
        adapters.get("neo4j")
    with pytest.raises(ConfigError, match=r"found object, which no adapter reads.*get\(NAME\)"):
        adapters.to_events(object())
    with pytest.raises(ConfigError, match=r"found .*none \(PosixPath\), which no adapter reads"):
        adapters.to_events(tmp_path / "none")


def test_streams_and_folders_are_read_as_they_are(tmp_path):
    stream = example("snapshot")
    assert adapters.to_events(stream) is stream
    stream.prepare(tmp_path / "out")
    assert adapters.to_events(str(tmp_path / "out")).equals(stream)


def test_a_package_that_does_not_import_is_no_missing_one(monkeypatch, tmp_path):
    (tmp_path / "tgm").mkdir()
    (tmp_path / "tgm" / "__init__.py").write_text("import no_such_dependency")
    for name in [name for name in sys.modules if name.split(".")[0] == "tgm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"import that fails \(.*'no_such_dependency'\).*dgl-dysign\[tgm\]"):
        adapters.get("tgm").from_events(example())


def test_finding_an_adapter_imports_no_other_package():
    code = (
        "import sys; from dgl_dysign import adapters\n"
        "known = [adapters.get(name).matches(object()) for name in adapters.names()]\n"
        "print([name for name in ('torch', 'dgl', 'torch_geometric', 'tgm', 'tgb', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.strip() == "[]"


def test_a_table_of_relbench_is_prepared_as_a_table_of_events(tmp_path):
    table = pytest.importorskip("relbench.base").Table(
        pd.DataFrame({"id": [0, 1, 2], "who": [4, 4, 5], "what": [4, 7, 4], "when": pd.to_datetime(["2024"] * 3)}),
        {"who": "customer", "what": "product"},
        pkey_col="id",
        time_col="when",
    )
    src, dst = table.fkey_col_to_pkey_table
    options = PrepareOptions(src=src, dst=dst, time=table.time_col, bipartite=True)
    prepare("reviews", table.df, tmp_path / "out", options)
    stream = EventStream.of(tmp_path / "out")
    assert (stream.src.tolist(), stream.dst.tolist()) == ([0, 0, 1], [2, 3, 2])  # customer 4 is not product 4
