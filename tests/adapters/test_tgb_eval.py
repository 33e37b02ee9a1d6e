"""TGB's protocol: figures by hand, against py-tgb's evaluator, negatives' files, and what a model may know."""

import dataclasses
import os
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.rules import Rule
from dgl_dysign.adapters.tgb import Adapter
from dgl_dysign.adapters.tgb_eval import evaluate_tgb, read_negatives, write_negatives
from dgl_dysign.adapters.times import binned
from dgl_dysign.baselines import EdgeBank
from dgl_dysign.data.snapshot_edges import distinct_edges
from dgl_dysign.errors import BackendError, ConfigError, DataError
from dgl_dysign.models import LinkScorer, UnderGS
from tests.adapters.real import wikipedia
from tests.adapters.streams import example


class Told:
    """Scores a candidate by what it is told; notes what it was shown and asked, in order."""

    def __init__(self, score):
        self.tell, self.log = score, []

    def reset(self):
        self.log.append("reset")

    def observe(self, edges):
        self.log.append(("observe", edges.snapshot, edges.src.tolist(), edges.dst.tolist()))

    def score(self, snapshot, src, dst):
        self.log.append(("score", snapshot, src.tolist(), dst.tolist()))
        return torch.tensor([[self.tell(s, d) for d in row] for s, row in zip(src.tolist(), dst.tolist(), strict=True)])


STREAM = example("snapshot", "edge_weight")
NEGATIVES = {(0, 4, 3): [1, 2, 3], (3, 4, 9): [0, 5], (3, 5, 9): [6, 0, 4], (0, 4, 11): [2]}


def test_figures_by_hand_with_ties_and_lists_of_different_length():
    # Ranks: (0, 4, 3) twice: 4 against 1, 2, 3 -> 1; (3, 4, 9): against 0, 5 -> 2; (3, 5, 9): against 6, 0, 4 -> 2;
    # (0, 4, 11): 1.
    model = Told(lambda s, d: float(d))
    found = evaluate_tgb(model, STREAM, NEGATIVES, k=1)
    assert found == {"mrr": pytest.approx((1 + 1 + 0.5 + 0.5 + 1) / 5), "hits@1": pytest.approx(3 / 5), "edges": 5}
    flat = evaluate_tgb(Told(lambda s, d: 0.0), STREAM, NEGATIVES)
    assert flat["mrr"] == pytest.approx((2 / (2 + 3) * 2 + 2 / (2 + 2) + 2 / (2 + 3) + 2 / (2 + 1)) / 5)


def test_a_snapshot_is_scored_before_it_is_observed_and_all_are_observed_up_to_the_last():
    model = Told(lambda s, d: float(d))
    evaluate_tgb(model, STREAM, {key: NEGATIVES[key] for key in [(0, 4, 3), (3, 4, 9)]})
    assert model.log == [
        "reset",
        ("observe", 0, [0], [4]),
        ("score", 1, [0, 0], [[4, 1, 2, 3]] * 2),
        ("observe", 1, [0, 1, 1], [4, 1, 5]),
        ("observe", 2, [], []),
        ("score", 3, [3], [[4, 0, 5]]),
        ("observe", 3, [0, 3, 3], [4, 4, 5]),
    ]


def test_batches_change_nothing_and_progress_is_told():
    told = []
    model = Told(lambda s, d: float((7 * d + s) % 5))
    whole = evaluate_tgb(model, STREAM, NEGATIVES)
    assert evaluate_tgb(model, STREAM, NEGATIVES, batch_size=1, progress=lambda *at: told.append(at)) == whole
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_full_data_is_taken_as_it_is(tmp_path):
    stream = example("edge_weight")
    data = Adapter().from_events(stream, lose=["num_nodes"])
    ranges = {"num_nodes": 7, "snapshot_begin": STREAM.snapshot_begin, "snapshot_end": STREAM.snapshot_end}
    write_negatives(tmp_path / "ns.pkl", NEGATIVES)
    model = Told(lambda s, d: float(d))
    found = evaluate_tgb(model, Adapter().to_events(data, **ranges), tmp_path / "ns.pkl")
    assert found == evaluate_tgb(model, STREAM, NEGATIVES)


