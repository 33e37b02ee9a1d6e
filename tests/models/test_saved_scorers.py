"""Link scorers in folders: model, store and what it holds; features of pairs in the unit of the training."""

import pytest
import torch

from dgl_dysign.data.snapshot_edges import snapshot_edges
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.models import LinkScorer, UnderGS
from dgl_dysign.models.predict import predict_links
from dgl_dysign.pairs import LinkFeatures
from dgl_dysign.store import NeighborStore
from tests.models.pretrained_cases import NODES, SNAPSHOTS, events, folder, scorer
from tests.training.link_cases import CountedFeatures

SRC = torch.arange(NODES)
DST = torch.arange(NODES).expand(NODES, -1).contiguous()
KINDS = ["undergs", "mixer", "spiking", "features", "untimed", "projected"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("links") / "six", directed=True, node_features=None)


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("links") / "nine", snapshots=9, directed=True, node_features=None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("observed", [0, 4])
def test_scores_stay_when_a_scorer_is_saved_and_snapshots_are_appended(kind, observed, data, longer, tmp_path):
    made = scorer(kind, data)
    before = [predict_links(made, data, t, SRC, DST) for t in range(SNAPSHOTS + 1)]
    made.catch_up(data, observed)
    saved = made.save_pretrained(tmp_path / "model", data)
    for target in (data, longer):
        again = LinkScorer.from_pretrained(saved, target)
        assert again.store.snapshot == (observed - 1 if target is data else -1)
        for t in (3, 5, 0, 4, SNAPSHOTS):
            assert torch.equal(predict_links(again, target, t, SRC, DST), before[t])
    ahead = predict_links(again, longer, 9, SRC, DST)
    assert torch.isfinite(ahead).all()
    assert not torch.equal(ahead, before[-1])


@pytest.mark.parametrize("kind", ["undergs", "spiking"])
def test_the_state_goes_on_without_the_data(kind, data, longer, tmp_path):
    made = scorer(kind, data)
    made.catch_up(data, SNAPSHOTS)
    again = LinkScorer.from_pretrained(made.save_pretrained(tmp_path / "model", data))
    assert torch.equal(again.store.slots, made.store.slots)
    assert torch.equal(again.score(SNAPSHOTS, SRC, DST), made.score(SNAPSHOTS, SRC, DST))
    for t in range(SNAPSHOTS, 9):
        again.observe(snapshot_edges(longer, t))
    assert torch.equal(again.score(9, SRC, DST), predict_links(made, longer, 9, SRC, DST))


def test_nothing_at_or_after_a_snapshot_is_read(data, tmp_path):
    rows = [row for row in events() if row[0] < 3] + [row for row in events(seed=5) if row[0] >= 3]
    rows = [(*row[:4], number) for number, row in enumerate(rows)]
    changed = folder(tmp_path / "changed", rows=rows, directed=True, node_features=None)
    made = scorer("features", data)
    before = predict_links(made, data, 3, SRC, DST)
    saved = made.save_pretrained(tmp_path / "model", data)
    again = LinkScorer.from_pretrained(saved, changed)
    assert torch.equal(predict_links(again, changed, 3, SRC, DST), before)
    again.catch_up(changed, 5)  # it has seen more, and forgets it
    assert torch.equal(predict_links(again, changed, 3, SRC, DST), before)
    later = predict_links(again, changed, 4, SRC, DST)
    assert not torch.equal(later, predict_links(made, data, 4, SRC, DST))


def test_the_unit_of_time_is_that_of_the_training(data, tmp_path):
    before = scorer("features", data)
    saved = before.save_pretrained(tmp_path / "model", data)
    ranges = [(10.0 * t, 10.0 * t + 10) for t in range(7)] + [(70.0, 170.0), (170.0, 180.0)]  # one is much longer
    longer = folder(tmp_path / "nine", snapshots=9, ranges=ranges, directed=True, node_features=None)
    expected = predict_links(before, data, 5, SRC, DST)
    again = LinkScorer.from_pretrained(saved, longer)
    assert torch.equal(predict_links(again, longer, 5, SRC, DST), expected)
    again.save_pretrained(tmp_path / "again", longer)
    third = LinkScorer.from_pretrained(tmp_path / "again", longer)
    assert torch.equal(predict_links(third, longer, 5, SRC, DST), expected)
    before.features = LinkFeatures.of(longer)  # whose unit is the mean over all snapshots
    assert not torch.equal(predict_links(before, longer, 5, SRC, DST), expected)


@pytest.mark.parametrize("kind", ["undergs", "mixer", "spiking"])
def test_new_nodes_are_welcome(kind, data, tmp_path):
    made = scorer(kind, data)
    before = predict_links(made, data, 5, SRC, DST)
    saved = made.save_pretrained(tmp_path / "model", data)
    places = torch.randperm(NODES + 4, generator=torch.Generator().manual_seed(3))
    order = torch.cat([places[:NODES].sort()[0], places[NODES:]])
    for name, now in (("grown", torch.arange(NODES + 4)), ("between", order)):
        grown = folder(tmp_path / name, nodes=NODES + 4, order=now, directed=True, node_features=None)
        with pytest.raises(DataError, match="other nodes than the model has"):
            predict_links(made, grown, 5, SRC, DST)
        again = LinkScorer.from_pretrained(saved, grown)
        assert again.store.num_nodes == NODES + 4
        found = predict_links(again, grown, 5, now[SRC], now[DST])
        torch.testing.assert_close(found, before, rtol=0, atol=1e-5)


