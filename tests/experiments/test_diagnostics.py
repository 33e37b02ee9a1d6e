"""What a trained row did inside: against the layers and stores themselves."""

import json
from dataclasses import replace
from functools import partial

import pytest
import torch

from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.data.row_store import RowStore
from dgl_dysign.data.snapshot_edges import snapshot_edges
from dgl_dysign.evaluation import confusion
from dgl_dysign.experiments import diagnostics
from dgl_dysign.experiments.diagnostics import (
    busy_nodes,
    event_diagnostics,
    save_diagnostics,
    spikes_of,
    spiking_diagnostics,
    store_contents,
)
from dgl_dysign.experiments.entry import Outcome
from dgl_dysign.experiments.event_entries import make_undergs
from dgl_dysign.experiments.event_task import EventSettings, EventTask
from dgl_dysign.experiments.link_entries import default_entries as link_entries
from dgl_dysign.experiments.link_task import LinkSettings, LinkTask
from dgl_dysign.experiments.node_entries import default_entries as node_entries
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
from dgl_dysign.experiments.run_folder import RunFolder
from dgl_dysign.files import read_sealed
from dgl_dysign.models import DySIGN, load_snapshots
from dgl_dysign.store import NeighborStore
from tests.generated import generated, generated_links
from tests.prepared import prepare
from tests.training.event_cases import stream, write


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return TemporalGraph.load(generated(tmp_path_factory.mktemp("diagnostics"), nodes=120))


@pytest.fixture(scope="module")
def links(tmp_path_factory):
    return TemporalGraph.load(generated_links(tmp_path_factory.mktemp("links"), 400, 12))


def task_of(data, **model):
    usual = NodeSettings()
    recipe = replace(usual.feature_only, training=replace(usual.feature_only.training, epochs=1, batch_size=32))
    task = NodeTask(data, replace(usual, hidden=8, feature_only=recipe, model={"latency": 4, **model}))
    return task.with_split(*stratified_split(data.labels, 0.4, 42), seed=0)


def edges_of(data):
    return partial(snapshot_edges, data)


def whole(data, t):
    return load_snapshots(data, [t], 0.1)[0]


@pytest.mark.parametrize("rows", [RowStore(), RowStore(step_bytes=4 * 6 * 16)], ids=["all nodes", "sixteen"])
@pytest.mark.parametrize(("layers", "leak"), [(1, 1.0), (2, 0.7)])
def test_rates_are_the_weighted_means_of_the_spikes(data, layers, leak, rows):
    torch.manual_seed(0)
    model = DySIGN(2 * data.feature_dim, 6, 3, num_layers=layers, leak=leak, latency=5, compensation_hops=0).eval()
    spiking, nodes, snapshot = model.conv.lif.spiking, torch.tensor([3, 50, 3]), whole(data, data.num_snapshots - 1)
    spikes = spikes_of(model, snapshot, nodes, rows)
    ((rate, _),) = model.rates([snapshot], simulate=True, rows=rows)
    assert spikes.shape == (5, 3, 6)
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    assert torch.allclose(model.conv.lif.rate(spikes), rate[nodes], atol=1e-6)
    assert model.conv.lif.spiking is spiking


def test_the_neurons_come_back_after_an_error(data):
    model = DySIGN(2 * data.feature_dim, 6, 3)
    spiking = model.conv.lif.spiking
    with pytest.raises(IndexError):
        spikes_of(model, whole(data, 2), torch.tensor([10**6]))
    assert model.conv.lif.spiking is spiking


def test_firing_rates_and_solver_are_those_of_each_whole_snapshot(data):
    torch.manual_seed(0)
    model = DySIGN(2 * data.feature_dim, 6, 3, latency=4).eval()
    indices = [1, data.num_snapshots - 1]
    found = spiking_diagnostics(model, lambda t: whole(data, t), indices, torch.tensor([0, 1]))
    for place, t in enumerate(indices):
        active = data.active(t)
        with torch.no_grad():
            ((rate, state),) = model.rates([whole(data, t)], simulate=True)
            ((_, solved),) = model.rates([whole(data, t)], simulate=False)
        counts = torch.bincount((rate[active] * 4).round().long().flatten(), minlength=5)
        assert found["firing"]["active"][place] == int(active.sum())
        assert found["firing"]["shares"][place] == pytest.approx((counts / counts.sum()).tolist(), abs=1e-4)
        assert found["firing"]["mean"][place] == pytest.approx(float(rate[active].mean()), rel=1e-3)
        assert found["solver"]["steps"][place] == solved.info.steps == len(found["solver"]["trace"][place])
        assert found["solver"]["gap"][place] == pytest.approx(solved.info.gap, rel=0.02)
        assert found["solver"]["spiking"][place] == pytest.approx(state.info.gap, rel=0.02)
        assert found["solver"]["converged"][place] is True
    assert found["spikes"]["snapshot"] == indices[-1]
    assert [node["node"] for node in found["spikes"]["nodes"]] == [0, 1]
    assert [len(node["fired"]) for node in found["spikes"]["nodes"]] == [4, 4]


def test_a_snapshot_without_nodes_is_silent(tmp_path):
    features = torch.rand(3, 4, 2).numpy()
    folder = prepare(tmp_path / "late", [(1, 0, 1), (2, 2, 3)], 3, [0, 1, 0, 1], features)
    data = TemporalGraph.load(folder)
    model = DySIGN(4, 3, 2, latency=2).eval()
    found = spiking_diagnostics(model, lambda t: whole(data, t), [0, 2], torch.tensor([0]))
    assert found["firing"]["active"] == [0, 4]
    assert found["firing"]["mean"][0] == 0
    assert found["firing"]["shares"][0] == [0, 0, 0]
    json.dumps(found, allow_nan=False)


