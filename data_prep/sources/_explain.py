"""Words for what is wrong with a line; whether it is wrong at all is for the parser to say."""

import csv
import math
import re

from data_prep.sources._block import BLANKS
from data_prep.sources._dates import is_date
from data_prep.sources._layout import Column, Layout

_TO_BLANK = bytes.maketrans(b"\t\v\f\r", b"    ")
_INTEGER = re.compile(r"[ \t]*([+-]?)0*([0-9]{1,19})[ \t]*")
_NUMBER = re.compile(r"[ \t]*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*")
_DIGITS = re.compile(r"[ \t]*(\+?)0*([0-9]{8})[ \t]*")
_ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})([ T]([01][0-9]|2[0-3])(:?[0-5][0-9](:?[0-5][0-9](\.[0-9]{1,6})?)?)?"
    r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?"
)
_LARGEST = 2**63 - 1
_PAST_SINGLE = 3.4028235677973366e38


def split(line: bytes, layout: Layout) -> list[str]:
    """Return the fields of a line without its line end; bytes that are no UTF-8 become lone surrogates."""
    if layout.delimiter == " ":
        return [_decode(field) for field in line.translate(_TO_BLANK).split(b" ") if field]
    text = _decode(line.removesuffix(b"\r"))
    if layout.brackets:
        text = text.strip(" \t\r").removeprefix("[").removesuffix("]")
    if layout.quote and '"' in text:
        try:
            return next(csv.reader([text], delimiter=layout.delimiter), [])
        except csv.Error:
            pass
    return text.split(layout.delimiter)


def plain_line(layout: Layout, dim: int) -> re.Pattern[bytes]:
    """Return a pattern of lines that look good at a glance, to save most of them from `explain`."""
    mark = re.escape(layout.delimiter.encode())
    # Blanks and brackets belong to one part of the pattern only: a run of them has one way to be read, not n * n.
    blanks = rb" \t\[\]" if layout.brackets or layout.delimiter == " " else b""
    other = rb'[^%s%s\r"]' % (mark, blanks)
    between = rb"[ \t]+" if layout.delimiter == " " else rb" *%s *" % mark if layout.brackets else mark
    number = rb"[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
    skip = other + (b"+" if blanks else b"*")
    kinds = {"integer": rb"[0-9]{1,18}", "number": number, "yyyymmdd": rb"[12][0-9]{7}", "skip": skip}
    fields = [kinds.get(column.kind, other + b"+") for column in layout.columns]
    if layout.vector:
        again = b"," if layout.vector == "field" else mark
        fields.append(number + rb"(?:%s%s){%d}" % (again, number, dim - 1))
    line = between.join(fields)
    return re.compile((rb"\[ *%s *\]" % line if layout.brackets else line) + rb"\r?")


def explain(line: bytes, layout: Layout, width: int, dim: int) -> tuple[str, str] | None:
    """Say what was found in a line and what was expected, or None if nothing looks wrong.

    Parameters
    ----------
    line : bytes
        Without its line end.
    layout : Layout
        What it should hold.
    width : int
        How many fields, with those of a vector.
    dim : int
        How many values of a vector.
    """
    wrong = _wrong_form(line, layout)
    if wrong:
        return wrong
    fields = split(line, layout)
    if len(fields) != width:
        return f"{len(fields)} columns", f"{width} (`{layout.form}`)"
    for column, text in zip(layout.columns, fields, strict=False):
        expected = _wrong(text, column, layout.numeric)
        if expected:
            return f"{column.name} {short(text)}", expected
    return _wrong_vector(fields[len(layout.columns) :], layout, dim)


def _wrong_form(line: bytes, layout: Layout) -> tuple[str, str] | None:
    if layout.brackets:
        inside = line.strip(BLANKS)
        if not (inside.startswith(b"[") and inside.endswith(b"]")) or b"[" in inside[1:] or b"]" in inside[:-1]:
            return "no plain JSON array", f"`{layout.form}`"
    if b"\r" in line.removesuffix(b"\r") and layout.delimiter != " ":
        return "a carriage return inside the line", "one at its end only"
    if layout.quote and line.count(b'"') % 2:
        return "an odd number of quotes", "a closing quote before the end of the line"
    return None


def _wrong_vector(fields: list[str], layout: Layout, dim: int) -> tuple[str, str] | None:
    if layout.vector == "field":
        fields = fields[0].split(",")
        if len(fields) != dim:
            return f"{len(fields)} values of feat", f"{dim}, as in the first row"
    for at, text in enumerate(fields):
        if not _NUMBER.fullmatch(text) or abs(float(text)) >= _PAST_SINGLE:
            return f"feat[{at}] {short(text)}", "a finite 32-bit number"
    return None


def _wrong(text: str, column: Column, plus: bool) -> str | None:
    """Return what was expected of a field that does not fit; integers may begin with a plus sign where `plus`."""
    if column.kind == "integer":
        found = _INTEGER.fullmatch(text)
        value = int(found[1] + found[2]) if found else -1
        return None if 0 <= value <= _LARGEST and (plus or "+" not in text) else "an integer from 0 up"
    if column.kind == "number":
        return None if _NUMBER.fullmatch(text) and math.isfinite(float(text)) else "a finite number"
    if column.kind == "yyyymmdd":
        found = _DIGITS.fullmatch(text)
        good = found and (plus or not found[1]) and found[2] >= "1000" and is_date(found[2], "%Y%m%d")
        return None if good else "a real date as yyyymmdd"
    if column.kind in ("text", "date") and _has_surrogates(text):
        return "text in UTF-8"
    if column.kind == "text":
        return None if text.strip(" \t\n\v\f\r") else "text that is not blank"
    if column.kind == "date" and column.format is not None:
        return None if is_date(text, column.format) else f"a real date as {column.format}"
    if column.kind == "date":
        found = _ISO.fullmatch(text)
        return None if found and is_date(found[1], "%Y-%m-%d") else "a real date like 2013-12-31 16:39:18"
    return None


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def _has_surrogates(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text)


def short(text: str) -> str:
    """Return a quoted text of at most 60 characters, on one line."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
