import pytest

from data_prep import PrepareOptions
from data_prep.pipeline import FileInput, write_folder
from data_prep.sources._source import ReadOptions
from tests.data_prep import brute


@pytest.fixture
def rows():
    """Read the parts of a source: column -> values."""

    def read(source, on_error="stop"):
        columns = {}
        for part in source.parts:
            for batch in ReadOptions(on_error).open(part, source.layout):
                for name, values in batch.to_pydict().items():
                    columns.setdefault(name, []).extend(values)
        return columns

    return read


@pytest.fixture
def made(tmp_path):
    """Prepare a source: (manifest, tables as lists of rows)."""
    number = 0

    def prepare(source, on_error="stop", **options):
        nonlocal number
        number += 1
        out = tmp_path / f"out{number}"
        chosen = PrepareOptions(every=options.pop("rule", None), on_error=on_error, **options)
        return write_folder(FileInput(source, chosen), out, chosen), brute.found(out)

    return prepare
