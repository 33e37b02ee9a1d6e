"""Small raw files for tests: compressed in every way, and read in blocks of any size."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pyarrow as pa
import pytest

from data_prep.sources._raw_file import RawFile


def _zip(data: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("inside/data.txt"), data)
    return sink.getvalue()


COMPRESS = {
    "": bytes,
    ".gz": partial(gzip.compress, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": partial(pa.compress, codec="zstd", asbytes=True),
    ".zip": _zip,
}
"""Suffix of a file's name -> what makes the file of its data."""


@contextmanager
def pieces_of(chunk: int, block_bytes: int, threads: int = 2) -> Iterator[None]:
    """Read raw files in blocks of so many bytes, and spooled ones in chunks of so many rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("data_prep.spool.CHUNK", chunk)
        small = partial(RawFile, block_bytes=block_bytes, threads=threads)
        patch.setattr("data_prep.sources._source.RawFile", small)
        yield
