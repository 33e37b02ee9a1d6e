"""UnderGS for labels of events: where it begins, what it reads, and that everything learns."""

import math

import pytest
import torch

from dgl_dysign.errors import ConfigError
from dgl_dysign.models.event_undergs import EventUnderGS
from dgl_dysign.nn.influence_conv import AGGREGATORS

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
