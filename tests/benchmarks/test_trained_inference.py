"""What is timed is what was trained: packed layers have the scores of their own float path."""

import json

import torch

from benchmarks import trained_inference
from dgl_dysign._dgl import dgl
from tests.generated import generated


def test_rows_have_both_networks(tmp_path, capsys):
    trained_inference.main([str(generated(tmp_path)), "--quick", "--layers", "2"])
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (row["nodes"], row["layers"], row["seed"]) == (240, 2, 0)
    for name in ("graphconv", "spikes", "eight"):
        assert all(0 < score <= 100 for score in row["macro_f1"][name])  # on test and on validation
        assert row["seconds"][name] >= 0
    assert len(row["rates"]) == 2


def test_packed_scores_are_those_that_training_saw():
    torch.manual_seed(0)
    graph, feat = dgl.add_self_loop(dgl.rand_graph(60, 200)), torch.randn(60, 128)
    labels, train = torch.randint(3, (60,)), torch.arange(40)
    network = trained_inference.fitted(trained_inference.Network(128, 3, 2, True), graph, feat, labels, train, 5)
    with torch.no_grad():
        scores, packed = network(graph, feat), network.packed(graph, network.encoder.pack(feat))
    torch.testing.assert_close(packed, scores, rtol=1e-4, atol=1e-4)
    assert scores.std(0).min() > 0