class THGNegativeEdgeSampler:
    """As py-tgb's, which has negatives for a time, a source and a type."""

    def __init__(self, eval_set, strategy="node-type-filtered"):
        self.eval_set, self.strategy = eval_set, strategy


def test_typed_negatives_are_of_time_source_and_type():
    stream = dataclasses.replace(STREAM, edge_type=[0, 0, 0, 1, 0, 0, 0, 0])
    row = 3
    key = int(stream.time[row]), int(stream.src[row]), 1
    model = Told(lambda s, d: float(d))
    wrong = {key: [int(stream.dst[row]) + 1, int(stream.dst[row]) - 1]}
    expected = {"mrr": 0.5, "hits@10": 1, "edges": 1}  # the other event of that time and source has another type
    assert evaluate_tgb(model, stream, wrong, typed=True) == expected
    assert evaluate_tgb(model, stream, THGNegativeEdgeSampler({"test": wrong})) == expected
    with pytest.raises(DataError, match="keys with a type, expected none"):
        evaluate_tgb(model, STREAM, wrong, typed=True)
    with pytest.raises(DataError, match="need typed=True"):
        evaluate_tgb(model, stream, wrong)
    with pytest.raises(ConfigError, match="all but these"):
        evaluate_tgb(model, stream, THGNegativeEdgeSampler({"test": wrong}, "time-filtered"))


def test_pytgbs_own_reading_of_typed_data(tmp_path):
    tgb = pytest.importorskip("tgb.linkproppred.dataset")
    from tgb.utils.info import PROJ_DIR

    home = tmp_path / "thgl_myket"
    home.mkdir()
    rows = ["ts,head,tail,relation", *(f"{t},{t % 3},{5 + t % 4},{t % 2}" for t in range(20))]
    (home / "thgl-myket_edgelist.csv").write_text("\n".join(rows) + "\n")
    kinds = ["node_id,type", *(f"{n},{int(n > 3)}" for n in (0, 1, 2, 5, 6, 7, 8))]
    (home / "thgl-myket_nodetype.csv").write_text("\n".join(kinds) + "\n")
    dataset = tgb.LinkPropPredDataset("thgl-myket", root=os.path.relpath(tmp_path, PROJ_DIR))
    with pytest.raises(ConfigError, match="found node_type"):
        Adapter().to_events(dataset)
    stream = binned(Adapter().to_events(dataset.full_data, name="myket"), Rule("every", width=5.0))
    assert stream.edge_type.tolist() == [t % 2 for t in range(20)]
    row = 18
    key = int(stream.time[row]), int(stream.src[row]), int(stream.edge_type[row])
    dataset.ns_sampler.eval_set["test"] = {key: np.array([int(stream.dst[row]) - 1])}
    model = Told(lambda s, d: float(d))
    assert evaluate_tgb(model, stream, dataset.ns_sampler, "thgl-myket") == {"mrr": 1, "hits@10": 1, "edges": 1}


@pytest.mark.parametrize(
    ("negatives", "message"),
    [
        ({(0, 4, 4): [1], (0, 4, 3): [1]}, r"found 1 edges that are no events, such as \(0, 4, 4\)"),
        ({(0, 4, 3): [7]}, "found nodes from 7 to 7, expected 0 to 6; give num_nodes"),
        ({(0, 4, 3): [-1, 2]}, "found nodes from -1 to 2"),
        ({(0, 4, 3): []}, r"found shape \(0,\), expected a list of one node or more"),
        ({(0, 4, 3): [0.5]}, r"found 0\.5, expected numbers that int64 holds"),
        ({(0, 4): [1]}, "found keys of"),
        ({}, "found none"),
    ],
)
def test_negatives_that_do_not_fit_are_refused(negatives, message):
    with pytest.raises(DataError, match=message):
        evaluate_tgb(Told(lambda s, d: 0.0), STREAM, negatives)


def test_streams_and_scores_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"found a stream without snapshots, .*binned\(stream, rule\)"):
        evaluate_tgb(Told(lambda s, d: 0.0), STREAM.without("snapshot"), NEGATIVES)
    with pytest.raises(DataError, match=r"snapshot 1: found \d+ NaN among \d+ scores"):
        evaluate_tgb(Told(lambda s, d: float("nan")), STREAM, NEGATIVES)
    model = Told(lambda s, d: 0.0)
    model.score = lambda snapshot, src, dst: torch.zeros(1)
    with pytest.raises(DataError, match=r"snapshot 1: found scores of shape \(1,\), expected \(2, 4\)"):
        evaluate_tgb(model, STREAM, NEGATIVES)


