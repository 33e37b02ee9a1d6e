"""What the three tables can be asked: one dataclass each, for Python and for the command line.

The import is light: defaults that stand elsewhere, too, are written down here, and a test compares them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from dgl_dysign.cli import argument, option
from dgl_dysign.errors import ConfigError

_RUN, _DATA = "Run", "Data"
FORMATS = Literal["edges", "wikipedia", "reddit", "dblp", "tmall", "patent"]  # commands of dysign-prep
Aggregator = Literal["gcn", "sage", "gat", "gin", "mixer"]
AGGREGATORS = get_args(Aggregator)


@dataclass(kw_only=True)
class FolderOptions:
    """What every run is told; fields are options of the same name, whose meaning stands in ``--help``.

    Raises
    ------
    ConfigError
        If options exclude each other, or a number is out of range.
    """

    run_dir: Path = option("Folder to write figures and pictures to.", metavar="DIR")
    device: str = option("cpu, cuda, cuda:0, ...", "cpu", rich_help_panel=_RUN)
    resume: bool = option("Go on with the run in --run-dir.", False, rich_help_panel=_RUN)
    overwrite: bool = option("Begin the run in --run-dir anew.", False, rich_help_panel=_RUN)
    quiet: bool = option("Show no progress.", False, "--quiet", "-q", rich_help_panel=_RUN)
    log: Literal["tensorboard", "mlflow", "wandb"] | None = option(
        "Send figures there, too; it must be installed.", None, rich_help_panel=_RUN
    )

    def __post_init__(self) -> None:
        for name in ("prepared", "run_dir", "raw", "row_args", "save_model"):
            path = getattr(self, name, None)
            if isinstance(path, str | os.PathLike):
                setattr(self, name, Path(path))
        if self.resume and self.overwrite:
            raise ConfigError("--resume goes on with a run and --overwrite deletes it: pass one of them")


@dataclass(kw_only=True)
class RunOptions(FolderOptions):
    """What every study is told that fits models.

    Raises
    ------
    ConfigError
        As `FolderOptions`, or if a number is below 1.
    """

    seeds: int = option("Models of each row: seeds 0, 1, ... of whatever is drawn.", 3)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("seeds", "splits"):
            if getattr(self, name, 1) < 1:
                raise ConfigError(f"--{name} must be at least 1, but got {getattr(self, name)}")


@dataclass(kw_only=True)
class RawOptions(RunOptions):
    """Data that is prepared, or raw files that are prepared first, into ``<run folder>-prepared``."""

    prepared: Path | None = argument("A folder written by dysign-prep.", None)
    raw: Path | None = option("Raw files to prepare first, beside the run folder.", None, rich_help_panel=_DATA)
    format: FORMATS = option("What --raw holds.", "edges", rich_help_panel=_DATA)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.prepared is None) is (self.raw is None):
            raise ConfigError("expected a prepared folder, or raw files by --raw: pass one of the two")


@dataclass(kw_only=True)
class RowOptions(RunOptions):
    """Which rows a table has, and whether their models are kept."""

    rows: list[str] | None = option(
        "Rows of the table: names of --list-rows, of installed entries, or module:Name of your own (looked for in the "
        "working directory, too); a table of links has references beside them. Default: the usual ones.",
        None,
        metavar="ROW...",
    )
    row_args: Path | None = option("Arguments of rows of your own: a table for each.", None, metavar="FILE.toml")
    save_model: Path | None = option(
        "Also save each network of ours, system, model of yours, and of links trees and regressions, as a model folder "
        "DIR/UNIT; other controls are not.",
        None,
        metavar="DIR",
        rich_help_panel=_RUN,
    )


@dataclass(kw_only=True)
class SpikeOptions(RowOptions):
    """How spiking rows fire, and what they are trained by."""

    latency: int = option("Steps of the spiking simulation.", 8)
    train_spikes: bool = option(
        "Train spiking rows by the spikes of --latency steps, not at the equilibrium; at latency 1 without feedback.",
        False,
    )
    learn_threshold: bool = option("Let spiking rows learn a threshold for each neuron.", False)
    rate_penalty: float = option("Weight of the mean firing rate in the loss of spiking rows.", 0.0)
    target_rate: float | None = option(
        "Mean rate, in (0, 1), of each neuron of spiking rows, kept by homeostatic thresholds.", None
    )

    @property
    def neurons(self) -> dict[str, Any]:
        """What the options say to spiking models."""
        neurons: dict[str, Any] = {"latency": self.latency}
        if self.train_spikes:
            neurons |= {"gradient": "step"} | ({"feedback": False} if self.latency == 1 else {})
        if self.learn_threshold or self.target_rate is not None:
            neurons["learn_threshold"] = True if self.target_rate is None else "homeostatic"
        return neurons


@dataclass(kw_only=True)
class NodeOptions(SpikeOptions):
    """Options of a table about classes of nodes: `dgl_dysign.experiments.train.train_nodes`.

    Options that exclude each other, or are out of range, raise ``ConfigError``.
    """

    prepared: Path = argument("A folder written by dysign-prep, with node features and labels.")
    split: Literal["random", "time"] = option(
        "How labelled nodes are split: by class at random, or by the snapshot in which they are first seen.", "random"
    )
    train_ratio: list[float] | None = option(
        "Shares of labelled nodes for training; split by time, of those seen by its end. Default: 0.4 0.6 0.8; by time "
        "1, that is all.",
        None,
        metavar="R...",
    )
    splits: int = option("Splits, with random states 42, 43, ...", 1)
    train_until: int | None = option(
        "Split by time: the last snapshot of training, from 0. Default: by then 70 % of the labelled nodes were seen.",
        None,
    )
    val_until: int | None = option("Split by time: the last snapshot of validation. Default: likewise, 80 %.", None)
    positive: str | None = option(
        "Of two classes, the one that AUC and average precision are of. Default: the rarer one in training.",
        None,
        metavar="CLASS",
    )
    snapshots: int = option("Snapshots read out.", 1)
    decay: float = option("Weight that an event keeps with each snapshot; another than the default is not chosen.", 0.1)
    hidden: int = option("Neurons; another number than the default is not chosen.", 256)
    input_thresholds: list[float] = option(
        "Turn features into spikes, 1 above and -1 below learned thresholds that start so many deviations from the "
        "mean (several: as many spikes a feature), for the same rows as --keep-inputs.",
        [],
        metavar="DEVIATION...",
    )
    keep_inputs: float = option(
        "Share of the input weights that act, in blocks, for logistic-regression, relu-network, gcn (with labels or "
        "without) and all rows of Dy-SIGN.",
        1.0,
    )
    keep_block: int = option("Neurons in a block of --keep-inputs; 1 prunes each weight by itself.", 64)
    teacher: str | None = option(
        "Distillation: relu-network or gcn is fitted first, to features as they are; what it predicts of all nodes is "
        "learnt, beside the training labels, by logistic-regression, relu-network, dysign and dysign-step. Needs "
        "--no-choice.",
        None,
        metavar="ROW",
    )
    coupling: bool = option("Let a snapshot's rates enter the next one's current.", False)
    epochs: int = option("Of training.", 25)
    budget: int | None = option(
        "Settings tried for each row and split, the defaults among them, on validation (with fewer than 1,000 nodes by "
        "cross-validation, 5 times as dear). Default: 12, the cost of about 6 fits.",
        None,
    )
    no_choice: bool = option("Fit each row under the defaults, instead of choosing its settings.", False)
    ensembles: bool = option("Also a row for the mean of what the seeds of a row predict.", False)
    out_of_core: bool = option(
        "For data larger than memory, on the CPU: features, rates and messages lie in files on the disk of --run-dir, "
        "which are gone when the run ends, however it ends; same figures, slower, without pictures of neurons. In "
        "memory stay a snapshot's graph, label features, and what the rows gcn, undergs and spiking-undergs read. "
        "Settings are the defaults, as with --no-choice.",
        False,
        rich_help_panel=_RUN,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.no_choice = self.no_choice or (self.out_of_core and self.budget is None)
        if self.budget is not None and (self.no_choice or self.out_of_core):
            raise ConfigError("--budget is for choosing: leave it out with --no-choice or --out-of-core")
        if self.budget is not None and self.budget < 1:
            raise ConfigError(f"--budget must be at least 1, but got {self.budget}: --no-choice takes the defaults")
        if self.split != "time" and (self.train_until is not None or self.val_until is not None):
            raise ConfigError("--train-until and --val-until are of --split time: pass that, too, or leave them out")
        if not all(each > 0 for each in self.input_thresholds):
            raise ConfigError(f"--input-thresholds must be positive, but got {self.input_thresholds}")
        if not 0 < self.keep_inputs <= 1:
            raise ConfigError(f"--keep-inputs must lie in (0, 1], but got {self.keep_inputs}")
        if self.keep_block < 1:
            raise ConfigError(f"--keep-block must be at least 1, but got {self.keep_block}")
        if self.teacher is not None and not self.no_choice:
            raise ConfigError("--teacher trains under the defaults: pass --no-choice, too")
        if self.train_ratio is None:
            self.train_ratio = [1.0] if self.split == "time" else [0.4, 0.6, 0.8]

    @property
    def entrance(self) -> dict[str, Any]:
        """What the options say of how features enter; nothing, if they enter as they are."""
        usual = {"input_thresholds": [], "keep_inputs": 1, "keep_block": 64}
        return {name: value for name in usual if (value := getattr(self, name)) != usual[name]}

    @property
    def candidates(self) -> int:
        """How many settings are tried for each row and split; 0: there is no choice."""
        return 0 if self.no_choice else self.budget or 12


@dataclass(kw_only=True)
class LinkOptions(RawOptions, SpikeOptions):
    """Options of a table about links: `dgl_dysign.experiments.train.train_links`.

    Options that exclude each other, or are out of range, raise ``ConfigError``.
    """

    aggregators: list[str] = option("Rows undergs-NAME to add.", [], metavar="NAME...")
    references: Literal["all", "counting"] | None = option(
        "What stands beside rows that are named: counting leaves out what has to be fitted, such as boosted trees. "
        "Default: all; under roland-live, which fits again and again, counting.",
        None,
    )
    protocol: Literal["honest", "live-update", "roland-live", "roland-fixed", "undergs-released"] = option(
        "How links are scored. roland-live, roland-fixed: ROLAND's, 1,000 nodes for each source, of data prepared with "
        "--every roland-week. undergs-released LEAKS.",
        "honest",
    )
    historical: list[float] = option(
        "Shares of negatives that are past destinations of the source; several: a table each.",
        [0.0],
        metavar="SHARE...",
    )
    among: Literal["nodes", "destinations"] = option("What negatives are.", "nodes")
    max_edges: int | None = option(
        "Edges of each snapshot, drawn at random, that are trained on and scored; default: all. All are observed.", None
    )
    walks: Literal["exact", "projected"] | None = option(
        "Walks among the features of pairs: exact ones cost all edges for each source; default: exact to 50,000 nodes.",
        None,
    )
    projection_width: int | None = option("Of projected walks; default: 128, above 500,000 nodes 64.", None)
    preset: Literal["default", "paper"] = option("Of all learned rows.", "default")
    aggregator: Aggregator = option("Of rows that name none.", "gcn")
    hidden: int = option("Width.", 64)
    num_neighbors: int = option("Of a node in the store.", 16)
    num_hops: int = option("Longest path.", 2)
    snapshot_decay: float | None = option("Of the store; default: the preset's.", None)
    importance: str | None = option("Of the store; default: the preset's.", None)
    epochs: int = option("Of training.", 10)
    batch_size: int = option("Edges.", 1024)
    lr: float = option("Learning rate.", 1e-3)
    num_negatives: int | None = option(
        "For each edge, in evaluation; default: 100, and 1,000 for each source under ROLAND's protocols.", None
    )

    @property
    def roland(self) -> bool:
        """Whether the protocol is one of ROLAND's."""
        return self.protocol.startswith("roland")

    @property
    def live(self) -> bool:
        """Whether rows are fitted anew as snapshots pass."""
        return self.protocol == "roland-live"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.references = self.references or ("counting" if self.live else "all")
        if self.roland and any(self.historical):
            raise ConfigError(
                f"--protocol {self.protocol} draws from all nodes, but got --historical {self.historical}: leave it out"
            )
        if not all(0 <= share <= 1 for share in self.historical):
            raise ConfigError(f"--historical must lie in 0 .. 1, but got {self.historical}")
        if unknown := [name for name in self.aggregators if name not in AGGREGATORS]:
            raise ConfigError(f"--aggregators must be some of {', '.join(AGGREGATORS)}, but got {unknown[0]!r}")


