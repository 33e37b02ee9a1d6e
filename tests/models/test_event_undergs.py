"""UnderGS for labels of events: where it begins, what it reads, and that everything learns."""

import math

import pytest
import torch

from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.evaluation import evaluate_events
from dgl_dysign.experiments.event_entries import make_undergs
from dgl_dysign.experiments.event_task import EventSettings, EventTask
from dgl_dysign.models import EventUnderGS, NodeInputs
from dgl_dysign.models.event_scorer import EventScorer
from dgl_dysign.nn.influence_conv import AGGREGATORS
from dgl_dysign.training.events import EventFitConfig, fit_events
from tests.models.pretrained_cases import drawn
from tests.training.event_cases import ITEMS, USERS, stream, write

SRC, DST = torch.tensor([0, 1, 4, 1]), torch.tensor([2, 3, 3, 3])


def filled(model):
    store = model.undergs.store()
    store.insert(0, torch.tensor([0, 1, 4]), torch.tensor([3, 2, 3]), edge_id=torch.tensor([0, 1, 2]))
    return store


@pytest.mark.parametrize("aggregator", [*AGGREGATORS, "mixer"])
@pytest.mark.parametrize("preset", ["default", "paper"])
def test_every_parameter_learns_and_the_store_stays(aggregator, preset):
    torch.manual_seed(0)
    model = EventUnderGS(
        5, 0.1, 2, hidden_feats=8, aggregator=aggregator, preset=preset, node_feats=3, edge_feats=2, filter_ratio=0.0
    )
    store, event_feat = filled(model), torch.randn(4, 2)
    before = {name: value.clone() for name, value in store.state_dict().items() if isinstance(value, torch.Tensor)}
    total = 0
    for _ in range(5):  # dropout may silence a unit once
        total = total + model(store, 1, SRC, DST, event_feat, torch.randn(5, 3), torch.randn(3, 2)).square().mean()
    total.backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert not silent
    assert all(torch.equal(value, store.state_dict()[name]) for name, value in before.items())


def test_it_begins_near_the_log_odds_of_the_label():
    model = EventUnderGS(5, 0.01, hidden_feats=8).eval()
    assert float(model.offset) == pytest.approx(math.log(0.01 / 0.99))
    with torch.no_grad():
        assert float(model(filled(model), 1, SRC, DST).sigmoid().mean()) < 0.05


def test_events_of_one_snapshot_do_not_see_each_other():
    torch.manual_seed(0)
    model = EventUnderGS(5, 0.1, hidden_feats=8).eval()
    store = filled(model)
    with torch.no_grad():
        together = model(store, 1, SRC, DST)
        alone = torch.cat([model(store, 1, SRC[k : k + 1], DST[k : k + 1]) for k in range(4)])
    assert torch.allclose(together, alone, atol=1e-6)
    assert torch.equal(together[1], together[3])


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_one_label_alone_is_refused(rate):
    with pytest.raises(ConfigError, match="train on events of both labels"):
        EventUnderGS(5, rate)


@pytest.mark.parametrize(("aggregator", "dtype"), [("gcn", torch.float32), ("mixer", torch.float64)], ids=str)
def test_a_saved_model_gives_the_same_bits(aggregator, dtype, tmp_path):
    torch.manual_seed(0)
    widths = {"event_feats": 2, "node_feats": 3, "edge_feats": 2}
    model = drawn(EventUnderGS(5, rate=0.1, hidden_feats=8, aggregator=aggregator, preset="paper", **widths)).to(dtype)
    model.undergs.link_head.standardise(torch.randn(2), torch.rand(2) + 0.5)
    features = [torch.randn(rows, width, dtype=dtype) for rows, width in ((4, 2), (5, 3), (3, 2))]
    again = EventUnderGS.from_pretrained(model.save_pretrained(tmp_path / "model"))
    found = model(filled(model), 1, SRC, DST, *features)
    assert found.dtype == dtype
    assert torch.equal(again(filled(again), 1, SRC, DST, *features), found)
    again.train()(filled(again), 1, SRC, DST, *features).sum().backward()  # training may go on


def trained(data):
    """Return a task and a scorer that was trained on it for an epoch."""
    task = EventTask(data, settings=EventSettings(hidden=8, num_neighbors=4))
    scorer = make_undergs(task.view())
    fit_events(scorer, task.view(), EventFitConfig(epochs=1))
    return task, scorer


def test_a_trained_model_scores_all_events_as_before(tmp_path):
    task, scorer = trained(data := write(tmp_path / "data", stream()))
    folder = scorer.model.save_pretrained(tmp_path / "model", data)
    model = EventUnderGS.from_pretrained(folder, data)
    again = EventScorer(model, model.undergs.store(), task.view().reader())
    assert torch.equal(evaluate_events(again, task.snapshots), evaluate_events(scorer, task.snapshots))


def test_nodes_are_known_again_by_their_raw_ids(tmp_path):
    names = [f"n{node}" for node in range(USERS + ITEMS)]
    data = write(tmp_path / "data", stream(), raw_ids=names)
    model = trained(data)[1].model
    folder = model.save_pretrained(tmp_path / "model", data)
    order = [*range(1, USERS), 0, *range(USERS, USERS + ITEMS)]  # the number that each node has now
    turned = write(tmp_path / "turned", stream(), raw_ids=[names[order.index(node)] for node in range(len(names))])
    again = EventUnderGS.from_pretrained(folder, turned)
    assert torch.equal(again.undergs.inputs.table.weight[order], model.undergs.inputs.table.weight)


def test_other_data_and_inputs_are_refused(tmp_path):
    model = trained(data := write(tmp_path / "data", stream()))[1].model
    folder = model.save_pretrained(tmp_path / "model", data)
    for change in ({"dataset": "other"}, {"class_names": ["no", "yes"]}, {"directed": True}):
        with pytest.raises(DataError, match=f"found {next(iter(change))} = .*the model was trained on"):
            EventUnderGS.from_pretrained(folder, write(tmp_path / next(iter(change)), stream(), **change))
    with pytest.raises(ConfigError, match="features with each call: leave inputs out"):
        model.save_pretrained(tmp_path / "new", data, NodeInputs())
