"""Tables from Python and by ``dysign-train``: options, rows, defaults, what shows itself, where figures go."""

import subprocess
import sys
from dataclasses import replace
from typing import get_args, get_type_hints

import pytest
from rich.table import Table

from data_prep import PrepareOptions, prepare
from dgl_dysign.errors import BackendError, ConfigError, DataError
from dgl_dysign.evaluation.link_scores import PROTOCOLS
from dgl_dysign.experiments import options, train, train_cli
from dgl_dysign.experiments.event_task import SPLITS, EventSettings
from dgl_dysign.experiments.link_task import LinkSettings
from dgl_dysign.experiments.loggers import check_logger, open_logger
from dgl_dysign.experiments.node_task import NodeSettings
from dgl_dysign.experiments.record import Scoring, UnitRecord
from dgl_dysign.experiments.resolve import list_rows
from dgl_dysign.experiments.result_table import ResultTable
from dgl_dysign.nn.influence_conv import AGGREGATORS
from dgl_dysign.training.events import LOSSES
from tests.examples.runs import Killed, figures, summary, units
from tests.generated import generated


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return generated(tmp_path_factory.mktemp("prepared"))


def test_what_classes_of_nodes_need_is_said(tmp_path):
    (tmp_path / "pay.csv").write_text("payer,payee,when\nann,bob,2024-01-02\nbob,cy,2024-01-09\n")
    (tmp_path / "labels.csv").write_text("ann,ok\nbob,ok\n")
    for features, told in (("none", "--features degree .* or spectral"), ("degree", "found one class of nodes, ok;")):
        prepare(
            "edges",
            tmp_path / "pay.csv",
            tmp_path / features,
            PrepareOptions(features=features, labels=tmp_path / "labels.csv"),
        )
        with pytest.raises(DataError, match=told):
            train.train_nodes(tmp_path / features, tmp_path / "run")


def test_defaults_are_those_of_the_library(prepared, monkeypatch):
    settings = []
    monkeypatch.setattr(train, "run", lambda table, config, options: settings.append((table, config)))
    train.train_nodes(prepared, "runs/first")
    ((table, config),) = settings
    assert table.task.settings == NodeSettings(model={"latency": 8, "coupling": False})
    assert (config["device"], len(table.splits), table.seeds) == ("cpu", 3, 3)
    link, event = (kind(prepared="x", run_dir="y") for kind in (options.LinkOptions, options.EventOptions))
    made = LinkSettings()
    assert (link.hidden, link.num_neighbors, link.num_hops, link.aggregator, link.preset) == (
        made.hidden_feats, made.num_neighbors, made.num_hops, made.aggregator, made.preset,
    )  # fmt: skip
    for protocol, negatives in (("honest", made.num_negatives), ("roland-live", 1000), ("roland-fixed", 1000)):
        train.train_links(prepared, "runs/first", protocol=protocol)
        assert settings.pop()[0].task.settings.num_negatives == negatives
    assert (link.epochs, link.batch_size, link.lr, link.among) == (
        made.training.epochs, made.training.batch_size, made.training.lr, made.training.among,
    )  # fmt: skip
    made = EventSettings()
    assert (event.hidden, event.neighbors, event.epochs, event.loss) == (
        made.hidden, made.num_neighbors, made.training.epochs, made.training.loss,
    )  # fmt: skip


def test_what_is_said_of_spikes_reaches_spiking_models_alone(prepared, monkeypatch):
    tasks = []
    monkeypatch.setattr(train, "run", lambda table, config, options: tasks.append(table.task))
    spikes = {"train_spikes": True, "latency": 1, "rate_penalty": 0.1, "target_rate": 0.2}
    train.train_nodes(prepared, "runs/first", **spikes)
    train.train_links(prepared, "runs/first", rows=["spiking-undergs"], **spikes)
    nodes, links = (task.settings for task in tasks)
    one_step = {"latency": 1, "gradient": "step", "feedback": False, "learn_threshold": "homeostatic"}
    assert nodes.model == {**one_step, "coupling": False}
    assert (nodes.spiking().rate_penalty, nodes.spiking(label_aware=True).target_rate) == (0.1, 0.2)
    assert links.neurons == {**one_step, "compensation_hops": 1}  # else no message would be left
    assert (links.rate_penalty, links.target_rate) == (0.1, 0.2)
    for training in (nodes.feature_only.training, nodes.label_aware.training, links.training):
        assert (training.rate_penalty, training.target_rate) == (0.0, None)
    model = tasks[1].with_settings(replace(links, spiking=True, families=())).scorer().model
    assert (model.conv.latency, model.conv.gradient, model.conv.compensation_hops) == (1, "step", 1)
    train.train_nodes(prepared, "runs/first", teacher="gcn", no_choice=True)
    assert tasks[-1].settings.teacher == "gcn"
    with pytest.raises(ConfigError, match="--teacher trains under the defaults: pass --no-choice"):
        train.train_nodes(prepared, "runs/first", teacher="gcn")
    with pytest.raises(ConfigError, match=r"--teacher must be one of .*relu-network.*, but got 'dysign'"):
        train.train_nodes(prepared, "runs/first", teacher="dysign", no_choice=True)
    with pytest.raises(ConfigError, match=r"target_rate must lie in \(0, 1\), but got 1.0"):
        train.train_nodes(prepared, "runs/first", target_rate=1.0)


