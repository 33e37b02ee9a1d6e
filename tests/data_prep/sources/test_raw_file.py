"""Raw files: their bytes, plain and compressed, and their rows."""

import bz2
import gzip
import hashlib
import io
import itertools
import lzma
import os
import random
import resource
import subprocess
import sys
import threading
import time
import zipfile
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.sources._layout import Column, Layout
from data_prep.sources._raw_file import RawFile, Rejected, head_lines, open_raw
from dgl_dysign.errors import ConfigError, DataError


def zipped(data, name="edges.txt", method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr(name, data)
    return out.getvalue()


def zstd(data):
    return pa.compress(data, codec="zstd", asbytes=True)


COMPRESS = {
    "plain": bytes,
    "gz": gzip.compress,
    "bz2": partial(bz2.compress, compresslevel=1),
    "xz": partial(lzma.compress, preset=0),
    "zst": zstd,
    "zip": zipped,
}
JOINED = ["gz", "bz2", "xz", "zst"]
DATA = b"".join(b"%d %d %d\n" % (i, i * 7919 % 1000, i // 3) for i in range(5000))


@pytest.fixture
def write(tmp_path):
    def write(data, name="raw"):
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def read_on(stream, size=1000):
    return list(iter(lambda: stream.read(size), b""))


def read_all(path, size=1000, **arguments):
    with open_raw(path, **arguments) as stream:
        return b"".join(read_on(stream, size)), stream.sha256()


@pytest.mark.parametrize("form", COMPRESS)
@pytest.mark.parametrize("size", [1, 777, 1 << 20])
def test_every_form_is_known_by_its_first_bytes(write, form, size):
    data = DATA[: 40 * size]
    raw = COMPRESS[form](data)
    path = write(raw, "name.of.no.form")
    assert read_all(path, size) == (data, hashlib.sha256(raw).hexdigest())


@pytest.mark.parametrize("form", JOINED)
def test_all_members_are_read(write, form):
    compress = COMPRESS[form]
    path = write(compress(DATA) + compress(b"") + compress(b"1 2 3") + compress(b"4\n"))
    assert read_all(path)[0] == DATA + b"1 2 34\n"


@given(st.sampled_from(JOINED), st.lists(st.sampled_from([0, 1, 10, 65_536, 150_000]), min_size=1, max_size=8))
@settings(max_examples=25, deadline=None)
def test_members_of_any_size(tmp_path_factory, form, sizes):
    data = os.urandom(sum(sizes))
    ends = [sum(sizes[:at]) for at in range(len(sizes) + 1)]
    path = tmp_path_factory.getbasetemp() / "joined"
    path.write_bytes(b"".join(COMPRESS[form](data[a:b]) for a, b in itertools.pairwise(ends)))
    assert read_all(path, 1 << 20)[0] == data


def test_padding_between_xz_streams_and_skippable_zstd_frames(write):
    assert read_all(write(lzma.compress(b"1 ") + bytes(8) + lzma.compress(b"2") + bytes(4)))[0] == b"1 2"
    skip = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    assert read_all(write(skip + zstd(b"1 ") + skip + zstd(b"2") + skip))[0] == b"1 2"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_methods(write, method):
    raw = zipped(DATA, method=method)
    assert read_all(write(raw)) == (DATA, hashlib.sha256(raw).hexdigest())


@pytest.mark.parametrize("text", [b"", b"B", b"BZh", b"BZhang 1\n", b"PK 1\n", b"\x1f\n", b"7z 1 2\n"])
def test_a_text_that_begins_almost_like_an_archive_is_plain(write, text):
    assert read_all(write(text))[0] == text


@pytest.mark.parametrize("form", JOINED)
@pytest.mark.parametrize("end", [-1, -9, 0.5])
def test_a_truncated_archive(write, form, end):
    raw = COMPRESS[form](os.urandom(100_000))
    path = write(raw[: end if isinstance(end, int) else int(end * len(raw))])
    with pytest.raises(
        DataError, match=r"raw: found a damaged archive \(.+\), expected a whole one; fetch the file again$"
    ):
        read_all(path)


@pytest.mark.parametrize("form", JOINED)
def test_what_follows_an_archive_is_not_silently_dropped(write, form):
    path = write(COMPRESS[form](DATA) + b"3 4 5\n" + COMPRESS[form](DATA))
    with pytest.raises(DataError, match="found a damaged archive"):
        read_all(path)


def test_a_zip_archive_whose_sum_is_wrong(write):
    raw = bytearray(zipped(DATA, method=zipfile.ZIP_STORED))
    raw[len(raw) // 2] ^= 1
    with pytest.raises(DataError, match=r"found a damaged archive .*CRC"):
        read_all(write(bytes(raw)))


@pytest.mark.parametrize("form", COMPRESS)
def test_damage_is_found_after_the_same_bytes_whatever_is_asked_for(write, form):
    rng = random.Random(0)
    raw = bytearray(COMPRESS[form](b"".join(b"%d\n" % rng.getrandbits(60) for _ in range(30_000))))
    raw[len(raw) * 3 // 4] ^= 255
    path, found = write(bytes(raw)), set()
    for size in (777, 1 << 16, 1 << 22):
        data = b""
        try:
            with open_raw(path) as stream:
                while piece := stream.read(size):
                    data += piece
        except DataError:
            pass
        found.add(data)
    assert len(found) == 1


@given(st.sampled_from(sorted(COMPRESS)), st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_archives_give_bytes_or_one_clear_error(tmp_path_factory, form, data):
    raw = bytearray(COMPRESS[form](DATA[:2000]))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(len(raw) // 2, len(raw)))]
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(raw)
    message = ""
    try:
        read_all(path, 1 << 16, max_bytes=1 << 20)
    except DataError as error:
        message = str(error).removeprefix(f"{path}: found ")
    assert str(path) not in message
    assert "\n" not in message


class TestMaxBytes:
    @pytest.mark.parametrize("form", COMPRESS)
    def test_as_much_as_allowed_comes_out_first(self, write, form):
        path = write(COMPRESS[form](DATA))
        assert read_all(path, max_bytes=len(DATA))[0] == DATA
        with open_raw(path, max_bytes=len(DATA) - 5) as stream:
            got = b"".join(stream.read(1000) for _ in range(1 + (len(DATA) - 6) // 1000))
            assert got == DATA[:-5]
            with pytest.raises(
                DataError, match=rf"found more than {len(DATA) - 5} bytes .*allow more with --max-bytes"
            ):
                stream.read(1000)

    @pytest.mark.parametrize("form", ["gz", "bz2", "xz", "zip"])
    def test_an_archive_that_explodes(self, write, form):
        path = write(COMPRESS[form](bytes(30 << 20)))
        before, most = resident(), 0
        with open_raw(path, max_bytes=24 << 20) as stream:
            for _ in range(96):
                assert len(stream.read(1 << 18)) == 1 << 18
                most = max(most, resident())
            with pytest.raises(DataError, match="found more than 25165824 bytes"):
                read_on(stream)
        assert most - before < 14 << 20

    def test_no_bound_for_plain_files_and_a_bound_by_size_for_archives(self, write):
        for form, compress in COMPRESS.items():
            with open_raw(write(compress(DATA))) as stream:
                assert stream.bound == (None if form == "plain" else 1 << 30)
        path = write(gzip.compress(b"1 2 3\n"))
        for size, bound in ((3 << 20, 3000 << 20), (1 << 30, 64 << 30)):
            os.truncate(path, size)  # what follows the archive is not read here
            with open_raw(path) as stream:
                assert stream.bound == bound

    def test_an_xz_dictionary_that_is_too_large(self, write):
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 30}]
        raw = lzma.compress(b"1 2\n", filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])
        assert read_all(write(raw))[0] == b"1 2\n"
        try:
            raw = lzma.compress(b"1 2\n", filters=filters)
        except MemoryError:
            pytest.skip("not enough memory to make the archive")
        with pytest.raises(DataError, match=r"damaged archive \(Memory usage limit"):
            read_all(write(raw))


class TestZip:
    def make(self, tmp_path, *names):
        with zipfile.ZipFile(tmp_path / "raw", "w") as archive:
            for name in names:
                archive.writestr(name, b"" if name.endswith("/") else DATA)
        return tmp_path / "raw"

    def test_folders_and_what_macs_add_are_ignored(self, tmp_path):
        path = self.make(tmp_path, "data/", "data/edges.txt", "__MACOSX/", "__MACOSX/data/._edges.txt")
        assert read_all(path)[0] == DATA

    @pytest.mark.parametrize("names", [(), ("a/",), ("a.txt", "b.txt"), ("a.txt", "a/__MACOSX/b")])
    def test_one_file_is_expected(self, tmp_path, names):
        with pytest.raises(DataError, match=r"found [02] files in it .*, expected one; unpack the archive"):
            read_all(self.make(tmp_path, *names))

    @pytest.mark.parametrize("name", ["../edges.txt", "a/../../b", "/etc/passwd", "C:/a", "c:a", "a/.."])
    def test_names_that_lead_out_of_the_archive(self, tmp_path, name):
        with pytest.raises(DataError, match="expected names inside the archive; do not trust this file"):
            read_all(self.make(tmp_path, name))

    def test_backslashes(self, write):
        raw = zipped(DATA, name="a?..?b").replace(b"a?..?b", b"a\\..\\b")
        with pytest.raises(DataError, match="expected names inside the archive"):
            read_all(write(raw))

    def test_a_password(self, write):
        raw = bytearray(zipped(DATA))
        raw[6] |= 1
        raw[raw.index(b"PK\x01\x02") + 8] |= 1
        with pytest.raises(DataError, match=r"damaged archive \(.*encrypted"):
            read_all(write(bytes(raw)))


class TestFile:
    def test_no_file(self, tmp_path):
        with pytest.raises(DataError, match=r"none: found no such file; check RAW"):
            open_raw(tmp_path / "none")

    def test_a_folder_and_a_pipe(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path, tmp_path / "pipe"):
            with pytest.raises(DataError, match="found no regular file, expected one; check RAW"):
                open_raw(path)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_that_may_not_be_read(self, write):
        path = write(DATA)
        path.chmod(0)
        with pytest.raises(DataError, match="found Permission denied, expected a file that can be read"):
            open_raw(path)

    @pytest.mark.parametrize("form", COMPRESS)
    def test_a_file_that_changes(self, write, form):
        path = write(COMPRESS[form](DATA))
        with open_raw(path) as stream:
            stream.read(10)
            with open(path, "ab") as other:
                other.write(b"1 2 3\n")
            with pytest.raises(DataError, match="found it changed while it was read"):
                stream.sha256()

    def test_a_file_that_is_replaced_or_removed(self, write, tmp_path):
        path = write(DATA)
        with open_raw(path) as stream:
            write(DATA, "new").rename(path)
            with pytest.raises(DataError, match="found it changed while it was read"):
                stream.sha256()
            path.unlink()
            with pytest.raises(DataError, match="found no such file"):
                stream.sha256()

    @pytest.mark.parametrize("form", COMPRESS)
    def test_consumed_grows_up_to_the_size_on_disk(self, write, form):
        raw = COMPRESS[form](os.urandom(3 << 19))
        told = [0]
        with open_raw(write(raw)) as stream:
            while stream.read(1 << 17):
                told.append(stream.consumed)
            stream.sha256()
            assert stream.consumed == len(raw)
        assert told == sorted(told)
        assert 0 < told[3] < len(raw) * 0.8
        assert told[-1] > len(raw) * 0.9


class TestHeadLines:
    @pytest.mark.parametrize("form", COMPRESS)
    def test_first_lines(self, write, form):
        path = write(COMPRESS[form](b"\xef\xbb\xbfa b\r\n\r\n\xff c\n" + DATA))
        assert head_lines(path, 4) == ["a b", "", "\\xff c", "0 0 0"]
        assert head_lines(path, 0) == []

    def test_fewer_lines_than_asked_for(self, write):
        assert head_lines(write(b"1\n2"), 5) == ["1", "2"]
        assert head_lines(write(b"1\n"), 5) == ["1"]
        assert head_lines(write(b""), 5) == []

    def test_an_endless_line_is_not_read_to_its_end(self, write):
        assert len(head_lines(write(b"0" * (5 << 20)), 2)[0]) < 3 << 20


class TestEncodings:
    TEXT = "src,dst\r\né,žluťoučký\r\nü,1\r\n" * 500

    @pytest.mark.parametrize("form", ["plain", "gz", "zip"])
    @pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
    def test_a_mark_says_it(self, write, form, name):
        raw = COMPRESS[form](("\ufeff" + self.TEXT).encode(name))
        path = write(raw)
        for size in (1, 3, 1000, 1 << 20):
            found, digest = read_all(path, size)
            assert found.decode() == "\ufeff" + self.TEXT
            assert digest == hashlib.sha256(raw).hexdigest()
        assert head_lines(path, 2) == ["src,dst", "é,žluťoučký"]
        assert read_all(path, encoding=name[:6])[0].decode() == "\ufeff" + self.TEXT
        with pytest.raises(DataError, match=rf"raw: found a mark of {name}, expected cp1252; leave out --encoding$"):
            read_all(path, encoding="cp1252")

    @pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
    def test_nul_bytes_without_a_mark(self, write, name):
        path = write(self.TEXT.encode(name))
        with pytest.raises(DataError, match=rf"raw: found NUL bytes, expected text .*, perhaps --encoding {name}$"):
            read_all(path)
        assert read_all(path, encoding=name)[0].decode() == self.TEXT

    @pytest.mark.parametrize("name", ["latin-1", "cp037", "utf-7", "shift_jis", "iso2022_jp", "UTF8", "utf-8-sig"])
    @pytest.mark.parametrize("size", [1, 7, 1 << 20])
    def test_any_codec(self, write, name, size):
        text = {"shift_jis": "東京,1\n", "iso2022_jp": "東京,1\n"}.get(name, "é,1\n") * 999
        assert read_all(write(text.encode(name)), size, encoding=name)[0].decode("utf-8-sig") == text

    @pytest.mark.parametrize("name", ["nonsense", "rot13", "zlib", "", "a\0b"])
    def test_no_codec(self, write, name):
        for call in (lambda: open_raw(write(b"1"), encoding=name), lambda: Layout(EDGES.columns, encoding=name)):
            with pytest.raises(ConfigError, match=r"^--encoding: found .*, expected a codec of Python's, such as"):
                call()

    @pytest.mark.parametrize(
        ("raw", "name", "line", "found"),
        [
            ("1,2\n3,4\n".encode("utf-16") + b"\0", "utf-8", 3, "bytes 0x00"),
            ("1,2\n3,4\n".encode("utf-16") + b"\0\xd8\n\0", "utf-8", 3, "bytes 0x00d8"),
            (b"1,2\n\x81,3\n", "cp1252", 2, "bytes 0x81"),
            ("1,2\n3,4".encode("utf-16-le"), "utf-16", 1, "UTF-16 stream does not start with BOM"),
            (b"1,2\n" * 70_000 + b"\xff", "ascii", 70_001, "bytes 0xff"),
        ],
    )
    def test_bytes_that_are_no_text(self, write, raw, name, line, found):
        path = write(raw)
        texts = set()
        for size in (7, 1000, 1 << 20):
            with open_raw(path, encoding=name) as stream:
                pieces, message = [], ""
                try:
                    pieces += iter(partial(stream.read, size), b"")
                except DataError as error:
                    message = str(error)
                with pytest.raises(DataError, match="name how the file is written with --encoding"):
                    stream.read(size)
            assert message.startswith(f"{path}, line {line}: found {found}, expected text in ")
            texts.add(b"".join(pieces))
        assert len(texts) == 1
        assert texts.pop().count(b"\n") == line - 1

    def test_the_bound_is_of_the_file(self, write):
        path = write("1,2\n".encode("utf-16-le"))
        assert read_all(path, encoding="utf-16-le", max_bytes=8)[0] == b"1,2\n"
        with open_raw(path, max_bytes=7, encoding="utf-16-le") as stream:
            assert stream.read(9) == b"1,2"
            with pytest.raises(DataError, match="found more than 7 bytes"):
                stream.read(9)


EDGES = Layout((Column("src", "integer"), Column("dst", "integer"), Column("time", "number")))
CSV = Layout(EDGES.columns, delimiter=",")


@pytest.fixture
def raw(tmp_path):
    """Write a file and return a RawFile of it."""

    def make(data, layout=EDGES, **arguments):
        (tmp_path / "a.txt").write_bytes(data if isinstance(data, bytes) else data.encode())
        return RawFile(tmp_path / "a.txt", layout, **arguments)

    return make


def rows_of(file):
    return [tuple(row.values()) for batch in file for row in batch.to_pylist()]


@pytest.mark.parametrize(
    "text",
    [
        b"0 1 0.5\n2 3 7e-06\n",
        b"0 1 0.5\n2 3 7e-06",
        b"0\t1\t0.5\r\n2\t3\t7e-06\r\n",
        b"0 1\t0.5\r\n2\t 3 7e-06",
        b"\xef\xbb\xbf0 1 0.5\n2 3 7e-06\n",
        b"\xef\xbb\xbf\n\n  0  1\t 0.5 \n\n \t \r\n2 3 .000007\r\n\n",
        b"000 +1 +0.5\n2 3 7.E-6\n",
        b"\v0\f1\v0.5\n2\f3 7e-6\r",
    ],
)
@pytest.mark.parametrize("block", [1, 4 << 20])
def test_any_white_space_line_end_and_mark(raw, text, block):
    file = raw(text, block_bytes=block)
    assert rows_of(file) == [(0, 1, 0.5), (2, 3, 7e-06)]
    sums = {"lines": 2, "header": 0, "rows": 2, "rejected": 0}
    sums |= {"blank": 5} if text.count(b"\n") > 2 else {}
    assert file.source == {"name": "a.txt", "sha256": hashlib.sha256(text).hexdigest(), **sums}
    filled = [number for number, line in enumerate(text.split(b"\n"), 1) if line.removeprefix(b"\xef\xbb\xbf").strip()]
    assert [file.line_of(0), file.line_of(1)] == filled


@pytest.mark.parametrize(
    ("line", "found", "expected"),
    [
        ("1 2", "2 columns in '1 2'", "3 (`src dst time`)"),
        ("1 2 3 4", "4 columns", "3 (`src dst time`)"),
        ("a 2 0.5", "src 'a'", "an integer from 0 up"),
        ("1 -2 0.5", "dst '-2'", "an integer from 0 up"),
        ("1 2.0 0.5", "dst '2.0'", "an integer from 0 up"),
        ("1 0x2 0.5", "dst '0x2'", "an integer from 0 up"),
        ("1 1_0 0.5", "dst '1_0'", "an integer from 0 up"),
        ("1 ٣ 0.5", "dst '٣'", "an integer from 0 up"),
        ("9223372036854775808 2 0.5", "src '9223372036854775808'", "an integer from 0 up"),
        ("1 2 nan", "time 'nan'", "a finite number"),
        ("1 2 -inf", "time '-inf'", "a finite number"),
        ("1 2 1e999", "time '1e999'", "a finite number"),
        ("1 2 2011-01-01", "time '2011-01-01'", "a finite number"),
        ("1 2 0x1p3", "time '0x1p3'", "a finite number"),
        ("1 2 ''", "time \"''\"", "a finite number"),
        ('1 2 "0.5"', "time '\"0.5\"'", "a finite number"),
        ("1,2,0.5", "1 columns", "3 (`src dst time`)"),
        ("# src dst time", "4 columns", "3 (`src dst time`)"),
        ("src dst time", "src 'src'", "an integer from 0 up"),
        ("NA NULL 0.5", "src 'NA'", "an integer from 0 up"),
        ("1 2 0.5\0", "time '0.5\\x00'", "a finite number"),
        (b"1 \xff 0.5", "dst '\\\\xff'", "an integer from 0 up"),
        ("1 2 " + "9" * 5000, f"time '{'9' * 57}...'", "a finite number"),
        ("9" * 5000 + " 2 3", f"src '{'9' * 57}...'", "an integer from 0 up"),
    ],
)
@pytest.mark.parametrize("at", [1, 4, 700])
def test_the_first_bad_line_is_named(raw, line, found, expected, at):
    lines = [b"0 1 0.5"] * 700
    lines[at - 1] = line if isinstance(line, bytes) else line.encode()
    file = raw(b"\n".join([*lines, b"worse", *lines]), block_bytes=3_000)
    with pytest.raises(DataError) as caught:
        rows_of(file)
    message = str(caught.value)
    assert message.startswith(f"{file.path}, line {at}: found {found}")
    assert f"expected {expected}; correct or remove the line" in message
    assert "\n" not in message


class TestWholeFile:
    @pytest.mark.parametrize("text", [b"", b"\n", b" \r\n\t\n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
    def test_without_rows(self, raw, text):
        with pytest.raises(
            DataError, match=r"a\.txt: found no rows, expected lines of `src dst time`; is the download"
        ):
            rows_of(raw(text))

    def test_with_a_header_only(self, raw):
        with pytest.raises(DataError, match="found no rows, expected"):
            rows_of(raw(b"src dst time\n", Layout(EDGES.columns, header=1)))

    def test_with_bad_rows_only(self, raw):
        with pytest.raises(DataError, match=r"found no rows \(all 2 lines are bad\), expected"):
            rows_of(raw(b"a\n\nb\n", on_error="quarantine"))

    def test_missing(self, tmp_path):
        with pytest.raises(DataError, match=r"none\.txt: found no such file; check RAW"):
            rows_of(RawFile(tmp_path / "none.txt", EDGES))

    def test_with_an_endless_line(self, raw):
        for data in (b"0" * (17 << 20), gzip.compress(b"1 2 3\n" + b"0" * (17 << 20))):
            with pytest.raises(DataError, match=r"found a line of more than 16777216 bytes.*is this a text file"):
                rows_of(raw(data))
        for block in (1, 100, 999, 5000):
            fits, longer = b"1 2 %03d" % 5 + b" " * 993, b"1 2 %03d" % 5 + b" " * 994
            assert len(rows_of(raw(fits + b"\n" + fits, block_bytes=block, longest_line=1000))) == 2
            for end in (b"", b"\n", b"\n1 2 3\n"):
                with pytest.raises(DataError, match="found a line of more than 1000 bytes"):
                    rows_of(raw(b"1 2 3\n" + longer + end, block_bytes=block, longest_line=1000))

    def test_changed_while_read(self, raw):
        file = raw(b"1 2 3\n" * 100_000, block_bytes=1000)
        batches = iter(file)
        next(batches)
        os.utime(file.path, ns=(1, 1))
        with pytest.raises(DataError, match="found it changed while it was read"):
            list(batches)

    def test_errors_come_in_the_order_of_the_file(self, raw):
        good, bad = b"1 2 3\n" * 50_000, b"1 2 x\n"
        cut = gzip.compress(good + bad + os.urandom(1 << 20))[:-1000]
        for block in (10_000, 1 << 20):
            with pytest.raises(DataError, match="line 50001: found time 'x'"):
                rows_of(raw(cut, block_bytes=block))
            with pytest.raises(DataError, match="line 50001: found time 'x'"):
                rows_of(raw(good + bad + b"0" * (17 << 20), block_bytes=block))

    @pytest.mark.parametrize("compress", [bytes, gzip.compress])
    def test_max_bytes(self, raw, compress):
        data = b"1 2 3\n" * 1000
        assert len(rows_of(raw(compress(data), max_bytes=6000))) == 1000
        with pytest.raises(DataError, match=r"found more than 5999 bytes .*--max-bytes"):
            rows_of(raw(compress(data), max_bytes=5999))
        for block in (10, 1 << 20):
            with pytest.raises(DataError, match="line 3: found"):
                rows_of(raw(compress(b"1 2 3\n1 2 3\n1 2 x\n" + data), max_bytes=18, block_bytes=block))


class TestFirstLines:
    @pytest.mark.parametrize("block", [1, 10, 1 << 20])
    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    def test_header_is_skipped_whatever_it_holds(self, raw, block, mark):
        layout = Layout(EDGES.columns, delimiter=",", header=3, comment="#")
        text = b'# made\n\nsrc,"\xff\r\n \r\n1,2,3\n#4,5,6\n7,8,9\n7,8,9\n#\n3,4,5\n'
        file = raw(mark + text, layout, block_bytes=block)
        assert rows_of(file) == [(7, 8, 9.0), (3, 4, 5.0)]
        assert (file.source["lines"], file.source["header"]) == (5, 3)
        assert (file.source["comments"], file.source["blank"]) == (3, 2)
        assert file.lines_of([0, 1]) == [8, 10]

    def test_jodie_has_fewer_names_than_fields(self, raw):
        layout = Layout((*EDGES.columns, Column("label", "integer")), delimiter=",", header=1, vector="rest")
        features = ",".join(str(at / 4) for at in range(172))
        file = raw(
            f"user_id,item_id,timestamp,state_label,comma_separated_list_of_features\n0,1,0.5,1,{features}\n", layout
        )
        assert rows_of(file) == [(0, 1, 0.5, 1, [at / 4 for at in range(172)])]

    @pytest.mark.parametrize("block", [1, 50, 1 << 20])
    def test_the_first_good_row_says_how_long_a_vector_is(self, raw, block):
        layout = Layout(EDGES.columns, delimiter=",", vector="rest", comment="#")
        text = "# a\n\n1,2,x,1,2\n1,2,3\n1,2,3,4,5\n1,2,3,4\n1,2,3,4,5,6\n \n1,2,3,7,8\n"
        file = raw(text, layout, on_error="quarantine", block_bytes=block)
        assert rows_of(file) == [(1, 2, 3.0, [4, 5]), (1, 2, 3.0, [7, 8])]
        assert [(row.line, row.reason) for row in file.rejected] == [
            (3, "found time 'x', expected a finite number"),
            (4, "found 3 columns, expected 4 (`src,dst,time,feat`)"),
            (6, "found 4 columns, expected 5 (`src,dst,time,feat`)"),
            (7, "found 6 columns, expected 5 (`src,dst,time,feat`)"),
        ]
        assert [file.line_of(0), file.line_of(1)] == [5, 9]
        with pytest.raises(DataError, match="line 3: found time 'x'"):
            rows_of(raw(text, layout, block_bytes=block))

    @pytest.mark.parametrize("block", [1, 10, 1 << 20])
    def test_a_mark_is_one_at_the_beginning_only(self, raw, block):
        mark = b"\xef\xbb\xbf"
        file = raw(mark + b"1 2 3\n" + mark + b"4 5 6\n" + mark + mark, block_bytes=block, on_error="quarantine")
        assert rows_of(file) == [(1, 2, 3.0)]
        assert [row.line for row in file.rejected] == [2, 3]
        layout = Layout((Column("a", "text"), Column("b", "integer")), delimiter=";", vector="field")
        file = raw(mark + mark + b"x;1;0\n" + mark + b"y;2;0\nz;3;" + mark + b"0\n", layout, block_bytes=block)
        with pytest.raises(DataError, match=r"line 3: found feat\[0\]"):
            rows_of(file)
        file.on_error = "quarantine"
        assert rows_of(file) == [("\ufeffx", 1, [0]), ("\ufeffy", 2, [0])]


@pytest.mark.parametrize("block", [1, 1 << 20])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_header_again_is_named(raw, block, end):
    text = end.join(["src,dst,time", "1,2,3", "src,dst,time ", "src,dst", "4,5,6", "src,dst,time"])
    file = raw(text, Layout(EDGES.columns, ",", 1), on_error="quarantine", block_bytes=block)
    assert rows_of(file) == [(1, 2, 3), (4, 5, 6)]
    again = "found the header again, expected it once, before all rows"
    assert [(row.line, row.text, row.reason) for row in file.rejected] == [
        (3, "src,dst,time", again),
        (4, "src,dst", "found 2 columns, expected 3 (`src,dst,time`)"),
        (6, "src,dst,time", again),
    ]
    with pytest.raises(DataError, match="line 3: found the header again in 'src,dst,time', expected it once, before"):
        rows_of(raw(text, Layout(EDGES.columns, ",", 1), block_bytes=block))
    # A header that could be a row is refused among texts, where it says nothing of itself.
    names = Layout((Column("node", "text"), Column("label", "class")), ",", 1)
    file = raw(end.join(["a,b", "x,y", "a,b", "a,b ", "xa,b", "a,bc"]), names, on_error="quarantine", block_bytes=block)
    assert rows_of(file) == [("x", "y"), ("xa", "b"), ("a", "bc")]
    assert [(row.line, row.reason) for row in file.rejected] == [(3, again), (4, again)]
    file = raw("1,2,3\nx\n1,2,3\n", Layout(EDGES.columns, ",", 1), on_error="quarantine", block_bytes=block)
    assert rows_of(file) == [(1, 2, 3)]
    assert [row.line for row in file.rejected] == [2]


@pytest.mark.parametrize("name", ["utf-8", "utf-16", "utf-32-be", "cp1252"])
@pytest.mark.parametrize("form", COMPRESS)
def test_every_line_is_counted_once(tmp_path, form, name):
    rng = random.Random(form + name)
    kinds = {"rows": "1 2 3", "rejected": "é", "comments": "# x", "blank": " \t"}
    lines = ["src dst time", *rng.choices(list(kinds.values()), [5, 2, 2, 2], k=3000)]
    end = rng.choice(["\n", "\r\n"])
    (tmp_path / "raw").write_bytes(COMPRESS[form]((end.join(lines) + rng.choice(["", end])).encode(name)))
    layout = Layout(EDGES.columns, header=1, comment="#", encoding="utf-8" if name == "utf-16" else name)
    for block in (100, 1 << 20):
        file = RawFile(tmp_path / "raw", layout, on_error="quarantine", block_bytes=block)
        assert len(rows_of(file)) == lines.count("1 2 3")
        assert {kind: file.source[kind] for kind in kinds} == {kind: lines.count(text) for kind, text in kinds.items()}
        assert file.source["header"] == 1
        assert file.source["sha256"] == hashlib.sha256((tmp_path / "raw").read_bytes()).hexdigest()


class TestRejected:
    def test_text_is_cut_and_made_printable(self, raw):
        file = raw(b"1 2 3\n\t \xff\xc3\xa9" + b"x" * 5000 + b"\r\n", on_error="quarantine")
        rows_of(file)
        assert file.rejected == [Rejected(2, "\\xffé" + "x" * 995, "found 1 columns, expected 3 (`src dst time`)")]

    @pytest.mark.parametrize("block", [7, 5000, 1 << 20])
    def test_too_many(self, raw, block):
        options = {"on_error": "quarantine", "block_bytes": block, "many": 100}
        good, bad = b"1 2 3\n", b"1 2\n"
        # The 101st bad row is the first that makes more than half.
        with pytest.raises(DataError, match=r"found 101 bad lines of 201 \(line 201: found 2 columns, .*right format"):
            rows_of(raw(good * 100 + bad * 101 + good * 1000, **options))
        file = raw(good * 100 + bad * 100 + good * 1000, **options)
        assert len(rows_of(file)) == 1100
        file = raw(bad * 99 + good * 98, **options)
        assert len(rows_of(file)) == 98
        with pytest.raises(DataError, match="found 100 bad lines of 100"):
            rows_of(raw(bad * 100 + good * 1000, **options))

    def test_may_be_emptied_between_batches(self, raw):
        file = raw(b"1 2 3\nx\n4 5 6\n" * 1000, on_error="quarantine", block_bytes=500)
        kept = []
        for _ in file:
            kept += file.rejected
            file.rejected.clear()
        kept += file.rejected
        assert [row.line for row in kept] == list(range(2, 3001, 3))
        assert file.source["rejected"] == 1000
        assert [file.line_of(row) for row in (0, 1, 2, 1999)] == [1, 3, 4, 3000]


def test_line_of_knows_only_rows(raw):
    file = raw(b"1 2 3\n\n4 5 6\n")
    rows_of(file)
    assert file.lines_of([1, 0, 1]) == [3, 1, 3]
    for row in (-1, 2):
        with pytest.raises(IndexError):
            file.line_of(row)


def test_a_file_can_be_read_again(raw):
    file = raw(b"1 2 3\nx\n", on_error="quarantine")
    assert rows_of(file) == rows_of(file)
    assert len(file.rejected) == file.source["rejected"] == file.source["rows"] == 1


def test_on_bytes_adds_up(raw):
    told = []
    rows_of(raw(b"1 2 3\n" * 10_000, on_bytes=told.append, block_bytes=1000))
    assert sum(told) == 60_000
    assert len(told) == 60


def test_an_abandoned_iteration_leaves_no_threads(raw):
    file = raw(b"1 2 3\n" * 100_000, block_bytes=1000)
    before = threading.active_count()
    batches = iter(file)
    next(batches)
    assert threading.active_count() > before
    batches.close()
    assert threading.active_count() == before


def test_batches_do_not_share_memory_with_buffers_that_are_used_again(raw):
    layout = Layout((Column("a", "text"), Column("b", "integer"), Column("c", "number")), vector="rest")
    lines = [f"name{i} {i} {i / 8} {i} {i + 1}" for i in range(20_000)]
    batches = list(raw("\n".join(lines), layout, block_bytes=2000))
    assert len(batches) > 100
    found = [row for batch in batches for row in batch.to_pylist()]
    assert [(row["a"], row["b"], row["c"], *row["feat"]) for row in found] == [
        (f"name{i}", i, i / 8, i, i + 1) for i in range(20_000)
    ]


def test_bad_rows_do_not_take_ages(raw):
    def seconds(count):
        lines = [b"%d %d %d" % (i, i + 1, i) if i % 10 else b"a %d 2" % i for i in range(count)]
        file = raw(b"\n".join(lines), on_error="quarantine")
        begin = time.process_time()
        assert len(rows_of(file)) == count * 9 // 10
        assert len(file.rejected) == count // 10
        return time.process_time() - begin

    few, many = (min(seconds(count) for _ in range(3)) for count in (5_000, 40_000))
    assert many < 32 * few  # a ratio, as other work slows both: 8 if time grows with the rows, 64 with their square


@pytest.mark.parametrize("at", [0, 500, 999])
def test_a_long_line_among_short_ones_does_not_take_ages(raw, at):
    lines = [b"1 2 3"] * 999
    file = raw(b"\n".join([*lines[:at], b"0" * (3 << 20), *lines[at:]]), on_error="quarantine")
    begin = time.process_time()
    assert len(rows_of(file)) == 999
    assert [row.line for row in file.rejected] == [at + 1]
    assert time.process_time() - begin < 3


def test_pandas_is_not_imported(tmp_path):
    (tmp_path / "a.txt").write_text("a 1 2013-12-31 19700102 1 2\nb x\n" * 3)
    columns = 'Column("a", "text"), Column("b", "integer"), Column("c", "date"), Column("d", "yyyymmdd")'
    code = f"""
import sys
from pathlib import Path
from data_prep.sources._layout import Column, Layout
from data_prep.sources._raw_file import RawFile
file = RawFile(Path("a.txt"), Layout(({columns}), vector="rest"), on_error="quarantine")
assert sum(batch.num_rows for batch in file) == 3
print(*{{"pandas", "torch", "dgl"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("\n", "")


def test_memory_does_not_grow_with_the_file(raw):
    file = raw(b"123456 234567 0.345678\n" * 2_000_000, block_bytes=1 << 18)
    before = most = _resident()
    for batch in file:
        assert batch.num_rows < 20_000
        most = max(most, _resident())
    assert file.rows == 2_000_000
    assert most - before < 20 << 20


def _resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_long_run_of_blanks_in_an_array_does_not_hang(raw):
    text = "[0, 1, 2]\n[0, 1" + " " * 20_000 + "\n[0," + " " * 20_000 + "1, 2]\n"
    columns = Column("src", "integer"), Column("dst", "integer"), Column("other", "skip")
    file = raw(text, Layout(columns, brackets=True), on_error="quarantine")
    assert [row for batch in file for row in batch.to_pylist()] == [{"src": 0, "dst": 1}] * 2
    assert [row.line for row in file.rejected] == [2]
