"""Tables as the text of the CSV of their rows, as pandas writes it: Parquet, Feather, Arrow, and tables in memory.

What reads lines reads that text, so that every check, count and guess is the same for a table as for its CSV.
"""

import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_prep.writer import arrow
from dgl_dysign.errors import DataError
from dgl_dysign.files import regular

_MAGIC = {
    "Parquet": re.compile(rb"PAR[1E]"),
    "Arrow": re.compile(rb"ARROW1\0\0"),
    "Arrow stream": re.compile(rb"\xff{4}[^\xff]..[\0-\x0f]", re.DOTALL),
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


def form_at(path: Path) -> str | None:
    """Return the form of a table at a path; None for other files, and where there is none."""
    try:
        with open(regular(path), "rb") as file:
            return form_of(file.read(10))
    except OSError:
        return None


def is_frame(value: Any) -> bool:
    """Whether a value is a table in memory: of pandas, polars, pyarrow, or of what else speaks Arrow."""
    return _is_pandas(value) or hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__")


def _is_pandas(value: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def texts_of_file(path: Path, file: BinaryIO, form: str, unread: Collection[int] = ()) -> Iterator[bytes]:
    """Yield the CSV of a file of a table, some rows at a time; of `unread` columns no values, only empty fields.

    Raises DataError if the file cannot be read as a table of plain columns; a damaged one ends in pyarrow's errors.
    """
    source = pa.PythonFile(file, "r")
    if form == "Feather 1":
        raise DataError(
            f"{path}: found Feather of version 1, expected version 2, Arrow or Parquet; write it again, for example "
            "with pandas.read_feather and to_parquet of an older pyarrow"
        )
    if form == "Parquet":
        parquet = pq.ParquetFile(source, buffer_size=_VALUES, pre_buffer=False)  # not all of a row group at once
        yield from _texts(path, parquet.schema_arrow, partial(_parquet_batches, parquet), unread)
        return
    reader = pa.ipc.open_file(source) if form == "Arrow" else pa.ipc.open_stream(source)
    batches = map(reader.get_batch, range(reader.num_record_batches)) if form == "Arrow" else reader
    yield from _texts(path, reader.schema, partial(_checked, batches), unread)
    if form == "Arrow stream":
        _check_end(path, file)


def _checked(batches: Iterable[pa.RecordBatch], columns: list[int]) -> Iterator[pa.RecordBatch]:
    """Yield some columns whose values lie where they are said to lie: pyarrow takes that on trust."""
    for batch in batches:
        some = batch.select(columns)
        some.validate(full=True)
        yield some


def _parquet_batches(parquet: pq.ParquetFile, columns: list[int]) -> Iterator[pa.RecordBatch]:
    """Yield some columns; the others are not even read, unless names are twofold or paths."""
    names = parquet.schema_arrow.names
    if len(set(names)) < len(names) or any("." in name for name in names):
        return (batch.select(columns) for batch in parquet.iter_batches(_ROWS))
    return parquet.iter_batches(_ROWS, columns=[names[at] for at in columns])


def _check_end(path: Path, file: BinaryIO) -> None:
    """Refuse a stream that was cut between two batches, or goes on after its end: pyarrow takes both for whole."""
    file.seek(-len(_END), 1)
    if file.read(len(_END)) != _END or file.read(1):
        raise DataError(
            f"{path}: found no end of the Arrow stream where its data end, expected one whole stream; write it again"
        )


def write_frame(frame: Any, path: Path) -> None:
    """Write a table in memory as an Arrow stream of small batches.

    Raises DataError if Arrow has no type for a column.
    """
    try:
        schema, batches = _batches(frame)
        with open(path, "wb") as file, pa.ipc.new_stream(file, schema) as stream:
            for batch in batches:
                for first in range(0, batch.num_rows, _ROWS):
                    stream.write_batch(batch.slice(first, _ROWS))
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path}: found columns that Arrow cannot hold ({reason}), expected one type a column and each name once; "
            "convert them first, for example with astype"
        ) from None


