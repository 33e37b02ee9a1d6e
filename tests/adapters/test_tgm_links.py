"""Models of TGM as link models: what they read, what trains, and a table that says how to install TGM."""

import builtins
import sys

import pytest
import torch

from dgl_dysign.adapters.tgm_links import MODELS, RecentNeighbors
from dgl_dysign.data import distinct_edges
from dgl_dysign.errors import BackendError
from dgl_dysign.experiments import check_entry
from dgl_dysign.experiments.resolve import resolve_entry

NODES, SNAPSHOTS = 30, 6


def snapshots(seed=0, to=range(NODES)):
    """Draw snapshots, each edge with a time of its own; `to` renumbers the nodes."""
    generator, to, rows = torch.Generator().manual_seed(seed), torch.tensor(list(to)), []
    for t in range(SNAPSHOTS):
        src, dst = torch.randint(0, NODES, (2, 25), generator=generator)
        time = t + torch.rand(25, generator=generator)
        rows.append(distinct_edges(t, to[src], to[dst], range(25 * t, 25 * t + 25), time, num_nodes=NODES))
    return rows


def test_the_last_neighbours_are_those_of_a_list():
    recent, lists = RecentNeighbors(NODES, 4, "cpu"), [[] for _ in range(NODES)]
    for edges in snapshots():
        recent.observe(edges)
        order = sorted(range(len(edges)), key=lambda k: float(edges.time[k]))
        for k in order:
            for node, other in ((edges.src[k], edges.dst[k]), (edges.dst[k], edges.src[k])):
                lists[node].append((int(other), edges.snapshot, float(edges.count[k].float().log1p())))
        for node, known in enumerate(lists):
            last = known[-4:]
            empty = 4 - len(last)
            assert recent.node[node].tolist() == [-1] * empty + [other for other, _, _ in last]
            assert recent.time[node].tolist()[empty:] == [time for _, time, _ in last]
            assert recent.feat[node, empty:, 0].tolist() == pytest.approx([feat for _, _, feat in last])
    recent.observe(distinct_edges(SNAPSHOTS, [], [], num_nodes=NODES))


def test_a_row_without_tgm_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tgm.nn", None)
    entry = resolve_entry("tgm-tgn", "link")
    assert (entry.usual, entry.learns, entry.compares, entry.stranger) == (False, True, True, False)
    with pytest.raises(BackendError, match=r"tgm\.nn: found .*install it with `pip install dgl-dysign\[tgm\]`"):
        entry.check(None)


@pytest.fixture(params=list(MODELS))
def name(request):
    pytest.importorskip("tgm.nn", reason="TGM is not installed: pip install 'dgl-dysign[tgm]'", exc_type=ImportError)
    return request.param


@pytest.fixture
def model(name):
    torch.manual_seed(0)
    made = MODELS[name](NODES)
    made.reset()
    return made


def asked(to=range(NODES)):
    generator = torch.Generator().manual_seed(7)
    return torch.tensor(list(to))[torch.randint(0, NODES, (8, 5), generator=generator)]


def test_all_that_is_trained_gets_a_gradient(model):
    for edges in snapshots()[:-1]:
        model.observe(edges)
    model.train()
    model.logits(SNAPSHOTS - 1, torch.arange(8), asked()).square().sum().backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, p in trained.items() if p.grad is None or not bool(p.grad.any())] == []


def test_a_question_changes_nothing_and_its_answer_depends_on_the_past_alone(model):
    first = {}
    for edges in snapshots():
        before = model.score(edges.snapshot, torch.arange(8), asked())
        assert torch.equal(model.score(edges.snapshot, torch.arange(8), asked()), before)
        assert torch.allclose(model.score(edges.snapshot, torch.arange(8), asked()[:, :2]), before[:, :2], atol=1e-5)
        first[edges.snapshot] = before
        model.observe(edges)
    assert not torch.equal(first[1], first[5])  # it does remember
    model.train()  # the mode that training leaves it in
    model.reset()
    for edges in snapshots()[:3]:
        model.observe(edges)
    assert torch.equal(model.score(3, torch.arange(8), asked()), first[3])


def test_numbers_of_nodes_say_nothing(model):
    to = torch.randperm(NODES, generator=torch.Generator().manual_seed(3))
    scores = []
    for place in (range(NODES), to.tolist()):
        model.reset()
        for edges in snapshots(to=place):
            model.observe(edges)
        scores.append(model.score(SNAPSHOTS, torch.tensor(list(place))[:8], asked(place)))
    assert torch.allclose(*scores, atol=1e-5)


def test_a_table_that_cannot_import_tgm_is_still_there(monkeypatch):
    real = builtins.__import__

    def refuse(name, *words, **more):
        assert not name.startswith("tgm")
        return real(name, *words, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert resolve_entry("tgm-dygformer", "link").about.startswith("DyGFormer")


def test_the_rows_are_honest_and_alive(name):
    report = check_entry(name, kind="link", checks=["future", "alive", "parameters", "order of edges"])
    assert report.ok, str(report)
