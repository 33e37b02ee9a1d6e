"""Several processes train as one does: real ones, over gloo."""

import contextlib
import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from dgl_dysign.baselines import ReLUNetwork
from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import NegativeSampler, evaluate_links
from dgl_dysign.experiments.event_entries import make_undergs
from dgl_dysign.experiments.event_task import EventSettings, EventTask
from dgl_dysign.store import ShardedStore
from dgl_dysign.training import LinkFitConfig, distributed, fit, fit_links, late_snapshot_step, snapshot_batches
from dgl_dysign.training.events import EventFitConfig, fit_events
from tests.processes import together
from tests.training import event_cases
from tests.training import test_nodes as nodes
from tests.training.link_cases import EDGES, NODES, SPLIT, scorer

LINKS = LinkFitConfig(epochs=2, lr=5e-3, val_negatives=20, batch_size=5)
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(scope="module")
def pair():
    with together(2) as found:
        yield found


@pytest.fixture(scope="module")
def three():
    with together(3) as found:
        yield found


def plain(history):
    return torch.tensor([[v for k, v in record.items() if k != "cpu_seconds"] for record in history])


def values(model):
    return {name: value for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}


def relu():
    torch.manual_seed(3)
    model = ReLUNetwork(nodes.C, 8, nodes.C, feat_dropout=0.2, dropout=0.5)
    return model, lambda chosen: model(nodes.inputs().feat[chosen])


MAKE = {"dysign": nodes.dysign, "logistic": nodes.logistic, "relu": relu}


def node_training(name, checkpoint=None, config=nodes.CONFIG, spoil=False):
    """Train a node classifier; other processes begin with other weights, which must not matter."""
    model, logits = MAKE[name]()
    if spoil and distributed.rank():
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1.0)
    history = fit(model, logits, nodes.LABELS, nodes.TRAIN, nodes.VAL, config, seed=1, checkpoint=checkpoint)
    return plain(history), values(model)


class Killed(BaseException):
    """What no `except Exception` catches."""


def kill_at(epoch):
    def kill(record):
        if record["epoch"] == epoch:
            raise Killed

    return kill


def link_training(kind, options, checkpoint=None, killed_at=None):
    made = scorer(kind, **options)
    with contextlib.suppress(Killed):
        history = fit_links(EDGES, made, SPLIT, LINKS, 1, checkpoint, kill_at(killed_at))
        sampler = NegativeSampler(NODES, 20)
        scores = evaluate_links(EDGES, {"": distributed.DividedScorer(made)}, SPLIT[2], sampler)[""]
        return plain(history), values(made.model), scores.mrr


@pytest.fixture(scope="module")
def alone():
    """Return the training of a link scorer in one process."""
    return link_training("undergs", {})


def sharded_training():
    made = scorer("undergs")
    options = {name: getattr(made.store, name) for name in ("num_neighbors", "importance", "snapshot_decay")}
    made.store = ShardedStore(NODES, **options)
    history = fit_links(EDGES, made, SPLIT, LINKS, 1)
    scores = evaluate_links(EDGES, {"": distributed.DividedScorer(made)}, SPLIT[2], NegativeSampler(NODES, 20))[""]
    return plain(history), values(made.model), scores.mrr


def test_link_scorers_with_a_sharded_store(pair, alone):
    compare(alone, pair.run(sharded_training))


def compare(alone, others, **tolerance):
    """Check that all processes have the same bits, and those of one process to float tolerance."""
    history, weights, *rest = alone
    first = others[0]
    for found in others:
        torch.testing.assert_close(found[0], history, **{**TOLERANCE, **tolerance})
        for name, value in weights.items():
            if not name.endswith(".vector"):  # of the power iterations: how many there were depends on the processes
                torch.testing.assert_close(found[1][name], value, msg=name, **{**TOLERANCE, **tolerance})
            assert torch.equal(found[1][name], first[1][name])
        assert found[2:] == first[2:]
        assert list(found[2:]) == pytest.approx(rest, rel=1e-5)


@pytest.mark.parametrize("name", MAKE)
def test_node_classifiers(pair, name):
    compare(node_training(name), pair.run(node_training, name, None, nodes.CONFIG, True))


def test_a_mini_batch_of_fewer_nodes_than_processes(three):
    # 40 nodes in batches of 13: the last has one.
    assert len(nodes.TRAIN) % 13 == 1
    config = replace(nodes.CONFIG, batch_size=13)
    compare(node_training("dysign", None, config), three.run(node_training, "dysign", None, config))


@pytest.mark.parametrize("options", [{"features": False}, {"aggregator": "mixer"}, {"preset": "paper"}])
def test_link_scorers(pair, options):
    compare(link_training("undergs", options), pair.run(link_training, "undergs", options))


