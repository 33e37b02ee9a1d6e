"""Snapshots as models take them: against dense means in float64, from the past alone."""

import gc
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dgl_dysign.data import TemporalGraph, row_store
from dgl_dysign.data.row_store import RowFiles
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.models import StreamedSnapshots, evenly_spaced, load_snapshots
from tests.nn.equilibrium_oracle import adjacency
from tests.prepared import prepare

T, N, DIM = 4, 9, 70  # wider than one block of columns
RANDOM = np.random.default_rng(0)
# Node 7 comes at the third snapshot, 8 never.
EVENTS = [(t, int(u), int(v)) for t in range(T) for u, v in RANDOM.integers(0, 7, (6, 2))] + [(2, 7, 1), (3, 7, 2)]
LABELS = [0, 1, 2, 0, 1, 2, 0, 1, 2]


def features(events):
    """Return features that no later event can change, zero for nodes not seen."""
    feat = np.random.default_rng(1).standard_normal((T, N, DIM)).astype(np.float32)
    for t in range(T):
        seen = {n for s, u, v in events if s <= t for n in (u, v)}
        feat[t, [n for n in range(N) if n not in seen]] = 0
    feat[:, :, 3] = 1000.1 * (feat[:, :, 0] != 0)  # one column is constant
    return feat


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("snapshots") / "prepared"
    return TemporalGraph.load(prepare(folder, EVENTS, T, LABELS, features(EVENTS)))


def dense(index, decay, hops, scaling):
    """Return adjacency and scaled features from the events themselves."""
    matrix, seen = torch.zeros(N, N, dtype=torch.float64), torch.zeros(N, dtype=torch.bool)
    for t, u, v in EVENTS:
        if t <= index:
            for pair in {(u, v), (v, u)}:
                matrix[pair] += decay ** (index - t)
            seen[[u, v]] = True
    root = matrix.sum(1).clamp(min=1e-30).rsqrt()
    matrix = root[:, None] * matrix * root
    columns = []
    for hop in hops:
        x = torch.linalg.matrix_power(matrix, hop) @ torch.from_numpy(features(EVENTS)[index]).double()
        rows = x[seen]
        if scaling == "standard":
            x = (x - rows.mean(0)) / rows.std(0, correction=0).clamp(min=1e-6)
        else:
            low, high = rows.amin(0), rows.amax(0)
            x = (x - low) / (high - low).clamp(min=1e-6)
        columns.append(x * seen[:, None])
    return matrix, seen, torch.cat(columns, 1)


