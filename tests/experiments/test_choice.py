"""Settings that are chosen: which candidates, on which nodes, at which cost, and never by what a test node is."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.experiments import choice
from dgl_dysign.experiments.choice import Validation, candidates, choose, deciding_figures
from dgl_dysign.experiments.entry import Entry, Outcome
from dgl_dysign.experiments.node_entries import CHOICES, default_entries
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
from dgl_dysign.experiments.record import read_units
from dgl_dysign.experiments.train import train_nodes
from dgl_dysign.files import read_sealed, sealed, write_json
from dgl_dysign.training.nodes import FitConfig, fit, node_weights
from tests.examples.runs import Killed
from tests.generated import generated


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return generated(tmp_path_factory.mktemp("choice"), nodes=120)


@pytest.fixture(scope="module")
def task(prepared):
    data = TemporalGraph.load(prepared)
    small = NodeSettings(hidden=8).with_epochs(10)
    return NodeTask(data, small).with_split(*stratified_split(data.labels, 0.5, 42))


def right(view, share):
    """Predict a share of the nodes rightly: the fake entries know what they are asked for."""
    draw = torch.rand(len(view.labels), generator=torch.Generator().manual_seed(1))
    return one_hot((view.labels.clamp(min=0) + (draw > share)) % view.num_classes, view.num_classes).float()


class Planted:
    """An entry that is the better the larger its setting `share`; notes what it was fitted for."""

    def __init__(self, choices, finishes=(), after=None):
        self.epochs, self.finishes, self.after = [], finishes, after
        self.entry = Entry("planted", self.fit, choices=choices)

    def fit(self, view, checkpoint=None, on_epoch=None):
        if self.after == len(self.epochs):
            raise Killed
        self.epochs.append(view.settings.feature_only.training.epochs)
        own = view.settings.chosen.get("share", 0.3)
        return Outcome(right(view, own), finishes=[({"more": m}, right(view, own + m)) for m in self.finishes])


def without_seconds(record):
    return {name: value for name, value in record.items() if name != "cpu_seconds"}


def test_each_value_is_a_candidate_as_often_as_the_others():
    choices = {"decay": (1.0, 0.7, 0.1), "hops": ((0,), (0, 1)), "hidden": (64, 128, 256), "latency": range(11)}
    drawn = candidates(choices, 12)
    assert drawn[0] == {}
    assert len(drawn) == 12
    for name, values in choices.items():
        counts = Counter(candidate[name] for candidate in drawn[1:])
        assert set(counts) == set(values)
        assert max(counts.values()) - min(counts.values()) <= 1
    assert drawn == candidates(choices, 12)
    assert candidates(choices, 1) == candidates({}, 12) == [{}]


def test_a_candidate_may_leave_a_setting_as_it_is_or_set_several_at_once():
    choices = {"means": ({"decay": 1.0, "hops": (1,)}, {"decay": 0.1, "hops": (2,)}), "hidden": (None, 64)}
    assert candidates(choices, 12) == [
        {},
        {"decay": 1.0, "hops": (1,)},
        {"decay": 1.0, "hops": (1,), "hidden": 64},
        {"decay": 0.1, "hops": (2,)},
        {"decay": 0.1, "hops": (2,), "hidden": 64},
    ]
    crossed = [(values["decay"], values["hops"]) for values in candidates({"means": CHOICES["means"]}, 12)[1:]]
    assert len(set(crossed)) == 11


def test_a_planted_setting_is_chosen_at_a_cost_counted_in_epochs(task):
    planted = Planted({"share": (0.1, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), "idle": (1, 2)})
    record = choose(planted.entry, task, 12)
    assert record["chosen"]["share"] == 1.0
    assert (record["chosen_value"], record["figure"]) == (pytest.approx(100), "macro_f1")
    assert record["defaults_value"] < 60
    assert record["fits"] == pytest.approx(sum(planted.epochs) / 10)
    assert len(record["candidates"]) == 12
    assert len(record["candidates"][0]["figures"]) == 3
    assert Counter(len(line["figures"]) for line in record["candidates"]) == {1: 8, 2: 2, 3: 2}


def test_the_defaults_stay_where_it_makes_no_difference(task):
    record = choose(Planted({"idle": tuple(range(20))}).entry, task, 6)
    assert record["chosen"] == {}
    assert record["error"] == 0
    assert record["level"] == record["compared"] == 2


def test_a_difference_within_its_error_does_not_count(task):
    record = choose(Planted({"share": (0.32,)}).entry, task, 2)
    assert record["chosen"] == {}
    assert record["chosen_value"] == record["defaults_value"]
    clear = choose(Planted({"share": (0.6,)}).entry, task, 2)
    assert clear["chosen"] == {"share": 0.6}
    assert clear["chosen_value"] - clear["defaults_value"] > 2 * clear["error"] > 0


def test_a_difference_of_less_than_two_errors_does_not_count_either(task, monkeypatch):
    entry = Planted({"share": (0.38,)}).entry
    assert choose(entry, task, 2)["chosen"] == {}
    monkeypatch.setattr(choice, "ERRORS", 1)
    bold = choose(entry, task, 2)
    assert bold["chosen"] == {"share": 0.38}
    assert bold["error"] < bold["chosen_value"] - bold["defaults_value"] < 2 * bold["error"]


def test_two_errors_are_what_luck_gives_the_best_of_a_dozen():
    values = np.random.default_rng(0).normal(size=(10_000, 12))
    lead = (values[:, 1:].max(1) - values[:, 0]) / np.sqrt(2)  # in errors of a difference of two
    assert (lead > 1).mean() == pytest.approx(0.56, abs=0.02)
    assert (lead > choice.ERRORS).mean() == pytest.approx(0.14, abs=0.02)


def test_what_costs_no_training_is_chosen_too(task):
    planted = Planted({}, finishes=(-0.2, 0.3, 0.5))
    record = choose(planted.entry, task, 12)
    assert record["chosen"] == {"more": 0.5}
    assert record["compared"] == 4
    assert record["fits"] == len(planted.epochs) == 5
    both = choose(Planted({"share": (0.1, 0.4)}, finishes=(0.0, 0.3)).entry, task, 12)
    assert both["chosen"] == {"share": 0.4, "more": 0.3}


def test_the_first_finish_is_what_a_choice_starts_from(task):
    level = choose(Planted({"share": (0.3,)}, finishes=(0.0, 0.0)).entry, task, 2)
    assert level["chosen"] == {"more": 0.0}
    better = choose(Planted({"share": (0.5, 0.9)}, finishes=(-0.2, 0.0)).entry, task, 3)
    assert better["chosen"] == {"share": 0.9}


def test_scores_that_are_no_numbers_are_never_chosen(task):
    def fit(view, **_):
        scores = right(view, 0.3)
        return Outcome(scores * float("nan") if "share" in view.settings.chosen else scores)

    record = choose(Entry("diverges", fit, choices={"share": (1.0,)}), task, 2)
    assert record["chosen"] == {}
    assert record["candidates"][1]["figures"] == [None]
    json.dumps(record, allow_nan=False)


def test_few_validation_nodes_are_folds_of_all_that_are_known(task, monkeypatch):
    few = Validation.of(task.without_test())
    assert "5-fold cross-validation within 60 training and validation nodes (validation has 6, fewer" in few.about
    held, known = torch.cat([part.val for part in few.tasks]), torch.cat([task.train, task.val])
    assert torch.equal(held.sort().values, known.sort().values)
    assert torch.equal(few.true, task.labels[held])
    for part in few.tasks:
        assert not set(part.train.tolist()) & set(part.val.tolist())
        assert len(part.train) + len(part.val) == 60
        counts = task.labels[part.val].bincount(minlength=3)
        assert (counts - task.labels[known].bincount() / 5).abs().max() <= 1
        assert part.snapshots is task.snapshots
    monkeypatch.setattr(choice, "FEWEST", 6)
    (whole,) = Validation.of(task).tasks
    assert torch.equal(whole.val, task.val)


def test_a_class_with_one_node_is_said_and_no_figure_is_missing(task):
    one = torch.cat([task.train, task.val])[:12]
    labels = torch.full_like(task.labels, -1).index_copy(0, one, torch.tensor([0] * 11 + [1]))
    rare = task.with_parts(one[:8], one[8:], labels=labels, settings=task.settings.with_epochs(2))
    record = choose(default_entries()["logistic-regression"], rare, 2)
    assert "1 of the classes have fewer than 5 nodes" in record["validated"]
    assert all(value is not None for line in record["candidates"] for value in line["figures"])
    with pytest.raises(ConfigError, match="found 1 labelled nodes to choose settings by, expected 2: pass --no-choice"):
        Validation.of(rare.with_parts(one[:1], one[:0]))


@pytest.mark.parametrize("name", ["logistic-regression", "label-aware-logistic"])
def test_the_labels_of_test_nodes_change_nothing(task, name):
    turned = task.with_split(task.train, task.val, task.test)
    turned.labels = turned.labels.clone()
    turned.labels[task.test] = (turned.labels[task.test] + 1) % task.num_classes
    entry, settings = default_entries()[name], task.settings.with_epochs(1)
    records = [without_seconds(choose(entry, each.with_settings(settings), 4)) for each in (task, turned)]
    assert records[0] == records[1]
    assert len(records[0]["candidates"]) == 4


def test_a_search_that_was_killed_goes_on(task, tmp_path):
    choices = {"share": (0.1, 0.5, 0.9), "idle": (1, 2, 3)}
    whole = choose(Planted(choices).entry, task, 6)
    with pytest.raises(Killed):
        choose(Planted(choices, after=23).entry, task, 6, tmp_path)
    rest = Planted(choices)
    assert without_seconds(choose(rest.entry, task, 6, tmp_path)) == without_seconds(whole)
    assert len(rest.epochs) == 40 - 20  # of six candidates and the two best in five folds, four were done
    changed = replace(rest.entry, source={"entry": "planted", "sha256": "of another version"})
    choose(changed, task, 6, tmp_path)
    assert len(rest.epochs) == 20 + 40


def test_numbers_of_numpy_are_kept_and_what_a_record_cannot_hold_is_refused(task, tmp_path):
    choices = {"share": list(np.linspace(0.5, 1, 2))}
    whole = choose(Planted(choices, finishes=list(np.linspace(0, 0.1, 2))).entry, task, 3, tmp_path)
    rest = Planted(choices)
    assert without_seconds(choose(rest.entry, task, 3, tmp_path)) == without_seconds(whole)
    assert rest.epochs == []
    assert {type(value) for value in whole["chosen"].values()} == {float}
    for wrong in ({"dtype": [torch.float32]}, {"lr": [0.1, float("nan")]}):
        with pytest.raises(ConfigError, match=r"row 'odd': there is a choice of .*, expected finite numbers, names"):
            Entry("odd", right, choices=wrong)
    with pytest.raises(ConfigError, match=r"row 'odd': choices are \['lr'\], expected lists of values by their names"):
        Entry("odd", right, choices=["lr"])


def test_what_was_asked_for_is_not_chosen():
    choices = {"means": ({"decay": 0.1, "hops": (0,)}, {"decay": 1.0, "hops": (1,)}), "hidden": (8,), "lr": (0.1, None)}
    left = Entry("any", right, choices=choices).without_choices_of(["decay", "hidden"])
    assert left.choices == {"means": [{"hops": (0,)}, {"hops": (1,)}], "lr": [0.1, None]}
    assert Entry("fixed", right).without_choices_of(["decay"]).choices is None


def test_of_two_classes_the_area_under_the_curve_decides():
    true, scores = torch.tensor([0, 0, 0, 1]), torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    drawn = deciding_figures(true, [scores, -scores, scores * float("nan")], 20)
    assert drawn[:, 0].tolist() == [100, 0, float("-inf")]
    assert drawn.shape == (3, 21)
    assert np.isfinite(drawn[:, 1:]).all()


def test_chosen_values_reach_every_part_of_the_settings():
    settings = NodeSettings().with_choice(hops=[0, 2], dropout=0.1, lr=0.1, class_weights=True, feedback=False, mine=1)
    assert (settings.hops, settings.model, settings.chosen["mine"]) == ((0, 2), {"feedback": False}, 1)
    for recipe in (settings.feature_only, settings.label_aware):
        assert (recipe.dropout, recipe.training.lr, recipe.training.class_weights) == (0.1, 0.1, True)
    assert settings.label_aware.training.weight_decay == 5.0
    short = settings.with_share(0.2)
    assert (short.feature_only.training.epochs, short.gcn_epochs, short.full_batch_epochs, short.share) == (
        5,
        12,
        0,
        0.2,
    )
    assert NodeSettings().with_share(0.001).label_aware.training.epochs == 1


def test_class_weights_let_rare_classes_count_the_same(task):
    view = task.view()
    weight = node_weights(view.labels, view.train)
    assert weight[view.train].mean() == pytest.approx(1)
    totals = torch.zeros(3).index_add(0, view.labels[view.train], weight[view.train])
    assert totals.tolist() == pytest.approx([len(view.train) / 3] * 3)
    labels = torch.tensor([0] * 9 + [1])
    shares = []
    for weighted in (False, True):
        bias = torch.nn.Linear(1, 2)
        config = FitConfig(epochs=200, lr=0.1, weight_decay=0.0, class_weights=weighted)
        every = torch.arange(10)
        fit(bias, lambda nodes, model=bias: model(torch.zeros(len(nodes), 1)), labels, every, every, config)
        shares.append(float(bias.bias.softmax(0)[1].detach()))
    assert shares == pytest.approx([0.1, 0.5], abs=0.01)


def test_a_run_chooses_once_for_all_seeds_and_says_so(prepared, tmp_path):
    options = {"train_ratio": [0.4], "seeds": 2, "epochs": 3, "decay": 0.3, "budget": 3, "quiet": True}
    rows = ["majority", "logistic-regression"]
    table = train_nodes(prepared, tmp_path / "run", rows=rows, **options)
    file = tmp_path / "run" / "choices" / "0.4-split0-logistic-regression.json"
    kept = read_sealed(file)
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert all("decay" not in line["values"] for line in kept["candidates"])  # asked for
    units = [unit for unit in read_units(tmp_path / "run").values() if unit.entry == "logistic-regression"]
    for unit in units:
        assert unit.extra["choice"].items() <= kept.items()
        assert unit.cost["choice_cpu_seconds"] == kept["cpu_seconds"]
    assert table[1]["choice_cpu_seconds"] == pytest.approx(kept["cpu_seconds"])
    assert "choice_cpu_seconds" not in table[0]
    assert f"{units[0].cost['cpu_seconds']:.0f} + {kept['cpu_seconds']:.0f}" in str(table)
    write_json(file, sealed({**kept, "chosen": {"batch_size": 7}}))
    (tmp_path / "run" / "units" / f"{units[0].key}.json").unlink()
    again = train_nodes(prepared, tmp_path / "run", rows=rows, resume=True, **options)
    assert again[1]["macro_f1"] != table[1]["macro_f1"]  # what was chosen is what is fitted


def test_a_row_whose_defaults_give_no_numbers_is_an_error_that_names_it(task):
    outcome = Outcome(right(task, 0.5) * float("nan"), entry="diverged")
    with pytest.raises(
        DataError, match=r"row 'diverged': it gave 360 NaN or infinite among 360 scores, .*: look for a div"
    ):
        task.score(outcome)