def test_features_of_ones_own_are_given_again(data, tmp_path):
    model = UnderGS(NODES, 8, pair_feats=3)
    made = LinkScorer(model, model.store(), CountedFeatures(NODES))
    made.catch_up(data, 4)
    before = made.score(4, SRC, DST)
    saved = made.save_pretrained(tmp_path / "model", data)
    with pytest.raises(ConfigError, match=r"features of pairs of its own, \['degree', 'met', 'constant'\]: pass feat"):
        LinkScorer.from_pretrained(saved, data)
    again = LinkScorer.from_pretrained(saved, data, CountedFeatures(NODES))
    assert torch.equal(again.score(4, SRC, DST), before)
    with pytest.raises(ConfigError, match=r"found columns \[.*\], but the scorer was trained on \['degree'"):
        LinkScorer.from_pretrained(saved, data, LinkFeatures(NODES, families=["pair"]))
    plain = scorer("undergs", data).save_pretrained(tmp_path / "plain", data)
    with pytest.raises(ConfigError, match=r"was trained on \[\]"):
        LinkScorer.from_pretrained(plain, data, CountedFeatures(NODES))


def test_features_of_pairs_need_the_data(data, tmp_path):
    saved = scorer("features", data).save_pretrained(tmp_path / "model", data)
    with pytest.raises(ConfigError, match="made from the data: pass data="):
        LinkScorer.from_pretrained(saved)


def test_features_of_nodes_and_edges_are_given_again(data, tmp_path):
    feat, edge_feat = torch.randn(NODES, 3), torch.randn(data.num_edges, 2)
    model = UnderGS(NODES, 8, node_feats=3, edge_feats=2)
    made = LinkScorer(model, model.store(), node_feat=feat, edge_feat=edge_feat)
    saved = made.save_pretrained(tmp_path / "model", data)
    again = LinkScorer.from_pretrained(saved, data, node_feat=feat, edge_feat=edge_feat)
    assert torch.equal(predict_links(again, data, 4, SRC, DST), predict_links(made, data, 4, SRC, DST))
    with pytest.raises(ConfigError, match="edge_feat: the scorer was saved with some, but got none"):
        LinkScorer.from_pretrained(saved, data, node_feat=feat)
    plain = scorer("undergs", data).save_pretrained(tmp_path / "plain", data)
    with pytest.raises(ConfigError, match="node_feat: the scorer was saved with none, but got some"):
        LinkScorer.from_pretrained(plain, data, node_feat=feat)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"directed": False}, "found directed = False"), ({"dataset": "other"}, "found dataset = 'other'")],
    ids=str,
)
def test_data_of_another_shape_is_refused(change, said, data, tmp_path):
    made = scorer("undergs", data)
    saved = made.save_pretrained(tmp_path / "model", data)
    other = folder(tmp_path / "other", **{"directed": True, "node_features": None, **change})
    with pytest.raises(DataError, match=said):
        LinkScorer.from_pretrained(saved, other)
    with pytest.raises(DataError, match=said):
        predict_links(made, other, 3, SRC, DST)
    # Features and labels of nodes are not read, and may differ.
    featured = folder(tmp_path / "featured", directed=True)
    found = predict_links(LinkScorer.from_pretrained(saved, featured), featured, 3, SRC, DST)
    assert torch.equal(found, predict_links(made, data, 3, SRC, DST))


def test_a_scorer_and_a_model_are_told_apart(data, tmp_path):
    made = scorer("undergs", data)
    saved = made.save_pretrained(tmp_path / "model", data)
    with pytest.raises(DataError, match="found a LinkScorer, expected a UnderGS: load it with LinkScorer"):
        UnderGS.from_pretrained(saved)
    with pytest.raises(ConfigError, match="exists: name another folder"):
        made.save_pretrained(saved, data)
    made.save_pretrained(saved, data, overwrite=True)


def test_what_a_folder_cannot_hold_is_refused(data, tmp_path):
    model = UnderGS(NODES, 8)
    store = NeighborStore(NODES, importance=lambda src, dst, n: torch.ones(n))
    with pytest.raises(ConfigError, match=r"store\.importance=.* cannot be saved"):
        LinkScorer(model, store).save_pretrained(tmp_path / "model", data)
    assert not list(tmp_path.iterdir())


def test_types_of_nodes_stay_and_are_not_guessed_for_new_ones(data, tmp_path):
    model, kinds = UnderGS(NODES, 8), torch.arange(NODES) % 2
    made = LinkScorer(model, model.store(node_type=kinds))
    made.catch_up(data, 3)
    saved = made.save_pretrained(tmp_path / "model", data)
    assert torch.equal(LinkScorer.from_pretrained(saved, data).store.node_type, kinds)
    grown = folder(tmp_path / "grown", nodes=NODES + 1, directed=True, node_features=None)
    with pytest.raises(ConfigError, match="types of nodes"):
        LinkScorer.from_pretrained(saved, grown)


@pytest.mark.parametrize("snapshot", [-1, SNAPSHOTS + 1])
def test_only_snapshots_of_the_data_and_the_next_can_be_asked_about(snapshot, data):
    with pytest.raises(ConfigError, match=f"snapshot {snapshot}: expected 0 to 6, the one after the data's last"):
        predict_links(scorer("undergs", data), data, snapshot, SRC, DST)
