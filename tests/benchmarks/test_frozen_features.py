"""What is scored reads the frozen features, and no others."""

import json

import torch

from benchmarks import frozen_features
from dgl_dysign.data import TemporalGraph
from dgl_dysign.experiments.entry import Entry, Outcome
from tests.generated import generated


def test_each_basis_is_scored_beside_the_features_of_the_snapshot_itself(tmp_path, capsys, monkeypatch):
    folder, read = generated(tmp_path), []

    def fit(view, **_):
        read.append(view.data.features(view.last))
        return Outcome(view.snapshots[-1].feat[:, : view.num_classes].softmax(1))

    monkeypatch.setattr(frozen_features, "default_entries", lambda: {"columns": Entry("columns", fit)})
    frozen_features.main([str(folder), "--basis", "1", "--rows", "columns"])
    own, frozen = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (own["basis"], frozen["basis"], own["row"], own["split"]) == (None, 1, "columns", 42)
    assert own["macro_f1"] != frozen["macro_f1"]
    data = TemporalGraph.load(folder)
    *_, last = frozen_features.frozen_features(data, 1)
    assert torch.equal(read[0], data.features(data.num_snapshots - 1))
    assert torch.equal(read[1], last)
