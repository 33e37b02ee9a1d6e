"""Batches read ahead: in order, by another thread, never the wrong one."""

import threading

import pytest
import torch

from dgl_dysign.training.equilibrium_cache import ReadAhead


def test_rows_of_announced_batches_come_in_order_from_another_thread():
    threads, batches = [], torch.arange(10).split(3)

    def read(nodes):
        threads.append(threading.current_thread())
        return nodes * 2

    ahead = ReadAhead(read)
    ahead.announce(batches)
    assert [ahead.take(nodes).tolist() for nodes in batches] == [(2 * nodes).tolist() for nodes in batches]
    assert len(threads) == len(batches)
    assert threading.main_thread() not in threads


def test_the_next_batch_is_read_while_this_one_is_used_and_no_more_than_the_depth():
    begun = threading.Semaphore(0)
    read = []

    def note(nodes):
        read.append(int(nodes[0]))
        begun.release()
        return nodes

    ahead, batches = ReadAhead(note, depth=2), torch.arange(5).split(1)
    ahead.announce(batches)
    for _ in range(2):
        assert begun.acquire(timeout=10)
    assert not begun.acquire(timeout=0.05)
    assert read == [0, 1]
    ahead.take(batches[0])
    assert begun.acquire(timeout=10)
    assert read == [0, 1, 2]


def test_other_batches_are_read_at_once_and_leave_the_announced_ones():
    ahead, batches = ReadAhead(lambda nodes: nodes + 1), torch.arange(4).split(2)
    ahead.announce(batches)
    assert ahead.take(torch.tensor([7])).tolist() == [8]
    assert ahead.take(batches[0]).tolist() == [1, 2]
    ahead.announce(batches)
    assert ahead.take(batches[0]).tolist() == [1, 2]


def test_an_error_of_the_reader_reaches_who_asks():
    def fail(nodes):
        raise OSError("disk")

    ahead, batches = ReadAhead(fail), torch.arange(4).split(2)
    ahead.announce(batches)
    with pytest.raises(OSError, match="disk"):
        ahead.take(batches[0])