def test_files_of_negatives(tmp_path):
    path = tmp_path / "a_test_ns.pkl"
    write_negatives(path, NEGATIVES)
    found = read_negatives(path)
    assert {key: value.tolist() for key, value in found.items()} == NEGATIVES
    assert {value.dtype for value in found.values()} == {np.dtype(np.int64)}
    # TGB's own keys are of NumPy, its arrays of floats where a source has no history.
    path.write_bytes(pickle.dumps({(np.int64(0), np.int64(4), np.int64(3)): np.array([1.0, 2.0])}))
    assert {key: value.tolist() for key, value in read_negatives(path).items()} == {(0, 4, 3): [1, 2]}
    assert [path.name for path in tmp_path.iterdir()] == ["a_test_ns.pkl"]


class _Trap:
    def __reduce__(self):
        return os.system, ("echo gotcha",)


class _Huge:
    """An array of a terabyte that is never filled: as NumPy begins to read one, or by its class."""

    def __init__(self, by_class):
        self.made = (
            (np.ndarray, ((10**12,),)) if by_class else (np.empty(0).__reduce__()[0], (np.ndarray, (10**12,), b"b"))
        )

    def __reduce__(self):
        return self.made


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({(0, 1, 2): _Trap()}), r"it asks for posix\.system"),
        (b"junk", "found no pickle of arrays"),
        (pickle.dumps({(0, 1, 2): _Huge(False)}), r"an array of shape \(1000000000000,\) before its values"),
        (pickle.dumps({(0, 1, 2): _Huge(True)}), "found no pickle of arrays"),
        (b"\x80\x04]r\xff\xff\xff\x3f.", "it asks for 1073741823 places in byte 3"),
        (pickle.dumps([1, 2]), "found list, expected a dict"),
        (None, "found no readable file"),
    ],
)
def test_files_that_are_no_negatives_are_refused_and_never_run(tmp_path, capfd, content, message):
    path = tmp_path / "x_ns.pkl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"x_ns.pkl: .*{message}"):
        read_negatives(path)
    assert "gotcha" not in capfd.readouterr().out


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_the_same_figures_as_pytgbs_evaluator(seed, values):
    pytest.importorskip("tgb.linkproppred.evaluate")
    generator = np.random.default_rng(seed)
    negatives = {key: generator.choice(7, generator.integers(1, 6)).tolist() for key in NEGATIVES}
    table = generator.integers(0, values, (7, 7)).tolist()
    model = Told(lambda s, d: float(table[s][d]))
    ours = evaluate_tgb(model, STREAM, negatives)
    theirs = evaluate_tgb(model, STREAM, negatives, "tgbl-wiki")
    assert theirs == pytest.approx(ours, rel=1e-6)  # TGB's means are of float32


def test_pytgbs_evaluator_brings_its_own_k_and_its_sampler_is_taken(tmp_path):
    evaluate = pytest.importorskip("tgb.linkproppred.evaluate")
    from tgb.linkproppred.negative_sampler import NegativeEdgeSampler

    model = Told(lambda s, d: float(d))
    found = evaluate_tgb(model, STREAM, NEGATIVES, evaluate.Evaluator("tgbl-wiki", k_value=1))
    assert found == pytest.approx(evaluate_tgb(model, STREAM, NEGATIVES, k=1), rel=1e-6)
    sampler = NegativeEdgeSampler("tgbl-wiki")
    with pytest.raises(ConfigError, match=r"found no negatives of 'test', .*load_test_ns\(\)"):
        evaluate_tgb(model, STREAM, sampler)
    sampler.eval_set["val"] = {key: np.array(nodes) for key, nodes in NEGATIVES.items()}
    write_negatives(tmp_path / "ns.pkl", NEGATIVES)
    sampler.load_eval_set(str(tmp_path / "ns.pkl"), "test")
    assert sampler.query_batch(np.array([3]), np.array([5]), np.array([9])) == [[6, 0, 4]]
    assert evaluate_tgb(model, STREAM, sampler, split="val") == evaluate_tgb(model, STREAM, NEGATIVES)


