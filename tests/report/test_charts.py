"""Charts of the report: the numbers that are drawn."""

import math

import pytest

from dgl_dysign.report import charts, inside
from dgl_dysign.report.runs import read_runs
from tests.report.run_folders import HONEST, compared_run, event_run, link_run, node_run, study_run


def one(path):
    (run,) = read_runs([path])
    return run


def test_dots_are_single_runs_and_their_mean(tmp_path):
    chart = charts.scores(one(node_run(tmp_path / "a")))
    assert chart.choices[0].at == ("Macro-F1 in %", "40 % for training")
    mean, single = chart.choices[0].data
    assert dict(zip(mean["y"], mean["x"], strict=True)) == {"dysign": 72.0, "relu-network": 71.0}
    assert mean["error_x"]["array"] == pytest.approx([math.sqrt(2)] * 2)
    assert sorted(zip(single["y"], single["x"], strict=True)) == [
        ("dysign", 71.0), ("dysign", 73.0), ("relu-network", 70.0), ("relu-network", 72.0),
    ]  # fmt: skip


def test_differences_are_drawn_with_both_ends_of_their_interval_beside_zero(tmp_path):
    chart = charts.differences(one(compared_run(tmp_path / "a")))
    (choice,) = chart.choices
    assert choice.at == ("40 % for training",)
    (dots,) = choice.data
    assert (dots["x"], dots["y"]) == ([1.0], ["dysign"])
    assert (dots["error_x"]["array"], dots["error_x"]["arrayminus"]) == ([0.5], [0.75])
    assert dots["marker"]["color"] == [charts.COLOURS[2]]
    assert (choice.layout["shapes"][0]["x0"], choice.layout["xaxis"]["title"]["text"]) == (0, "test Macro-F1 in %")
    assert charts.differences(one(node_run(tmp_path / "b"))) is None


def test_learning_curves_are_means_with_a_band_as_far_as_all_runs_came(tmp_path):
    found = {chart.title: chart for chart in charts.learning(one(node_run(tmp_path / "a")))}
    assert list(found) == ["Training loss", "Validation accuracy in %", "Gap of the cached equilibrium"]
    band, line = found["Validation accuracy in %"].choices[0].data[:2]
    assert line["x"] == [1, 2, 3]
    assert line["y"] == pytest.approx([55, 65, 75])
    assert band["y"] == pytest.approx([60, 70, 80, 70, 60, 50])
    assert [trace["name"] for trace in found["Gap of the cached equilibrium"].choices[0].data[1:]] == ["dysign"]


def test_a_unit_with_two_kinds_of_negatives_was_trained_once(tmp_path):
    (loss, mrr) = charts.learning(one(link_run(tmp_path / "a")))
    assert [trace["name"] for trace in loss.choices[0].data] == ["undergs"]
    assert loss.note == "One run of each row."
    assert mrr.warnings == ["leaking protocol: for reproduction only, never a result", "generated data"]


def test_links_over_time_mark_validation(tmp_path):
    chart = charts.over_time(one(link_run(tmp_path / "a", seeds=2)))
    learned = chart.choices[0].data[0]
    assert learned["name"] == "undergs"
    assert learned["x"] == [4, 5, 6, 7, 9]
    assert learned["y"] == [40, 40, 50, 50, 50]
    (grey,) = chart.choices[0].layout["shapes"]
    assert (grey["x0"], grey["x1"]) == (3.5, 5.5)


def test_confusion_adds_up_runs_and_names_classes(tmp_path):
    chart = charts.confusion(one(node_run(tmp_path / "a")))
    choice = chart.choices[0]
    assert choice.at == ("dysign", "test nodes, 40 % for training, 2 runs added up")
    assert choice.data[0]["customdata"] == [[16, 4], [2, 18]]
    assert choice.data[0]["z"] == [[80, 20], [10, 90]]
    assert choice.data[0]["x"] == ["theory", "<b>systems</b>"]


def test_events_are_confused_by_rule(tmp_path):
    chart = charts.confusion(one(event_run(tmp_path / "a")))
    assert chart.choices[0].at == ("seed0-undergs", "test events, the 1 % with the highest scores, one run")
    assert chart.choices[0].data[0]["z"][1] == [60, 40]


def test_what_runs_do_not_have_is_not_drawn(tmp_path):
    run = one(study_run(tmp_path / "a"))
    assert charts.over_time(run) is None
    assert charts.confusion(run) is None
    assert [*charts.learning(run), *inside.inside(run)] == []


def test_runs_share_a_chart_with_a_colour_each(tmp_path):
    runs = list(read_runs([link_run(tmp_path / "a", "bitcoin-otc", HONEST), link_run(tmp_path / "b")]))
    chart = charts.compared(runs)
    names = [trace["name"] for trace in chart.choices[0].data]
    assert names == [f"{run}, {share} % historical negatives" for run in "ab" for share in (0, 50)]
    assert chart.choices[0].layout["yaxis"]["categoryarray"] == ["undergs", "recent-degree"]  # as in the table
    assert chart.warnings == ["b: leaking protocol: for reproduction only, never a result", "b: generated data"]


def test_firing_rates_are_shares_on_a_logarithmic_scale(tmp_path):
    heat, active = inside.firing(one(node_run(tmp_path / "a"))).choices[0].data
    assert heat["y"] == [0, 0.5, 1]
    assert [line[1] for line in heat["customdata"]] == [25, 50, 25]
    assert [line[1] for line in heat["z"]] == pytest.approx([math.log10(25), math.log10(50), math.log10(25)])
    assert [line[0] for line in heat["z"]] == [-2] * 3
    assert active["y"] == [0, 4]


def test_the_raster_is_of_a_chosen_node(tmp_path):
    chart = inside.raster(one(node_run(tmp_path / "a")))
    assert [choice.at[1] for choice in chart.choices] == ["node 5, snapshot 1", "node 6, snapshot 1"]
    assert chart.choices[0].data[0]["z"] == [[1, 0, 1], [0, 0, 1]]
    assert chart.choices[1].data[0]["z"] == [[0, 0, 0], [0, 0, 0]]


def test_a_missed_tolerance_is_a_cross(tmp_path):
    run = one(node_run(tmp_path / "a"))
    solver, simulated, steps, tolerance = inside.solver(run).choices[0].data
    assert (solver["y"], simulated["y"], steps["y"]) == ([None, 5e-5], [0.0, 0.04], [2, 3])
    assert solver["marker"]["symbol"] == ["x", "circle"]
    assert tolerance["y"] == [1e-4, 1e-4]
    traces = inside.convergence(run).choices[0].data
    assert [trace["y"] for trace in traces] == [[0.1, None], [0.1, 0.01, 5e-5]]


def test_the_store_is_a_line_a_neighbour_and_rows_that_share_it_one_picture(tmp_path):
    chart = inside.store(one(link_run(tmp_path / "a", seeds=2)))
    assert [choice.at for choice in chart.choices] == [
        ("seed0-undergs, seed1-undergs", "node 7 (12 events, 2 slots)"),
        ("seed0-undergs, seed1-undergs", "node 3 (1 event, 2 slots)"),
    ]
    (heat,) = chart.choices[1].data
    assert heat["y"] == ["node 4", "node 9"]
    assert heat["z"] == [[None, None], [None, pytest.approx(math.log10(0.5), abs=1e-3)]]
    assert heat["text"][1] == ["not held", "influence 0.5, 1 hop, met 1 snapshots before"]
