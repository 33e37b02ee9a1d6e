"""Names of version 0.1: each leads to what it named, and says where that is now."""

import sys
from importlib import import_module

import pytest

from dgl_dysign._moved import MODULES, NAMES


@pytest.mark.parametrize(("old", "new"), MODULES.items())
def test_old_modules_are_the_new_ones(old, new, monkeypatch):
    monkeypatch.delitem(sys.modules, f"dgl_dysign.{old}", raising=False)
    with pytest.warns(DeprecationWarning, match=rf"dgl_dysign\.{old} has moved to dgl_dysign\.{new}; .* next release"):
        module = import_module(f"dgl_dysign.{old}")
    assert module is import_module(f"dgl_dysign.{new}")
    package, _, name = old.rpartition(".")
    vars(import_module(f"dgl_dysign.{package}")).pop(name, None)  # training.predict is also the name of a function


@pytest.mark.parametrize(
    ("package", "name", "home"), [(package, *item) for package, names in NAMES.items() for item in names.items()]
)
def test_old_names_are_the_new_ones(package, name, home):
    home, _, renamed = home.partition(":")
    with pytest.warns(DeprecationWarning, match=rf"{package}\.{name} has moved to .*{home}\.{renamed or name};"):
        value = getattr(import_module(f"dgl_dysign.{package}"), name)
    assert value is getattr(import_module(f"dgl_dysign.{home}"), renamed or name)


def test_other_names_are_unknown():
    with pytest.raises(AttributeError, match=r"module 'dgl_dysign\.models' has no attribute 'Perceptron'"):
        import_module("dgl_dysign.models").Perceptron  # noqa: B018
