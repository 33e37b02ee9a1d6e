"""Training of link scorers: it learns, resumes to the last bit, sees no future, and holds one batch."""

from dataclasses import replace

import pytest
import torch

from dgl_dysign.baselines import RandomLinks
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.evaluation import NegativeSampler, evaluate_links
from dgl_dysign.models import LinkScorer, link_loss
from dgl_dysign.pairs import CachedFeatures
from dgl_dysign.training import LinkFitConfig, fit_links, late_snapshot_step, links
from tests.evaluation.link_cases import generated, snapshots
from tests.training.link_cases import EDGES, NODES, SPLIT, CountedFeatures, scorer

CONFIG = LinkFitConfig(epochs=3, lr=5e-3, val_negatives=20)


def weights(made):
    return {name: value.clone() for name, value in made.model.state_dict().items() if isinstance(value, torch.Tensor)}


def same(left, right):
    assert left.keys() == right.keys()
    return all(torch.equal(value, right[name]) for name, value in left.items())


@pytest.mark.parametrize(("kind", "features"), [("undergs", True), ("undergs", False), ("spiking", True)])
def test_learns(kind, features):
    made = scorer(kind, features)
    history = fit_links(EDGES, made, SPLIT, replace(CONFIG, epochs=6), seed=1)
    assert [record["epoch"] for record in history] == list(range(6))
    assert history[-1]["loss"] < history[0]["loss"]
    models = {"learned": made, "random": RandomLinks(NODES)}
    scores = evaluate_links(EDGES, models, SPLIT[2], NegativeSampler(NODES, 20))
    if features:  # popularity is what there is to learn here
        assert scores["learned"].mrr > 1.3 * scores["random"].mrr


def test_the_best_weights_stay_and_validation_is_that_of_evaluate_links():
    made, kept = scorer(), []
    config = replace(CONFIG, epochs=5, lr=0.05)
    history = fit_links(EDGES, made, SPLIT, config, 3, on_epoch=lambda _: kept.append(weights(made)))
    best = max(range(5), key=lambda epoch: history[epoch]["val_mrr"])
    assert best < 4  # else nothing is shown; the learning rate is far too high
    assert same(weights(made), kept[best])
    found = evaluate_links(EDGES, {"m": made}, SPLIT[1], NegativeSampler(NODES, 20, seed=3))["m"].mrr
    assert found == pytest.approx(history[best]["val_mrr"], abs=1e-12)
    assert not made.model.training
    assert made.store.snapshot == SPLIT[1][-1]  # of evaluate_links; training itself leaves nothing


def test_patience_ends_training():
    history = fit_links(EDGES, scorer(), SPLIT, replace(CONFIG, epochs=40, lr=1e-9, patience=2))
    scores = [record["val_mrr"] for record in history]
    assert len(history) < 40
    assert scores.index(max(scores)) == len(history) - 3


class _Killed(Exception):
    pass


@pytest.mark.parametrize("kind", ["undergs", "spiking"])
def test_killed_and_resumed_ends_with_the_same_numbers(kind, tmp_path):
    whole = scorer(kind)
    expected = fit_links(EDGES, whole, SPLIT, CONFIG, 2, tmp_path / "whole.pt")

    def kill(record):
        if record["epoch"] == 1:
            raise _Killed

    with pytest.raises(_Killed):
        fit_links(EDGES, scorer(kind), SPLIT, CONFIG, 2, tmp_path / "part.pt", kill)
    resumed, told = scorer(kind, seed=99), []  # other weights and filter: all of them come from the checkpoint
    history = fit_links(EDGES, resumed, SPLIT, CONFIG, 2, tmp_path / "part.pt", told.append)
    assert len(told) == 1
    assert same(weights(resumed), weights(whole))
    for record in (*history, *expected):
        record.pop("cpu_seconds")
    assert history == expected
    with pytest.raises(DataError, match="delete it to train anew"):
        fit_links(EDGES, scorer(kind), SPLIT, replace(CONFIG, lr=1.0), 2, tmp_path / "part.pt")


def test_nothing_is_trained_on_after_the_training_snapshots():
    """Other edges after the last training snapshot: other validation figures, the same weights after each epoch."""
    other = snapshots([[(int(a), int(b)) for a, b in zip(e.src, e.dst, strict=True)] for e in EDGES], num_nodes=NODES)
    other[SPLIT[1][0] :] = reversed(other[SPLIT[1][0] :])
    for t in range(SPLIT[1][0], len(other)):
        other[t] = replace(other[t], snapshot=t)
    first, second = [], []
    for data, found in ((EDGES, first), (other, second)):
        made = scorer()
        config = replace(CONFIG, epochs=2)
        fit_links(data, made, SPLIT, config, on_epoch=lambda r, m=made, f=found: f.append((r["val_mrr"], weights(m))))
    assert all(same(a, b) for (_, a), (_, b) in zip(first, second, strict=True))
    assert [score for score, _ in first] != [score for score, _ in second]


def test_batches_make_no_difference():
    """Without dropout and filter the step is that of the whole snapshot, whatever the batch size.

    In float64: Adam turns the rounding of a gradient near zero into a step of up to the learning rate.
    """
    found = []
    for batch_size in (3, 1000):
        made = scorer(dropout=0.0, embedding_dropout=0.0, filter_ratio=0.0)
        made.model.double()
        for layer in made.model.link_head.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
        fit_links(EDGES, made, SPLIT, replace(CONFIG, batch_size=batch_size, epochs=1, lr=1e-3))
        found.append(weights(made))
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=0, atol=1e-10)


