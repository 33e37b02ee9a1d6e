"""TGB's task of node properties: figures by a loop, its own data set and evaluator, and what a model may know."""

import numpy as np
import pytest

from dgl_dysign.adapters.tgb_node_eval import MovingAverage, evaluate_tgb_nodes
from dgl_dysign.errors import ConfigError, DataError

CLASSES = 13


def generated():
    """Make events, and labels of some of 6 nodes at every ninth time; the last ones are never asked for."""
    random = np.random.default_rng(0)
    labels = {}
    for time in range(3, 240, 9):
        nodes = random.permutation(6)[: random.integers(1, 6)].tolist()
        labels[time] = {node: random.random(CLASSES) * (random.random(CLASSES) < 0.5) for node in nodes}
    times = {"timestamps": np.sort(random.integers(0, 200, 400)), "node_label_dict": labels}
    return times | dict(zip(("sources", "destinations"), random.integers(0, 6, (2, 400)), strict=True))


def asked(data, size):
    """Yield part, time and labels as TGB's loops do: a time waits until a batch of one part ends after it."""
    times, waiting = data["timestamps"], sorted(data["node_label_dict"])
    first, second = np.quantile(times, 0.7), np.quantile(times, 0.85)
    masks = times <= first, (times > first) & (times <= second), times > second
    for part, mask in zip(("train", "val", "test"), masks, strict=True):
        for begin in range(0, mask.sum(), size):
            if times[mask][begin : begin + size][-1] > waiting[0]:
                yield part, waiting[0], data["node_label_dict"][waiting.pop(0)]


@pytest.mark.parametrize("window", [1, 7])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_figures_are_those_of_a_loop(window, split):
    data, history, figures = generated(), {}, []
    discount = np.array([1 / np.log2(place + 2) if place < 10 else 0 for place in range(CLASSES)])
    for part, _, labels in asked(data, 20):
        scores = []
        for node, label in labels.items():
            before = history.setdefault(node, [])
            mean = before[0] if before else np.zeros(CLASSES)
            for later in before[1:]:
                mean = (mean * (window - 1) + later) / window
            places = np.sort(-mean)  # equal scores share the gains of their places
            gained = sum(discount[places == -mean[c]].mean() * label[c] for c in range(CLASSES))
            scores.append(gained / (discount @ np.sort(label)[::-1]))
            before.append(label)
        figures += [np.mean(scores)] if part == split else []
    expected = {"ndcg": pytest.approx(np.mean(figures)), "times": len(figures)}
    assert len(figures) > 1
    assert evaluate_tgb_nodes(MovingAverage(CLASSES, window), data, split=split, batch_size=20) == expected


def test_pytgbs_evaluator_says_the_same_of_its_data_set():
    dataset = pytest.importorskip("tgb.nodeproppred.dataset").NodePropPredDataset
    evaluator = pytest.importorskip("tgb.nodeproppred.evaluate").Evaluator("tgbn-trade")
    own, forecast, figures = object.__new__(dataset), MovingAverage(CLASSES), []  # made as usual, it would download
    own._full_data = data = generated()
    own.label_dict, own.label_ts, own.label_ts_idx = data["node_label_dict"], np.array([*data["node_label_dict"]]), 0
    for part, time, _ in asked(data, 20):
        _, nodes, true = own.find_next_labels_batch(time)
        figures += [evaluator.eval({"y_true": true, "y_pred": forecast.predict(0, nodes), "eval_metric": ["ndcg"]})]
        figures = figures if part == "test" else []
        forecast.update(nodes, true)
    found = evaluate_tgb_nodes(forecast, own, batch_size=20)
    assert found["ndcg"] == pytest.approx(np.mean([figure["ndcg"] for figure in figures]))


class Watched(MovingAverage):
    """Notes what it was shown, and checks when it is asked that all of it was before, and all events are there."""

    def __init__(self):
        super().__init__(CLASSES)
        self.seen, self.asked = [], 0

    def observe(self, src, dst, time, feat):
        self.seen += time.tolist()

    def predict(self, time, nodes):
        assert self.seen == [t for t in generated()["timestamps"].tolist() if t < time]
        self.asked += 1
        return super().predict(time, nodes)


def test_a_model_knows_the_events_before_and_no_other():
    model = Watched()
    assert evaluate_tgb_nodes(model, generated(), batch_size=20)["times"] == model.asked > 1


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"timestamps": np.arange(400)[::-1]}, {}, "sort the events by time"),
        ({"node_label_dict": {900: {0: np.ones(CLASSES)}}}, {}, "no labels in 'test'"),
        ({}, {"split": "later"}, "expected some in train, val, test"),
        ({"node_label_dict": {190: {0: np.ones(3)}}}, {"batch_size": 20}, r"finite ones of shape \(1, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused(change, options, message):
    with pytest.raises((ConfigError, DataError), match=message):
        evaluate_tgb_nodes(MovingAverage(CLASSES), generated() | change, **options)
    with pytest.raises(DataError, match="no 'node_label_dict'"):
        evaluate_tgb_nodes(MovingAverage(CLASSES), dict.fromkeys(("sources", "destinations", "timestamps")))
    with pytest.raises(ConfigError, match="window=0"):
        MovingAverage(CLASSES, 0)
