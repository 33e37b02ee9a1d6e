"""Cached features: the answers of what is behind, each found once, for the same past only."""

import itertools

import pytest
import torch

from dgl_dysign.errors import ConfigError
from dgl_dysign.pairs import CachedFeatures
from tests.training.link_cases import EDGES, CountedFeatures

SRC, DST = torch.tensor([0, 5]), torch.tensor([[1, 2, 3], [4, 0, 9]])


def replay(features, edges=EDGES):
    found = []
    for snapshot in edges:
        found.append(features.features(snapshot.snapshot, SRC, DST).clone())
        features.observe(snapshot)
    return found


def test_gives_the_same_and_asks_once():
    behind, plain = CountedFeatures(), CountedFeatures()
    cached, expected = CachedFeatures(behind), replay(plain)
    for _ in range(3):
        cached.reset()
        assert all(map(torch.equal, replay(cached), expected))
    assert behind.calls == len(EDGES)
    assert behind.observed == len(EDGES) - 1  # the last snapshot was never needed
    assert cached.num_bytes == sum(feat.numel() * 4 for feat in expected)


def test_other_questions_and_another_past_are_other_answers():
    behind = CountedFeatures()
    cached = CachedFeatures(behind)
    first = replay(cached, EDGES[:4])
    cached.reset()
    cached.observe(EDGES[1])
    assert not torch.equal(cached.features(3, SRC, DST), first[3])
    for src, dst in ((SRC.flip(0), DST), (SRC, DST.flip(1)), (SRC[:1], DST[:1])):
        plain = CountedFeatures()
        plain.observe(EDGES[1])
        assert torch.equal(cached.features(3, src, dst), plain.features(3, src, dst))


@pytest.mark.parametrize("max_bytes", [0, 3 * 72])
def test_what_does_not_fit_is_computed_again(max_bytes):
    behind = CountedFeatures()
    cached, expected = CachedFeatures(behind, max_bytes), replay(CountedFeatures())
    for _ in range(2):
        cached.reset()
        assert all(map(torch.equal, replay(cached), expected))
    assert cached.num_bytes == max_bytes
    assert behind.calls == 2 * len(EDGES) - max_bytes // 72


def test_waiting_edges_are_bounded():
    behind = CountedFeatures()
    cached = CachedFeatures(behind, waiting_bytes=1000)
    for edges in EDGES[:10]:
        cached.observe(edges)
    assert behind.observed >= 8


def test_a_new_user_is_told_what_it_was_spared():
    cached = CachedFeatures(CountedFeatures(), clock=itertools.count(0, 2).__next__)  # each answer takes 2 seconds
    replay(cached)
    assert cached.saved_seconds == 0
    for _ in range(2):  # a second epoch of its own spares it nothing
        cached.reset()
        replay(cached)
    assert cached.saved_seconds == 0
    cached.new_user()
    for _ in range(2):
        cached.reset()
        replay(cached)
    assert cached.saved_seconds == 2.0 * len(EDGES)


def test_errors():
    cached = CachedFeatures(CountedFeatures())
    cached.observe(EDGES[3])
    with pytest.raises(ConfigError, match="snapshot 3 was observed: ask before you observe"):
        cached.features(3, SRC, DST)
    with pytest.raises(ConfigError, match="snapshot 2 comes after snapshot 3"):
        cached.observe(EDGES[2])
    with pytest.raises(ConfigError, match="max_bytes"):
        CachedFeatures(CountedFeatures(), -1)


class ColumnsRead(CountedFeatures):
    """Notes which columns were computed."""

    def __init__(self):
        super().__init__()
        self.read = []

    def of_columns(self, columns, snapshot, src, dst):
        self.read.append(tuple(columns))
        return self.features(snapshot, src, dst)[..., list(columns)]


def test_each_column_is_computed_once_and_who_reads_more_has_the_rest_computed():
    clock = itertools.count(0, 2).__next__  # each answer takes 2 seconds, shared by its columns alike
    behind = ColumnsRead()
    cached, whole = CachedFeatures(behind, clock=clock), CountedFeatures().features(3, SRC, DST)
    for columns in ([2, 0], [0], [2, 0], [1, 2], [0, 1, 2]):
        assert torch.equal(cached.of_columns(columns, 3, SRC, DST), whole[..., columns])
    assert behind.read == [(2, 0), (1,)]
    assert cached.features(3, SRC, DST) is cached.features(3, SRC, DST)
    assert cached.num_bytes == whole.numel() * 4
    cached.new_user()
    cached.of_columns([0, 1], 3, SRC, DST)
    assert cached.saved_seconds == 1 + 2


def test_a_cache_larger_than_memory_is_warned_of():
    with pytest.warns(UserWarning, match=r"up to 1,048,576.0 GiB .* GiB of memory: lower max_bytes"):
        CachedFeatures(CountedFeatures(), 1 << 50)
