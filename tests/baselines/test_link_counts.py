"""Logistic regression and trees on counts: they find what tells true links, and score it so."""

import json

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from dgl_dysign.baselines import CountLinks
from dgl_dysign.baselines._tree_scores import TreeScores
from dgl_dysign.baselines.link_counts import COUNTS, KINDS, TREES, QuantileBins
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.models.predict import predict_links
from dgl_dysign.pairs import LinkFeatures
from tests.models.pretrained_cases import folder
from tests.training.link_cases import EDGES, NODES, CountedFeatures

COLUMNS = ("degree", "met")


def fitted(kind, features=None):
    """Return a model that has learned that the second column tells."""
    model = CountLinks(features or CountedFeatures(), kind, COLUMNS)
    feat = torch.rand(400, 4, 2, generator=torch.Generator().manual_seed(0))
    feat[:, 0, 1] += 1
    model.fit(feat, torch.ones(400))
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_learns_what_tells(kind):
    model = fitted(kind)
    for edges in EDGES[:5]:
        model.observe(edges)
    src, dst = EDGES[4].src[:1], torch.tensor([[0, 0]])
    dst[0, 0], dst[0, 1] = EDGES[4].dst[0], (EDGES[4].dst[0] + 1) % NODES
    met = model.features.features(5, src, dst)[..., 1]
    scores = model.score(5, src, dst)
    assert (scores[0, 0] > scores[0, 1]) == (met[0, 0] > met[0, 1])
    every = torch.arange(NODES), torch.arange(NODES).expand(NODES, -1).contiguous()
    whole = model.score(5, *every)
    model.pairs_at_once = 3 * NODES
    torch.testing.assert_close(model.score(5, *every), whole, rtol=0, atol=0)
    assert model.score(5, src[:0], dst[:0]).shape == (0, 2)
    model.reset()
    assert model.features.snapshot == -1


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_weight_zero_teaches_nothing(kind):
    generator = torch.Generator().manual_seed(0)
    feat = torch.rand(600, 4, 2, generator=generator)
    feat[:, 0, 1] += 1
    feat[:300, 0, 1] -= 2  # the other way round
    features = CountedFeatures()
    features.features = lambda snapshot, src, dst: torch.tensor([[[0.5, 0.2], [0.5, 1.5]]])
    model = CountLinks(features, kind, COLUMNS)
    model.fit(feat, torch.tensor([0.0] * 300 + [1.0] * 300))
    low, high = model.score(0, torch.tensor([0]), torch.tensor([[1, 2]]))[0]
    assert high > low


def test_fewer_families_change_no_score():
    model = CountLinks(LinkFeatures(NODES), "logistic")
    feat = torch.rand(50, 3, len(COUNTS), generator=torch.Generator().manual_seed(0))
    model.fit(feat, torch.ones(50))
    asked = 5, torch.arange(3), torch.arange(NODES).expand(3, -1).contiguous()
    scores = []
    for features in (LinkFeatures(NODES), LinkFeatures(NODES, families=["shared", "pair", "activity"])):
        model.use(features)
        for edges in EDGES[:5]:
            model.observe(edges)
        scores.append(model.score(*asked))
    assert torch.equal(*scores)
    assert len(scores[0].unique()) > 1


def test_bins_keep_the_order_and_few_values_apart():
    generator = np.random.default_rng(0)
    feat = np.stack([generator.normal(size=5000), generator.integers(0, 2, 5000), np.zeros(5000)], 1).astype(np.float32)
    feat[0, 2] = 1  # one in 5000
    bins = QuantileBins()
    found = bins.fit_transform(feat)
    assert [len(np.unique(column)) for column in found.T] == [255, 2, 2]
    assert np.bincount(found[:, 0].astype(int)).max() <= 21  # of 5000 / 255
    order = feat[:, 0].argsort()
    assert (np.diff(found[order, 0]) >= 0).all()
    beyond = bins.transform(np.array([[-9, -9, -9], [9, 9, 9]], np.float32))
    assert beyond.tolist() == [[0, 0, 0], [254, 1, 1]]


@pytest.mark.parametrize("rows", [300, 6000])
def test_bins_end_at_quantiles(rows):
    generator = np.random.default_rng(0)
    column = np.round(generator.normal(size=rows), 3).astype(np.float32)
    bins = QuantileBins()
    bins.fit_transform(column[:, None])
    shares = np.linspace(0, 1, 256)[1:-1]
    expected = np.unique(np.quantile(column, shares, method="higher"))
    assert np.array_equal(bins.edges[0], expected if len(np.unique(column)) > 255 else np.unique(column)[:-1])


@pytest.mark.parametrize("learned", [True, False])
def test_trees_score_values_as_scikit_learn_scores_their_bins(learned):
    generator = np.random.default_rng(0)
    feat = np.stack([generator.normal(size=3000), generator.integers(0, 3, 3000), np.zeros(3000)], 1).astype(np.float32)
    truth = (feat[:, 0] * (feat[:, 1] - 1) > 0.5).astype(int)
    weight = generator.random(3000) if learned else np.full(3000, 1e-9)  # of next to no weight: a leaf is all there is
    bins, classifier = QuantileBins(), HistGradientBoostingClassifier(**TREES, random_state=0)
    classifier.fit(bins.fit_transform(feat), truth, sample_weight=weight)
    scores = TreeScores(classifier, bins.edges)
    asked = np.concatenate([feat, feat + np.float32(1e-7), [[-9, -9, -9], [9, 9, 9]]]).astype(np.float32)
    assert np.array_equal(scores(asked), classifier.decision_function(bins.transform(asked)))
    assert (len(np.unique(scores(asked))) > 8) == learned
    assert scores(asked[:0]).shape == (0,)