def _batches(frame: Any) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    if _is_pandas(frame):
        names = [name for name in frame.index.names if name is not None]
        if names and not frame.columns.isin(names).any():
            frame = frame.reset_index()  # as in a Parquet or CSV that pandas writes
        # Some rows at a time, and without other indexes, which are columns in what pandas itself gives out.
        schema = pa.Schema.from_pandas(frame, preserve_index=False).remove_metadata()
        rows = (frame.iloc[at : at + _ROWS] for at in range(0, len(frame), _ROWS))
        named = (some.set_axis(schema.names, axis=1) for some in rows)  # texts, where they were numbers
        batches = (pa.RecordBatch.from_pandas(some, schema, preserve_index=False) for some in named)
        return schema, (batch.replace_schema_metadata() for batch in batches)
    if hasattr(frame, "__arrow_c_stream__"):
        reader = pa.RecordBatchReader.from_stream(frame)
        return reader.schema, iter(reader)
    batch = pa.record_batch(frame)
    return batch.schema, iter([batch])


def _texts(
    path: Path,
    schema: pa.Schema,
    batches: Callable[[list[int]], Iterable[pa.RecordBatch]],
    unread: Collection[int],
) -> Iterator[bytes]:
    """Yield header and rows: plain columns first, then the values of the vectors."""
    vector = _vector(path, schema)
    names = [field for at, field in enumerate(schema.names) if at != vector]
    places: list[tuple[int, int | None]] = [(at, None) for at in range(len(schema)) if at != vector]
    if vector is not None:
        name, size = schema.names[vector], schema.field(vector).type.list_size
        names += [name, *(f"{name}.{at}" for at in range(1, size))]
        places += [(vector, at) for at in range(size)]
    if not names:
        raise DataError(f"{path}: found a table without columns, expected src, dst and time; check RAW")
    yield _lines([pa.array([field]) for field in names])
    wanted = sorted({at for place, (at, _) in enumerate(places) if place not in unread})
    rows = max(1, min(_ROWS, _VALUES // len(names)))
    for batch in batches(wanted):
        for first in range(0, batch.num_rows, rows):
            some = batch.slice(first, rows)
            columns = dict(zip(wanted, some.columns, strict=True))
            empty = pa.nulls(some.num_rows)
            yield _lines(
                [
                    empty if place in unread else columns[at] if item is None else pc.list_element(columns[at], item)
                    for place, (at, item) in enumerate(places)
                ]
            )


def _vector(path: Path, schema: pa.Schema) -> int | None:
    """Return the place of the one column of vectors, if there is one; refuse other columns that are not plain."""
    vectors = [at for at, field in enumerate(schema) if pa.types.is_fixed_size_list(field.type)]
    for at, field in enumerate(schema):
        kind = field.type.value_type if [at] == vectors else field.type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType):
            raise DataError(
                f"{path}: found column {field.name!r} of type {field.type}, expected plain columns, and at most one of "
                "vectors of one length (fixed_size_list); leave it out, or make plain columns of it"
            )
    return vectors[0] if vectors else None


def _lines(columns: list[pa.Array]) -> bytes:
    """Return the rows of some columns as lines."""
    *texts, last = map(_field, columns)
    comma, end, nothing = (pa.scalar(sign, _TEXT) for sign in (b",", b"\n", b""))
    present = {"null_handling": "replace", "null_replacement": b""}
    last = pc.binary_join_element_wise(last, end, nothing, **present)
    # The texts of an array lie one behind the other.
    return pc.binary_join_element_wise(*texts, last, comma, **present).buffers()[2].to_pybytes()


def _field(values: pa.Array) -> pa.Array:
    """Write the values of a column as fields; only what is text in itself can need quotes."""
    kind = values.type
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
    if pa.types.is_boolean(kind):
        return pc.if_else(values, "True", "False")
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
    """Write numbers with the fewest digits that give them back, whole ones in full and with ``.0``."""
    numbers = np.from_dlpack(values.fill_null(0.0))
    whole = (np.trunc(numbers) == numbers) & (np.abs(numbers) <= 2**53) & ~(np.signbit(numbers) & (numbers == 0))
    if not whole.any():
        return values.cast(pa.string())
    integers = arrow(np.where(whole, numbers, 0).astype(np.int64)).cast(pa.string())
    texts = pc.binary_join_element_wise(integers, ".0", "")
    mask = pc.and_(arrow(whole.view(np.uint8)).cast(pa.bool_()), values.is_valid())
    return texts if pc.all(mask).as_py() else pc.if_else(mask, texts, values.cast(pa.string()))
