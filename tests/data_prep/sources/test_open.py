import bz2
import gzip
import hashlib
import io
import itertools
import lzma
import os
import random
import resource
import zipfile
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.sources._raw_file import head_lines, open_raw
from dgl_dysign.errors import DataError


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
