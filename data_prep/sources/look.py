"""How a delimited file is written: decided from its first rows, one question after another.

The questions are, in order: comments, delimiter and quotes, width, header, columns, decimal sign, ids, times. Each
answer is an option's, or else what most rows say. Where two answers are as likely the file is refused, and the message
names the option that decides.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import chain, product
from pathlib import Path
from typing import Any, NamedTuple

from data_prep.options import PrepareOptions
from data_prep.rules import Rule
from data_prep.sources._layout import MARK, MISSING, Column, Kind, Layout, explain, is_date, plain, short, split
from data_prep.sources._raw_file import open_raw
from dgl_dysign.errors import ConfigError, DataError

EVENT = ("src", "dst", "time", "weight", "label", "src_label", "dst_label")
"""What the columns of a file of events may be."""
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9, "none": 1.0}
"""Units of time that a file may count in since 1970, how many a second; ``none``: steps, or no known origin."""

_LINES, _BYTES, _LONGEST, _FIRST, _ENOUGH, _SHOWN = 500, 1 << 20, 16 << 20, 5, 10, 12
_MOST_COLUMNS, _LONGEST_DATE = 10_000, 40
_COMMENTS = ("#", "%", "//", "sep=", '"sep=')  # the last are what Excel says to itself
_DELIMITERS = "\t;|, "
TITLES = {
    "src": "source", "dst": "destination", "node": "node", "time": "time", "weight": "weight", "label": "label",
    "src_label": "label of sources", "dst_label": "label of destinations", "target": "target",
}  # fmt: skip

_ENDS = (
    ("source src", "target dst destination dest", False),
    ("from", "to", False),
    ("sender", "receiver recipient", False),
    ("payer buyer", "payee seller", False),
    ("head subject", "tail object", False),
    ("origin", "destination dest", False),
    ("startid startnode", "endid endnode", False),
    ("citing", "cited", False),
    ("follower", "followee followed", False),
    ("caller", "callee", False),
    ("user", "friend", False),
    ("u", "v", False),
    ("i", "j", False),
    ("id1 node1 user1 person1", "id2 node2 user2 person2", False),
    ("user u customer reviewer reader author", "item i product movie business book song artist page paper", True),
)
"""Names of sources, names of destinations beside them, and whether the two are nodes of two types."""
_NAMES = {
    "time": "time timestamp ts datetime when unixtime unix unixtimestamp t createdat creationdate eventtime seconds "
    "second date day year step",
    "weight": "weight w amount rating value score stars",
    "label": "label class statelabel isfraud fraud category y target",
    "target": "target value y score label",
    "type": "type relation relationtype edgetype eventtype rel etype",
    "node": "node nodeid id vertex user account author paper name",
}
"""Names of other columns."""
_SOURCES = frozenset(" ".join(sources for sources, _, _ in _ENDS).split())
_TARGETS = frozenset(" ".join(targets for _, targets, _ in _ENDS).split())
_USUAL = _SOURCES | _TARGETS | frozenset(" ".join(_NAMES.values()).split())
_Roles = Mapping[str, Sequence[str]]  # and usual names of each
_ENDINGS = ("id", "ids", "idx", "index", "key", "node", "name", "user", "account", "address", "ip")

_DATES = (
    "%Y-%m-%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%Y/%m/%d", "%Y.%m.%d", "%d-%m-%Y", "%m-%d-%Y", "%m/%d/%y",
    "%d/%m/%y", "%d.%m.%y", "%d %b %Y", "%d-%b-%Y", "%b %d %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y",
)  # fmt: skip
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S")
_FORMATS = (
    *map("".join, product(_DATES, _CLOCKS)), "%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %z %Y",
    "%a, %d %b %Y %H:%M:%S %z", "%d/%b/%Y:%H:%M:%S %z", "%Y-%m-%d %H:%M:%S UTC", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%SZ",
    "%Y-%m",
)  # fmt: skip
_DIGITS = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_YEAR_2100 = 4_102_444_800
_RANGES = {"s": (1e8, 1e11), "ms": (1e11, 1e14), "us": (1e14, 1e17), "ns": (1e17, 1e20)}
"""What numbers are taken for times since 1970 in a unit: from 1973 on."""

_INTEGER = re.compile(r"0|[1-9][0-9]{0,18}")
_WHOLE = re.compile(r"(0|[1-9][0-9]{0,15})(\.0*)?")
_NUMBER = re.compile(r"[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][+-]?[0-9]+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+")
_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?")
_DATE_LIKE = re.compile(
    r"[0-9]{1,4}[/.-][0-9]{1,2}[/.-][0-9]{1,4}(?![0-9.])|(19|20)[0-9]{2}-[01][0-9]$|[0-9]{8}T[0-9]{6}|"
    r"(?=.*[0-9]{2}).*(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)",
    re.I,
)
_YEAR = re.compile(r"1[5-9][0-9]{2}|20[0-9]{2}|2100")
_MONTH = re.compile(r"(19[0-9]{2}|20[0-9]{2})(0[1-9]|1[0-2])")
_DAY = re.compile(_MONTH.pattern + r"(0[1-9]|[12][0-9]|3[01])")
_ZEROS = re.compile(r"0[0-9]+")
_CUT = re.compile(r"[1-9](\.[0-9]+)?[eE]\+[0-9]+")
"""A large integer as spreadsheets and floats write it: others may have been written so as well."""
_EXPONENT = re.compile(r"[0-9]\.([0-9]+)[eE]\+([0-9]+)")
_VALUES = {"weight": _NUMBER, "label": re.compile("(?!.*[.,][0-9]*[1-9]$).*")}
_DYGLIB = {"u", "i", "idx"}
"""Names of columns where items are counted on from the users, as in the files of TGN and DyGLib."""
_OTHERS = {
    rb".{257}ustar": ("a tar archive", "unpack it"),
    rb"version https://git-lfs": ("a pointer of Git LFS", "get the file itself, as by `git lfs pull`"),
    rb"\s*<(!doctype|!--|html|head|body|error|\?xml|graphml|gexf)": (
        "a web page or XML", "download the file itself, or write its edges as CSV"),
    rb"\s*(\{\s*[\"}]|\[\s*([\[{\"]|[0-9.-]+\s*[,\]]))": ("JSON", "write it as CSV"),
    rb"%%matrixmarket": ("a MatrixMarket file", "write its entries as CSV, each with a time"),
    rb"nodedef>|\*(vertices|network)\b|(creator[^\n]*\n)?graph\s*\[|dl\s+n\s*=": (
        "a file of GDF, Pajek, GML or UCINET", "write its edges as CSV"),
}  # fmt: skip
"""What other files begin with, what they are, and what to do."""
_OPEN = r'(^|{0}) *"([^"]|"")*$'
_QUOTED = r'(^|{0}) *"([^"]|"")*" *({0}|$)'
STEPS, WEEKS = Rule("step"), Rule("calendar", unit="week")
_ISO = Layout((Column("time", "date"),), delimiter="\x1f")
_SIGNS = {"\t": "tab", " ": "white space", ",": "comma", ";": "semicolon"}
_IDS = {"id": "integers", "integer": "integers", "whole": "whole numbers, some written as 1.0", "text": "text"}
_WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


class Take(NamedTuple):
    """What was taken for what, why, and the option that overrules it (empty where none does)."""

    what: str
    taken: str
    why: str
    option: str = ""


@dataclass(frozen=True)
class Look:
    """How a delimited file is written.

    Parameters
    ----------
    path : path
        The file.
    delimiter, decimal, encoding : str
        Character between columns (a blank: any white space), and before a fraction; codec of the text.
    comment : str, optional
        What lines of comment begin with.
    quote, header : bool
        Whether fields may stand in double quotes; whether the first line that is no comment names the columns.
    names : tuple of str
        Names of the columns, from the header or the last comment above the rows; empty where they have none.
    width : int
        Number of columns.
    places : dict of str to int
        Column of each role that has one, from 0; ``feat`` is the first one of features.
    ids : str
        Kind of the columns of ids.
    missing : bool
        Whether ``NaN`` and the like are missing ids: they are not where an option says that ids are text.
    time : Column, optional
        How times are written.
    unit : str
        What times count: one of :data:`UNITS`, or ``"date"``.
    rule : Rule
        How times become snapshots unless the user says otherwise.
    two_spaces : bool
        Whether sources and destinations are nodes of two types, with ids of their own.
    rows : tuple of list of str
        Fields of the first rows.
    takes : tuple of Take
        What was taken for what.
    """

    path: Path
    delimiter: str = " "
    decimal: str = "."
    encoding: str = "utf-8"
    comment: str | None = None
    quote: bool = False
    header: bool = False
    names: tuple[str, ...] = ()
    width: int = 0
    places: dict[str, int] = field(default_factory=dict)
    ids: Kind = "integer"
    missing: bool = True
    time: Column | None = None
    unit: str = "none"
    rule: Rule = STEPS
    two_spaces: bool = False
    rows: tuple[list[str], ...] = ()
    takes: tuple[Take, ...] = ()

    def id_column(self, role: str) -> Column:
        """Return the column of ids of this role."""
        return Column(role, self.ids, trim=self.ids == "text", missing=self.missing)

    def layout(self, columns: Iterable[Column], width: int | None = None, **more: Any) -> Layout:
        """Return the layout of the first `width` columns, of which those named after roles are read.

        `more` are arguments of :class:`data_prep.sources._layout.Layout`.
        """
        kinds = {self.places[column.name]: column for column in columns}
        return Layout(
            tuple(kinds.get(at, Column(f"column{at + 1}", "skip")) for at in range(width or self.width)),
            delimiter=self.delimiter,
            header=int(self.header),
            comment=self.comment,
            quote=self.quote,
            decimal=self.decimal,
            encoding=self.encoding,
            **more,
        )


class _Place(NamedTuple):
    """A column (from 0) and why it was taken."""

    at: int
    why: str


class _Times(NamedTuple):
    """How times are written, what they count, the rule for them, and why."""

    column: Column | None = None
    unit: str = "none"
    rule: Rule = STEPS
    why: str = ""


def called(names: Sequence[str], at: int) -> str:
    """Return the number of a column, from 1, and its name.

    >>> called(["", "to"], 0), called(["", "to"], 1)
    ('1', "2 ('to')")
    """
    return f"{at + 1} ({short(names[at])})" if names and names[at] else str(at + 1)


@dataclass(frozen=True)
class _Table:
    """The first rows of a file, cut into fields."""

    path: Path
    where: str
    comment: str | None
    delimiter: str
    quote: bool
    header: bool
    names: tuple[str, ...]
    width: int
    rows: tuple[list[str], ...]
    padded: bool

    @cached_property
    def columns(self) -> list[list[str]]:
        """Values of each column, without what is missing."""
        return [[row[at] for row in self.rows if row[at] and row[at] not in MISSING] for at in range(self.width)]

    @cached_property
    def levels(self) -> list[int]:
        """How surely the values of each column are times: plainly 3, dates in digits 2, numbers 1, or not at all 0."""
        return [_level(texts) for texts in self.columns]

    def called(self, at: int) -> str:
        """Return the number of a column, and its name."""
        return called(self.names, at)

    def listed(self) -> str:
        """Return the names of (the first) columns, or their number."""
        if not self.names:
            return f"{self.width} columns"
        return f"columns {', '.join(map(short, self.names[:_SHOWN]))}{', ...' * (self.width > _SHOWN)}"

    def index(self, column: str) -> int:
        """Return where a column is that an option names, or numbers from 1."""
        if self.names.count(column) > 1:
            raise ConfigError(f"{self.path}: found columns named {column} twice, expected one; give its number, from 1")
        if column not in self.names and not column.isdecimal():
            raise DataError(f"{self.where}: found {self.listed()}, expected {column}; name one, or give its number")
        at = self.names.index(column) if column in self.names else int(column) - 1
        if not 0 <= at < self.width:
            raise DataError(
                f"{self.path}: found {self.width} columns in most rows, expected column {column}; name another column "
                "or --delimiter"
            )
        return at


def look(path: Path, roles: Sequence[str], form: PrepareOptions, max_bytes: int | None = None) -> Look:
    r"""Look at the first rows of a file: 500 of them, or as many as about 1 MiB holds.

    Parameters
    ----------
    path : path
        The file, plain or compressed.
    roles : sequence of str
        What its columns may be: :data:`EVENT`; or ``node``, ``label`` or ``target``, and ``time`` for a file of nodes,
        whose times must be plain unless there is an option for them (`labels_at`).
    form : PrepareOptions
        What is known: all that an option says is taken from there; of a file of nodes, `src` is the name of the
        sources in the file of events, which its column of nodes may have, too.
    max_bytes : int, optional
        Most bytes after decompression; see :func:`data_prep.sources._raw_file.open_raw`.

    Returns
    -------
    Look
        How the file is written.

    Raises
    ------
    DataError, ConfigError
        If two readings are as likely, none fits, or an option contradicts the file.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "edges.csv"
    ...     _ = path.write_text("from,to,when\n4,9,1994\n9,2,1996\n")
    ...     seen = look(path, EVENT, PrepareOptions())
    >>> seen.header, seen.places, seen.time.format, seen.rule.unit
    (True, {'src': 0, 'dst': 1, 'time': 2}, '%Y', 'year')
    """
    lines, encoding = _sample(path, max_bytes, form.encoding or "utf-8")
    seen = look_at(lines, path, roles, form)
    if encoding == "utf-8":
        return seen
    take = Take("encoding", encoding, "the option" if form.encoding else "its mark", "--encoding")
    return replace(seen, takes=(take, *seen.takes))


def look_at(lines: list[str], path: Path, roles: Sequence[str], form: PrepareOptions) -> Look:
    """Do the work of :func:`look` on the first lines of a file."""
    table = _table(lines, path, roles, form)
    places, two_spaces = _places(table, roles, form)
    numbers = [place.at for role, place in places.items() if role in ("time", "weight", "target")]
    decimal = _decimal(table, numbers, form)
    ends = [place.at for role, place in places.items() if role in ("src", "dst", "node")]
    ids, why = _ids(table, [text for at in ends for text in table.columns[at]], form)
    _refuse_rows_in_comments(lines, table, places, ids, form)
    times = _times(table, places["time"].at, form) if "time" in places else _Times()
    two_spaces = two_spaces or re.match(r"% *bip\b", next(filter(str.strip, lines))) is not None  # as KONECT has it
    two_spaces = two_spaces if form.bipartite is None else form.bipartite
    columns = {role: places[role].at for role in roles if role in places}
    if form.edge_features:
        columns["feat"] = table.index(form.edge_features)
    seen = Look(
        path, table.delimiter, decimal, form.encoding or "utf-8", table.comment, table.quote, table.header, table.names,
        table.width, columns, ids, form.ids in (None, "auto"), times.column, times.unit, times.rule, two_spaces,
        table.rows[:_FIRST],
    )  # fmt: skip
    takes = []
    for take in _takes(table, places, why, times, seen):
        option = take.option.removeprefix("--").removeprefix("no-").replace("-", "_")
        takes.append(take if getattr(form, option, None) is None else take._replace(why="the option"))
    return replace(seen, takes=tuple(takes))


# ---- the sample


def check_header(path: Path, seen: Look, max_bytes: int | None = None) -> None:
    """Refuse another part of a file that does not begin with the same header: a row would be taken for one."""
    if not seen.names or not seen.header:
        return
    lines, _ = _sample(path, max_bytes, seen.encoding)
    lines = [line for line in lines if line.strip() and not (seen.comment and line.startswith(seen.comment))]
    names = next(_fields(lines[:1], seen.delimiter, seen.quote), [])
    if names + [""] * (seen.width - len(names)) != list(seen.names):
        raise DataError(
            f"{path}: found {short(lines[0]) if lines else 'no row'} at its beginning, expected the header "
            f"{short(seen.delimiter.join(seen.names))}; write it into all parts"
        )


def _sample(path: Path, max_bytes: int | None, encoding: str) -> tuple[list[str], str]:
    """Return the first lines of a file, and its encoding."""
    data, piece = b"", b""
    with open_raw(path, max_bytes, encoding) as stream:
        while len(data) < _LONGEST and data.count(b"\n") < (_LINES if len(data) < _BYTES else 2):
            try:
                piece = stream.read(1 << 16)
            except DataError:
                if data.count(b"\n") < 2:
                    raise
                break  # the reading names it, after the rows before it
            if not piece:
                break
            data += piece
        encoding = stream.encoding
    _refuse_no_text(path, data)
    lines = data.removeprefix(MARK).split(b"\n")
    whole = lines[:-1] if piece and len(lines) > 1 else lines
    # Names of columns are shown and kept: no surrogates, which no text can hold.
    return [line.removesuffix(b"\r").decode("utf-8", "backslashreplace") for line in whole[:_LINES]], encoding


def _refuse_no_text(path: Path, data: bytes) -> None:
    for sign, (what, remedy) in _OTHERS.items():
        if re.match(sign, data.removeprefix(MARK), re.IGNORECASE | re.DOTALL):
            raise DataError(f"{path}: found {what}, expected rows of sources, destinations and times; {remedy}")
    if data.count(b"\0") > data.count(b"\n") + 1:
        raise DataError(f"{path}: found NUL bytes, expected text; name a text file, or its --encoding")
    lone = data.count(b"\r") - data.count(b"\r\n")
    if lone > data.count(b"\n"):
        raise DataError(
            f"{path}: found carriage returns between lines, expected line feeds; convert it first, as by "
            r"`tr '\r' '\n' < FILE > NEW`"
        )


# ---- comments, delimiter, quotes, width, header


def _table(lines: list[str], path: Path, roles: Sequence[str], form: PrepareOptions) -> _Table:
    """Cut lines into fields."""
    nothing = DataError(f"{path}: found no rows, expected lines of {' '.join(roles[:3])}; check RAW")
    comment = _comment(lines, form)
    texts = [line for line in lines if line.strip() and not (comment and line.startswith(comment))]
    if not texts:
        raise nothing
    at = lines.index(texts[0])
    where = f"{path}, line {at + 1}"
    delimiter = {"\\t": "\t", "tab": "\t"}.get(form.delimiter or "", form.delimiter) or _delimiter(texts, roles)
    quote = _quote(path, texts, delimiter, form)
    rows = list(_fields(texts, delimiter, quote))
    width = _width(path, rows)
    names = _names_in_comment([line for line in lines[:at] if line.strip()], delimiter, width)
    header = _has_header(where, rows, width, names, roles, form)
    if header:
        # A header that stands again further down is a bad row, and says nothing about the others.
        first, rows = rows[0], [row for row in rows[1:] if row != rows[0]]
        if not rows:
            raise nothing
        width = _width(path, rows)
        names = _names_in_header(where, first, rows, width, form)
    rows = [row for row in rows if len(row) == width]
    if not rows:
        raise nothing
    padded = delimiter != " " and any(f"{delimiter} " in line or f" {delimiter}" in line for line in texts)
    return _Table(path, where, comment, delimiter, quote, header, names, width, tuple(rows), padded)


def _comment(lines: list[str], form: PrepareOptions) -> str | None:
    """Return what comments begin with: the first line tells. Where all lines do, they are rows."""
    if form.comment is not None:
        return form.comment or None
    lines = [line for line in lines if line.strip()]
    sign = next((sign for sign in _COMMENTS if lines and lines[0].startswith(sign)), None)
    return None if sign and all(line.startswith(sign) for line in lines) else sign


def _delimiter(lines: list[str], roles: Sequence[str]) -> str:
    """Return the first character that cuts most lines into as many columns as are needed, one of them like times."""
    for sign in _DELIMITERS:
        rows = list(_fields(lines, sign, sign != " " and _is_quoted(lines, sign)))
        width, count = _most_frequent(rows)
        if width < (3 if "src" in roles else 2) or 2 * count <= len(rows):
            continue
        columns = zip(*(row for row in rows if len(row) == width), strict=True)
        if "src" not in roles or any(2 * sum(map(_is_value, column)) >= len(column) for column in columns):
            mixed = sign == "\t" and 10 * count < 9 * len(rows) and not _is_quoted(lines, sign)
            spaced, more = _most_frequent(list(_fields(lines, " ", False))) if mixed else (0, 0)
            return " " if spaced == width and more > count else sign
    return next((sign for sign in "\t,;" if sign in lines[0]), " ")


def _most_frequent(rows: list[list[str]]) -> tuple[int, int]:
    """Return the number of columns that most rows have (of two that are as frequent the first), and how many do."""
    return next(iter(Counter(map(len, rows)).most_common(1)), (0, 0))


def _width(path: Path, rows: list[list[str]]) -> int:
    """Return the number of columns that most rows have."""
    width, _ = _most_frequent(rows)
    if width > _MOST_COLUMNS:
        raise DataError(
            f"{path}: found {width} columns, expected at most {_MOST_COLUMNS}; correct the line, or give another "
            "--delimiter, or the first column of features with --edge-features"
        )
    return width


def _quote(path: Path, lines: list[str], delimiter: str, form: PrepareOptions) -> bool:
    """Whether fields stand in quotes: as the option says, or if some field does."""
    if form.quote is not None:
        return form.quote
    _refuse_open_quotes(path, lines, delimiter)
    quoted = _is_quoted(lines, delimiter)
    if quoted and delimiter == " ":
        raise DataError(
            f"{path}: found quotes between blanks, expected them with another delimiter; give that with --delimiter, "
            "or --no-quote to keep quotes as parts of names"
        )
    return quoted


def _refuse_open_quotes(path: Path, lines: list[str], delimiter: str) -> None:
    """Refuse quoted fields that go over line ends: what is within them may look like a row."""
    odd = [line for line in lines if line.count('"') % 2]
    opens = re.compile(_OPEN.format(re.escape(delimiter)))
    if line := next(filter(opens.search, odd[:-1]), None):
        raise DataError(
            f"{path}: found a quote that is closed on another line in {short(line)}, expected rows of one line; write "
            "blanks for line ends in fields, or give --quote or --no-quote to read line by line"
        )


def _is_quoted(lines: list[str], delimiter: str) -> bool:
    """Whether a field stands in quotes."""
    quoted = re.compile(_QUOTED.format(re.escape(delimiter)))
    return any('"' in line and quoted.search(line) is not None for line in lines)


def _fields(lines: Iterable[str], delimiter: str, quote: bool) -> Iterator[list[str]]:
    """Yield the fields of each line without blanks around them."""
    layout = Layout((Column("line", "text"),), delimiter=delimiter, quote=quote)
    for line in lines:  # a carriage return would keep quotes from being seen
        text = line.replace("\r", " ").encode("utf-8", "surrogateescape")
        yield [field.strip() for field in split(text, layout)]


def _names_in_comment(comments: list[str], delimiter: str, width: int) -> tuple[str, ...]:
    """Return the words of the last comment above the rows that may be the names of the columns."""
    texts = [line.lstrip("#%/").strip() for line in reversed(comments)]
    for text, sign in product(texts, (delimiter, " ", ",")):
        words = next(_fields([text], sign, False))
        if len(words) == width and sum(map(_is_usual, words)) > 1 and not any(map(_is_value, words)):
            return tuple(words)
    return ()


def _has_header(
    where: str, rows: list[list[str]], width: int, names: tuple[str, ...], roles: Sequence[str], form: PrepareOptions
) -> bool:
    """Whether the first row names the columns: it has no number, and two signs that it does; of nodes, mostly one."""
    columns = [form.time, form.weight, form.label, form.src_label, form.dst_label, form.edge_features]
    columns += [form.src, form.dst] if "src" in roles else []
    by_name = [column for column in columns if column and not column.isdecimal() and column not in names]
    if by_name and form.header is False:
        raise ConfigError(f"found column {by_name[0]} without a header, expected its number, from 1")
    first, below = rows[0], [row for row in rows[1:] if len(row) == width]
    words = [] if any(map(_is_value, first)) else first
    if names and not words and form.header is None:
        return False  # a column that the comment does not name is in no header either
    if form.header is not None or by_name:
        return bool(by_name) or bool(form.header)
    contrasts = len(_contrasts(words, below, width))
    if "node" in roles:  # `ann,fraud` is a row, though some call a column fraud; `customer,is_fraud` is none,
        # unless a word stands in its column again, as classes do: `u,y` above `w,y`
        named = not set(_words("node", form)).isdisjoint(chain(*map(_stems, words)))
        again = any(text and text in column for text, column in zip(words, zip(*below, strict=True), strict=False))
        return contrasts > 0 or named or (sum(map(_is_usual, words)) > 1 and not again)
    signs = contrasts + sum(map(_is_usual, words))
    if signs < 2:
        _refuse_names_elsewhere(where, rows, width)
    if signs == 1 and below:
        raise DataError(
            f"{where}: found neither a number nor names that are usual in {short(' '.join(first))}, expected a "
            "header or a row; say which, with --header or --no-header"
        )
    return signs > 1


def _contrasts(row: list[str], others: list[list[str]], width: int) -> list[str]:
    """Return the words of this row in columns in which most others have a number or a date."""
    words = [at for at, text in enumerate(row[:width]) if text and text not in MISSING and not _is_value(text)]
    return [row[at] for at in words if 2 * sum(_is_value(other[at]) for other in others) > len(others)]


def _refuse_names_elsewhere(where: str, rows: list[list[str]], width: int) -> None:
    """Refuse a file with usual names of columns in another line than the first, or beside a number."""
    full = [row for row in rows if len(row) == width]
    for row in [*(row for row in rows[:_ENOUGH] if len(row) != width), *full]:
        usual = [text for text in row if _is_usual(text)]
        if len(usual) < 2:
            continue
        least = 2 if any(map(_is_value, row)) else 1  # with a number, `u v 3` may be a row
        words = usual if len(row) != width else [text for text in _contrasts(row, full, width) if text in usual]
        if any(len(word) >= least for word in words):
            raise DataError(
                f"{where}: found {short(' '.join(row))} further down, or with a number in it, expected names of "
                "columns in line 1 alone; correct that, or give --no-header if it is no header"
            )


def _names_in_header(
    where: str, names: list[str], rows: list[list[str]], width: int, form: PrepareOptions
) -> tuple[str, ...]:
    """Return a name for each column, some of them empty; none if all columns are given by number."""
    below = [row for row in rows if len(row) == width]
    while len(names) > width and not names[-1]:
        names = names[:-1]
    spare = all(not text for row in below for text in row[len(names) :])
    if len(names) == width or (len(names) < width and (spare or form.edge_features)):
        return tuple(names + [""] * (width - len(names)))
    if all(column and column.isdecimal() for column in (form.src, form.dst, form.time)):
        return ()
    raise DataError(
        f"{where}: found {len(names)} names of columns over rows of {width} columns, expected a name for each; "
        "give the columns by number: --src, --dst and --time, with --header, or features with --edge-features"
    )


# ---- which column is what


def _places(table: _Table, roles: Sequence[str], form: PrepareOptions) -> tuple[dict[str, _Place], bool]:
    """Return the column of each role, and whether the names say that sources and destinations are of two types."""
    chosen = {role: getattr(form, role, None) for role in roles}
    places = {role: _Place(table.index(column), "the option") for role, column in chosen.items() if column}
    roles = [role for role in roles if chosen[role] != ""]
    two_spaces = False
    if "src" in roles:
        ends, two_spaces = _ends_by_name(table, places)
        places = ends | places
        of_nodes = form.labels is not None or form.src_label or form.dst_label
        roles = [role for role in roles if role != "label" or not of_nodes]
    needed = roles[:3] if "src" in roles or form.labels_at else roles[:2]
    end = table.index(form.edge_features) if form.edge_features else table.width
    words = {role: _words(role, form) for role in roles}
    for step in (_by_name, _by_rest if table.names else _by_number):
        free = [at for at in range(end) if at not in {place.at for place in places.values()}]
        places = step(table, {role: words[role] for role in roles if role not in places}, free, needed) | places
    if len({place.at for place in places.values()}) < len(places):
        listed = ", ".join(f"{TITLES[role]} {table.called(places[role].at)}" for role in TITLES if role in places)
        raise ConfigError(
            f"{table.path}: found one column given twice ({listed}), expected different ones; name others"
        )
    return places, two_spaces


def _ends_by_name(table: _Table, chosen: dict[str, _Place]) -> tuple[dict[str, _Place], bool]:
    """Return the columns whose names are a usual pair for sources and destinations, and whether that has two types."""
    pairs = [
        ({"src": _Place(src, "its name"), "dst": _Place(dst, "its name")}, two_spaces)
        for sources, targets, two_spaces in _ENDS
        for src, dst in product(_named(table, sources), _named(table, targets))
    ]
    pairs = [pair for pair in pairs if all(pair[0].get(role, place).at == place.at for role, place in chosen.items())]
    if len(pairs) > 1 and not {"src", "dst"} <= chosen.keys():
        listed = " or ".join(f"{table.called(ends['src'].at)} to {table.called(ends['dst'].at)}" for ends, _ in pairs)
        raise DataError(
            f"{table.path}: found edges from columns {listed}, expected one such pair; name the columns with --src and "
            "--dst"
        )
    if pairs:
        ends, two_spaces = pairs[0]
        return ends, two_spaces and not set(table.names) >= _DYGLIB
    alone = {"src": _SOURCES - _TARGETS, "dst": _TARGETS - _SOURCES}
    columns = {role: _named(table, " ".join(words)) for role, words in alone.items() if role not in chosen}
    return {role: _Place(at[0], "its name") for role, at in columns.items() if len(at) == 1}, False


def _words(role: str, form: PrepareOptions) -> list[str]:
    """Return usual names of a column, likely ones first: of nodes, that of the events for their sources."""
    source = [_stems(form.src)[0]] if role == "node" and form.src else []
    return source + _NAMES.get(role, "").split()


def _by_name(table: _Table, roles: _Roles, free: list[int], needed: Sequence[str]) -> dict[str, _Place]:
    """Return the columns with usual names; of roles that are not needed, only a single one with values that fit."""
    places = {}
    for role, words in roles.items():
        columns = [at for at in _named(table, " ".join(words)) if at in free]
        if "node" in needed and len(columns) > 1:  # the likeliest name
            columns = next(filter(None, ([at for at in _named(table, word) if at in columns] for word in words)))
        twice = next((name for name in map(table.names.__getitem__, columns) if table.names.count(name) > 1), "")
        if twice:
            raise DataError(
                f"{table.where}: found {table.names.count(twice)} columns named {short(twice)}, expected one; give the "
                f"number of one with --{role.replace('_', '-')}"
            )
        if role == "time" and len(columns) > 1:
            columns = [at for at in [_likeliest(table, columns, 1)] if at is not None]
        elif role not in needed:
            columns = [at for at in columns if _fits(table.columns[at], role)]
        if len(columns) == 1:
            places[role] = _Place(columns[0], "its name")
    return places


def _by_rest(table: _Table, given: _Roles, free: list[int], needed: Sequence[str]) -> dict[str, _Place]:
    """Return needed columns whose names are not usual: a time by its values, others if that leaves no choice."""
    places = {}
    roles = [role for role in needed if role in given]
    if "time" in roles and len(free) > len(roles) and (at := _likeliest(table, free, 2)) is not None:
        places["time"] = _Place(at, "its values")
        roles, free = [role for role in roles if role != "time"], [other for other in free if other != at]
    if roles and len(free) != len(roles):
        options = " and ".join(f"--{role}" for role in roles)
        usual, remedy = "source, target and timestamp", f"name the columns with {options}"
        if "node" in needed:
            usual, remedy = f"{' and '.join(needed)}, and time if there is one", "name them so in the file"
            remedy += ", or that of classes with --label" * ("label" in roles)
        raise DataError(f"{table.where}: found {table.listed()}, expected usual names (such as {usual}); {remedy}")
    return places | {role: _Place(at, "its place") for role, at in zip(roles, free, strict=False)}


def _refuse_numbers_of_rows(table: _Table) -> None:
    """Refuse rows of four columns or more that may be `number source destination ...`: column 1 counts from 0 or 1."""
    second, third, size = {*table.columns[1]}, {*table.columns[2]}, len(table.rows)
    counts = table.columns[0] in [[str(at + start) for at in range(size)] for start in (0, 1)]
    if table.width > 3 and size >= _ENOUGH and counts and 2 * len(second & third) > len(third):
        raise DataError(
            f"{table.path}: found numbers of rows in column 1, expected to know which columns are ends of edges; give "
            "--src, --dst and --time"
        )


def _by_number(table: _Table, roles: _Roles, free: list[int], needed: Sequence[str]) -> dict[str, _Place]:
    """Return the columns of roles where they have no names: 1, 2, 3, but a later one that is plainly the time."""
    if len(roles) and table.width < len(needed):
        raise DataError(
            f"{table.path}: found {table.width} columns in most rows, expected {len(needed)}: {' '.join(needed)}; "
            "check --delimiter"
        )
    places = {role: _Place(at, "its place") for at, role in enumerate(needed) if role in roles and role != "time"}
    if {"src", "dst"} <= places.keys():
        _refuse_numbers_of_rows(table)
    if "time" not in roles:
        return places
    later = [at for at in free if at > 1]
    at = _likeliest(table, later, 2)
    _refuse_time_among_ends(table, 2 if at is None else at, [at for at in free if at < 2])
    if at is not None and at > 2:
        _refuse_relation(table, free)
        places["time"] = _Place(at, "its values")
        if "weight" in roles and at - 1 in later and _fits(table.columns[at - 1], "weight"):
            places["weight"] = _Place(at - 1, "the number before the time")
    elif "time" in needed or at == 2:
        _refuse_time_first(table, free)
        _refuse_time_later(table, later)
        places["time"] = _Place(2, "its place")
    return places


def _refuse_time_among_ends(table: _Table, time: int, ends: list[int]) -> None:
    """Refuse rows one of whose first two columns, by their place ends of edges, is more plainly of times."""
    surely = {at: (table.levels[at], _most(table.columns[at], _is_iso)) for at in (*ends, time) if at < table.width}
    likelier = [at for at in ends if surely[at] > max(surely.get(time, (0, False)), (1, True))]
    if len(likelier) == 1:
        raise DataError(
            f"{table.path}: found values like {short(table.columns[likelier[0]][0])} in column {likelier[0] + 1}, "
            f"expected to know which column is the time; name all three, as in --time {likelier[0] + 1} --src N --dst N"
        )


def _refuse_time_first(table: _Table, free: list[int]) -> None:
    """Refuse rows that may be `time source destination` or `source time destination`: values ascend or are shared."""
    if not {0, 1, 2} <= set(free) or len(table.rows) < _ENOUGH or table.levels[2] != 1:
        return
    values = [set(texts) for texts in table.columns[:3]]
    for time, end in ((0, 1), (1, 0)):
        if _ascends(table.columns[time]) and not values[end] & values[time] and values[end] & values[2]:
            raise DataError(
                f"{table.path}: found numbers that ascend in column {time + 1}, and ids of column {end + 1} in column "
                f"3, expected to know which are times; give --time 3, or --time {time + 1} --src {end + 1} --dst 3"
            )


def _refuse_time_later(table: _Table, later: list[int]) -> None:
    """Refuse rows that may be `source destination weight time`: a later column ascends, and column 3 does not."""
    ascending = [at for at in later if len(table.rows) >= _ENOUGH and _ascends(table.columns[at])]
    if ascending and 2 not in ascending and table.levels[2] == 1:
        raise DataError(
            f"{table.path}: found numbers that ascend in column {ascending[0] + 1}, not in column 3, expected to know "
            f"which are times; give --time 3, or --time {ascending[0] + 1}"
        )


def _refuse_relation(table: _Table, free: list[int]) -> None:
    """Refuse rows that may be `source relation destination time`: only columns 1 and 3 share values, and are text."""
    first, second, third = map(set, table.columns[:3])
    if {0, 1, 2} <= set(free) and not _fits(table.columns[2], "weight") and first & third and not first & second:
        raise DataError(
            f"{table.path}: found values of column 1 in column 3, and none in column 2, expected to know where edges "
            "lead; give --dst 2 or --dst 3"
        )


def _ascends(texts: list[str]) -> bool:
    """Whether values are numbers that ascend."""
    numbers = [float(text.replace(",", ".")) for text in texts if _NUMBER.fullmatch(text)]
    return len(numbers) == len(texts) and numbers == sorted(numbers) and numbers[:1] != numbers[-1:]


def _named(table: _Table, words: str) -> list[int]:
    """Return the columns whose names, or what is left of them without endings such as ``_id``, are among some words."""
    return [at for at, name in enumerate(table.names) if not set(words.split()).isdisjoint(_stems(name))]


@lru_cache(1 << 12)
def _stems(name: str) -> tuple[str, ...]:
    """Return a name in small letters without blanks and signs, and without one ending after another."""
    stems = ["".join(sign for sign in name.casefold() if sign.isalnum())]
    while ending := next((end for end in _ENDINGS if stems[-1].endswith(end) and stems[-1] != end), None):
        stems.append(stems[-1].removesuffix(ending))
    return tuple(stems)


def _is_usual(name: str) -> bool:
    return any(map(str.isalpha, name[:2])) and not _USUAL.isdisjoint(_stems(name))


def _likeliest(table: _Table, columns: list[int], least: int) -> int | None:
    """Return the column that is most surely of times; None if none is so by `least`."""
    level = max((table.levels[at] for at in columns), default=0)
    likeliest = [at for at in columns if table.levels[at] == level]
    if level < least:
        return None
    if len(likeliest) > 1:
        listed = " and ".join(map(table.called, likeliest[:_SHOWN]))
        raise DataError(f"{table.path}: found times in columns {listed}, expected one such column; name it with --time")
    return likeliest[0]


def _fits(texts: list[str], role: str) -> bool:
    """Whether most values may be of this role."""
    return role not in _VALUES or _most(texts, _VALUES[role].fullmatch)


# ---- what a value is


def _most(texts: Sequence[str], fits: Callable[[str], object]) -> bool:
    """Whether all but one, or but a tenth, fit, and more than half."""
    bad = sum(not fits(text) for text in texts)
    return bad <= max(1, len(texts) // 10) and 2 * bad < len(texts)


@lru_cache(1 << 14)
def _writing(text: str) -> str:
    """Return how a value may be written as a time: a number in a unit, a date, a time of day; or nothing."""
    if _NUMBER.fullmatch(text):
        value = float(text.replace(",", "."))
        return next((unit for unit, (low, high) in _RANGES.items() if low <= value < high), "none")
    if _CLOCK.fullmatch(text):
        return "clock"
    if len(text) > _LONGEST_DATE or not _DATE_LIKE.match(text):
        return ""
    if explain(text.encode("utf-8", "surrogateescape"), _ISO, 1, 0) is None:
        return "date"
    return "other" if _formats([text]) else ""


def _is_iso(text: str) -> bool:
    """Whether a value is a date in ISO 8601."""
    return _writing(text) == "date"


def _is_value(text: str) -> bool:
    """Whether a value is a number, a date or a time of day."""
    return _writing(text) != ""


def _formats(texts: Sequence[str]) -> list[str]:
    """Return the formats in which all of some dates may be written."""
    return [form for form in _FORMATS if all(is_date(text, form) for text in texts)]


def _digits(texts: Sequence[str]) -> str | None:
    """Return the format of most values if they are dates in 8, 10, 12 or 14 digits, 1900 to 2100; of all, if years."""
    if texts and all(map(_YEAR.fullmatch, texts)):
        return "%Y"
    form = _DIGITS.get(Counter(map(len, texts)).most_common(1)[0][0] if texts else 0)
    return form if form and _most(texts, lambda text: "1900" <= text[:4] <= "2100" and is_date(text, form)) else None


def _level(texts: list[str]) -> int:
    """Return how surely values are times: see :attr:`_Table.levels`."""
    counts = Counter(_writing(text) for text in texts)
    writing, count = counts.most_common(1)[0] if texts else ("", 0)
    if 2 * count <= len(texts) or writing in ("", "clock"):
        return 0
    if writing in ("none", "s", "ms") and _digits([text for text in texts if _NUMBER.fullmatch(text)]):
        return 2
    return 1 if writing == "none" else 3


# ---- decimal sign, ids, times


def _decimal(table: _Table, columns: list[int], form: PrepareOptions) -> str:
    """Return the sign before a fraction: a comma where numbers have one, and not as `1,500` has it."""
    if form.decimal is not None:
        return form.decimal
    numbers = [text for at in columns for text in table.columns[at] if _NUMBER.fullmatch(text)]
    texts = [text for text in numbers if "," in text]
    if table.delimiter == "," or len(texts) <= sum("." in text for text in numbers):
        return "."
    if all(map(_THOUSANDS.fullmatch, texts)):
        raise DataError(
            f"{table.path}: found numbers like {texts[0]}, expected to know if that is a fraction; give --decimal , if "
            "it is, or --decimal . and write numbers without such commas"
        )
    return ","


def _ids(table: _Table, texts: list[str], form: PrepareOptions) -> tuple[Kind, str]:
    """Return the kind of ids: integers if most are, but text if one has a zero before it that numbers would lose."""
    if form.ids in ("integer", "text"):
        return form.ids, "the option"  # type: ignore[return-value]
    if cut := next((text for text in texts if _CUT.fullmatch(text) and not _is_whole(text)), None):
        raise DataError(
            f"{table.path}: found an id {cut}, expected all of its digits; export it as text, or give --ids text if "
            "that is its name"
        )
    zeros = next((text for text in texts if _ZEROS.fullmatch(text)), None)
    if zeros:
        return "text", f"{zeros} begins with a zero"
    kind: Kind = "id" if _most(texts, _INTEGER.fullmatch) else "whole" if _most(texts, _is_whole) else "text"
    return kind, "their first values"


def _is_whole(text: str) -> bool:
    """Whether a text is a whole number with all of its digits, perhaps as ``1.0`` or ``1.000e+00``."""
    cut = _EXPONENT.fullmatch(text)
    return _WHOLE.fullmatch(text) is not None or (
        cut is not None and int(cut[2]) <= min(len(cut[1]), 15) and float(text).is_integer()
    )


def _times(table: _Table, at: int, form: PrepareOptions) -> _Times:
    """Return how the times of a column are written: as most of its values are."""
    if form.time_format is not None:
        return _dated(form.time_format, "the option")
    texts = table.columns[at]
    numbers = [text for text in texts if _writing(text) in UNITS]
    dates = [text for text in texts if _writing(text) == "date"]
    if 2 * len(dates) > len(texts):
        if form.time_unit is not None:
            raise ConfigError(
                f"{table.path}: found --time-unit {form.time_unit} and times like {short(dates[0])}, expected numbers; "
                "leave it out"
            )
        _refuse_clocks(table, at, dates, form)
        return _dated(None, "their first values", table.padded)
    if 2 * len(numbers) > len(texts):
        return _counted(table, at, numbers, form)
    raise _no_times(table, at, texts)


def _dated(written: str | None, why: str, trim: bool = False) -> _Times:
    """Return times that are dates: years if nothing but a year is written."""
    is_year = written is not None and re.findall("%(.)", written) == ["Y"]
    rule = Rule("calendar", unit="year" if is_year else "week")
    return _Times(Column("time", "date", written, trim=trim), "date", rule, why)


def _refuse_clocks(table: _Table, at: int, dates: list[str], form: PrepareOptions) -> None:
    """Refuse dates without a time of day beside a column of these, or of other parts, unless they were asked for."""
    parts = [other for other in _named(table, "year month day hour minute") if other != at]
    clocks = [at for at, texts in enumerate(table.columns) if _most(texts, lambda text: _writing(text) == "clock")]
    if form.time is None and (clocks or parts) and not any(":" in date for date in dates):
        other = f"times of day in column {table.called(clocks[0])}" if clocks else f"more in {table.called(parts[0])}"
        raise DataError(
            f"{table.path}: found dates in column {table.called(at)} and {other}, expected them in one, like "
            f"2021-03-01T08:00:00; join them, or give --time {at + 1} to read dates alone"
        )


def _counted(table: _Table, at: int, texts: list[str], form: PrepareOptions) -> _Times:
    """Return times that are numbers: dates in digits, years, or what they count since 1970."""
    if form.time_unit is not None:
        return _Times(
            Column("time", "number"), form.time_unit, STEPS if form.time_unit == "none" else WEEKS, "the option"
        )
    if written := _digits(texts):
        _refuse_clocks(table, at, texts, form)
        times = _dated(written, "all are real dates" if written != "%Y" else "all are years")
        return times._replace(column=Column("time", "yyyymmdd")) if written == "%Y%m%d" else times
    (unit, count), *others = Counter(map(_writing, texts)).most_common()
    if others and others[0][1] == count:
        raise DataError(
            f"{table.path}: found times in column {table.called(at)} that may count {unit} or {others[0][0]}, expected "
            "one unit; give --time-unit"
        )
    if unit == "none":
        _refuse_some_dates(table, at, texts)
        return _Times(Column("time", "number"), "none", STEPS, "they are too small for times since 1973")
    _refuse_far_times(table, at, texts, unit)
    words = f"a time like the first ones, in {unit} since 1970, or --time-unit {unit} for all numbers"
    column = Column("time", "number", within=(*_RANGES[unit], words))
    return _Times(column, unit, WEEKS, "they are so large")


def _refuse_far_times(table: _Table, at: int, texts: list[str], unit: str) -> None:
    """Refuse times most of which would be after 2100, or in nanoseconds before 2001: what they count is not known.

    Ticks of 100 ns since the years 1 and 1601, and microseconds since 1601, look so.
    """
    low, high = 1e18 if unit == "ns" else 0, _YEAR_2100 * UNITS[unit]
    if not _most(texts, lambda text: low <= float(text.replace(",", ".")) < high):
        raise DataError(
            f"{table.path}: found times like {texts[0]} in column {table.called(at)}, expected {unit} since 1970 "
            f"between {'2001' if low else '1973'} and 2100; give --time-unit {unit} if they are, or write them as dates"
        )


def _refuse_some_dates(table: _Table, at: int, texts: list[str]) -> None:
    """Refuse numbers that may be steps, but of which more than half are dates in digits, perhaps as floats."""
    for end, (written, form) in product(("", ".0"), (("%Y", _YEAR), ("%Y%m", _MONTH), ("%Y%m%d", _DAY))):
        digits = [text.removesuffix(end) for text in texts if text.endswith(end)]
        if 2 * sum(form.fullmatch(text) is not None for text in digits) > len(texts):
            raise DataError(
                f"{table.path}: found times like {texts[0]} in column {table.called(at)}, expected to know what they "
                f"are; give --time-format {written}{end}, or --time-unit none for steps"
            )


def _no_times(table: _Table, at: int, texts: list[str]) -> DataError:
    """Return the error for a column that holds neither numbers nor ISO dates; it names the format of other dates."""
    others = [text for text in texts if _writing(text) == "other"]
    if formats := _formats(others) if 2 * len(others) > len(texts) else []:
        return DataError(
            f"{table.path}: found times like {short(others[0])} in column {table.called(at)}, expected numbers or "
            "dates like 2013-12-31 16:39:18; give " + " or ".join(f"--time-format '{form}'" for form in formats[:4])
        )
    example = f"values like {short(texts[0])}" if texts else "no values"
    return DataError(
        f"{table.path}: found {example} in column {table.called(at)}, expected times; name another column with --time, "
        "or say how they are written with --time-format"
    )


# ---- what was taken for what


def _refuse_rows_in_comments(
    lines: list[str], table: _Table, places: dict[str, _Place], ids: Kind, form: PrepareOptions
) -> None:
    """Refuse a file with lines that may be comments and rows as well, unless an option says what they are."""
    if table.comment is None or form.comment is not None or "src" not in places:
        return
    comments = [line for line in lines if line.startswith(table.comment)]
    others = [place.at for role, place in places.items() if ids != "text" or role not in ("src", "dst")]
    for line, row in zip(comments, _fields(comments, table.delimiter, table.quote), strict=True):
        if len(row) != table.width or not all(row[place.at] for place in places.values()):
            continue
        if all(_alike(row[at], table.columns[at]) for at in others):
            raise DataError(
                f"{table.path}: found a line {short(line)}, expected to know if it is a comment; give --comment "
                f"{table.comment} if it is, or --comment '' if it is a row"
            )


def _alike(text: str, texts: list[str]) -> bool:
    """Whether a value is a number or a date, if most of some values are."""
    return _is_value(text) or not _most(texts, _is_value)


def _takes(table: _Table, places: dict[str, _Place], why_ids: str, times: _Times, seen: Look) -> Iterator[Take]:
    """Yield what was taken for what."""
    if seen.comment:
        yield Take("comments", f"lines that begin with {seen.comment}", "the first line", "--comment")
    yield Take("delimiter", _SIGNS.get(seen.delimiter, seen.delimiter), "the first rows", "--delimiter")
    if seen.quote:
        yield Take("quotes", "fields may stand in them", "the first rows", "--no-quote")
    if seen.header:
        names = ", ".join(map(plain, seen.names[:_SHOWN]))
        yield Take("header", f"{table.where.rpartition(', ')[2]}: {names}", "names, no numbers", "--no-header")
    elif not seen.names:
        yield Take("header", "none", "line 1 is a row", "--header")
    for role, title in TITLES.items():
        if role in places:
            place, option = places[role], f"--{role.replace('_', '-')}"
            yield Take(title, f"column {table.called(place.at)}", place.why, option)
    end = seen.places.get("feat", seen.width)
    if end < seen.width:
        yield Take("features", f"column {table.called(end)} and all behind it", "the option", "--edge-features")
    rest = [table.called(at) for at in range(end) if at not in seen.places.values()]
    if rest:
        more = f" and {len(rest) - _SHOWN} more" * (len(rest) > _SHOWN)
        plural = "s" * (len(rest) > 1)
        yield Take("passed over", f"column{plural} {', '.join(rest[:_SHOWN])}{more}", "no usual name or place")
    cut = "; blanks around them are cut" * (seen.ids == "text")
    yield Take("ids", _IDS[seen.ids] + cut, why_ids, "--ids")
    if seen.two_spaces:
        why = "names of columns" if seen.names else "% bip in line 1"
        yield Take("nodes", "two types, user and item, each with ids of its own", why, "--no-bipartite")
    if seen.decimal == ",":
        yield Take("decimal sign", "comma", "the first rows", "--decimal")
    if times.column:
        option = "--time-format" if times.unit == "date" else "--time-unit"
        yield Take("times", _written(times, table.columns[places["time"].at]), times.why, option)


def _written(times: _Times, texts: list[str]) -> str:
    """Return words for how times are written."""
    assert times.column is not None
    if times.column.kind == "yyyymmdd" or times.column.format is not None:
        return f"dates as {times.column.format or '%Y%m%d'}"
    if times.unit == "date":
        cut = any(re.search(r"\.[0-9]{7}", text) for text in texts)
        return "dates in ISO 8601, UTC unless they name a zone" + "; seconds are cut to six decimals" * cut
    return "steps, or seconds from no known time" if times.unit == "none" else f"{_WORDS[times.unit]} since 1970, UTC"
