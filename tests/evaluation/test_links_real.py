"""Counting models on Bitcoin-OTC and UCI-Message: known figures, and what the released protocol does to them."""

import pytest

from data_prep.cli import app
from dgl_dysign.baselines import DestinationRecency, link_reference_models
from dgl_dysign.data import TemporalGraph
from dgl_dysign.evaluation import NegativeSampler, evaluate_links, split_snapshots

pytestmark = pytest.mark.real

#: Mean over snapshots and pooled MRR of warm test edges, in %, from an earlier, independent program; the deviation
#: over draws is about 1. Its test range has 793 warm edges, ours 778: how it cut the weeks is not known.
_KNOWN = {
    "random": (4.9, 5.0),
    "edgebank-undirected": (14.9, 13.9),
    "preferential-attachment": (43.6, 42.7),
    "destination-recency": (60.5, 57.3),
    "recent-degree": (66.4, 64.2),
}


@pytest.fixture(scope="module")
def weekly(real_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("otc") / "prepared"
    app(["edges", str(real_data / "bitcoin_otc"), str(folder), "--quiet"], standalone_mode=False)
    return TemporalGraph.load(folder)


def _evaluate(data, models, protocol="honest"):
    test = split_snapshots(data.num_snapshots)[2]
    return evaluate_links(data, models, test, NegativeSampler(data.num_nodes), protocol)


def test_counting_models_reach_what_is_known(weekly):
    scores = _evaluate(weekly, link_reference_models(weekly.num_nodes))
    for name, (mean, pooled) in _KNOWN.items():
        assert 100 * scores[name].mrr == pytest.approx(mean, abs=3)
        assert 100 * scores[name].pooled_mrr == pytest.approx(pooled, abs=3)
    figures = scores["recent-degree"].to_dict()
    assert (figures["warm"]["edges"], figures["warm"]["snapshots"], figures["cold"]["edges"]) == (778, 55, 224)


def test_the_released_protocol_is_near_perfect_without_a_model(weekly):
    models = {"active": DestinationRecency(weekly.num_nodes, ends="dst")}
    assert _evaluate(weekly, models)["active"].auc < 0.96
    leaking = _evaluate(weekly, models, "undergs-released")["active"]
    assert leaking.auc > 0.997
    assert leaking.mrr > 0.85
    assert "LEAKS" in repr(leaking)


@pytest.mark.parametrize(("every", "warm"), [("week", 706), ("day", 1_029)])
def test_uci_message_has_the_warm_edges_that_its_tables_name(real_data, tmp_path, every, warm):
    app(["edges", str(real_data / "uci_message"), str(tmp_path / "uci"), "--every", every, "-q"], standalone_mode=False)
    data = TemporalGraph.load(tmp_path / "uci")
    scores = _evaluate(data, {"recent": DestinationRecency(data.num_nodes)})["recent"].to_dict()
    assert scores["warm"]["edges"] == warm
