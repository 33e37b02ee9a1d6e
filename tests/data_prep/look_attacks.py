r"""Attacks on how files are looked at and read: ordinary files and damaged ones, against a reading by hand.

    python -m tests.data_prep.look_attacks --files 10000 --seed 0      # files without an option
    python -m tests.data_prep.look_attacks --forced 7200 --seed 0      # known formats, and forms that options force

A file without an option must be refused in one clear line, or read as it was said to be: each line is header, row,
rejected, comment or blank as a reading by hand has it, with the same ids, times and weights. Where few lines are
damaged it must be read as it was written. Each file depends on the seed and its own number alone, so that one can be
looked at again with ``--first N --files 1 --keep FOLDER``.
"""

import argparse
import gzip
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_prep import PrepareOptions, prepare
from data_prep.sources._source import ReadOptions
from data_prep.sources.edges import open_source
from dgl_dysign.errors import ConfigError, DataError
from tests.data_prep.by_hand import EPOCH, Form, Reading, Row, is_value, read, row_of
from tests.data_prep.damage import mutate
from tests.data_prep.raw_files import pieces_of

SECONDS = 10
"""A file that takes longer hangs."""
YEAR = 365 * 86_400
SCALES = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9, "none": 1.0, "date": 1.0}
WITHIN = {"s": (1e8, 1e11), "ms": (1e11, 1e14), "us": (1e14, 1e17), "ns": (1e17, 1e20)}
NAMES = {
    ("source", "target"): False, ("src", "dst"): False, ("From", "To"): False, ("u", "v"): False,
    ("SOURCE_ID", "TARGET_ID"): False, ("user_id", "item_id"): True, ("payer", "payee"): False, ("head", "tail"): False,
    ("alpha", "beta"): False, ("customer", "product"): True,
}  # fmt: skip
"""Names of the ends, and whether these are of two types."""
IDS: dict[str, tuple[str, Callable[[int], str]]] = {
    "small": ("id", str),
    "large": ("id", lambda at: str(2**40 + at)),
    "zeros": ("text", lambda at: f"{at:05}"),
    "whole": ("whole", lambda at: f"{at}.0"),
    "names": ("text", lambda at: f"user{at}"),
    "letters": ("text", lambda at: "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[at % 26] * (1 + at // 26)),
    "unicode": ("text", lambda at: f"{'éß地Жñ'[at % 5]}{at}"),
    "blanks": ("text", lambda at: f"Ann B {at}"),
    "hex": ("text", lambda at: f"0x{at * 2654435761 % 2**32:08x}"),
    "bare hex": ("text", lambda at: f"{at * 2654435761 % 2**32:08x}"),
    "mixed": ("text", lambda at: f"n{at}" if at % 2 else str(at)),
}
"""Kind of ids, and how one is written."""
_BASE = 1_300_000_000
_RATED = Form(",", 4, {"src": 0, "dst": 1, "weight": 2, "time": 3})
_EDITS = Form(",", 4, {"src": 0, "dst": 1, "time": 2, "label": 3}, True, two_spaces=True, vector="rest", classes=False)
_LINKS = Form(
    "\t", 5, {"src": 0, "dst": 1, "time": 3, "weight": 4}, True, unquoted=True, ids="text", time="date", vector="field"
)
_CONTACTS = Form("\t", 5, {"time": 0, "src": 1, "dst": 2, "src_label": 3, "dst_label": 4}, True)


def _contact(at: int) -> str:
    src, dst = at % 7, at * at % 5
    return f"{at}\t{src}\t{dst}\tc{src % 3}\t{'' if at % 4 else f'c{dst % 3}'}"


KNOWN: dict[str, tuple[str, Form, Callable[[int], str]]] = {
    "soc-sign-bitcoinotc.csv": ("edges", _RATED, lambda at: f"{at % 7},{at % 5},{at % 21 - 10},{_BASE + at}.25"),
    "soc-sign-bitcoinalpha.csv": ("edges", _RATED, lambda at: f"{at % 7},{at % 5},{at % 21 - 10},{_BASE - 9 * at}"),
    "contacts.tsv": ("edges", _CONTACTS, _contact),
    "CollegeMsg.txt": ("edges", Form(), lambda at: f"{at % 7} {at % 5} {_BASE + 9000 * at}"),
    "sx-stackoverflow.txt": ("edges", Form(), lambda at: f"{at % 7} {at % 5} {_BASE + 9000 * at}"),
    "soc-redditHyperlinks-body.tsv": (
        "edges", _LINKS, lambda at: f"sub{at % 7}\tb{at % 5}\tp{at}\t2014-01-{at % 28 + 1:02} 10:00:00\t1\t{at}.5,-1,0",
    ),
    "wikipedia.csv": ("wikipedia", _EDITS, lambda at: f"{at % 7},{at % 5},{at * 700.5},{at % 2},0.5,-1.25"),
}  # fmt: skip
"""Known formats, and one of which options say all: the command, how they are written, and a line."""
OPTIONS = {
    "contacts.tsv": PrepareOptions(
        time="1", src="2", dst="3", src_label="4", dst_label="5", ids="integer", time_unit="none", quote=False,
        header=True, delimiter="\t", comment="", decimal=".",
    )
}  # fmt: skip
HEADERS = {
    "contacts.tsv": "Time\tid1\tid2\tc1\tc2",
    "wikipedia.csv": "user_id,item_id,timestamp,state_label,comma_separated_list_of_features",
    "soc-redditHyperlinks-body.tsv": (
        "SOURCE_SUBREDDIT\tTARGET_SUBREDDIT\tPOST_ID\tTIMESTAMP\tLINK_SENTIMENT\tPROPERTIES"
    ),
}


def _iso(form: str) -> Callable[[int], str]:
    return lambda at: (EPOCH + timedelta(seconds=_BASE + 40_007 * at)).strftime(form)


TIMES: dict[str, tuple[dict[str, Any], str, Callable[[int], str]]] = {
    "s": ({"within": WITHIN["s"]}, "s", lambda at: str(_BASE + 40_007 * at)),
    "s.": ({"within": WITHIN["s"]}, "s", lambda at: f"{_BASE + 40_007 * at}.{at % 100:02}"),
    "ms": ({"within": WITHIN["ms"], "scale": 1e3}, "ms", lambda at: str((_BASE + 40_007 * at) * 1000 + at % 999)),
    "us": ({"within": WITHIN["us"], "scale": 1e6}, "us", lambda at: str((_BASE + 40_007 * at) * 10**6 + at)),
    "ns": ({"within": WITHIN["ns"], "scale": 1e9}, "ns", lambda at: str((_BASE + 40_007 * at) * 10**9 + at)),
    "day": ({"time": "date"}, "", _iso("%Y-%m-%d")),
    "iso": ({"time": "date"}, "", _iso("%Y-%m-%dT%H:%M:%S")),
    "iso blank": ({"time": "date"}, "", _iso("%Y-%m-%d %H:%M:%S")),
    "iso Z": ({"time": "date"}, "", _iso("%Y-%m-%dT%H:%M:%SZ")),
    "iso zone": ({"time": "date"}, "", _iso("%Y-%m-%dT%H:%M:%S+02:00")),
    "iso ns": ({"time": "date"}, "", lambda at: _iso("%Y-%m-%dT%H:%M:%S")(at) + f".{at * 1_234_567 % 10**9:09}"),
    "yyyymmdd": ({"time": "yyyymmdd"}, "", _iso("%Y%m%d")),
    "year": ({"time": "date", "time_format": "%Y"}, "", lambda at: str(1960 + at * 7 % 60)),
    "step": ({}, "none", lambda at: str(at // 3)),
    "step.": ({}, "none", lambda at: f"{at / 26:.6f}"),
}
"""How times are written: facts of the form, the unit an option has for it, and a time."""
PLAIN = ("s", "s.", "ms", "us", "ns", "day", "iso", "iso Z", "iso zone", "iso ns")
"""Those that are known in a fourth column without a name."""
ODD = (
    "NaN", "0", "00", "1e999", "", "9" * 25, "-1", "+5", "1970-01-01", "0x1F", "NULL", " ", "'", "#", "1.0", "007",
    "1,5", "\uff11\uff12", '"', '""', "2020-02-30", "19700101", "1970", "12345", "1e300", "-0", "5.5", "x", "%", "//",
    "1600000000", "1600000000000", "\u00a0", "\u2003x", "\x1c", "1e9", "00:00", "12/31/2020", "nan", "None", "<NA>",
)  # fmt: skip


@dataclass
class Sheet:
    """A file: how it is written, its lines, and how these become bytes."""

    form: Form
    lines: list[str]
    unit: str = ""
    end: str = "\n"
    mark: bool = False
    wide: str = ""
    gz: bool = False
    last_end: bool = True

    def text(self) -> bytes:
        """Return the bytes before they are compressed."""
        text = self.end.join(self.lines) + self.end * self.last_end
        if self.wide:
            text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            return b"\xff\xfe" * (self.wide != "latin-1") + text.encode(self.wide, "replace")
        return b"\xef\xbb\xbf" * self.mark + text.encode("utf-8", "surrogateescape")


def sheet(rng: random.Random) -> Sheet:
    """Make an ordinary file."""
    delimiter = rng.choice("\t,,,;| ")
    kind, name = (
        rng.choice(list(IDS.values()))
        if delimiter != " "
        else rng.choice([ids for name, ids in IDS.items() if name != "blanks"])
    )
    has_header = rng.random() < 0.5
    ends = rng.choice(list(NAMES))
    columns = ["src", "dst", "time"]
    if rng.random() < 0.4:
        columns.insert(rng.choice([2, 3]), "weight")
    times = [*TIMES] if has_header or "weight" not in columns else [*PLAIN]
    written = rng.choice([name for name in times if delimiter != " " or name != "iso blank"])
    facts, unit, time_at = TIMES[written]
    if has_header and ends != ("alpha", "beta"):
        columns += [
            other for other in ("type", "note", "label", "") if rng.random() < 0.15 and (other or delimiter != " ")
        ]
        rng.shuffle(columns)
    titles = {"src": ends[0], "dst": ends[1], "time": rng.choice(["time", "timestamp", "when", "created_at"])}
    titles |= {"weight": rng.choice(["weight", "amount", "rating"])}
    comma = (
        delimiter in ";\t|"
        and "weight" in columns
        and rng.random() < 0.3
        and written not in ("s.", "step.")
        and kind != "whole"
    )
    quotes = 0 if delimiter == " " else rng.choice([0, 0, 0, 1, 2])
    padded = " " * (kind == "text" and delimiter != " " and not quotes and rng.random() < 0.2)
    rows, nodes = rng.choice([9, 14, 25, 40, 40]) if rng.random() < 0.98 else 700, rng.choice([3, 8, 30])
    texts = []
    for at in range(rows):
        values = {
            "src": padded + name(rng.randrange(nodes)), "dst": name(nodes * NAMES[ends] + rng.randrange(nodes)),
            "time": time_at(at), "weight": rng.choice(["1", "-3", "0.5", "12.25", "1e3"]) + padded, "type": "follows",
            "label": str(at % 3 // 2),
            "note": rng.choice(["ok", "", "x y"]) if delimiter != " " else "ok", "": f"r{at}",
        }  # fmt: skip
        values["weight"] = values["weight"].replace(".", "," if comma else ".")
        texts.append(_line([values[column] for column in columns], delimiter, quotes, rng))
    if rng.random() < 0.2:
        rng.shuffle(texts)
    taken = {role: columns.index(role) for role in ("src", "dst", "time", "weight", "label") if role in columns}
    if not has_header and columns[-1] == "weight":
        del taken["weight"]
    comment = rng.choice(["#", "%", "//"]) if rng.random() < 0.25 else ""
    head = [rng.choice([comment, f"{comment} made by hand", f"{comment} n=3, m=4"]) for _ in range(rng.randint(1, 3))]
    head = head if comment else []
    has_names = has_header or (bool(comment) and rng.random() < 0.3)
    if has_names and not has_header:
        head.append(f"{comment} " + " ".join(titles.get(column, "note") for column in columns))
    if has_header:
        head.append(_line([titles.get(column, column) for column in columns], delimiter, quotes, rng))
    if rng.random() < 0.1:
        texts.insert(rng.randrange(len(texts) + 1), "")
    if comment and rng.random() < 0.3:
        texts.insert(rng.randrange(len(texts) + 1), f"{comment} and so on")
    form = Form(
        delimiter, len(columns), taken, has_header, comment, bool(quotes), decimal="," if comma else ".", ids=kind,
        missing=True, two_spaces=NAMES[ends] and has_names, trim_time=bool(padded), **facts,
    )  # fmt: skip
    wide = "utf-16-le" if rng.random() < 0.04 else ""
    return Sheet(
        form, head + texts, unit, rng.choice(["\n", "\n", "\r\n"]), rng.random() < 0.1, wide, rng.random() < 0.1,
        rng.random() < 0.8,
    )  # fmt: skip


def _line(values: list[str], delimiter: str, quotes: int, rng: random.Random) -> str:
    """Join values; with 2, all of them in quotes, with 1 those that need it, or some."""
    if quotes:
        values = [
            f'"{value}"' if quotes == 2 or delimiter in value or (not is_value(value) and rng.random() < 0.3) else value
            for value in values
        ]
    blank = rng.choice([" ", " ", " ", "  ", "\t"]) if delimiter == " " else delimiter
    return blank.join(values)


def hurt_line(lines: list[str], form: Form, rng: random.Random) -> None:
    """Damage one line, or put one more in."""
    at = rng.randrange(len(lines))
    line = lines[at]
    fields = line.split(form.delimiter)
    which, place = rng.randrange(17), rng.randrange(len(fields))
    if which == 0:
        del lines[at]
        lines += [""] * (not lines)
    elif which == 1:
        lines.insert(at, line)
    elif which == 2:
        other = rng.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    elif which == 3:
        lines.insert(at, rng.choice([lines[0], "", " ", "\t", "#", "# 1 2", "%x", "// a", "\x0c", form.comment + line]))
    elif which == 4:
        where = rng.randrange(len(line) + 1)
        sign = rng.choice(["\r", "\0", '"', form.delimiter, "\udcff", "\udce9", "\ufeff", " ", "\u0085", "\u2028"])
        lines[at] = line[:where] + sign + line[where:]
    elif which == 5:
        lines[at] = line[: rng.randrange(len(line) + 1)]
    elif which == 6:
        lines[at] = rng.choice(["#", "%", "//", '"', "'", "[", "+", "0", "-", "\ufeff"]) + line
    elif which == 7:
        lines[at] = line + rng.choice(["\r", "\r ", " ", "\t", "\x1a", form.delimiter, '"'])
    else:
        if which == 8:
            del fields[place]
        elif which == 9:
            fields.insert(place, rng.choice([fields[place], "", *ODD]))
        elif which == 10 and any(map(is_value, fields)):  # names in another order are another file
            rng.shuffle(fields)
        elif which == 11:
            fields[place] = f" {fields[place]} "
        elif which == 12:
            fields[place] = f'"{fields[place]}"'
        else:
            fields[place] = rng.choice(ODD)
        lines[at] = form.delimiter.join(fields)


def hurt_all(data: bytes, made: Sheet, rng: random.Random) -> bytes:
    """Damage a whole file."""
    sign = made.form.delimiter
    lines = list(made.lines)
    which = rng.randrange(8)
    if which == 0:  # columns in another order
        order = rng.sample(range(made.form.width), made.form.width)
        rows = [line.split(sign) for line in lines]
        lines = [sign.join([row[at] for at in order] if len(row) == len(order) else row) for row in rows]
    elif which == 1:  # another delimiter
        other = rng.choice("\t,;| ")
        lines = [line.replace(sign, other) for line in lines]
    elif which == 2:  # a column that holds the same odd value
        column, odd = rng.randrange(made.form.width), rng.choice(ODD)
        rows = [line.split(sign) for line in lines]
        lines = [sign.join([*row[:column], odd, *row[column + 1 :]]) for row in rows]
    elif which == 3:  # a column left out, or twice
        column, times = rng.randrange(made.form.width), rng.choice([0, 2])
        lines = [sign.join([*row[:column], *row[column : column + 1] * times, *row[column + 1 :]]) for row in
                 (line.split(sign) for line in lines)]  # fmt: skip
    elif which == 4:  # only a few rows
        lines = lines[: rng.randint(1, 4)]
    elif which == 5:
        for _ in range(len(lines) // 3):
            hurt_line(lines, made.form, rng)
    elif which == 6:
        return data.decode("latin-1").encode(rng.choice(["utf-16", "utf-16-le", "utf-32", "utf-7"]))
    else:
        return mutate(data, rng)
    return replace(made, lines=lines).text()


@dataclass
class Case:
    """A file to be prepared: its bytes, what of it is known, and the options."""

    data: bytes
    made: Sheet
    damage: str
    options: PrepareOptions
    pieces: tuple[int, int] = (1 << 17, 4 << 20)
    name: str = "mine.csv"
    dataset: str = "edges"
    forced: bool = False


def guessed(rng: random.Random) -> Case:
    """Make a file that is looked at without an option."""
    made = sheet(rng)
    damage = rng.choice(["none", "few lines", "few lines", "few lines", "all", "all"])
    if damage == "few lines":
        before = made.lines
        made.lines = list(made.lines)
        for _ in range(rng.choice([1, 1, 2])):
            hurt_line(made.lines, made.form, rng)
        damage = "all" if _has_other_names(before, made.lines, made.form) else damage
    data = made.text()
    return Case(hurt_all(data, made, rng) if damage == "all" else data, made, damage, PrepareOptions())


def forced(rng: random.Random) -> Case:
    """Make a file of a known format, or one of which options say all; many of its lines are damaged."""
    if rng.random() < 0.4:
        name, (dataset, form, line) = rng.choice(list(KNOWN.items()))
        head = [HEADERS[name]] if form.header else []
        made = Sheet(form, head + [line(at) for at in range(rng.randint(8, 40))], end=rng.choice(["\n", "\r\n"]))
        options = OPTIONS.get(name, PrepareOptions())
    else:
        made, name, dataset = sheet(rng), "mine.csv", "edges"
        made, options = _all_said(made, rng)
    for _ in range(int(len(made.lines) * rng.choice([0, 0.05, 0.2, 0.35])) + 1):
        hurt_line(made.lines, made.form, rng)
    pieces = (rng.choice([3, 7, 1 << 17]), rng.choice([40, 90, 300, 1000, 4 << 20]))
    return Case(made.text(), made, "forced", options, pieces, name, dataset, forced=True)


def _all_said(made: Sheet, rng: random.Random) -> tuple[Sheet, PrepareOptions]:
    """Return a file, and options that say all about it."""
    form = made.form
    ids = rng.choice(["integer", "text"]) if form.ids == "id" else "text"
    if not made.wide and rng.random() < 0.1:
        form = replace(form, encoding="latin-1")
    time_format = "%Y%m%d" if form.time == "yyyymmdd" else form.time_format
    quote = form.delimiter != " " and (form.quote or rng.random() < 0.3)
    form = replace(
        form, ids=ids, missing=False, within=None, time="date" if time_format else form.time, time_format=time_format,
        quote=quote, trim_time=form.trim_time and form.time_format is None,
    )  # fmt: skip
    columns = {role: str(at + 1) for role, at in form.places.items()}
    options = PrepareOptions(
        **columns, delimiter=form.delimiter, decimal=form.decimal, quote=quote, comment=form.comment,
        header=form.header, ids=ids, time_format=time_format, time_unit=made.unit or None, bipartite=form.two_spaces,
        encoding="latin-1" if form.encoding == "latin-1" else None,
    )  # fmt: skip
    mark = made.mark and form.encoding == "utf-8"
    return replace(made, form=form, wide=made.wide or form.encoding.removesuffix("utf-8"), mark=mark), options


def _has_other_names(before: list[str], lines: list[str], form: Form) -> bool:
    """Whether the header is gone, or names other columns: then no one can say what was meant."""
    if not form.header:
        return False
    sign = form.delimiter
    names = next(line for line in before if not (form.comment and line.startswith(form.comment))).split(sign)
    headers = [line.removesuffix(sign).split(sign) for line in lines]
    same = max(sum(map(str.__eq__, header, names)) for header in headers)
    return same < len(names) - 1 and not any(
        len({*names, *header}) <= len(names) + 1 < len(header) + 1 for header in headers
    )


def said_of(path: Path, options: PrepareOptions) -> Form:
    """Return how a file is written as the look at it has it."""
    seen = open_source(path, ReadOptions(), options).look
    assert seen is not None
    assert seen.time is not None
    column, unquoted = seen.time, seen.ids == "text" and options.quote is None
    return Form(
        seen.delimiter, seen.width, dict(seen.places), seen.header, seen.comment or "", seen.quote, unquoted,
        seen.decimal, seen.encoding, seen.ids, seen.missing, seen.two_spaces, column.kind, column.format, column.trim,
        SCALES[seen.unit], column.within[:2] if column.within else None,
    )  # fmt: skip


def _with_choices(form: Form, seen: Form) -> Form:
    """Return a form that options say, with what no option says as it was seen: blanks around dates, more columns."""
    places = {role: at for role, at in seen.places.items() if role in ("weight", "label")}
    return replace(form, trim_time=seen.trim_time, places={**places, **form.places})


def attack(case: Case, home: Path) -> Counter[str]:
    """Prepare one file, stopping and quarantining; raise AssertionError at anything that should not be."""
    raw = home / "raw"
    raw.mkdir(parents=True)
    path = raw / (case.name + ".gz" * case.made.gz)
    path.write_bytes(gzip.compress(case.data) if case.made.gz else case.data)
    ends: Counter[str] = Counter()
    said, stopped = case.made.form if case.forced else None, None
    for on_error in ("quarantine",) if case.forced else ("stop", "quarantine"):
        options = replace(case.options, on_error=on_error, features="none")
        manifest, message = _prepare(case, path, home / "out", options)
        if manifest is None:
            ends[f"{on_error}: refused"] += 1
            _check_refusal(case, message, said, on_error)
            stopped = re.match(rf"{re.escape(str(path))}, line ([0-9]+): .*--on-error quarantine", message)
            if not stopped:
                ends["refused: " + re.split("[;`'(]", message.partition("expected ")[2])[0].strip()[:60]] += 1
                break
            continue
        if case.name == "mine.csv":
            seen = said_of(path, case.options)
            assert said is None or seen == _with_choices(said, seen), f"{seen}, options say {said}"
            said = seen
        assert said is not None
        reading = read(case.data, said)
        assert stopped is None or int(stopped[1]) == reading.bad[0], f"line {stopped[1]}, by hand {reading.bad[0]}"
        ends[f"{on_error}: prepared"] += 1
        ends["rows"] += len(reading.good)
        ends["rejected"] += len(reading.bad)
        _check_counts(manifest, reading, home / "out")
        _check_rows(manifest, reading, said, home / "out")
        if not case.forced:
            _check_sense(case, reading, said)
        shutil.rmtree(home / "out")
        if not reading.bad:
            break
    return ends


def _prepare(case: Case, path: Path, out: Path, options: PrepareOptions) -> tuple[dict[str, Any] | None, str]:
    begin = time.process_time()
    manifest, message = None, ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            with pieces_of(*case.pieces):
                manifest = prepare(case.dataset, path, out, options)
        except (ConfigError, DataError) as error:
            message = str(error)
    assert time.process_time() - begin < SECONDS, "too slow"
    left = sorted(os.listdir(out.parent))
    assert left == (["raw"] if manifest is None else ["out", "raw"]), f"left behind: {left}"
    return manifest, message


def _check_refusal(case: Case, message: str, said: Form | None, on_error: str) -> None:
    assert message.replace("\t", "").isprintable(), message
    assert len(message) < 1500, message
    assert re.search("found .*[;?]", message), f"no remedy in: {message}"
    if said is not None and "found no rows" in message:
        assert not read(case.data, said).good, message
    elif case.forced:
        assert on_error == "stop" or "--on-error quarantine" not in message, message


def _check_counts(manifest: dict[str, Any], reading: Reading, out: Path) -> None:
    (source,) = manifest["sources"]
    counted = {"header": len(reading.header), "rows": len(reading.good), "rejected": len(reading.bad)}
    counted |= {"comments": len(reading.comments), "blank": len(reading.blank)}
    reported = {name: source.get(name, 0) for name in counted}
    bad: list[tuple[int, str]] = []
    if manifest["rejected_rows"]:
        table = pq.read_table(out / "rejected.parquet").to_pydict()
        bad = list(zip(table["line"], table["text"], strict=True))
    assert [line for line, _ in bad] == reading.bad, f"rejected {bad[:9]}, by hand {reading.bad[:9]}"
    for line, text in bad:
        by_hand = reading.lines[line - 1].removesuffix("\r").encode("utf-8", "surrogateescape")
        assert text == by_hand.decode("utf-8", "backslashreplace").strip()[:1000], f"text {text!r} of line {line}"
    assert reported == counted, f"counted {reported}, by hand {counted}"
    assert sum(reported.values()) == len(reading.lines), f"{reported} of {len(reading.lines)} lines"


def _check_rows(manifest: dict[str, Any], reading: Reading, said: Form, out: Path) -> None:
    nodes = pq.read_table(out / "nodes.parquet").to_pydict()
    edges = pq.read_table(out / "edges.parquet").to_pydict()
    order = sorted(range(len(edges["edge_id"])), key=edges["edge_id"].__getitem__)
    spaces = ("user", "item") if said.two_spaces else ("", "")
    for end, space in zip(("src", "dst"), spaces, strict=True):
        ends = [(nodes["type"][edges[end][at]] or "", nodes["raw_id"][edges[end][at]]) for at in order]
        _same(ends, [(space, str(getattr(row, end))) for row in reading.good], end)
    distinct = {
        (space, getattr(row, end)) for row in reading.good for end, space in zip(("src", "dst"), spaces, strict=True)
    }
    if manifest["id_order"] == "ascending":
        assert manifest["num_nodes"] == len(distinct), f"{manifest['num_nodes']} nodes, by hand {len(distinct)}"
    _same([edges["time"][at] for at in order], [row.time for row in reading.good], "time")
    if "weight" in said.places:
        _same([edges["weight"][at] for at in order], [row.weight for row in reading.good], "weight")
    else:
        assert "weight" not in edges
    if reading.classes:
        labels = pq.read_table(out / "labels.parquet").to_pydict()
        real = {
            (nodes["type"][node] or "", nodes["raw_id"][node], manifest["class_names"][label])
            for node, label in zip(labels["node"], labels["label"], strict=True)
        }
        assert real == {(space, str(node), name) for (space, node), name in reading.classes.items()}, "classes"
    if "label" in said.places:
        labels = pq.read_table(out / "labels.parquet").to_pydict()
        names = manifest["class_names"]
        label_of = dict(zip(labels["edge_id"], labels["label"], strict=True))
        real = [names[label_of[at]] if at in label_of else "" for at in range(len(order))]
        _same(real, [row.label for row in reading.good], "label")


def _same(real: list[Any], by_hand: list[Any], what: str) -> None:
    both = enumerate(zip(real, by_hand, strict=True))
    differ = next(((at, one, other) for at, (one, other) in both if one != other), None)
    assert differ is None, f"{what} of row {differ[0]} is {differ[1]!r}, by hand {differ[2]!r}"


def _check_sense(case: Case, reading: Reading, said: Form) -> None:
    """Demand that nothing was taken for what it plainly is not."""
    for line in reading.header:
        fields = re.split(r"\s+" if said.delimiter == " " else re.escape(said.delimiter), reading.lines[line - 1])
        assert not any(is_value(text.strip(' "')) for text in fields), f"the header {fields} holds a number"
    for line in reading.comments if case.damage != "all" else ():
        text = reading.lines[line - 1]
        row = _row(text, replace(said, comment=""))
        is_commented_out = is_value(re.split(r'["\s,;|]+', text.removeprefix(said.comment).strip(' "'))[0])
        assert row is None or is_commented_out, f"the comment {text!r} is a row"
    if said.scale != 1 or said.within or said.time != "number":
        for row in reading.good:
            assert not 0 <= row.time < YEAR or "70" in row.written[2], f"1970: {row}"
    if case.damage != "all":
        _check_truth(case, reading, said)


def _check_truth(case: Case, reading: Reading, said: Form) -> None:
    """Demand that a file is read as it was written, where that did not change much; quotes may be seen in it."""
    made = case.made.form
    assert said.two_spaces == made.two_spaces or case.damage != "none", "spaces"
    lost = 0
    truth = read(case.data, made)
    accepted = {row.line: row for row in reading.good}
    for row in truth.good:
        other = accepted.get(row.line)
        lost += other is None
        if other is not None and not (said.quote > made.quote and '"' in reading.lines[row.line - 1]):
            for end in (0, 1):
                names = str((row.src, row.dst)[end]), row.written[end]
                assert str((other.src, other.dst)[end]) in names, f"ends of {other}, written as {row}"
            assert other.time == row.time, f"{other}, written as {row}"
            assert None in (other.weight, row.weight) or other.weight == row.weight, f"{other}, written as {row}"
    assert lost <= 2 + len(truth.good) // 10, f"{lost} good rows of {len(truth.good)} lost"


def _row(line: str, form: Form) -> Row | None:
    try:
        return row_of(line, form)[0]
    except ValueError:
        return None


def attacks(make: Callable[[random.Random], Case], count: int, first: int, seed: int, keep: Path | None = None,
            progress: bool = False) -> tuple[Counter[str], list[str]]:  # fmt: skip
    """Prepare so many files; return what came out, and a description of each that went wrong."""
    ends: Counter[str] = Counter()
    wrong = []
    with tempfile.TemporaryDirectory(prefix="look-attacks-") as folder:
        for number in range(first, first + count):
            case, home = make(random.Random(f"{seed}-{number}")), Path(folder) / str(number)
            try:
                come = attack(case, home)
                ends += come
                ends[f"{case.damage}: {'prepared' if any('prepared' in end for end in come) else 'refused'}"] += 1
            except Exception:
                wrong.append(f"file {number} ({case.damage}): {traceback.format_exc(limit=-2)}")
                if progress:
                    print(wrong[-1], flush=True, file=sys.stderr)
                if keep:
                    shutil.copytree(home, keep / str(number), dirs_exist_ok=True)
            shutil.rmtree(home, ignore_errors=True)
    return ends, wrong


def main() -> None:
    """Make the files that the command line asks for; exit status 1 if one goes wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=0, help="number of files that are looked at without an option")
    parser.add_argument("--forced", type=int, default=0, help="number of files whose form is known")
    parser.add_argument("--first", type=int, default=0, help="number of the first of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="where files go on which something went wrong")
    chosen = parser.parse_args()
    wrong: list[str] = []
    for make, count in ((guessed, chosen.files), (forced, chosen.forced)):
        start = time.perf_counter()
        ends, failures = attacks(make, count, chosen.first, chosen.seed, chosen.keep, progress=True)
        wrong += failures
        if count:
            facts = {"files": count, "wrong": len(failures), "seconds": round(time.perf_counter() - start)}
            print(json.dumps({**facts, **dict(sorted(ends.items()))}))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
