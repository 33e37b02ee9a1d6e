"""Names as codes, and the order of classes."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.names import MOST_CLASSES, ClassNames, Names, in_order
from dgl_dysign.errors import DataError


@given(st.lists(st.lists(st.text(max_size=3), max_size=8), max_size=5))
def test_names_get_codes_in_the_order_in_which_they_come(chunks):
    names = Names()
    codes = [code for chunk in chunks for code in names.encode(pa.array(chunk, pa.string())).tolist()]
    flat = [name for chunk in chunks for name in chunk]
    assert [names.list[code] for code in codes] == flat
    assert names.list == list(dict.fromkeys(flat))


def test_an_empty_class_is_none_and_blanks_around_one_are_no_part_of_it():
    names = ClassNames()
    assert names.encode(pa.array(["b", " ", "a b\t", "", " b", "a b"])).tolist() == [0, -1, 1, -1, 0, 1]
    assert names.list == ["b", "a b"]


def test_a_column_of_anything_is_not_taken_for_classes():
    names = ClassNames()
    names.encode(pa.array(map(str, range(MOST_CLASSES))))
    assert names.encode(pa.array(["7", ""])).tolist() == [7, -1]
    with pytest.raises(DataError, match=r"labels: found more than 65536 different ones, as 'one more', expected names"):
        names.encode(pa.array(["one more"]))


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        ({"10", "9", "0"}, ["0", "9", "10"]),
        ({10, 9, 2**63 - 1}, [9, 10, 2**63 - 1]),
        ({"10", "9", "09"}, ["09", "10", "9"]),
        ({"10", "9", ""}, ["", "10", "9"]),
        ({"5A", "Teachers", "1B"}, ["1B", "5A", "Teachers"]),
        ({"-1", "+1"}, ["+1", "-1"]),
        ({"9" * 20, "1"}, ["1", "9" * 20]),
        (set(), []),
    ],
)
def test_classes_are_in_the_order_of_numbers_if_all_are_numbers(names, ordered):
    assert in_order(names) == ordered