def test_above_leak_one_there_is_no_equilibrium_to_speak_of(data):
    model = DySIGN(2 * data.feature_dim, 4, 3, leak=1.2, allow_growth=True, latency=3).eval()
    assert "solver" not in spiking_diagnostics(model, lambda t: whole(data, t), [1], torch.tensor([0]))


@pytest.mark.parametrize("row", ["majority", "dysign", "undergs", "spiking-undergs"])
def test_each_entry_of_nodes_says_what_it_has(data, row):
    task, entry = task_of(data), node_entries()[row]
    outcome = entry.fit(task)
    found = entry.diagnose(task, outcome)
    expected = {"confusion"}
    expected |= {"firing", "solver", "spikes"} if row in ("dysign", "spiking-undergs") else set()
    expected |= {"store"} if "undergs" in row else set()
    assert found.keys() == expected
    predicted = outcome.prediction.argmax(1)
    assert found["confusion"] == [
        {
            "about": "test nodes",
            "classes": list(data.class_names),
            "counts": confusion(task.labels, predicted, task.test, task.num_classes).tolist(),
        }
    ]
    json.dumps(found, allow_nan=False)


def test_the_store_over_time_is_what_the_store_answers(links, monkeypatch):
    monkeypatch.setattr(diagnostics, "SNAPSHOTS", 3)
    found = store_contents(
        NeighborStore(links.num_nodes, num_neighbors=4), edges_of(links), links.num_snapshots, [5, 0]
    )
    assert (found["slots"], found["snapshot"][-1], len(found["snapshot"])) == (4, links.num_snapshots - 1, 3)
    store = NeighborStore(links.num_nodes, num_neighbors=4)
    for t in range(links.num_snapshots):
        store.insert(snapshot_edges(links, t))
        if t in found["snapshot"]:
            place = found["snapshot"].index(t)
            answer = store.neighbors([5, 0], t + 1)
            for k, node in enumerate(found["nodes"]):
                held, mask = node["held"][place], answer.mask[k]
                assert held["neighbor"] == answer.node[k][mask].tolist()
                assert held["hop"] == answer.hop[k][mask].tolist()
                assert held["age"] == answer.age[k][mask].tolist()
                assert held["influence"] == pytest.approx(answer.influence[k][mask].tolist(), rel=1e-3)


def test_busy_nodes_go_from_the_busiest_to_one_with_few_events(links):
    counts = torch.zeros(links.num_nodes, dtype=torch.int64)
    for t in range(links.num_snapshots):
        src, dst, *_ = links.events(t)
        counts += torch.bincount(torch.cat([src, dst]), minlength=links.num_nodes)
    nodes, events = busy_nodes(edges_of(links), links.num_snapshots, links.num_nodes, 5)
    assert torch.equal(events, counts)
    chosen = counts[nodes]
    assert chosen[0] == counts.max()
    assert chosen[-1] == counts[counts > 0].min()
    assert (chosen.diff() <= 0).all()
    assert 2 <= len(set(nodes)) == len(nodes) <= 5


def test_data_without_events_has_no_busy_nodes(tmp_path):
    data = TemporalGraph.load(prepare(tmp_path / "empty", [], 2, [0, 1]))
    assert store_contents(NeighborStore(2), edges_of(data), 2)["nodes"] == []


@pytest.mark.parametrize("row", ["undergs", "spiking-undergs"])
def test_links_leave_their_scorer_empty(links, row):
    task, entry = LinkTask(links, LinkSettings(hidden_feats=4, num_neighbors=3)), link_entries()[row]
    scorer = entry.check(task)
    scorer.model.eval()
    scorer.store.insert(snapshot_edges(links, 0))
    found = entry.diagnose(task, Outcome(model=scorer))
    assert found.keys() == {"store"} | ({"firing", "solver", "spikes"} if row == "spiking-undergs" else set())
    assert found["store"]["slots"] == 3
    assert scorer.store.snapshot == -1
    assert link_entries()["recent-degree"].diagnose is None


def test_events_are_called_positive_by_two_rules(tmp_path):
    settings = EventSettings(hidden=4, num_neighbors=3)
    task = EventTask(write(tmp_path / "events", stream()), settings=settings)
    knows_all = Outcome(task.label.float(), model=make_undergs(task.view(), counts=False))
    found = event_diagnostics(task, knows_all)
    test = task.label[task.parts["test"]]
    no, yes = int((test == 0).sum()), int((test == 1).sum())
    chosen, top = found["confusion"]
    assert chosen["counts"] == [[no, 0], [0, yes]]
    wanted = max(1, round(0.01 * len(test)))
    assert top["counts"] == [[no, 0], [yes - wanted, wanted]]
    assert found["store"]["slots"] == 3
    never = event_diagnostics(task, Outcome(torch.zeros(len(task.label))))
    assert never["confusion"][0]["counts"] == [[no, 0], [yes, 0]]
    assert "store" not in never


def test_the_file_is_whole_and_named_after_its_unit(tmp_path):
    folder = RunFolder(tmp_path / "run", {})
    path = save_diagnostics(folder, "seed0-undergs", {"row": "undergs"})
    assert path == tmp_path / "run" / "diagnostics" / "seed0-undergs.json"
    assert read_sealed(path) == {"schema": 1, "unit": "seed0-undergs", "row": "undergs"}
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    RunFolder(tmp_path / "run", {}, overwrite=True)
    assert not path.exists()