@dataclass(kw_only=True)
class EventOptions(RawOptions, RowOptions):
    """Options of a table about labels of events: `dgl_dysign.experiments.train.train_events`."""

    prepared: Path | None = argument("A folder written by dysign-prep, with labels of events.", None)
    format: Literal["wikipedia", "reddit"] = option("What --raw holds.", "wikipedia", rich_help_panel=_DATA)
    train: float = option("Share for training.", 0.7)
    val: float = option("Share for validation.", 0.1)
    split: Literal["snapshots", "events", "positives"] = option("Shares of what.", "snapshots")
    epochs: int = option("Of training.", 4)
    loss: Literal["plain", "weighted"] = option("Weigh both labels the same or not.", "plain")
    hidden: int = option("Width of UnderGS.", 64)
    neighbors: int = option("Slots of the store.", 16)


#: Options of `ExportOptions` that tell the tasks of a table apart.
TOLD_APART = {
    "nodes": ("train_ratio", "random_state", "seed"),
    "links": ("historical", "num_negatives", "seed"),
    "events": ("split", "seed"),
}


@dataclass(kw_only=True)
class ExportOptions:
    """What `dgl_dysign.experiments.foreign_task.export_task` is told: which test of which table is written.

    Options that exclude each other, or are out of range, raise ``ConfigError``.
    """

    prepared: Path = argument("A folder written by dysign-prep.")
    out: Path = argument("Folder to write; it must not be there.")
    table: Literal["nodes", "links", "events"] = option("Of which table the task is.")
    seed: int = option("Of nodes and events that of rows beside it, of links also of the negatives.", 0)
    train_ratio: float = option("Of nodes: the share of labelled nodes for training.", 0.4)
    random_state: int = option("Of nodes: which split, as dysign-train numbers them from 42.", 42)
    historical: float = option("Of links: the share of negatives that are past destinations.", 0.0)
    num_negatives: int = option("Of links: for each edge.", 100)
    split: Literal["snapshots", "events", "positives"] = option("Of events: 70 and 10 % of what.", "snapshots")
    last_features: bool = option("Write features of the last snapshot that may be read, instead of all.", False)

    def __post_init__(self) -> None:
        self.prepared, self.out = Path(self.prepared), Path(self.out)
        if self.seed < 0 or self.random_state < 42:
            raise ConfigError(
                f"--seed {self.seed}, --random-state {self.random_state}: expected 0 or more, and 42 or more"
            )
        for field in fields(self):
            known = any(field.name in names for names in TOLD_APART.values())
            if known and field.name not in TOLD_APART[self.table] and getattr(self, field.name) != field.default:
                option = field.name.replace("_", "-")
                raise ConfigError(f"--{option} is not of --table {self.table}: leave it out, or name another table")


@dataclass(kw_only=True)
class ScoreOptions(FolderOptions):
    """What `dgl_dysign.experiments.foreign_rows.score_files` is told."""

    files: list[Path] = argument(
        "A folder of export-task, and files of predictions for it; then the next folder and its files.",
        metavar="TASK FILE...",
    )
    prepared: Path | None = option("Where the prepared folder is now; default: where the task was made.", None)
    rows: list[str] | None = option(
        "Rows beside those of the files, as of the tables. Default: all references that are no network of ours.",
        None,
        metavar="ROW...",
    )
    references: Literal["all", "counting"] = option(
        "Of links: what stands beside the rows; counting leaves out what has to be fitted, such as boosted trees.",
        "all",
    )
    no_choice: bool = option("Of nodes: fit the rows under the defaults, instead of choosing their settings.", False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.files = [Path(file) for file in self.files]
