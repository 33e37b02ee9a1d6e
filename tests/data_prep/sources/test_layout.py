import pickle

import pytest

from data_prep.sources._layout import Column, Layout
from dgl_dysign.errors import ConfigError

EDGE = (Column("src", "integer"), Column("dst", "integer"))


def test_form_is_how_a_line_looks():
    assert Layout(EDGE).form == "src dst"
    assert Layout(EDGE, delimiter="\t", vector="rest").form == "src\tdst\tfeat"
    assert Layout(EDGE, brackets=True).form == "[src, dst]"


@pytest.mark.parametrize(
    ("columns", "vector", "numeric"),
    [
        (EDGE, None, True),
        ((*EDGE, Column("time", "number"), Column("day", "yyyymmdd")), "rest", True),
        (EDGE, "field", False),
        ((*EDGE, Column("rest", "skip")), None, False),
        ((*EDGE, Column("name", "text")), None, False),
        ((*EDGE, Column("time", "date")), None, False),
    ],
)
def test_numeric(columns, vector, numeric):
    assert Layout(columns, delimiter=";", vector=vector).numeric is numeric


def test_layouts_are_values_that_travel_between_processes():
    layout = Layout((*EDGE, Column("time", "date", "%d/%m/%Y")), delimiter=",", header=1, quote=True, derive=sorted)
    assert layout.numeric is False
    assert pickle.loads(pickle.dumps(layout)) == layout
    assert hash(layout) == hash(Layout(layout.columns, ",", 1, quote=True, derive=sorted))
    assert Layout(EDGE, brackets=True).delimiter == ","
    with pytest.raises(AttributeError):
        layout.header = 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delimiter": ""}, "one ASCII character"),
        ({"delimiter": ", "}, "one ASCII character"),
        ({"delimiter": "\n"}, "one ASCII character"),
        ({"delimiter": "é"}, "one ASCII character"),
        ({"header": -1}, "found -1 header lines"),
        ({"quote": True}, "quotes between runs of blanks"),
        ({"brackets": True, "vector": "rest"}, "in JSON arrays, expected integers only"),
        ({"vector": "all"}, "found vector 'all'"),
        ({"columns": (Column("a", "skip"),)}, "found no column that is given out"),
        ({"columns": ()}, "found no column that is given out"),
        ({"columns": (Column("a", "text"),), "brackets": True}, "expected integers only"),
        ({"columns": (Column("a", "date"), Column("b", "date", "%Y"))}, "two date formats"),
    ],
)
def test_arguments_that_do_not_go_together(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Layout(**{"columns": EDGE, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "float"), "found kind 'float' of column a, expected one of integer, number"),
        (("a", "text", "%Y"), "a format for column a of kind text"),
        (("a", "date", "%Q"), "found date format '%Q'"),
        (("a", "date", "%s"), "found date format '%s'"),
    ],
)
def test_columns_that_cannot_be(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Column(*arguments)
