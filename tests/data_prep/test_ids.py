import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.nodes import IdMap, Unchanged, union
from data_prep.spool import Names, NumberSet, distinct

NUMBERS = st.one_of(
    st.integers(0, 40), st.sampled_from([2**26 - 1, 2**26, 2**26 + 1, 2**31, 2**53 + 1, 2**53, 2**63 - 1, 2**63 - 2])
)


def array(values):
    return np.array(values, dtype=np.int64)


@given(st.lists(st.lists(NUMBERS, max_size=12), max_size=6))
def test_a_set_of_numbers_has_each_once_ascending_to_the_last_digit(chunks):
    seen = NumberSet()
    for chunk in chunks:
        seen.add(array(chunk))
    found = seen.ascending()
    assert found.dtype == np.int64
    assert found.tolist() == sorted({number for chunk in chunks for number in chunk})


def test_large_numbers_are_merged_before_they_take_much_memory():
    seen, rng = NumberSet(pending=10), np.random.default_rng(0)
    chunks = [rng.integers(2**26, 2**26 + 30, 8) for _ in range(20)]
    for chunk in chunks:
        seen.add(chunk)
        assert sum(map(len, seen._large)) <= 40
    assert seen.ascending().tolist() == sorted({*np.concatenate(chunks).tolist()})


def test_the_table_of_small_numbers_grows_with_their_range():
    seen = NumberSet()
    for top in (5, 1_000_000, 1_000_001):
        seen.add(array([top]))
    assert seen.ascending().tolist() == [5, 1_000_000, 1_000_001]
    assert len(seen._small) < 4_000_000


@given(st.lists(st.integers(-5, 5)))
def test_distinct_values(values):
    assert distinct(array(values)).tolist() == sorted(set(values))


@given(st.lists(st.lists(st.text(max_size=3), max_size=8), max_size=5))
def test_names_get_codes_in_the_order_in_which_they_come(chunks):
    names = Names()
    codes = [code for chunk in chunks for code in names.encode(pa.array(chunk, pa.string())).tolist()]
    flat = [name for chunk in chunks for name in chunk]
    assert [names.list[code] for code in codes] == flat
    assert names.list == list(dict.fromkeys(flat))


@given(st.lists(NUMBERS, unique=True), st.lists(NUMBERS), st.integers(0, 10))
def test_numbers_become_nodes_and_back(known, asked, offset):
    known = sorted(known)
    table = IdMap(array(known), offset)
    expected = [known.index(number) + offset if number in known else -1 for number in [*known, *asked]]
    found = table.nodes(array([*known, *asked]))
    assert found.dtype == np.int64
    assert found.tolist() == expected
    assert table.raw().to_pylist() == list(map(str, known))
    assert not table.is_text


@given(st.lists(st.text(), unique=True), st.lists(st.text()), st.integers(0, 10))
def test_names_become_nodes_and_back(known, asked, offset):
    known = sorted(known)
    table = IdMap(np.array(known, dtype=object), offset)
    found = table.nodes(np.array([*known, *asked], dtype=object))
    assert found.tolist() == [known.index(name) + offset if name in known else -1 for name in [*known, *asked]]
    assert table.raw().to_pylist() == known
    assert table.raw().type == pa.string()


def test_ids_that_are_nodes_already():
    same = Unchanged(3)
    assert same.nodes(array([2, 0, 2])).tolist() == [2, 0, 2]
    assert same.nodes(array([2, 3, 2**62])).tolist() == [2, -1, -1]
    assert same.nodes(array([])).tolist() == []
    assert same.raw().to_pylist() == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("sets", "merged"),
    [
        ([array([])], []),
        ([array([]), array([])], []),
        ([array([1, 2**53 + 1]), array([]), array([1, 2**53])], [1, 2**53, 2**53 + 1]),
        ([array([2**63 - 1]), array([])], [2**63 - 1]),
    ],
)
def test_sets_of_numbers_are_merged(sets, merged):
    found = union(sets)
    assert found.dtype == np.int64
    assert found.tolist() == merged


def test_sets_of_names_are_merged_by_code_points():
    sets = [["b", "Z"], [], ["é", "a", "10", "b", "😀", "\uffff", "9"]]
    found = union([np.array(names, dtype=object) for names in sets])
    assert found.tolist() == ["10", "9", "Z", "a", "b", "é", "\uffff", "😀"]
