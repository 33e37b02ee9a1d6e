"""The cache: it comes to the equilibrium, and mini-batches of it are the model; batches are read ahead, in order."""

import threading
import weakref
from itertools import pairwise

import pytest
import torch

from dgl_dysign.data.row_store import RowFiles, RowStore
from dgl_dysign.errors import ConfigError
from dgl_dysign.training import EquilibriumCache
from dgl_dysign.training.equilibrium_cache import ReadAhead
from tests.models.snapshot_cases import C, N, dense_rates, growing, label_features, made
from tests.nn.equilibrium_oracle import adjacency, turn

OPTIONS = [
    {},
    {"coupling": True},
    {"feedback": False},
    {"label_feats": 5, "coupling": True},
    {"input_thresholds": [0.5]},
]


def cache_of(options):
    model = made(**options).eval()
    return EquilibriumCache(model, growing(), label_features() if model.label_feats else None)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_comes_to_the_equilibrium(options):
    cache = cache_of(options)
    assert cache.refresh(400) < 1e-12
    for rate, expected in zip(cache.rates, dense_rates(cache.model, cache.snapshots), strict=True):
        torch.testing.assert_close(rate, expected.detach(), rtol=0, atol=1e-10)
    for messages, rate, s in zip(cache.messages, cache.rates, cache.snapshots, strict=True):
        if not cache.model.conv.feedback:
            assert messages is None
        else:
            expected = adjacency(s.graph, s.edge_weight) @ rate
            torch.testing.assert_close(messages, expected, rtol=0, atol=1e-12)
    nodes = torch.tensor([3, 10, 0])
    expected = cache.model(cache.snapshots, cache.label_feat)[nodes]
    torch.testing.assert_close(cache.logits(nodes), expected, rtol=0, atol=1e-9)
    assert cache.logits(nodes).shape == (3, C)


def test_one_step_is_one_turn_and_the_gap_is_what_it_says():
    cache = cache_of({})
    old = None
    for step in range(3):
        gap = cache.refresh()
        expected = []
        for place, s in enumerate(cache.snapshots):
            before = torch.zeros(N, 6, dtype=torch.float64) if old is None else old[place]
            matrix = adjacency(s.graph, s.edge_weight)
            expected.append(turn(cache.model.conv, matrix, before, s.feat) * s.active[:, None])
            torch.testing.assert_close(cache.rates[place], expected[-1].detach(), rtol=0, atol=1e-12)
        changes = [float((x - y).norm() / x.norm()) for x, y in zip(cache.rates, old, strict=True)] if old else [1.0]
        assert abs(gap - max(changes)) < 1e-12, step
        old = [rate.clone() for rate in cache.rates]


def test_gaps_shrink_as_the_contraction_promises():
    cache = cache_of({})
    gaps = [cache.refresh() for _ in range(6)]
    assert all(after < 0.95 * before for before, after in pairwise(gaps))


def test_refreshing_follows_the_weights_and_keeps_no_tape():
    cache = cache_of({"coupling": True})
    cache.refresh(400)
    with torch.no_grad():
        cache.model.conv.injection_weight.mul_(-1)
    assert cache.refresh(1) > 0.1
    assert cache.refresh(400) < 1e-12
    for rate, expected in zip(cache.rates, dense_rates(cache.model, cache.snapshots), strict=True):
        torch.testing.assert_close(rate, expected.detach(), rtol=0, atol=1e-10)
    assert not any(x.requires_grad for x in (*cache.rates, *cache.messages))


def test_batches_of_the_cache_train_with_the_one_step_gradient():
    cache = cache_of({"gradient": "one-step"})
    cache.refresh(400)
    nodes, slope = torch.tensor([1, 7, 2]), torch.randn(3, C, dtype=torch.float64)
    parameters = list(cache.model.parameters())
    found = torch.autograd.grad(cache.logits(nodes), parameters, slope)
    expected = torch.autograd.grad(cache.model(cache.snapshots)[nodes], parameters, slope)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-7, atol=1e-9)
        assert one.abs().max() > 0


def test_state_round_trip(tmp_path):
    cache = cache_of({"coupling": True})
    cache.refresh(3)
    torch.save(cache.state_dict(), tmp_path / "state.pt")
    other = EquilibriumCache(cache.model, cache.snapshots)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    nodes = torch.arange(N)
    assert torch.equal(other.logits(nodes), cache.logits(nodes))
    assert other.refresh() == cache.refresh()
    assert torch.equal(other.logits(nodes), cache.logits(nodes))
    rates = cache.state_dict()["rates"]
    for wrong in (rates[:-1], [part[:1] for part in rates]):  # a single row would be spread over all nodes in silence
        with pytest.raises(ConfigError, match=r"saved rates have shapes .*\(.*\).* this cache has .*refresh\(\)"):
            other.load_state_dict({"rates": wrong})


@pytest.mark.parametrize("options", [*OPTIONS, {"compensation_hops": 1}], ids=str)
def test_on_disk_it_is_the_same_bit_for_bit(options, tmp_path):
    found, block = [], 4 * 40 * 4  # four rows, and 32 columns
    for files in (RowStore(block), RowFiles(tmp_path, block)):
        model = made(**{"hidden": 40, **options}).train()  # 40: more than one block of columns
        torch.manual_seed(1)
        cache = EquilibriumCache(model, growing(), label_features() if model.label_feats else None, files)
        gaps = [cache.refresh(2), cache.refresh()]
        batches = torch.randperm(N).split(4)
        cache.announce(batches)
        logits = [cache.logits(nodes).detach() for nodes in batches]
        model.eval()
        with torch.no_grad():
            logits.append(cache.logits(torch.arange(N)))
        found.append((gaps, logits, cache.rates, [m for m in cache.messages if m is not None]))
    assert found[0][0] == found[1][0]
    for one, two in zip(found[0][1:], found[1][1:], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not list(tmp_path.iterdir())


def test_blocks_of_rows_are_the_whole():
    whole = cache_of({"coupling": True})
    gap = whole.refresh(3)
    parts = EquilibriumCache(whole.model, whole.snapshots, files=RowStore(100))  # four rows
    assert abs(parts.refresh(3) - gap) < 1e-12
    for one, two in zip(whole.rates, parts.rates, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def test_state_goes_from_memory_to_disk_and_back(tmp_path):
    cache = cache_of({"coupling": True})
    cache.refresh(3)
    other = EquilibriumCache(cache.model, cache.snapshots, files=RowFiles(tmp_path))
    torch.save(cache.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    nodes = torch.arange(N)
    assert torch.equal(other.logits(nodes), cache.logits(nodes))
    torch.save(other.state_dict(), tmp_path / "state.pt")
    again = cache_of({"coupling": True})
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(again.logits(nodes), cache.logits(nodes))


def test_a_dropped_cache_is_freed_at_once(tmp_path):
    for files in (None, RowFiles(tmp_path)):
        cache = EquilibriumCache(made(), growing(), files=files)
        cache.refresh()
        rates = weakref.ref(cache.rates[0])
        del cache
        assert rates() is None


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