def test_a_missing_pytgb_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tgb.linkproppred.evaluate", None)
    with pytest.raises(BackendError, match=r"pip install dgl-dysign\[tgb\]"):
        evaluate_tgb(Told(lambda s, d: 0.0), STREAM, NEGATIVES, "tgbl-wiki")


def loop_of_tgbs_users(model, stream, sampler, evaluator, rows):
    """Score edge by edge as TGB's examples do: negatives of its sampler, its evaluator, the mean over edges."""
    figures = []
    for row in rows:
        edge = [np.array([column[row]]) for column in (stream.src, stream.dst, stream.time.astype(int))]
        (drawn,) = sampler.query_batch(*edge, split_mode="test")
        dst = torch.tensor([[edge[1][0], *drawn]])
        scores = model.score(int(stream.snapshot[row]), torch.from_numpy(edge[0]), dst)
        asked = {"y_pred_pos": scores[:, 0], "y_pred_neg": scores[:, 1:], "eval_metric": ["mrr"]}
        figures.append(evaluator.eval(asked)["mrr"])
    return figures


@pytest.mark.slow
@pytest.mark.real
def test_link_models_on_wikipedia_with_pytgbs_negatives_and_evaluator(real_data, tmp_path):
    """One day of test edges: negatives by py-tgb's generator, scored by two models of ours, checked edge by edge."""
    pytest.importorskip("tgb.linkproppred.negative_generator")
    from tgb.linkproppred.evaluate import Evaluator
    from tgb.linkproppred.negative_generator import NegativeEdgeGenerator
    from tgb.linkproppred.negative_sampler import NegativeEdgeSampler
    from torch_geometric.data import TemporalData

    stream = binned(wikipedia(real_data, tmp_path).without("edge_feat", "event_label"), Rule("every", width=86400.0))
    first, last = np.searchsorted(stream.snapshot, [28, 29])

    def part(begin, end):
        columns = [torch.from_numpy(c[begin:end].astype(np.int64)) for c in (stream.src, stream.dst, stream.time)]
        return TemporalData(**dict(zip(("src", "dst", "t"), columns, strict=True)))

    generator = NegativeEdgeGenerator(
        "tgbl-wiki", stream.node_offset, stream.num_nodes - 1, 50, "hist_rnd", historical_data=part(0, first)
    )
    generator.generate_negative_samples(part(first, last), "test", str(tmp_path))
    sampler, evaluator = NegativeEdgeSampler("tgbl-wiki"), Evaluator("tgbl-wiki")
    sampler.load_eval_set(str(tmp_path / "tgbl-wiki_test_ns.pkl"), "test")
    torch.manual_seed(0)
    untrained = UnderGS(stream.num_nodes, hidden_feats=8, num_neighbors=4)
    undergs = LinkScorer(untrained, untrained.store(directed=stream.directed))
    for model in (EdgeBank(stream.num_nodes), undergs):
        theirs = evaluate_tgb(model, stream, tmp_path / "tgbl-wiki_test_ns.pkl", evaluator)
        ours = evaluate_tgb(model, stream, sampler)
        assert theirs["edges"] == last - first
        assert theirs == pytest.approx(ours, rel=1e-5)
        # The model has seen day 28 by now; to be asked about it as TGB's users do, it is shown the days before again.
        model.reset()
        for t in range(28):
            rows = slice(*np.searchsorted(stream.snapshot, [t, t + 1]))
            ends = stream.src[rows], stream.dst[rows], stream.edge_id[rows]
            model.observe(distinct_edges(t, *ends, num_nodes=stream.num_nodes, directed=stream.directed))
        some = range(first, last, 40)
        keys = {key: sampler.eval_set["test"][key] for key in keys_of(stream, some)}
        figures = loop_of_tgbs_users(model, stream, sampler, evaluator, rows_of(stream, keys, first, last))
        assert np.mean(figures) == pytest.approx(evaluate_tgb(model, stream, keys)["mrr"], rel=1e-5)


def keys_of(stream, rows):
    return [(int(stream.src[row]), int(stream.dst[row]), int(stream.time[row])) for row in rows]


def rows_of(stream, keys, first, last):
    """Return the rows of some keys, repeated events too."""
    return [
        row for row, key in zip(range(first, last), keys_of(stream, range(first, last)), strict=True) if key in keys
    ]
