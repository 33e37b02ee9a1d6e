"""Rows on disk: ordinary tensors, released without loss, gone with the process however it ends."""

import errno
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import pytest
import torch

from dgl_dysign.data.row_store import RowFiles, RowStore, column_blocks, row_blocks
from dgl_dysign.errors import ConfigError
from dgl_dysign.ops import PackedSpikes


def resident(kind):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(kind):
            return int(line.split()[1]) * 1024
    return 0


def test_values_survive_release_and_the_folder_stays_empty(tmp_path):
    files = RowFiles(tmp_path)
    one, two = files.zeros(1000, 7), files.zeros(10, 3, torch.float64)
    assert one.dtype == torch.float32
    assert two.dtype == torch.float64
    assert not one.any()
    expected = torch.randn(1000, 7)
    one.copy_(expected)
    two[3] += 1
    files.release()
    files.in_order(False)
    assert torch.equal(one, expected)
    assert two.sum() == 3
    assert not list(tmp_path.iterdir())
    del files
    assert torch.equal(one[[5, 999]], expected[[5, 999]])
    assert RowFiles(tmp_path).zeros(0, 4).shape == (0, 4)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_release_takes_pages_out_of_the_process(tmp_path):
    files = RowFiles(tmp_path)
    rows = files.zeros(1 << 16, 128)  # 32 MiB
    rows.fill_(1.0)
    before = resident("RssFile") + resident("RssShmem")
    files.release()
    assert before - resident("RssFile") - resident("RssShmem") > 30 << 20
    assert rows.sum() == rows.numel()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_dropped_tensor_gives_its_room_back(tmp_path):
    def mapped():
        return Path("/proc/self/maps").read_text().count(f"{tmp_path}/")

    files = RowFiles(tmp_path)
    rows = files.zeros(100, 100)
    assert mapped() == 1
    del rows
    assert mapped() == 0


def _hold_rows(folder, pipe):
    rows = RowFiles(folder).zeros(1 << 16, 64)
    rows.fill_(1)
    pipe.send("ready")
    signal.pause()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_is_left_after_a_kill(tmp_path):
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_hold_rows, args=(tmp_path, there))
    process.start()
    there.close()
    try:
        assert here.recv() == "ready"
        assert not list(tmp_path.iterdir())
    finally:
        process.kill()
        process.join()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_at_once(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"No space left on device: 4000 bytes asked for: .*"):
        RowFiles(tmp_path).zeros(100, 10)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="found no folder for rows on disk"):
        RowFiles(tmp_path / "missing")


@pytest.mark.parametrize(("rows", "width"), [(0, 5), (1, 1 << 25), (3, 1 << 25), (1 << 20, 256), (28_085, 512)])
def test_row_blocks_are_all_rows_once_and_fit(rows, width, tmp_path):
    blocks = list(row_blocks(rows, width))
    assert [k for block in blocks for k in range(block.start, block.stop)] == list(range(rows))
    assert all(block.stop - block.start == 1 or 4 * width * (block.stop - block.start) <= 1 << 26 for block in blocks)
    assert list(RowFiles(tmp_path).row_blocks(rows, width)) == blocks


@pytest.mark.parametrize(("rows", "width"), [(10, 100), (1 << 20, 256), (1 << 30, 70), (0, 5)])
def test_column_blocks_are_all_columns_once_and_fit(rows, width):
    blocks = column_blocks(rows, width)
    assert [k for block in blocks for k in range(block.start, block.stop)] == list(range(width))
    for block in blocks[:-1]:
        assert (block.stop - block.start) % 32 == 0
        assert block.stop - block.start == 32 or 4 * rows * (block.stop - block.start) <= 1 << 26


def test_copy_of_columns(tmp_path):
    files = RowFiles(tmp_path, 24)  # three rows
    rows, source = files.zeros(10, 6), torch.randn(10, 2)
    files.copy(rows[:, 2:4], source)
    assert torch.equal(rows[:, 2:4], source)
    assert not rows[:, :2].any()
    assert not rows[:, 4:].any()


@pytest.mark.parametrize("width", [0, 1, 32, 33, 70])
def test_columns_are_those_of_the_source(width, tmp_path):
    size, source = 4 * 7 * 32, torch.randn(10, width)  # seven rows of a block of columns
    for rows in (RowFiles(tmp_path, size), RowStore(size)):
        found = [(block, part.clone()) for block, part in rows.columns(source)]
        assert [block for block, _ in found] == column_blocks(10, width, block_bytes=size)
        for block, part in found:
            assert torch.equal(part, source[:, block])


def test_pieces_are_joined_side_by_side(tmp_path):
    files, expected = RowFiles(tmp_path, 4 * 5 * 3), torch.arange(50.0).view(10, 5)
    pieces = [(columns, files.keep(expected[:, columns])) for columns in (slice(3, 5), slice(0, 3))]
    assert torch.equal(files.join(files.zeros(10, 5), pieces), expected)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [None, 4 * 4 * 70])
def test_functions_of_rows_and_of_columns_are_those_of_the_whole(size, tmp_path):
    source, mask = torch.randn(11, 70), torch.arange(11) % 2 == 0
    spikes = PackedSpikes.pack((source > 0).float())
    for rows in (RowFiles(tmp_path, size), RowStore(size or 1 << 40)):
        doubled = rows.by_rows(lambda x, keep, none: 2 * x * keep[:, None], 70, source, mask, None)
        assert torch.equal(doubled, 2 * source * mask[:, None])
        assert torch.equal(rows.by_columns(lambda x: x.cumsum(0), source), source.cumsum(0))
        assert torch.equal(rows.by_columns(lambda x: x.unpack(), spikes), spikes.unpack())
        out = torch.empty(11, 70)
        assert rows.by_columns(lambda x: -x, source, out) is out
        assert torch.equal(out, -source)
    assert not list(tmp_path.iterdir())
