"""A few of the attacks of look_attacks.py, which runs thousands of them from the command line."""

from dataclasses import replace

import pytest

from data_prep import PrepareOptions
from tests.data_prep.by_hand import Form, lines_of, read
from tests.data_prep.look_attacks import Case, Sheet, attack, attacks, forced, guessed

CSV = Form(",", header=True, quote=True, comment="#", ids="text", missing=True)


def test_by_hand_each_line_is_one_thing():
    text = '#c\n\nfrom,to,when\n"a, ""b""",c,3\r\nNaN,c,3\nc,d\n\t\n#x\rc,d,4\nc\rd,d,4\nc,d,-1.5e1'
    reading = read(b"\xef\xbb\xbf" + text.encode(), CSV)
    assert (reading.comments, reading.blank, reading.header, reading.bad) == ([1], [2, 7], [3], [5, 6, 8, 9])
    assert [(row.line, row.src, row.dst, row.time) for row in reading.good] == [
        (4, 'a, "b"', "c", 3),
        (10, "c", "d", -15),
    ]


@pytest.mark.parametrize(
    ("form", "text", "time"),
    [
        (Form(time="date"), "2020-02-29T01:00:00.1234567+01:00", 1582934400.123456),
        (Form(time="date"), "2020-02-30", None),
        (Form(time="yyyymmdd"), "19700102", 86400),
        (Form(time="date", time_format="%Y"), "1971", 365 * 86400),
        (Form(scale=1e3, within=(1e11, 1e14)), "1600000000000", 1.6e9),
        (Form(scale=1e3, within=(1e11, 1e14)), "0", None),
        (Form(decimal=","), "1,5", 1.5),
        (Form(decimal=","), "1.5", None),
    ],
)
def test_by_hand_times(form, text, time):
    assert [row.time for row in read(f"1 2 {text}".encode(), form).good] == ([] if time is None else [time])


@pytest.mark.parametrize(
    ("kind", "ids"),
    [
        ("id", [7, 0]),
        ("integer", [7, 7, 0, 0]),
        ("whole", [7, 7, 0]),
        ("text", ["7", "07", "7.0", "0", "-0", "x"]),
    ],
)
def test_by_hand_ids(kind, ids):
    data = "".join(f"{text} 1 2\n" for text in ["7", "07", "7.0", "0", "-0", "x"]).encode()
    assert [row.src for row in read(data, Form(ids=kind)).good] == ids


def test_by_hand_text_has_the_encoding_of_its_mark():
    assert lines_of("é\nb\n".encode("utf-16")) == ["é", "b"]
    assert lines_of(b"\xe9\n", "latin-1") == ["é"]
    assert lines_of(b"") == []


ROWS = b"src,dst,time,weight\n1,2,1600000000,5\n2,01,1600000001,6\n2,1,1600000002,7\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"ids": "integer"}, "options say"),
        ({"places": {"src": 1, "dst": 0, "time": 2, "weight": 3}}, "options say"),
        ({"missing": True}, "options say"),
    ],
)
def test_another_reading_than_that_by_hand_is_seen(tmp_path, change, words):
    """Else the attacks would show nothing."""
    form = Form(",", 4, {"src": 0, "dst": 1, "time": 2, "weight": 3}, True, ids="text", within=(1e8, 1e11))
    case = Case(
        ROWS, Sheet(replace(form, **change), []), "forced", PrepareOptions(ids="text", quote=False), forced=True
    )
    if words:
        with pytest.raises(AssertionError, match=words):
            attack(case, tmp_path)
    else:
        assert attack(case, tmp_path)["rows"] == 3


def test_files_without_an_option_are_read_as_by_hand_or_refused():
    ends, wrong = attacks(guessed, 30, 0, seed=2026)
    assert wrong == []
    assert ends["none: prepared"] > 2


def test_bad_rows_of_known_forms_are_those_by_hand():
    ends, wrong = attacks(forced, 30, 0, seed=2026)
    assert wrong == []
    assert ends["rejected"] > 30
