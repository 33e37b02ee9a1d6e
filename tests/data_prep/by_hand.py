"""A delimited file read as a person would, line by line, to hold the real reading against; none of its code is used."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MISSING = {"NaN", "nan", "NULL", "null", "None", "NA", "N/A", "<NA>", "\\N"}
_MARKS = {
    b"\xff\xfe\0\0": "utf-32-le",
    b"\0\0\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}
_BLANKS = " \t\v\f\r"
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[ T]([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2})(?:\.([0-9]{1,9}))?)?)?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)


@dataclass(frozen=True)
class Form:
    """How a file is written; `places` are columns from 0 by role, `scale` is what times count a second."""

    delimiter: str = " "
    width: int = 3
    places: dict[str, int] = field(default_factory=lambda: {"src": 0, "dst": 1, "time": 2})
    header: bool = False
    comment: str = ""
    quote: bool = False
    unquoted: bool = False
    decimal: str = "."
    encoding: str = "utf-8"
    ids: str = "integer"
    missing: bool = False
    two_spaces: bool = False
    time: str = "number"
    time_format: str | None = None
    trim_time: bool = False
    scale: float = 1.0
    within: tuple[float, float] | None = None
    vector: str | None = None
    classes: bool = True


@dataclass
class Row:
    """A good row: its line from 1, and what it says; ids also as they are written."""

    line: int
    src: Any
    dst: Any
    time: float
    weight: float | None
    label: str | None
    written: tuple[str, str, str]
    classes: tuple[str, str] = ("", "")


@dataclass
class Reading:
    """All lines of a file, each in one of these lists, by number; and their texts."""

    good: list[Row] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    header: list[int] = field(default_factory=list)
    comments: list[int] = field(default_factory=list)
    blank: list[int] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    classes: dict[tuple[str, Any], str] = field(default_factory=dict)


def lines_of(data: bytes, encoding: str = "utf-8") -> list[str]:
    """Return the lines of a text without line feeds; bytes that are no text become lone surrogates."""
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), encoding)
    text = data.decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict").removeprefix("\ufeff")
    return text.removesuffix("\n").split("\n") if text else []


def read(data: bytes, form: Form) -> Reading:
    """Say of each line what it is."""
    reading = Reading(lines=lines_of(data, form.encoding))
    dim = None
    for number, line in enumerate(reading.lines, 1):
        text = line.strip(_BLANKS)
        if not text:
            reading.blank.append(number)
        elif form.comment and line.startswith(form.comment) and "\r" not in text:
            reading.comments.append(number)
        elif form.header and not reading.header:
            reading.header.append(number)
        else:
            try:
                row, length = row_of(line, form, number, dim)
                dim = length if dim is None else dim
                _learn_classes(reading.classes, row, form)
                reading.good.append(row)
            except (ValueError, OverflowError):
                reading.bad.append(number)
    return reading


def _learn_classes(known: dict[tuple[str, Any], str], row: Row, form: Form) -> None:
    """Note the classes that a row gives its nodes; raise ValueError, and note nothing, if one of them has another."""
    own: dict[tuple[str, Any], str] = {}
    for end, node, name in zip(("src", "dst"), (row.src, row.dst), row.classes, strict=True):
        key = (end if form.two_spaces else "", node)
        _need(not name or own.get(key, known.get(key, name)) == name)
        if name:
            own[key] = name
    known |= own


def row_of(line: str, form: Form, number: int = 0, dim: int | None = None) -> tuple[Row, int]:
    """Return a row and the length of its vector; raise ValueError if it is a bad one."""
    texts = fields_of(line, form)
    length = 0
    if form.vector:
        values = texts[form.width :]
        if form.vector == "field":
            _need(len(values) == 1)
            values = values[0].split(",")
        length = len(values)
        _need(length == (dim or length) and length > 0)
        _need(all(abs(_number(value, form.decimal)) < 3.4028235677973366e38 for value in values))
        texts = texts[: form.width]
    _need(len(texts) == form.width)
    numeric = form.time in ("number", "yyyymmdd") and form.ids != "text" and len(form.places) == form.width
    plus = numeric and form.vector != "field" and not (form.classes and any("label" in role for role in form.places))
    ends = {role: texts[form.places[role]] for role in ("src", "dst")}
    ids = [_id(text, form, plus) for text in ends.values()]
    time = _time(texts[form.places["time"]], form, plus)
    weight = _number(texts[form.places["weight"]], form.decimal) if "weight" in form.places else None
    label = _label(texts[form.places["label"]], form, plus) if "label" in form.places else None
    written = (*(text.strip(_BLANKS) for text in ends.values()), texts[form.places["time"]])
    columns = [form.places.get(role) for role in ("src_label", "dst_label")]
    classes = ["" if at is None else _label(texts[at], form, plus) for at in columns]
    return Row(number, *ids, time, weight, label, written, (classes[0], classes[1])), length


def fields_of(line: str, form: Form) -> list[str]:
    """Cut a line into fields; raise ValueError if it cannot be cut."""
    line = line.removesuffix("\r")
    _need("\r" not in line)
    if form.delimiter == " ":
        return re.split(r"[ \t\v\f]+", line.strip(" \t\v\f"))
    if not form.quote:
        return line.split(form.delimiter)
    fields, at = [], 0
    while True:
        text = ""
        if line[at : at + 1] == '"':
            quoted = re.compile(r'"((?:[^"]|"")*)"(?!")').match(line, at)
            if not quoted:
                raise ValueError(line)
            text, at = quoted[1].replace('""', '"'), quoted.end()
        end = line.find(form.delimiter, at)
        fields.append(text + line[at : end if end >= 0 else len(line)])
        if end < 0:
            return fields
        at = end + 1


def is_value(text: str) -> bool:
    """Whether a text is plainly a number or an ISO date, as no name of a column is."""
    text = text.strip()
    try:
        return bool(_NUMBER.fullmatch(text)) or _time(text, Form(time="date")) is not None
    except ValueError:
        return False


def _need(good: bool) -> None:
    if not good:
        raise ValueError


def _id(text: str, form: Form, plus: bool) -> int | str:
    if form.ids == "text":
        text.encode()  # a ValueError where bytes are no UTF-8
        text = text.strip(_BLANKS)
        _need(bool(text) and not (form.missing and text in MISSING))
        _need(not text.startswith(("\ufeff", '"') if form.unquoted else "\ufeff"))
        return text
    if form.ids == "whole":
        _need(_number(text, form.decimal) < 2**53 and not re.search(r"[eE]-|^[ \t]*([+-]|0[0-9])", text))
        exact = Decimal(text.strip(" \t").replace(form.decimal, "."))
        _need(exact >= 0 and exact == int(exact))
        return int(exact)
    number = _integer(text, plus)
    _need(form.ids == "integer" or text.strip(" \t") == str(number))
    return number


def _label(text: str, form: Form, plus: bool) -> str:
    """Return the name of a class, empty where there is none."""
    text.encode()
    return text.strip() if form.classes else str(_integer(text, plus))


def _integer(text: str, plus: bool) -> int:
    text = text.strip(" \t")
    _need(re.fullmatch(r"[+-]?[0-9]+" if plus else r"-?[0-9]+", text) is not None)
    _need(len(text.lstrip("+-0")) < 20 and 0 <= int(text) < 2**63)
    return int(text)


def _number(text: str, decimal: str) -> float:
    text = text.strip(" \t")
    _need(decimal == "." or "." not in text)
    text = text.replace(decimal, ".")
    _need(_NUMBER.fullmatch(text) is not None)
    _need(abs(float(text)) < float("inf"))
    return float(text)


def _time(text: str, form: Form, plus: bool = False) -> float:
    """Return seconds since 1970, or a step."""
    if form.time == "number":
        number = _number(text, form.decimal)
        low, high = form.within or (-float("inf"), float("inf"))
        _need(low <= number < high)
        return number / form.scale
    if form.time == "yyyymmdd":
        text = text.strip(" \t")
        text = text.removeprefix("+") if plus else text
        _need(re.fullmatch("0*[1-9][0-9]{7}", text) is not None)
        return (datetime.strptime(text[-8:], "%Y%m%d").replace(tzinfo=timezone.utc) - EPOCH).total_seconds()
    text.encode()
    text = text.strip(_BLANKS) if form.trim_time else text
    if form.time_format is not None:
        moment = datetime.strptime(text, form.time_format)
        return ((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)) - EPOCH).total_seconds()
    written = _ISO.fullmatch(text)
    if written is None:
        raise ValueError(text)
    day, hour, minute, second, decimals, zone = written.groups()
    moment = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=timezone.utc)
    hour, minute, second = int(hour or 0), int(minute or 0), int(second or 0)
    _need(hour < 24 and minute < 60 and second < 60)
    micros = (moment - EPOCH) // timedelta(microseconds=1) + ((hour * 60 + minute) * 60 + second) * 1_000_000
    micros += int((decimals or "").ljust(6, "0")[:6])
    if zone and zone != "Z":
        digits = zone[1:].replace(":", "").ljust(4, "0")
        micros -= int(zone[0] + "1") * (int(digits[:2]) * 60 + int(digits[2:])) * 60_000_000
    _need(micros >= -62_135_596_800 * 10**6)  # the year 1
    return micros / 1e6
