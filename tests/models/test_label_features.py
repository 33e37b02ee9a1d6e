"""Labels as inputs and as smoothing, against dense loops; and the proof that no node is told its own label."""

import pytest
import torch
from sklearn.metrics import f1_score

from dgl_dysign._dgl import dgl
from dgl_dysign.errors import ConfigError
from dgl_dysign.models import masked_label_features, smooth_predictions
from dgl_dysign.models.label_features import read_labels
from tests.models.label_cases import GRAPHS, LABELS, OTHERS, TRAIN, C, N, graphs, one_hot, propagated
from tests.nn.equilibrium_oracle import adjacency

FOLDS = 4
STEPS = (1, 3)


def label_features(labels=LABELS, train=TRAIN, **options):
    return masked_label_features(graphs(), labels, train, C, **{"steps": STEPS, "folds": FOLDS, **options})


def folds(seed=0):
    return torch.randint(FOLDS, (len(TRAIN),), generator=torch.Generator().manual_seed(seed))


def dense_label_features(seed=0):
    fold, rows = folds(seed), []
    for graph, weight in GRAPHS:
        matrix = adjacency(graph, weight)
        for step in STEPS:
            out = torch.zeros(N, C + 1, dtype=torch.float64)
            for k in range(FOLDS + 1):
                shown = TRAIN[fold != k]
                reached = propagated(matrix, shown, step)
                mass = reached.sum(1, keepdim=True)
                feat = torch.cat([reached / mass.clamp(min=1e-9), torch.log1p(10 * mass) / 2], 1)
                unseen = torch.tensor([n for n in range(N) if n not in shown.tolist()])
                feat = (feat - feat[unseen].mean(0)) / feat[unseen].std(0, correction=0)
                mine = TRAIN[fold == k] if k < FOLDS else OTHERS
                out[mine] = feat[mine]
            rows.append(out)
    return torch.cat(rows, 1)


@pytest.mark.parametrize("seed", [0, 1])
def test_label_features_are_those_of_one_dense_propagation_a_fold(seed):
    found = label_features(seed=seed)
    assert found.shape == (N, len(GRAPHS) * len(STEPS) * (C + 1))
    torch.testing.assert_close(found.double(), dense_label_features(seed), rtol=0, atol=2e-4)


def test_no_row_moves_with_the_labels_of_its_own_fold():
    before, fold = label_features(), folds()
    for k in range(FOLDS):
        own = TRAIN[fold == k]
        changed = LABELS.clone()
        changed[own] = (changed[own] + 1) % C
        after = label_features(changed)
        assert torch.equal(after[own], before[own])
        rest = torch.cat([TRAIN[fold != k], OTHERS])
        assert (after[rest] != before[rest]).any(1).double().mean() > 0.9


def test_labels_outside_the_training_nodes_are_never_read():
    changed = LABELS.clone()
    changed[OTHERS] = (changed[OTHERS] + 1) % C
    assert torch.equal(label_features(changed), label_features())
    changed[OTHERS] = -1
    assert torch.equal(label_features(changed), label_features())
    graph, weight = graphs()[0]
    scores = torch.rand(N, C)
    assert torch.equal(
        smooth_predictions(graph, weight, scores, changed, TRAIN),
        smooth_predictions(graph, weight, scores, LABELS, TRAIN),
    )


def test_every_node_may_be_a_training_node():
    found = label_features(train=torch.arange(N))
    assert torch.isfinite(found).all()


def test_label_features_are_seeded_and_leave_the_callers_random_state():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = label_features(seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(label_features(seed=1), first)
    assert not torch.equal(label_features(seed=2), first)


def test_label_features_tell_two_separate_groups_apart():
    src = torch.cat([torch.arange(19), torch.arange(20, 39)])
    path = dgl.graph((torch.cat([src, src + 1]), torch.cat([src + 1, src])), num_nodes=40)
    labels = (torch.arange(40) >= 20).long()
    found = masked_label_features([(path, None)], labels, torch.arange(0, 40, 2), 2, steps=(8,), folds=5)
    first, second = found[:20], found[20:]
    assert first[:, 0].min() > 0 > second[:, 0].max()
    assert first[:, 1].max() < 0 < second[:, 1].min()


def test_the_prior_is_the_propagation_that_classifies_training_nodes_best_out_of_fold():
    reading, fold = read_labels(graphs(), LABELS, TRAIN, C, STEPS, FOLDS), folds()
    figures = {}
    for place, (graph, weight) in enumerate(GRAPHS):
        for step in STEPS:
            reached = propagated(adjacency(graph, weight), TRAIN, step)
            for k in range(FOLDS):
                own = TRAIN[fold == k]
                reached[own] = propagated(adjacency(graph, weight), TRAIN[fold != k], step)[own]
            figures[place, step] = f1_score(LABELS[TRAIN], reached[TRAIN].argmax(1), average="macro")
            if (place, step) == (reading.graph, reading.steps):
                shares = reached / reached.sum(1, keepdim=True)
                torch.testing.assert_close(reading.prior.exp().double(), 0.98 * shares + 0.02 / C, rtol=0, atol=1e-5)
    assert figures[reading.graph, reading.steps] == max(figures.values())


def test_a_node_that_no_label_reaches_gets_the_shares_of_the_classes():
    pair = dgl.graph(([0, 1], [1, 0]), num_nodes=3)
    reading = read_labels([(pair, None)], torch.tensor([0, 0, -1]), torch.tensor([0, 1]), 2, (1,), 2)
    torch.testing.assert_close(reading.prior[2].exp(), torch.tensor([0.99, 0.01]))


def test_a_prior_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="expected the number of a graph"):
        read_labels(graphs(), LABELS, TRAIN, C, STEPS, FOLDS, prior=(0, 2))


@pytest.mark.parametrize("options", [{"folds": 1}, {"steps": ()}, {"steps": (0, 1)}])
def test_label_features_refuse(options):
    with pytest.raises(ConfigError, match="at least 2 folds and steps of at least 1"):
        label_features(**options)


@pytest.mark.parametrize("clamped", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9])
def test_smoothed_predictions_are_those_of_a_dense_loop(clamped, alpha):
    graph, weight = GRAPHS[0]
    given = torch.rand(N, C, generator=torch.Generator().manual_seed(0)).softmax(1)
    matrix, base = adjacency(graph, weight), given.double()
    if clamped:
        base[TRAIN] = one_hot(TRAIN)[TRAIN]
    expected = base
    for _ in range(7):
        expected = alpha * matrix @ expected + (1 - alpha) * base
        if clamped:
            expected[TRAIN] = base[TRAIN]
    kept = given.clone()
    known = (LABELS, TRAIN) if clamped else (None, None)
    found = smooth_predictions(graph, weight.float(), given, *known, alpha=alpha, steps=7)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-6)
    assert torch.equal(given, kept)  # the caller's predictions are not written to


@pytest.mark.parametrize("alpha", [-0.1, 1.0, 2.0, float("nan")])
def test_alpha_out_of_range(alpha):
    with pytest.raises(ConfigError, match=r"alpha must lie in \[0, 1\)"):
        smooth_predictions(*graphs()[0], torch.ones(N, C), alpha=alpha)


def test_labels_without_training_nodes():
    with pytest.raises(ConfigError, match="given together"):
        smooth_predictions(*graphs()[0], torch.ones(N, C), LABELS)
    with pytest.raises(ConfigError, match="given together"):
        smooth_predictions(*graphs()[0], torch.ones(N, C), train=TRAIN)