def test_few_snapshots_are_cut_so_that_an_epoch_takes_enough_steps(monkeypatch):
    """Parts of a snapshot in its order, each a step, none of fewer than 100 edges; all from the state before it."""
    data, seen = generated(20, NODES, edges=310), []
    made = scorer(features=CountedFeatures())

    def spy(optimizer, batches, loss, *more):
        seen.append((made.features._snapshot, batches))
        return late_snapshot_step(optimizer, batches, loss, *more)

    monkeypatch.setattr(links, "late_snapshot_step", spy)
    config = replace(CONFIG, epochs=1, batch_size=60, num_negatives=3, val_negatives=3)
    for min_steps, parts in ((300, 3), (2 * len(SPLIT[0]), 2), (2 * len(SPLIT[0]) - 1, 1), (1, 1)):
        seen.clear()
        fit_links(data, made, SPLIT, replace(config, min_steps=min_steps))
        sampler = NegativeSampler(NODES, 3)
        for t in SPLIT[0]:
            queries = sampler.draw(data[t]).only_warm()
            steps = [batches for _, batches in seen if batches and batches[0].snapshot == t]
            assert len(steps) == min(parts, max(1, len(queries) // 100)) * bool(len(queries))
            for place in (0, 1):
                expected = (queries.src, queries.dst)[place]
                rows = [batch.tensors[place] for step in steps for batch in step]
                assert torch.equal(torch.cat([*rows, expected[:0]]), expected)
            sampler.observe(data[t])
        assert all(observed < batches[0].snapshot for observed, batches in seen)


def test_features_are_standardised_over_the_training_candidates():
    made = scorer()
    fit_links(EDGES, made, SPLIT, replace(CONFIG, epochs=1))
    plain, sampler, rows = CountedFeatures(), NegativeSampler(NODES, 10), []
    for t in SPLIT[0]:
        queries = sampler.draw(EDGES[t])
        rows.append(plain.features(t, queries.src, queries.dst)[queries.warm].reshape(-1, 3))
        for part in (plain, sampler):
            part.observe(EDGES[t])
    rows, head = torch.cat(rows), made.model.link_head
    torch.testing.assert_close(head.pair_mean, rows.mean(0))
    torch.testing.assert_close(head.pair_deviation[:2], rows.std(0, correction=0)[:2])
    assert head.pair_deviation[2].isinf()  # a constant says nothing


def test_features_are_computed_once_and_the_cache_changes_nothing():
    config, calls, trained = replace(CONFIG, epochs=2), [], []
    for features, cache_bytes in ((True, 1 << 30), (True, 0), (CachedFeatures(CountedFeatures()), 0)):
        made = scorer(features=features)
        given = made.features
        fit_links(EDGES, made, SPLIT, replace(config, cache_bytes=cache_bytes))
        assert made.features is given
        calls.append(getattr(given, "calls", None))
        trained.append(weights(made))
    assert calls[0] < 0.5 * calls[1]
    assert same(trained[0], trained[1])
    assert same(trained[0], trained[2])


def test_of_large_graphs_a_quarter_is_cached():
    sizes = [LinkFitConfig().cached(CountedFeatures(), nodes).max_bytes for nodes in (500_000, 500_001)]
    assert sizes == [1 << 30, 1 << 28]
    assert replace(CONFIG, cache_bytes=1 << 32).cached(CountedFeatures(), 1_000_000).max_bytes == 1 << 32


class Weighed(LinkScorer):
    """Notes by which factor the gradient at its logits is larger than that of the loss, for each snapshot."""

    def logits(self, snapshot, src, dst):
        logits = super().logits(snapshot, src, dst)
        plain = logits.detach().requires_grad_()
        link_loss(plain, self.model.loss).backward()
        expected = plain.grad.norm() * len(logits)  # of the sum over the rows
        logits.register_hook(lambda grad: self.weight.update({snapshot: float(grad.norm() / expected)}))
        return logits


def test_a_snapshot_weighs_by_its_edges_and_its_age():
    sampler, rows = NegativeSampler(NODES, 10), {}
    for edges in EDGES[: SPLIT[0][-1] + 1]:
        rows[edges.snapshot] = int(sampler.draw(edges).warm.sum())
        sampler.observe(edges)
    last = SPLIT[0][-1]
    for life in (None, 4.0):
        plain = scorer()
        made = Weighed(plain.model, plain.store, plain.features)
        made.weight = {}
        fit_links(EDGES, made, SPLIT, replace(CONFIG, half_life=life, epochs=1))
        expected = {t: n * (1.0 if life is None else 2 ** (-(last - t) / life)) for t, n in rows.items() if n}
        mean = sum(expected.values()) / len(expected)
        assert made.weight == {t: pytest.approx(value / mean, rel=1e-5) for t, value in expected.items()}


def test_the_callers_random_numbers_are_not_touched():
    made = scorer()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    fit_links(EDGES, made, SPLIT, replace(CONFIG, epochs=1))
    assert torch.equal(torch.rand(1), expected)


def test_bad_input():
    for options, text in (({"epochs": 0}, "epochs"), ({"half_life": 0.0}, "half_life"), ({"lr": -1.0}, "lr")):
        with pytest.raises(ConfigError, match=text):
            LinkFitConfig(**options)
    for split in ((range(5), range(3, 7)), (range(0), range(3)), (range(3), range(0))):
        with pytest.raises(ConfigError, match="see split_snapshots"):
            fit_links(EDGES, scorer(), split)
    with pytest.raises(ConfigError, match="no warm edge in the training snapshots 0 to 0"):
        fit_links(EDGES, scorer(), (range(1), range(1, 3)))
    empty = snapshots([[]], num_nodes=NODES)[0]
    without = [replace(empty, snapshot=t) if t in SPLIT[1] else edges for t, edges in enumerate(EDGES)]
    with pytest.raises(ConfigError, match="no warm edge in the validation"):
        fit_links(without, scorer(), SPLIT, CONFIG)
