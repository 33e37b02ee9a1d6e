"""SimpleDyG: what sentences are, that no token sees what follows, and that training on partners helps."""

import copy
from dataclasses import replace

import pytest
import torch

from dgl_dysign.baselines import RandomLinks, SentenceScorer, SimpleDyG
from dgl_dysign.baselines.sentences import padded
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.evaluation import NegativeSampler, evaluate_links
from dgl_dysign.training import LinkFitConfig, fit_sequences
from dgl_dysign.training.links import TrainableScorer
from tests.evaluation.link_cases import snapshots
from tests.training.link_cases import EDGES, NODES, SPLIT

TIME = 6  # the token, of 6 nodes
HISTORY = snapshots([[(0, 1), (2, 0), (3, 3)], [], [(4, 0)], [(0, 1)]], num_nodes=6)


def scorer(nodes=6, **options):
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return SentenceScorer(SimpleDyG(nodes, **{"width": 8, "heads": 2, "dropout": 0.0, **options}))


def test_a_sentence_has_the_partners_of_both_directions_after_the_time_that_has_passed():
    made = scorer()
    for edges in HISTORY:
        made.observe(edges)
    expected = [(0, 0), (TIME, 0), (1, 0), (2, 0), (TIME, 2), (4, 0), (TIME, 1), (1, 0), (TIME, 4)]
    alone = [(3, 0), (TIME, 0), (3, 0), (TIME, 7)]
    assert made.past.at(torch.tensor([0, 3, 5]), 7) == [expected, alone, [(5, 0), (TIME, 0)]]
    short = SentenceScorer(SimpleDyG(6, width=8, length=4))
    for edges in HISTORY:
        short.observe(edges)
    assert short.past.at(torch.tensor([0]), 7) == [[(0, 0), *expected[-3:]]]
    assert [part for part in short.past.all() if part[0][0] == 0] == [
        [(0, 0), (TIME, 0), (1, 0), (2, 0), (TIME, 2)], [(0, 0), (TIME, 2), (4, 0), (TIME, 1), (1, 0)]
    ]  # fmt: skip


def test_edges_of_one_time_come_in_the_order_of_their_ids():
    edges = HISTORY[0]
    one, other = scorer(), scorer()
    one.observe(edges)
    rows = torch.tensor([2, 0, 1])
    columns = {name: getattr(edges, name)[rows] for name in ("src", "dst", "edge_id", "time", "count", "weight")}
    other.observe(replace(edges, **columns))
    assert one.past.at(torch.arange(6), 1) == other.past.at(torch.arange(6), 1)


def test_no_vector_depends_on_what_comes_after_its_token():
    model = scorer().model.eval()
    tokens, ages = torch.tensor([[0, TIME, 1, 2, TIME]]), torch.tensor([[0, 0, 0, 0, 3]])
    whole = model(tokens, ages)
    for stop in range(1, 5):
        torch.testing.assert_close(model(tokens[:, :stop], ages[:, :stop]), whole[:, :stop], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model(tokens, ages + 1)[:, 4], whole[:, 4])


def test_the_loss_is_of_partners_alone_and_a_score_is_the_logit_of_the_next_token():
    made = scorer()
    for edges in HISTORY[:3]:
        made.observe(edges)
    sentences = made.past.all()
    losses = []
    for sentence in sentences:
        tokens, ages, _ = padded([sentence], made.device)
        logits = made.model(tokens, ages)[0] @ made.model.tokens.weight[:6].T
        losses += [
            -logits[place].log_softmax(0)[token] for place, (token, _) in enumerate(sentence[1:]) if token != TIME
        ]
    loss = made.model.partner_loss(*padded(sentences, made.device))
    torch.testing.assert_close(loss, torch.stack(losses).mean(), rtol=1e-4, atol=1e-5)
    tokens, ages, _ = padded(made.past.at(torch.tensor([0]), 3), made.device)
    made.model.eval()
    expected = made.model(tokens, ages)[0, -1] @ made.model.tokens.weight[:6].T
    src, dst = torch.tensor([5, 0]), torch.tensor([[0, 1], [4, 2]])
    torch.testing.assert_close(made.score(3, src, dst)[1], expected[[4, 2]], rtol=1e-4, atol=1e-5)
    whole, made.sentences_at_once = made.score(3, src, dst), 1
    torch.testing.assert_close(made.score(3, src, dst), whole, rtol=1e-4, atol=1e-5)


def test_it_learns_whom_a_node_meets_next_and_every_parameter_learns(tmp_path):
    turns = [[(node, 6 + (node + t) % 6) for node in range(6)] for t in range(20)]
    edges = snapshots(turns, num_nodes=12)
    config, file = LinkFitConfig(epochs=40, patience=40, lr=1e-2, val_negatives=5), tmp_path / "part.pt"
    made = scorer(12, width=32, length=12)
    assert isinstance(made, TrainableScorer)
    before = copy.deepcopy(made.model.state_dict())
    history = fit_sequences(edges, made, SPLIT, config, checkpoint=file)
    assert not [name for name, value in made.model.state_dict().items() if torch.equal(value, before[name])]
    best = max(record["val_mrr"] for record in history)
    sampler = NegativeSampler(12, config.val_negatives)
    assert evaluate_links(edges, {"": made}, SPLIT[1], sampler)[""].mrr == pytest.approx(best)
    models = {"simpledyg": made, "chance": RandomLinks(12)}
    scores = evaluate_links(edges, models, SPLIT[2], NegativeSampler(12, 5))
    assert scores["simpledyg"].mrr > 0.9
    assert scores["chance"].mrr < 0.6
    again = scorer(12, width=32, length=12)
    assert fit_sequences(edges, again, SPLIT, config, checkpoint=file) == history  # from the file, to the last bit
    assert all(torch.equal(value, made.model.state_dict()[name]) for name, value in again.model.state_dict().items())


def test_what_is_tested_moves_nothing():
    weights = []
    for data in (
        EDGES,
        [*EDGES[: SPLIT[1].stop], *(replace(e, src=e.dst, dst=e.src) for e in EDGES[SPLIT[2].start :])],
    ):
        made = scorer(NODES)
        fit_sequences(data, made, SPLIT, LinkFitConfig(epochs=1))
        weights.append(made.model.tokens.weight)
    assert torch.equal(*weights)


def test_bad_arguments():
    for options in ({"heads": 3}, {"length": 2}, {"layers": 0}):
        with pytest.raises(ConfigError, match=r"expected \d or more"):
            SimpleDyG(6, **{"width": 8, **options})
    with pytest.raises(ConfigError, match="no edge in the training snapshots 0 to 1"):
        fit_sequences(snapshots([[], [], [(0, 1)]], num_nodes=6), scorer(), [range(2), range(2, 3)])
    with pytest.raises(DataError, match="make the scorer anew"):
        scorer(3).observe(HISTORY[0])