def test_choices_are_those_of_the_library():
    def choices(kind, name):
        return get_args(get_type_hints(kind)[name])

    assert choices(options.LinkOptions, "protocol") == tuple(PROTOCOLS)
    assert choices(options.LinkOptions, "aggregator") == (*AGGREGATORS, "mixer")
    assert (choices(options.EventOptions, "split"), choices(options.EventOptions, "loss")) == (SPLITS, LOSSES)


def test_python_and_command_line_give_the_same_and_a_table_that_shows_itself(prepared, tmp_path, capsys):
    table = train.train_nodes(
        prepared, tmp_path / "a", train_ratio=[0.4], seeds=1, no_choice=True, rows=["majority", "logistic-regression"]
    )
    assert capsys.readouterr().out == ""  # a notebook shows the value
    file = tmp_path / "options.toml"
    file.write_text(
        f'prepared = "{prepared}"\ntrain-ratio = [0.4]\nno-choice = true\nseeds = 2\n'
        'rows = ["majority", "logistic-regression"]\n'
    )
    assert train_cli.main(["nodes", "--config", str(file), "--seeds", "1", "--run-dir", str(tmp_path / "b")]) == 0
    printed = capsys.readouterr().out
    assert figures(tmp_path / "a") == figures(tmp_path / "b")
    assert summary(tmp_path / "a") == table
    assert table.folder == tmp_path / "a"
    assert {"scores.png", "confusion.png"} <= {path.name for path in table.pictures}
    frame = table.frame()
    assert frame["macro_f1.mean"].tolist() == [line["macro_f1"]["mean"] for line in table]
    shown = f"{table[1]['macro_f1']['mean']:.1f} / {table[1]['micro_f1']['mean']:.1f}"
    for text in (str(table), table._repr_html_(), printed):
        assert shown in text
        assert "majority" in text
    assert table._repr_html_().count("<tr>") == 3
    assert str(tmp_path / "b" / "scores.png") in printed.splitlines()


def test_a_table_in_a_notebook_is_escaped():
    table = Table("entry", title="<i>")
    table.add_row("a<b>")
    html = ResultTable([], [table, "1 < 2"])._repr_html_()
    assert "<caption>&lt;i&gt;</caption>" in html
    assert "<td>a&lt;b&gt;</td>" in html
    assert "<p>1 &lt; 2</p>" in html


