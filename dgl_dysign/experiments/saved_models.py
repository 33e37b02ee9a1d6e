"""Models that a run is asked to save, a model folder for each unit: ``--save-model`` of the examples."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from dgl_dysign.errors import ConfigError
from dgl_dysign.models import DySIGN, EventUnderGS, LinkScorer, NodeInputs, UnderGS
from dgl_dysign.pairs import LinkFeatures

if TYPE_CHECKING:
    from dgl_dysign.data import TemporalGraph
    from dgl_dysign.experiments.node_task import NodeTask, Outcome
    from dgl_dysign.experiments.run_folder import RunFolder

#: Rows of `dgl_dysign.experiments.node_entries` whose models can be saved and predict.
NODE_ROWS = ("dysign", "dysign-label-aware", "undergs", "spiking-undergs")


def task_inputs(task: NodeTask, row: str) -> NodeInputs:
    """Return how the model of a row of `dgl_dysign.experiments.node_entries` reads its data, for ``save_pretrained``.

    Parameters
    ----------
    task : NodeTask
        With the split and seed that the model was trained on.
    row : str
        One of `NODE_ROWS`.

    Raises
    ------
    ConfigError
        For another row.
    """
    if row not in NODE_ROWS:
        raise ConfigError(f"expected a row whose model can be saved, such as 'dysign', but got {row!r}")
    if row in ("undergs", "spiking-undergs"):
        return NodeInputs(hops=task.settings.hops, store={"directed": task.data.directed, **task.settings.store})
    return task.label_aware_inputs if row == "dysign-label-aware" else task.inputs


class SavedModels:
    """Where the models of a run go: ``DIR/<unit>``, or nowhere.

    Parameters
    ----------
    args : Namespace
        With ``save_model`` (None: nowhere), ``resume`` and ``overwrite``, as `add_option` and
        `dgl_dysign.experiments.command.add_run_options` add them.
    keys : iterable of str
        Of the units whose models can be saved.

    Raises
    ------
    ConfigError
        If a model is there already, and the run is neither resumed nor begun anew.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> SavedModels.add_option(parser)
    >>> parser.parse_args(["--save-model", "models/dblp"]).save_model.name
    'dblp'
    """

    def __init__(self, args: argparse.Namespace, keys: Iterable[str]) -> None:
        self.home: Path | None = args.save_model
        self.keys = () if self.home is None else tuple(keys)
        for path in map(self.folder, self.keys):
            if path.exists() and not (args.resume or args.overwrite):
                raise ConfigError(f"{path} exists: name another --save-model, or pass --resume or --overwrite")

    @staticmethod
    def add_option(parser: argparse.ArgumentParser) -> None:
        """Add ``--save-model``."""
        text = "also save each model that learned, as a model folder DIR/UNIT: see docs/model-files.md"
        parser.add_argument("--save-model", type=Path, metavar="DIR", help=text)

    def folder(self, key: str) -> Path:
        """Return the model folder of a unit."""
        assert self.home is not None
        return self.home / key

    def check_finished(self, run: RunFolder) -> None:
        """Raise unless every unit that is finished has its model: it is not trained again.

        Raises
        ------
        ConfigError
            Naming the first that has none.
        """
        for key in self.keys:
            if run.unit(key) is not None and not self.folder(key).exists():
                raise ConfigError(
                    f"{run.path}: {key} is finished, but its model was not saved in {self.folder(key)}: begin the run "
                    f"anew with --overwrite, or leave --save-model out"
                )

    def save_nodes(self, key: str, task: NodeTask, row: str, outcome: Outcome) -> None:
        """Save the model of a row of `dgl_dysign.experiments.node_entries`."""
        if key in self.keys and isinstance(outcome.model, DySIGN | UnderGS):
            inputs = task_inputs(task, row)
            outcome.model.save_pretrained(self.folder(key), task.data, inputs, overwrite=True)

    def save_links(self, key: str, scorer: object, data: TemporalGraph) -> None:
        """Save a link scorer, with what its store holds."""
        if key in self.keys and isinstance(scorer, LinkScorer):
            features = None if scorer.features is None else LinkFeatures.of(data)  # not the cache of this training
            plain = LinkScorer(scorer.model, scorer.store, features, **scorer.extra)
            plain.save_pretrained(self.folder(key), data, overwrite=True)

    def save_events(self, key: str, model: EventUnderGS | None, data: TemporalGraph) -> None:
        """Save a network for labels of events."""
        if key in self.keys and model is not None:
            model.save_pretrained(self.folder(key), data, overwrite=True)
