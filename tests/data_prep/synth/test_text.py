import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.synth import text
from data_prep.synth.text import Bytes, Choice, Decimal, Integer, Maybe, Vector, joined, render, text_table

whole = st.integers(-(10**17), 10**17)


def lines(field, number, rows=None):
    rendered = bytes(render(joined([field], b" "), rows or slice(0, number)))
    return rendered.decode().splitlines()


@given(st.lists(whole, min_size=1))
def test_integers_are_written_as_python_writes_them(values):
    assert lines(Integer(np.array(values)), len(values)) == [str(value) for value in values]


@given(st.lists(st.integers(0, 10**15), min_size=1), st.integers(1, 8))
def test_decimals_have_no_zeros_at_the_end_but_one_decimal(values, decimals):
    for value, line in zip(values, lines(Decimal(np.array(values), decimals), len(values)), strict=True):
        whole, part = divmod(value, 10**decimals)
        assert line == f"{whole}.{f'{part:0{decimals}d}'.rstrip('0') or '0'}"


@given(st.lists(st.lists(st.integers(-9_999_999, 9_999_999), min_size=3, max_size=3), min_size=1))
def test_vectors_have_six_decimals(rows):
    expected = [",".join(f"{'-' * (v < 0)}{abs(v) // 10**6}.{abs(v) % 10**6:06d}" for v in row) for row in rows]
    assert lines(Vector(np.array(rows, np.int32)), len(rows)) == expected


def test_a_vector_of_one_value_and_one_beside_other_fields():
    line = joined([Integer(np.array([-5])), Vector(np.array([[1], [2]])), Integer(np.array([7]))], b";")
    assert bytes(render(line, slice(0, 1))) == b"-5;0.000001;7\n"


def test_texts_choices_and_empty_fields():
    table = text_table(["a", "bcd", "é"])
    present = np.array([False, True, True])
    fields = [Bytes(table), Choice(["x", "yy"], np.array([1, 0, 1])), Maybe(Integer(np.array([1, 20, 300])), present)]
    rendered = bytes(render(joined(fields, b"\t", begin=b"<", end=b">"), slice(0, 3)))
    assert rendered.decode() == "<a\tyy\t><bcd\tx\t20><é\tyy\t300>"


def test_rows_do_not_depend_on_each_other():
    values = np.array([0, 5, -123456, 99999, 10**12])
    fields = [Integer(values), Decimal(np.abs(values), 3), Vector(values[:, None] % 1000)]
    line = joined(fields, b",")
    together = bytes(render(line, slice(0, 5)))
    assert together == b"".join(bytes(render(line, slice(row, row + 1))) for row in range(5))


@pytest.mark.parametrize(("width", "rows"), [(10, 1 << 16), (10_000, 407), (10**8, 1)])
def test_blocks_stay_small(width, rows):
    line = joined([Bytes(np.zeros((1, width), np.uint8))], b"")
    assert text.block_rows(line) == pytest.approx(rows, rel=0.05)


def test_no_rows():
    assert bytes(render(joined([Integer(np.array([], np.int64))], b","), slice(0, 0))) == b""
