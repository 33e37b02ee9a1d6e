"""Tables as the text of the CSV of their rows: Parquet, Feather and Arrow files, and tables in memory.

What reads lines reads that text, so that every check, count and guess is the same for a table as for its CSV.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dgl_dysign.errors import DataError

_MAGIC = {
    "Parquet": re.compile(rb"PAR[1E]"),
    "Arrow": re.compile(rb"ARROW1\0\0"),
    "Arrow stream": re.compile(rb"\xff{4}[^\xff]{2}.[\0-\x0f]", re.DOTALL),
    "Feather 1": re.compile(rb"FEA1"),
}
_END = b"\xff\xff\xff\xff\0\0\0\0"
_ROWS, _VALUES = 1 << 14, 1 << 20
"""Most rows, and values, that are text at once."""
_TEXT = pa.large_binary()
_COARSER = {"ns": (1000, "us"), "us": (1000, "ms"), "ms": (1000, "s")}


def form_of(begin: bytes) -> str | None:
    """Return the form of a file of a table by its first 10 bytes; None for other files.

    >>> form_of(b"PAR1...."), form_of(b"src,dst,ti")
    ('Parquet', None)
    """
    return next((form for form, magic in _MAGIC.items() if magic.match(begin)), None)


def is_table(path: Path) -> bool:
    """Whether a file is there and holds a table."""
    try:
        with open(path, "rb") as file:
            return form_of(file.read(10)) is not None
    except OSError:
        return False


def is_frame(value: Any) -> bool:
    """Whether a value is a table in memory: of pandas, polars, pyarrow, or of what else speaks Arrow."""
    return _is_pandas(value) or hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__")


def _is_pandas(value: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def texts_of_file(path: Path, file: BinaryIO, form: str) -> Iterator[bytes]:
    """Yield the CSV of a file of a table, some rows at a time.

    Raises DataError if the file cannot be read as a table of plain columns; a damaged one ends in pyarrow's errors.
    """
    batches: Iterable[pa.RecordBatch]
    source = pa.PythonFile(file, "r")
    if form == "Feather 1":
        raise DataError(
            f"{path}: found Feather of version 1, expected version 2, Arrow or Parquet; write it again, for example "
            "with pandas.read_feather and to_parquet of an older pyarrow"
        )
    if form == "Parquet":
        parquet = pq.ParquetFile(source, buffer_size=_VALUES, pre_buffer=False)  # not all of a row group at once
        schema, batches = parquet.schema_arrow, parquet.iter_batches(_ROWS)
    elif form == "Arrow":
        reader = pa.ipc.open_file(source)
        schema, batches = reader.schema, map(reader.get_batch, range(reader.num_record_batches))
    else:
        stream = pa.ipc.open_stream(source)
        schema, batches = stream.schema, stream
    yield from _texts(str(path), schema, batches)
    if form == "Arrow stream":
        _check_end(path, file)


def _check_end(path: Path, file: BinaryIO) -> None:
    """Refuse a stream that was cut between two batches, or goes on after its end: pyarrow takes both for whole."""
    file.seek(-len(_END), 1)
    if file.read(len(_END)) != _END or file.read(1):
        raise DataError(
            f"{path}: found no end of the Arrow stream where its data end, expected one whole stream; write it again"
        )


def texts_of_frame(name: str, frame: Any) -> Iterator[bytes]:
    """Yield the CSV of a table in memory, some rows at a time; `name` stands in messages.

    Raises DataError if it has nested columns, or such as Arrow has no type for.
    """
    batches: Iterator[pa.RecordBatch]
    try:
        if _is_pandas(frame):
            # Some rows at a time, and without the index, which is a column in what pandas itself gives out.
            rows = (frame.iloc[at : at + _ROWS] for at in range(0, max(len(frame), 1), _ROWS))
            tables = (pa.Table.from_pandas(some, preserve_index=False) for some in rows)
            first = next(tables)
            schema = first.schema
            batches = chain.from_iterable(table.to_batches() for table in chain([first], tables))
        elif hasattr(frame, "__arrow_c_stream__"):
            reader = pa.RecordBatchReader.from_stream(frame)
            schema, batches = reader.schema, iter(reader)
        else:
            batch = pa.record_batch(frame)
            schema, batches = batch.schema, iter([batch])
        yield from _texts(name, schema, batches)
    except (pa.ArrowException, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{name}: found columns that Arrow cannot hold ({reason}), expected one type a column and each name once; "
            "convert them first, for example with astype"
        ) from None


def _texts(name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    vector = _vector(name, schema)
    names = [field for at, field in enumerate(schema.names) if at != vector]
    if vector is not None:
        field = schema.field(vector)
        names += [field.name, *(f"{field.name}.{at}" for at in range(1, field.type.list_size))]
    if not names:
        raise DataError(f"{name}: found a table without columns, expected src, dst and time; check RAW")
    yield _lines([pa.array([field]) for field in names])
    rows = max(1, min(_ROWS, _VALUES // len(names)))
    for batch in batches:
        for first in range(0, batch.num_rows, rows):
            yield _lines(_columns(batch.slice(first, rows), vector))


def _vector(name: str, schema: pa.Schema) -> int | None:
    """Return the place of the one column of vectors, if there is one; refuse other nested ones."""
    vectors = [at for at, field in enumerate(schema) if pa.types.is_fixed_size_list(field.type)]
    for at, field in enumerate(schema):
        values = field.type.value_type if [at] == vectors else field.type
        if pa.types.is_dictionary(values):
            values = values.value_type
        if pa.types.is_nested(values):
            raise DataError(
                f"{name}: found nested column {field.name!r} ({field.type}), expected plain columns, and at most one "
                "of vectors of one length (fixed_size_list); leave it out, or make plain columns of it"
            )
    return vectors[0] if vectors else None


def _columns(batch: pa.RecordBatch, vector: int | None) -> list[pa.Array]:
    columns = [column for at, column in enumerate(batch.columns) if at != vector]
    if vector is not None:
        values = batch.column(vector)
        columns += [pc.list_element(values, at) for at in range(values.type.list_size)]
    return columns


def _lines(columns: list[pa.Array]) -> bytes:
    """Return the rows of some columns as lines."""
    texts = [_field(column) for column in columns]
    comma, end, nothing = (pa.scalar(sign, _TEXT) for sign in (b",", b"\n", b""))
    rows = pc.binary_join_element_wise(*texts, comma, null_handling="replace", null_replacement=b"")
    # The texts of an array lie one behind the other.
    return pc.binary_join_element_wise(rows, end, nothing).buffers()[2].to_pybytes()


def _field(values: pa.Array) -> pa.Array:
    """Write the values of a column as fields; only what is text in itself can need quotes."""
    kind = values.type
    if isinstance(kind, pa.BaseExtensionType):
        return _field(values.storage)
    if pa.types.is_dictionary(kind):
        return _field(values.dictionary).take(values.indices)
    if pa.types.is_run_end_encoded(kind):
        return _field(pc.run_end_decode(values))
    text = _text(values)
    return _quoted(values.cast(_TEXT)) if text is None else text.cast(_TEXT)


def _quoted(texts: pa.Array) -> pa.Array:
    """Put fields in quotes that need them; a line end in one becomes a return: the row is bad, and still one."""
    needed = pc.match_substring_regex(texts, '[",\r\n]')
    if not pc.any(needed).as_py():
        return texts
    mark, nothing = (pa.scalar(sign, _TEXT) for sign in (b'"', b""))
    inside = pc.replace_substring(pc.replace_substring(texts, '"', '""'), "\n", "\r")
    return pc.if_else(needed, pc.binary_join_element_wise(mark, inside, mark, nothing), texts)


def _text(values: pa.Array) -> pa.Array | None:
    """Write the values of a column as text; None if they are text."""
    kind = values.type
    if pa.types.is_timestamp(kind):
        return _instants(values)
    if pa.types.is_date(kind):
        return values.cast(pa.date32()).cast(pa.string())
    if pa.types.is_floating(kind):
        return _floats(values.cast(pa.float32()) if pa.types.is_float16(kind) else values)
    if pa.types.is_duration(kind):
        # Never a number: its unit is another's second.
        return pc.binary_join_element_wise(values.cast(pa.int64()).cast(pa.string()), kind.unit, " ")
    if pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return values.cast(pa.large_string())
    return None


def _instants(values: pa.Array) -> pa.Array:
    """Write points in time with no more digits than they need, in UTC where they have a zone."""
    unit, zoned = values.type.unit, values.type.tz is not None
    ticks = values.view(pa.int64())
    while unit in _COARSER:
        divisor, coarser = _COARSER[unit]
        numbers = np.from_dlpack(ticks.fill_null(0))
        if (numbers % divisor).any():
            break
        ticks, unit = pc.divide(ticks, divisor), coarser
    texts = ticks.view(pa.timestamp(unit)).cast(pa.string())
    return pc.binary_join_element_wise(texts, "Z", "") if zoned else texts


def _floats(values: pa.Array) -> pa.Array:
    """Write numbers with the fewest digits that give them back, whole ones as integers are written."""
    numbers = np.from_dlpack(values.fill_null(0))
    whole = (np.trunc(numbers) == numbers) & (np.abs(numbers) <= 2**53) & ~(np.signbit(numbers) & (numbers == 0))
    return (values.cast(pa.int64()) if whole.all() else values).cast(pa.string())