@pytest.mark.parametrize("scaling", ["standard", "unit"])
@pytest.mark.parametrize(("decay", "hops"), [(1.0, (0, 1)), (0.5, (0,)), (0.3, (2, 0)), (0.9, (1,))])
def test_snapshots_are_the_dense_ones(data, decay, hops, scaling):
    for index, snapshot in zip((1, 3), load_snapshots(data, (1, 3), decay, hops, scaling), strict=True):
        matrix, seen, feat = dense(index, decay, hops, scaling)
        assert torch.equal(snapshot.active, seen)
        torch.testing.assert_close(adjacency(snapshot.graph, snapshot.edge_weight), matrix, rtol=0, atol=1e-6)
        constant = torch.tensor([c % DIM == 3 and hops[c // DIM] == 0 for c in range(feat.shape[1])])
        torch.testing.assert_close(snapshot.feat[:, ~constant].double(), feat[:, ~constant], rtol=0, atol=5e-4)
        assert not snapshot.feat[:, constant].any()
        assert snapshot.feat.dtype == torch.float32
        assert not snapshot.feat[~seen].any()
        assert not snapshot.graph.edata
        assert not snapshot.graph.ndata


def test_what_scaling_promises(data):
    (standard,), (unit,) = (load_snapshots(data, [3], 0.5, scaling=s) for s in ("standard", "unit"))
    rows = standard.feat[standard.active]
    spread_out = rows.abs().amax(0) > 0
    torch.testing.assert_close(rows.mean(0), torch.zeros(2 * DIM), rtol=0, atol=1e-3)
    torch.testing.assert_close(rows.std(0, correction=0), spread_out.float(), rtol=0, atol=1e-3)
    rows = unit.feat[unit.active]
    assert rows.amin() == 0
    assert rows.amax() == 1
    assert ((rows.amax(0) == 1) == spread_out).all()


@pytest.mark.parametrize("index", range(T - 1))
def test_events_and_features_after_a_snapshot_move_nothing(tmp_path, data, index):
    later = [(t, (u + 3) % 7, (v * 2) % 7) if t > index else (t, u, v) for t, u, v in EVENTS]
    feat = features(EVENTS)
    feat[index + 1 :] += 5.0
    other = TemporalGraph.load(prepare(tmp_path / "other", later, T, LABELS, feat))
    for one, two in zip(load_snapshots(data, [index], 0.5), load_snapshots(other, [index], 0.5), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.graph.edges(), two.graph.edges(), strict=True))
        assert all(torch.equal(a, b) for a, b in zip(one[1:], two[1:], strict=True))
    (one,), (two,) = (load_snapshots(d, [T - 1], 0.5) for d in (data, other))
    assert not torch.equal(one.feat, two.feat)


def test_what_it_refuses(data, tmp_path):
    with pytest.raises(ConfigError, match="scaling must be one of"):
        load_snapshots(data, [0], scaling="none")
    for hops in ((), (0, -1)):
        with pytest.raises(ConfigError, match="hops must name at least one"):
            load_snapshots(data, [0], hops=hops)
    with pytest.raises(ConfigError, match="snapshot 4 does not exist"):
        load_snapshots(data, [4])
    with pytest.raises(ConfigError, match="decay"):
        load_snapshots(data, [0], decay=0.0)
    bare = TemporalGraph.load(prepare(tmp_path / "bare", EVENTS, T, LABELS))
    with pytest.raises(DataError, match="no features"):
        load_snapshots(bare, [0])


@given(st.integers(1, 60), st.data())
def test_indices_are_evenly_spaced_and_ends_at_the_last(num_snapshots, draw):
    count = draw.draw(st.integers(1, num_snapshots))
    found = evenly_spaced(num_snapshots, count)
    gaps = np.diff([-1, *found])
    assert len(found) == count
    assert found[-1] == num_snapshots - 1
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 2


@pytest.mark.parametrize("count", [0, -1, 6])
def test_evenly_spaced_refuses(count):
    with pytest.raises(ConfigError, match="between 1 and the 5 snapshots"):
        evenly_spaced(5, count)


@pytest.mark.parametrize("scaling", ["standard", "unit"])
def test_streamed_snapshots_are_the_same_bit_for_bit(data, tmp_path, monkeypatch, scaling):
    monkeypatch.setattr(row_store, "BLOCK_BYTES", 1200)  # a few rows, and three blocks of columns
    streamed = StreamedSnapshots(data, (1, 3), RowFiles(tmp_path), 0.3, (2, 0), scaling)
    expected = load_snapshots(data, (1, 3), 0.3, (2, 0), scaling)
    assert len(streamed) == 2
    for _ in range(2):  # the second time features are on disk
        for one, two in zip(streamed, expected, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one.graph.edges(), two.graph.edges(), strict=True))
            assert all(torch.equal(a, b) for a, b in zip(one[1:], two[1:], strict=True))
    assert torch.equal(streamed[-1].feat, expected[1].feat)
    assert torch.equal(streamed[:1][0].feat, expected[0].feat)
    assert streamed[1] is streamed[1]
    with pytest.raises(IndexError):
        streamed[2]
    assert not list(tmp_path.iterdir())


def test_streamed_snapshots_hold_one_graph(data, tmp_path):
    streamed = StreamedSnapshots(data, range(T), RowFiles(tmp_path))
    first = weakref.ref(streamed[0].graph)
    assert first() is not None
    assert streamed[1].graph.num_nodes() == N
    gc.collect()
    assert first() is None


def test_streamed_snapshots_refuse_the_same(data, tmp_path):
    with pytest.raises(ConfigError, match="scaling must be one of"):
        StreamedSnapshots(data, [0], RowFiles(tmp_path), scaling="none")
    with pytest.raises(ConfigError, match="hops must name at least one"):
        StreamedSnapshots(data, [0], RowFiles(tmp_path), hops=())
