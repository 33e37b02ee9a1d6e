"""Modules of others as encoders: with the real packages where they are, as their users write them."""

import pytest
import torch
from torch import nn

from dgl_dysign.adapters.module_encoder import module_encoder
from dgl_dysign.data import distinct_edges
from dgl_dysign.experiments import check_entry


class Sum(nn.Module):
    """What PyG's models look like, without PyG."""

    def __init__(self, in_feats, out_feats):
        super().__init__()
        self.own, self.others = nn.Linear(in_feats, out_feats), nn.Linear(in_feats, out_feats, bias=False)

    def forward(self, x, edge_index):
        return self.own(x).index_add(0, edge_index[1], self.others(x)[edge_index[0]])


class Recurrent(Sum):
    def __init__(self, in_feats, out_feats):
        super().__init__(in_feats, out_feats)
        self.cell = nn.GRUCell(out_feats, out_feats)

    def forward(self, x, edge_index, hidden=None):
        return self.cell(super().forward(x, edge_index), hidden)


class DetachedState(Recurrent):
    """As the released ROLAND of TGM does, the vectors that it returns are cut from the graph."""

    def forward(self, x, edge_index, hidden=None):
        return super().forward(x, edge_index, hidden).detach()


def encoder(kind, recurrent=True):
    def call(module, x, edge_index, state):
        hidden = module(x, edge_index, state)
        return hidden, hidden

    return module_encoder(kind.__name__, lambda num_nodes, i, o: kind(i, o), call if recurrent else None)


def test_messages_go_from_source_to_destination_and_both_ways_without_direction():
    model, inputs = encoder(Sum, recurrent=False)(3, 1, out_feats=1), torch.tensor([[1.0], [10.0], [100.0]])
    nn.init.constant_(model.module.own.weight, 0.0)
    nn.init.constant_(model.module.own.bias, 0.0)
    nn.init.constant_(model.module.others.weight, 1.0)
    for directed, expected in ((True, [0, 1, 10]), (False, [10, 101, 10])):
        edges = distinct_edges(0, [0, 1], [1, 2], num_nodes=3, directed=directed)
        state = model.step(model.initial(), edges, inputs)
        assert model.embed(state, inputs)[:, 0].tolist() == expected
    assert model.embed(model.initial(), inputs).tolist() == [[0.0]] * 3


@pytest.mark.parametrize("kind", [Sum, Recurrent])
def test_modules_of_others_are_checked(kind):
    report = check_entry(encoder(kind, kind is Recurrent))
    assert report.ok, str(report)


def test_an_encoder_whose_vectors_are_detached_gets_no_gradient():
    report = check_entry(encoder(DetachedState), checks=["parameters", "future"])
    assert report.faults == ["parameters"]
    assert "encoder.module.own.weight gets no gradient" in report["parameters"].seen


def test_the_encoder_of_tgms_roland_gets_no_gradient():
    nn_of_tgm = pytest.importorskip("tgm.nn")

    def call(module, x, edge_index, state):
        zeros = [torch.zeros(len(x), 32)] * 2
        vectors = module(x, edge_index, state or zeros)
        return vectors[-1], vectors

    def make(num_nodes, in_feats, out_feats):
        return nn_of_tgm.ROLAND(in_feats, out_feats, num_nodes, update="gru")

    report = check_entry(module_encoder("tgm-roland", make, call))
    assert "parameters" in report.faults
    assert "encoder.module.conv1.lin.weight gets no gradient" in report["parameters"].seen


def test_pygs_gcn_is_honest_and_alive():
    models = pytest.importorskip("torch_geometric.nn.models")
    row = module_encoder("pyg-gcn", lambda num_nodes, i, o: models.GCN(i, o, num_layers=2))
    report = check_entry(row)
    assert report.ok, str(report)