@pytest.mark.parametrize("table", ["nodes", "links", "events"])
def test_rows_are_listed_without_data(table, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)  # which a worker of pytest-xdist has
    assert train_cli.main([table, "--list-rows"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [name for name, _ in list_rows(table.removesuffix("s"))]


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["nodes", "x"], "dysign-train nodes: Missing option '--run-dir'"),
        (
            ["nodes", "x", "--run-dir", "y", "--budget", "0"],
            "dysign-train: --budget must be at least 1, but got 0: --no-",
        ),
        (
            ["nodes", "x", "--run-dir", "y", "--budget", "5", "--no-choice"],
            "dysign-train: --budget is for choosing: leave it out with --no-choice or --out-of-core",
        ),
        (["links", "--run-dir", "y"], "dysign-train: expected a prepared folder, or raw files by --raw"),
        (["links", "x", "--run-dir", "y", "--max-edges", "0"], "dysign-train: max_edges=0: expected 1 or more"),
        (
            ["links", "x", "--run-dir", "y", "--projection-width", "0"],
            "dysign-train: projection_width=0: expected 1 or more",
        ),
        (["links", "x", "--run-dir", "y", "--rows", "magic"], "dysign-train: row 'magic': expected random"),
        (
            ["events", "--raw", "x", "--run-dir", "y", "--format", "dblp"],
            "dysign-train events: Invalid value for '--for",
        ),
    ],
)
def test_bad_command_lines_are_one_line_and_status_2(argv, text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train_cli.main(argv) == 2
    out, errors = capsys.readouterr()
    assert (out, errors.count("\n"), errors[: len(text)]) == ("", 1, text)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_says_how_to_go_on(prepared, tmp_path, monkeypatch, capsys):
    def stops(*words, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "open_prepared", stops)
    assert train_cli.main(["nodes", str(prepared), "--run-dir", str(tmp_path / "run")]) == 130
    assert capsys.readouterr().err == f"dysign-train: interrupted; go on with: --run-dir {tmp_path / 'run'} --resume\n"


FAKES = {
    "mlflow": """
    told = []
    def start_run(run_name): told.append(("start", run_name))
    def log_dict(values, file): told.append((file, values))
    def log_metric(name, value, step): told.append((name, value, step))
    def end_run(status): told.append(("end", status))
    """,
    "wandb": """
    told = []
    class Run:
        def log(self, values): told.append((*next(iter(values.items())), list(values.values())[1]))
        def finish(self, exit_code): told.append(("end", "FAILED" if exit_code else "FINISHED"))
    def init(name, dir, config):
        told.extend([("start", name), ("config.json", config)])
        return Run()
    """,
}


@pytest.mark.parametrize("name", FAKES)
def test_figures_of_epochs_and_units_are_sent(name, tmp_path, monkeypatch):
    (tmp_path / f"{name}.py").write_text("\n".join(line[4:] for line in FAKES[name].splitlines()))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    record = UnitRecord("link", "seed0-a", "a", 0, [Scoring({"hits@1": 50.0, "cold_mrr": None}, {"mrr": 40.0})])
    with open_logger(name, tmp_path / "run", {"lr": 1}) as logger:
        logger.on_epoch("seed0-a", {"epoch": 3, "val_mrr": 0.5})
        logger.on_unit(record)
    with pytest.raises(Killed), open_logger(name, tmp_path / "run", {}):
        raise Killed
    told = sys.modules.pop(name).told
    start = [("start", "run"), ("config.json", {"lr": 1})]
    sent = [("seed0-a/val_mrr", 0.5, 3), ("seed0-a/test/hits_1", 50.0, 0), ("seed0-a/validation/mrr", 40.0, 0)]
    assert told[:6] == [*start, *sent, ("end", "FINISHED")]
    assert told[-1] == ("end", "FAILED")


def test_a_package_that_is_not_set_up_is_one_error(tmp_path, monkeypatch):
    (tmp_path / "wandb.py").write_text("def init(**_): raise RuntimeError('no key:\\nlog in')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with (
        pytest.raises(BackendError, match=r"^--log wandb cannot be used \(no key: log in\); set wandb up, or leave"),
        open_logger("wandb", tmp_path, {}),
    ):
        pass
    del sys.modules["wandb"]


def test_tensorboard_has_every_epoch(prepared, tmp_path):
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    small = {"train_ratio": [0.4], "seeds": 1, "epochs": 2, "hidden": 8, "no_choice": True}
    train.train_nodes(prepared, tmp_path / "run", rows=["dysign"], log="tensorboard", **small)
    events = loader.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    (unit,) = units(tmp_path / "run")
    found = [event.value for event in events.Scalars(f"{unit['key']}/loss")]
    assert found == pytest.approx([epoch["loss"] for epoch in unit["history"]], rel=1e-5)


def test_a_package_that_is_missing_is_named_before_any_work(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr("dgl_dysign.experiments.loggers.find_spec", lambda name: None)
    with pytest.raises(
        BackendError, match="--log wandb: wandb is not installed; pip install wandb, or leave --log out"
    ):
        train.train_nodes(prepared, tmp_path / "run", log="wandb")
    assert not (tmp_path / "run").exists()
    check_logger(None)


def test_help_starts_without_what_computes():
    code = (
        "import sys; from dgl_dysign.experiments.train_cli import main; status = main(['links', '--help']);"
        "sys.exit(status or sorted({'torch', 'dgl', 'pandas', 'pyarrow', 'numpy'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "dysign-train links prepared/otc" in done.stdout