def test_the_counts_are_columns_of_the_features():
    model = CountLinks(LinkFeatures(5))
    assert [model.features.names[i] for i in model.columns] == list(COUNTS)
    assert len(COUNTS) == 16
    fewer = CountLinks(LinkFeatures(5, families=["pair"]))
    assert len(fewer.columns) == 3


def test_errors():
    with pytest.raises(ConfigError, match="call fit first"):
        CountLinks(CountedFeatures(), columns=COLUMNS).score(0, torch.tensor([0]), torch.tensor([[1]]))
    with pytest.raises(ConfigError, match="kind"):
        CountLinks(CountedFeatures(), "forest", COLUMNS)
    with pytest.raises(ConfigError, match="none of the columns activity/src_recency_any"):
        CountLinks(CountedFeatures())


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_scores_what_it_did(kind, tmp_path):
    before, after = folder(tmp_path / "before"), folder(tmp_path / "after", snapshots=9, nodes=NODES + 4)
    features = LinkFeatures.of(before)
    model = CountLinks(features, kind, ["pair/recency_back", "habits/rate", *COUNTS[:6]])
    feat = torch.rand(400, 3, len(model.columns), generator=torch.Generator().manual_seed(0))
    feat[:, 0, :2] *= 3
    with pytest.raises(ConfigError, match="call fit first"):
        model.save_pretrained(tmp_path / "model", before)
    model.fit(feat, torch.ones(400))
    saved = model.save_pretrained(tmp_path / "model", before)
    asked = torch.arange(30), torch.arange(30).expand(30, -1).contiguous()
    for t in (4, 2, 6):  # it begins anew for an earlier one
        expected = predict_links(model, before, t, *asked)
        assert len(expected.unique()) > 9
        for data in (before, after):
            again = CountLinks.from_pretrained(saved, data)
            assert torch.equal(predict_links(again, data, t, *asked), expected)
    with pytest.raises(ConfigError, match="snapshot 10: expected 0 to 9"):
        again.catch_up(after, 10)
    with pytest.raises(DataError, match="directed"):
        CountLinks.from_pretrained(saved, folder(tmp_path / "other", directed=True))


@pytest.mark.parametrize(
    ("name", "value"),
    [("column", -1), ("column", 99), ("first", 9999), ("value", None), ("passing", None), ("start", None)],
)
def test_damaged_trees_are_refused(name, value, tmp_path):
    data = folder(tmp_path / "data")
    model = CountLinks(LinkFeatures.of(data))
    model.fit(torch.rand(200, 3, len(COUNTS), generator=torch.Generator().manual_seed(0)), torch.ones(200))
    trees = model._scores
    arrays = {each: array.copy() for each, array in trees.arrays().items()}
    arrays[name] = arrays[name][:-2] if value is None else arrays[name]
    arrays[name].reshape(-1)[:1] = arrays[name].reshape(-1)[:1] if value is None else value
    trees.arrays = lambda: arrays
    with pytest.raises(DataError, match="makes no CountLinks"):
        CountLinks.from_pretrained(model.save_pretrained(tmp_path / "model", data), data)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_damaged_folder_says_is_refused(kind, tmp_path):
    data = folder(tmp_path / "data")
    model = CountLinks(LinkFeatures.of(data, ["activity", "pair"]), kind)
    model.fit(torch.rand(200, 3, len(model.columns), generator=torch.Generator().manual_seed(0)), torch.ones(200))
    path = model.save_pretrained(tmp_path / "model", data) / "config.json"
    whole = path.read_text()

    def refused(change):
        config = json.loads(whole)
        change(config, config["arguments"])
        path.write_text(json.dumps(config))
        with pytest.raises(DataError, match="makes no CountLinks"):
            CountLinks.from_pretrained(path.parent, data)

    refused(lambda config, _: config.update(data=None))
    refused(lambda _, arguments: arguments.update(features=None))
    refused(lambda _, arguments: arguments.update(columns=None))
    refused(lambda _, arguments: arguments["columns"].__setitem__(-1, "pair/met_sideways"))
    if kind == "logistic":
        refused(lambda _, arguments: arguments["columns"].append("pair/met_forth"))
        learned = model._scores.arrays()
        for name in ("mean", "scale", "weight"):
            model._scores.arrays = lambda name=name: {**learned, name: learned[name][:1]}
            with pytest.raises(DataError, match="makes no CountLinks"):
                CountLinks.from_pretrained(model.save_pretrained(path.parent, data, overwrite=True), data)


def test_a_live_model_grows_and_begins_anew_with_other_features(tmp_path):
    before, after = folder(tmp_path / "before"), folder(tmp_path / "after", snapshots=9, nodes=NODES + 4)
    model = CountLinks(LinkFeatures.of(before, ["activity", "pair"]), "logistic")
    model.fit(torch.rand(99, 3, len(model.columns), generator=torch.Generator().manual_seed(0)), torch.ones(99))
    asked = torch.arange(30), torch.arange(30).expand(30, -1).contiguous()
    expected = CountLinks.from_pretrained(model.save_pretrained(tmp_path / "model", before), after)
    predict_links(model, before, 5, *asked)
    with pytest.raises(DataError, match=rf"call grow\({after.num_nodes}\)"):
        predict_links(model, after, 8, *asked)
    model.grow(after.num_nodes)
    scores = predict_links(model, after, 8, *asked)
    assert torch.equal(scores, predict_links(expected, after, 8, *asked))
    model.use(LinkFeatures.of(after, ["activity", "pair"]))
    assert torch.equal(scores, predict_links(model, after, 8, *asked))