def test_a_spiking_link_scorer(pair):
    # Norms are bounded by iterations that go on from call to call, of which each process makes fewer.
    compare(link_training("spiking", {}), pair.run(link_training, "spiking", {}), rtol=1e-3, atol=1e-4)


def event_training(folder):
    task = EventTask(TemporalGraph.load(folder), settings=EventSettings(hidden=8, num_neighbors=4))
    made = make_undergs(task.view())
    history = fit_events(made, task.view(), EventFitConfig(epochs=2, lr=1e-2, weight_decay=1e-2, batch_size=2))
    return plain(history), values(made.model)


def test_event_scorers(pair, tmp_path):
    folder = event_cases.write(tmp_path / "data", event_cases.stream(each=5)).folder
    compare(event_training(folder), pair.run(event_training, folder))


def test_three_processes_and_resuming_with_another_number(pair, three, alone, tmp_path):
    compare(alone, three.run(link_training, "undergs", {}))
    assert pair.run(link_training, "undergs", {}, tmp_path / "links.pt", 0) == [None, None]
    compare(alone, [link_training("undergs", {}, tmp_path / "links.pt")])


def resumed_nodes(path):
    model, logits = nodes.dysign()
    shared = logits, nodes.LABELS, nodes.TRAIN, nodes.VAL, nodes.CONFIG
    with contextlib.suppress(Killed):
        fit(model, *shared, seed=1, checkpoint=path, on_epoch=kill_at(4))
    return node_training("dysign", path)


def test_a_killed_training_is_resumed(pair, tmp_path):
    compare(node_training("dysign"), pair.run(resumed_nodes, tmp_path / "nodes.pt"))
    assert [file.name for file in tmp_path.iterdir()] == ["nodes.pt"]


def one_step(sizes):
    """Take one step over batches of which some processes have none; one parameter is never used."""
    weight, idle = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight, idle], lr=0.1, weight_decay=0.5)
    values = torch.arange(3.0 * sum(sizes)).view(-1, 3)
    batches = [batch for rows in values.split(sizes) for batch in snapshot_batches(0, 99, rows)] if sizes else []
    step = late_snapshot_step(optimizer, batches, lambda b: (b.tensors[0] * weight).square().mean(), 1.0)
    return step, weight.detach(), idle.detach()


@pytest.mark.parametrize("sizes", [(), (2,), (3, 1), (1, 2, 3, 4, 5)])
def test_a_step_is_that_of_one_process(three, sizes):
    expected = one_step(sizes)
    for step, weight, idle in three.run(one_step, sizes):
        assert (step.rows, step.batches) == (sum(sizes), len(sizes))
        assert step == pytest.approx(expected[0], rel=1e-6, nan_ok=True)
        torch.testing.assert_close(weight, expected[1])
        assert torch.equal(idle, torch.ones(2))  # without a gradient: weight decay does not move it either


def masks():
    torch.manual_seed(0)
    rows = distributed.part(5)
    with distributed.DrawnForAll(5, rows):
        first = functional.dropout(torch.ones(rows.stop - rows.start, 4), 0.5, True)
        other = functional.dropout(torch.ones(7, 2), 0.5, True)  # no rows of the batch
        unchanged = torch.nn.Dropout(0.5).eval()(torch.ones(rows.stop - rows.start, 4))
    return first, other, unchanged, torch.rand(3)


def test_dropout_draws_the_masks_of_one_process(pair):
    first, other, unchanged, after = masks()
    left, right = pair.run(masks)
    assert torch.equal(torch.cat([left[0], right[0]]), first)
    assert bool((unchanged == 1).all())
    assert torch.equal(torch.cat([left[2], right[2]]), unchanged)
    for found in (left, right):
        assert torch.equal(found[1], other)
        assert torch.equal(found[3], after)


def parts(count):
    rows = distributed.part(count)
    return list(range(count))[rows], distributed.rank(), distributed.world()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10])
def test_parts_cover_every_row_once(three, count):
    found = three.run(parts, count)
    assert [row for rows, _, _ in found for row in rows] == list(range(count))
    assert [place for _, place, _ in found] == [0, 1, 2]
    sizes = [len(rows) for rows, _, _ in found]
    assert max(sizes) - min(sizes) <= 1
    assert parts(count) == (list(range(count)), 0, 1)


def differing():
    try:
        distributed.check_same(distributed.rank(), "rank")
    except ConfigError as error:
        return str(error)
    return ""


def test_what_must_be_the_same(pair):
    assert pair.run(differing) == ["", "process 1 has rank=1, but process 0 0: give all the same files"]


def test_alone_nothing_is_summed():
    tensor = torch.ones(3)
    assert distributed.sum_over_processes(tensor) is tensor
    assert (distributed.rank(), distributed.world()) == (0, 1)
    assert math.isclose(distributed.from_first(lambda: 2.5), 2.5)
    with distributed.processes() as store:
        assert store is None
