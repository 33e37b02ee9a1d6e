"""The harness of event labels: what a model is shown, in which order, and which scores it refuses."""

import pytest
import torch

from dgl_dysign.data.snapshot_events import read_events
from dgl_dysign.errors import DataError
from dgl_dysign.evaluation import evaluate_events
from tests.training.event_cases import SNAPSHOTS, stream, write

EMPTY = 7
EVENTS = [(*e[:4], k, *e[5:]) for k, e in enumerate(e for e in stream() if e[0] != EMPTY)]


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory):
    return read_events(write(tmp_path_factory.mktemp("harness") / "data", EVENTS))


class Witness:
    """Writes down what it is called with; its scores are edge ids, unless some are given."""

    def __init__(self, scores=None):
        self.calls, self.labels, self.scores = [], set(), scores

    def reset(self):
        self.calls.append("reset")

    def observe(self, events):
        self.calls.append(("observe", events.snapshot))
        self.labels |= set(events.label.tolist())

    def score(self, events):
        self.calls.append(("score", events.snapshot))
        self.labels |= set(events.label.tolist())
        return events.edge_id.double() if self.scores is None else self.scores(events)


def test_each_snapshot_is_scored_and_then_observed_and_labels_are_hidden(snapshots):
    model = Witness()
    scores = evaluate_events(model, snapshots)
    expected = [(do, t) for t in range(SNAPSHOTS) for do in ("score", "observe") if (do, t) != ("score", EMPTY)]
    assert model.calls == ["reset", *expected]
    assert model.labels == {-1}
    assert scores.tolist() == [event[4] for event in EVENTS]
    assert scores.dtype == torch.float64
    assert {-1, *torch.cat([events.label for events in snapshots]).tolist()} == {-1, 0, 1}  # the data keeps its labels


def test_no_gradient_is_recorded(snapshots):
    weight = torch.ones(1, requires_grad=True)
    assert not evaluate_events(Witness(lambda events: weight * events.time), snapshots).requires_grad


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (lambda events: torch.zeros(len(events), 1), r"0: found scores of shape \(12, 1\), expected .* shape \(12,\)"),
        (lambda events: torch.zeros(()), r"0: found scores of shape \(\), expected"),
        (lambda events: events.time.numpy(), "0: found ndarray, expected a tensor"),
        (lambda events: None, "0: found NoneType"),
        (
            lambda events: torch.where(events.edge_id == 29, torch.nan, 0.0),
            "2: found 1 NaN among 12 scores, the first that of event 5, edge id 29",
        ),
    ],
)
def test_scores_that_cannot_be_used_are_refused(snapshots, scores, words):
    for name, shown in (("mine", "mine"), ("", "Witness")):
        with pytest.raises(DataError, match=f"^model '{shown}', snapshot {words}"):
            evaluate_events(Witness(scores), snapshots, name)
