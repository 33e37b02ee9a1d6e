"""Words for what is wrong with a line; whether it is wrong is for the parser to say."""

import csv
import math
import re
import time

from data_prep.sources._layout import Column, Layout

BLANKS = b" \t\v\f\r"
_INTEGER = re.compile(r"[ \t]*[+-]?[0-9]+[ \t]*")
_NUMBER = re.compile(r"[ \t]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*")
_ISO = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d(:?\d\d(:?\d\d(\.\d{1,6})?)?)?(Z|[+-]\d\d(:?\d\d)?)?)?", re.ASCII)
_LARGEST = 2**63 - 1
_LARGEST_SINGLE = 3.4028235e38


def split(line: bytes, layout: Layout) -> list[str]:
    """Return the fields of a line (without its line end), never raising."""
    text = line.decode("utf-8", "backslashreplace")
    if layout.delimiter == " ":
        return [field.decode("utf-8", "backslashreplace") for field in line.translate(_TO_BLANK).split(b" ") if field]
    if layout.brackets:
        text = text.strip(" \t\r").removeprefix("[").removesuffix("]")
    if layout.quote and '"' in text:
        try:
            return next(csv.reader([text], delimiter=layout.delimiter), [])
        except csv.Error:
            pass
    return text.split(layout.delimiter)


_TO_BLANK = bytes.maketrans(b"\t\v\f\r", b"    ")


def explain(line: bytes, layout: Layout, width: int, dim: int) -> tuple[str, str] | None:
    """Say what was found in a line and what was expected, or None if nothing looks wrong."""
    if layout.brackets and not (line.strip().startswith(b"[") and line.strip().endswith(b"]")):
        return "no JSON array", f"`{layout.form}`"
    line = line.removesuffix(b"\r")
    if b"\r" in line and layout.delimiter != " ":
        return "a carriage return inside the line", "one at its end only"
    fields = split(line, layout)
    if len(fields) != width:
        return f"{len(fields)} columns", f"{width} (`{layout.form}`)"
    for column, text in zip(layout.columns, fields, strict=False):
        expected = _wrong(text, column)
        if expected:
            return f"{column.name} {short(text)}", expected
    vector = fields[len(layout.columns) :]
    if layout.vector == "field":
        vector = vector[0].split(",")
        if len(vector) != dim:
            return f"{len(vector)} values of feat", f"{dim}, as in the first row"
    for at, text in enumerate(vector):
        if not _NUMBER.fullmatch(text) or not abs(float(text)) <= _LARGEST_SINGLE:
            return f"feat[{at}] {short(text)}", "a finite 32-bit number"
    if layout.quote and line.count(b'"') % 2:
        return "an odd number of quotes", "a closing quote before the line's end"
    return None


def _wrong(text: str, column: Column) -> str | None:
    """Return what was expected of a field that does not fit."""
    if column.kind == "integer":
        good = _INTEGER.fullmatch(text) and 0 <= int(text) <= _LARGEST
        return None if good else "an integer from 0 up"
    if column.kind == "number":
        good = _NUMBER.fullmatch(text) and math.isfinite(float(text))
        return None if good else "a finite number"
    if column.kind == "text":
        if "\\x" in text and not text.isascii():
            return None
        return None if text.strip(" \t\n\v\f\r") else "text that is not blank"
    if column.kind == "yyyymmdd":
        return None if _real(text.strip(" \t").lstrip("0"), "%Y%m%d", 8) else "a real date as yyyymmdd"
    if column.kind == "date":
        if column.format is None:
            good = bool(_ISO.fullmatch(text)) and _real(text[:10], "%Y-%m-%d", 10)
            return None if good else "a date like 2013-12-31 16:39:18"
        return None if _real(text, column.format) else f"a real date as {column.format}"
    return None


def _real(text: str, form: str, length: int | None = None) -> bool:
    try:
        time.strptime(text, form)
    except ValueError:
        return False
    return length in (None, len(text))


def short(text: str) -> str:
    """Return a quoted text of at most 60 characters."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
