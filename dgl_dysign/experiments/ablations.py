"""Ablations: one change at a time from a base, what it gives, and whether that stands out of the noise."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.evaluation import NegativeSampler, f1_scores, mean_std
from dgl_dysign.experiments import plots
from dgl_dysign.experiments.entry import Entry, Outcome
from dgl_dysign.experiments.link_entries import fit_undergs
from dgl_dysign.experiments.link_task import SCORES, LinkSettings, LinkTask, LinkView
from dgl_dysign.experiments.node_entries import dysign
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
from dgl_dysign.experiments.record import Scoring, UnitRecord, read_units
from dgl_dysign.experiments.run_folder import RunFolder
from dgl_dysign.experiments.runner import Study, Unit
from dgl_dysign.experiments.tables import Split, Summary, spread_text
from dgl_dysign.models import DySIGN
from dgl_dysign.models.link_head import link_loss
from dgl_dysign.models.link_scorer import LinkScorer
from dgl_dysign.store import NeighborStore
from dgl_dysign.training.late_snapshot import SnapshotBatch, late_snapshot_step, snapshot_batches

LATENCIES = (1, 2, 4, 8, 16, 32)
LEAKS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)


@dataclass(frozen=True)
class NodeAblation(Study):
    """Variants of Dy-SIGN on one split of labelled nodes, with several seeds: settings by group and variant.

    With `neurons`, a model trained once is also scored with other latencies and leaks, see `score_by_neuron`.
    """

    task: NodeTask
    split: Split
    seeds: int
    groups: Mapping[str, Mapping[str, NodeSettings]]
    neurons: bool
    kind = "study"

    def units(self) -> Iterator[Unit]:
        """Yield all variants with each seed."""
        for seed in range(self.seeds):
            task = self.task.with_split(*self.split, seed=seed)
            if self.neurons:
                yield Unit(f"spiking-{seed}", Entry("spiking", dysign), task, score=score_by_neuron)
            for group, variants in self.groups.items():
                for variant, settings in variants.items():
                    key = re.sub(r"[^a-z0-9.-]+", "_", f"{group}-{variant}-{seed}")
                    condition = {"group": group, "variant": variant}
                    yield Unit(key, Entry(variant, dysign), task.with_settings(settings), condition)

    def summarise(self, folder: RunFolder, records: Sequence[UnitRecord]) -> list[dict[str, Any]]:
        """Return one object for each variant that the folder has, over the seeds that are there."""
        runs: dict[tuple[str, str], list[dict[str, float]]] = {}
        for record in read_units(folder.path).values():
            alone = len(record.scorings) == 1  # else the cost is that of all together
            cost = {"cpu_seconds": record.cost["cpu_seconds"]} if alone else {}
            for scoring in record.scorings:
                place = scoring.condition["group"], scoring.condition["variant"]
                runs.setdefault(place, []).append({**scoring.scores, **cost})
        return [
            {"group": group, "variant": variant, **{key: mean_std([s[key] for s in scores]) for key in scores[0]}}
            for (group, variant), scores in runs.items()
        ]

    def tables(self, summary: Summary) -> Iterator[Table]:
        """Return the table of all variants."""
        title = "test nodes, mean ± deviation over seeds"
        table = Table("group", "variant", "Macro-F1", "Micro-F1", "CPU s", title=title)
        for line in summary:
            macro, micro = line["macro_f1"], line["micro_f1"]
            seconds = f"{line['cpu_seconds']['mean']:.0f}" if "cpu_seconds" in line else ""
            cells = spread_text(macro), f"{micro['mean']:.1f}", seconds
            table.add_row(line["group"], line["variant"], *cells)
        yield table

    def draw(self, records: Sequence[UnitRecord], summary: Summary, folder: Path) -> list[Path]:
        """Draw a panel for each group."""
        title = f"Macro-F1 on {self.task.data.manifest['dataset']}"
        return [plots.ablation(summary, title, folder / "ablation.png")]


@torch.no_grad()
def score_by_neuron(task: NodeTask, outcome: Outcome) -> list[Scoring]:
    """Return the scores of a trained Dy-SIGN's spiking network by latency, and by leak in evaluation only."""
    model: DySIGN = outcome.model
    lif, latency, scorings = model.conv.lif, model.conv.latency, []

    def scoring(logits: Tensor, group: str, variant: object, **more: float) -> Scoring:
        scores = {**f1_scores(task.labels, logits.argmax(1), task.test), **more}
        return Scoring(scores, condition={"group": group, "variant": str(variant)})

    for group, values in (("latency", LATENCIES), ("leak, in evaluation only", LEAKS)):
        for value in values:
            model.conv.latency = int(value) if group == "latency" else latency
            lif.leak = 1.0 if group == "latency" else value
            rates = [rate for rate, _ in model.rates(task.snapshots, simulate=True)]
            logits = model(task.snapshots, simulate=True)
            scorings.append(scoring(logits, group, value, mean_rate=float(rates[-1].mean())))
    return [*scorings, scoring(model(task.snapshots, simulate=False), "latency", "equilibrium")]


@dataclass(frozen=True)
class LinkStudy:
    """One thing that is varied.

    Parameters
    ----------
    about : str
        What, in words.
    reference : str
        The value that others are compared with.
    values : mapping
        Settings by value.
    bars : tuple of str, optional
        Name and key of a figure that the picture shows beside the MRR.
    """

    about: str
    reference: str
    values: Mapping[str, LinkSettings]
    bars: tuple[str, str] | None = None

    def units(self, task: LinkTask, base: LinkSettings) -> Iterator[Unit]:
        """Yield a unit for each value; studies share those of the same settings."""
        for settings in self.values.values():
            entry = Entry(settings.key(base), fit_undergs)
            yield Unit(f"{entry.name}-seed{task.seed}", entry, task.with_settings(settings), score=score_variant)

    def compared(self, runs: Mapping[str, Sequence[UnitRecord]]) -> Iterator[dict[str, Any]]:
        """Yield for each value the means of its figures, how far they are from the reference, and the verdict."""
        reference = runs[self.reference]
        for value, records in runs.items():
            line = {"value": value, **_means([_training_and_scores(record) for record in records])}
            for part, key in (("val", "val_mrr"), ("test", "mrr")):
                curves = [[r.scorings[0].by_snapshot[part]["mrr"] for r in side] for side in (records, reference)]
                line[key] |= compare(*curves)
            same = [record.key for record in records] == [record.key for record in reference]
            yield {**line, "verdict": "reference" if same else verdict(line)}

    def table(self, name: str, lines: Summary) -> Table:
        """Return the table on the screen."""
        table = Table(name, "validation", "difference", "test", "difference", "verdict", "AUC", "CPU s")
        seeds = lines[0]["mrr"]["runs"]
        table.title = f"{self.about}: MRR in %, {seeds} seed(s), difference from {self.reference}"
        for line in lines:
            cells = []
            for mrr in (line["val_mrr"], line["mrr"]):
                cells += [spread_text(mrr), f"{mrr['delta']:+.1f} ± {mrr['noise']:.1f}"]
            more = f"{line['auc']['mean']:.1f}", f"{line['cpu_seconds']['mean']:.0f}"
            table.add_row(line["value"], *cells, line["verdict"], *more)
        return table

    def draw(self, lines: Summary, dataset: str, path: Path) -> Path:
        """Draw the picture."""
        mrr = {"validation": "val_mrr", "test": "mrr"}
        return plots.study(lines, mrr, self.bars, f"{dataset}: {self.about}, MRR in %", path)


@dataclass(frozen=True)
class PipelineStudy(LinkStudy):
    """What batches of some sizes cost, and how far their gradient is from that of the whole snapshot.

    Values are numbers of edges, and ``whole``.
    """

    def units(self, task: LinkTask, base: LinkSettings) -> Iterator[Unit]:
        """Yield a unit for each size."""
        for size, settings in self.values.items():
            batch_size = None if size == self.reference else int(size)
            entry = Entry(f"pipeline={size}", partial(measure_pipeline, batch_size=batch_size))
            key = f"{entry.name}-seed{task.seed}"
            yield Unit(key, entry, task.with_settings(settings), score=lambda _, outcome: [Scoring(outcome.figures)])

    def compared(self, runs: Mapping[str, Sequence[UnitRecord]]) -> Iterator[dict[str, Any]]:
        """Yield for each size the means of its figures."""
        for value, records in runs.items():
            yield {"value": value, **_means([record.scorings[0].scores for record in records])}

    def table(self, name: str, lines: Summary) -> Table:
        """Return the table on the screen."""
        keys = ("cpu_seconds_epoch", "tape_mb", "gradient_difference")
        table = Table(self.about, *keys, title=name)
        for line in lines:
            table.add_row(line["value"], *(f"{line[key]['mean']:.3g}" for key in keys))
        return table

    def draw(self, lines: Summary, dataset: str, path: Path) -> Path:
        """Draw the picture."""
        seconds = {"CPU s of an epoch's steps": "cpu_seconds_epoch"}
        return plots.study(lines, seconds, self.bars, f"{dataset}: {self.about}", path)


def _means(runs: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    return {key: mean_std([run[key] for run in runs]) for key in runs[0]}


def _training_and_scores(record: UnitRecord) -> dict[str, float]:
    (scoring,), history = record.scorings, record.history
    val = {f"val_{name}": scoring.val_scores[name] for name in SCORES}
    names = (*SCORES, "neighbours", "historical_share")
    training = {"cpu_seconds": history[-1]["cpu_seconds"], "epochs": len(history)}
    return training | val | {name: scoring.scores[name] for name in names}


@dataclass(frozen=True)
class LinkAblation(Study):
    """Studies of UnderGS for links by name; the settings of the task are what they vary."""

    task: LinkTask
    studies: Mapping[str, LinkStudy]
    seeds: int
    kind = "study"

    def units(self) -> Iterator[Unit]:
        """Yield the values of all studies with each seed."""
        for seed in range(self.seeds):
            task = self.task.with_seed(seed)
            for study in self.studies.values():
                yield from study.units(task, self.task.settings)

    def summarise(self, folder: RunFolder, records: Sequence[UnitRecord]) -> list[dict[str, Any]]:
        """Return one object for each value of each study, over seeds."""
        places = [(name, value) for name, study in self.studies.items() for value in study.values]
        runs: dict[str, dict[str, list[UnitRecord]]] = {name: {} for name in self.studies}
        for (name, value), record in zip(places * self.seeds, records, strict=True):
            runs[name].setdefault(value, []).append(record)
        return [
            {"row": f"{name}: {line['value']}", "study": name, **line}
            for name, study in self.studies.items()
            for line in study.compared(runs[name])
        ]

    def tables(self, summary: Summary) -> Iterator[Table]:
        """Return a table for each study."""
        for name, study in self.studies.items():
            yield study.table(name, [line for line in summary if line["study"] == name])

    def draw(self, records: Sequence[UnitRecord], summary: Summary, folder: Path) -> list[Path]:
        """Draw a picture for each study."""
        dataset = self.task.data.manifest["dataset"]
        return [
            study.draw([line for line in summary if line["study"] == name], dataset, folder / f"{name}.png")
            for name, study in self.studies.items()
        ]


def counts_study(base: LinkSettings, families: Sequence[str]) -> LinkStudy:
    """Return the study that adds families of features of pairs one after the other, then leaves each out of all."""
    values = {"none": replace(base, families=())} if base.embeddings else {}
    for place, family in enumerate(families):
        name = f"+ {family}" if place < len(families) - 1 else "all"
        values[name] = replace(base, families=tuple(families[: place + 1]))
    if len(families) > 2:
        for family in families:
            values[f"all but {family}"] = replace(base, families=tuple(f for f in families if f != family))
    about = "features of pairs" + (", with embeddings" if base.embeddings else " alone")
    return LinkStudy(about, "all", values)


def score_variant(task: LinkTask, outcome: Outcome) -> list[Scoring]:
    """Return the figures of a variant, and what its store gave to read on the test snapshots."""
    (scoring,) = task.score(outcome)
    read = neighbours_read(outcome.model.store, task.edges, task.split[2])
    return [replace(scoring, scores={**scoring.scores, **read})]


def compare(curves: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]) -> dict[str, float]:
    """Return the mean difference of the snapshots' MRR from the reference, and two standard errors of it.

    Both have one list of figures by snapshot for each seed. Errors over snapshots and, where there are several seeds,
    over seeds are added in squares.
    """
    differences = np.array([np.subtract(*pair) for pair in zip(curves, reference, strict=True)])
    parts = (differences.mean(0), differences.mean(1))
    errors = [part.std(ddof=1) / len(part) ** 0.5 for part in parts if len(part) > 1]
    return {"delta": float(differences.mean()), "noise": float(2 * np.linalg.norm(errors)) if errors else 0.0}


def verdict(line: Mapping[str, Any]) -> str:
    """Say whether the differences stand out of the noise."""
    once = " (one seed)" if line["mrr"]["runs"] == 1 else ""
    clear = {line[key]["delta"] > 0 for key in ("val_mrr", "mrr") if abs(line[key]["delta"]) > line[key]["noise"]}
    if not clear:
        return "within noise"
    return ("mixed" if len(clear) == 2 else "better" if clear.pop() else "worse") + once


def neighbours_read(store: NeighborStore, edges: Sequence[SnapshotEdges], snapshots: range) -> dict[str, float]:
    """Count the neighbours that the ends of some snapshots' edges have, and how many are older than the last snapshot.

    The last one before the snapshot in question takes the place of the report's current snapshot.
    """
    nodes, filled, old = 0, 0, 0
    store.reset()
    for now in edges[: snapshots.stop]:
        if now.snapshot in snapshots:
            held = store.neighbors(torch.cat([now.src, now.dst]), now.snapshot)
            nodes, filled = nodes + len(held.node), filled + int(held.mask.sum())
            old += int((held.age > 1).sum())
        store.insert(now)
    return {"neighbours": filled / max(1, nodes), "historical_share": 100 * old / max(1, filled)}


class _Gradient(torch.optim.Optimizer):
    """Keeps the gradient instead of taking the step."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__(model.parameters(), {})
        self.gradient = torch.empty(0)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Keep the gradient."""
        parameters = self.param_groups[0]["params"]
        self.gradient = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


def measure_pipeline(view: LinkView, batch_size: int | None, **_: Any) -> Outcome:
    """Train for an epoch in batches of a size (None: each snapshot at once); return time, memory and the gradient.

    ``cpu_seconds_epoch`` is of the steps alone, features of pairs being known. Of the training snapshot with most
    edges are ``tape_mb``, the most that one batch holds for its gradient (which, unlike the size of the process, does
    not depend on what ran before), and ``gradient_difference``, the largest difference from the gradient of the whole
    snapshot, relative to its largest entry.
    """
    scorer = view.scorer()
    model, largest = scorer.model, (0, -1)  # most rows, and where
    optimizer = torch.optim.AdamW(model.parameters(), view.settings.training.lr)

    def loss(batch: SnapshotBatch) -> Tensor:
        return link_loss(scorer.logits(batch.snapshot, *batch.tensors), model.loss)

    compared: dict[str, float] = {}
    for measured in (False, True):  # features of pairs are computed in the first pass
        seconds = 0.0
        for snapshot, src, dst in training_queries(view, scorer):
            batches = snapshot_batches(snapshot, batch_size or len(src), src, dst)
            largest = max(largest, (len(src), snapshot))
            if measured and snapshot == largest[1]:
                compared = compare_gradients(model, loss, batches, snapshot_batches(snapshot, len(src), src, dst))
            model.train()
            started = time.process_time()
            late_snapshot_step(optimizer, batches, loss)
            seconds += time.process_time() - started
    return Outcome(figures={"cpu_seconds_epoch": seconds, **compared})


def training_queries(view: LinkView, scorer: LinkScorer) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield the warm edges of each training snapshot beside their negatives; the scorer knows what was before."""
    sampler = NegativeSampler(view.data.num_nodes, view.settings.training.num_negatives, seed=view.seed)
    scorer.reset()
    for edges in view.edges[: view.split[0].stop]:
        queries = sampler.draw(edges)
        if bool(queries.warm.any()):
            yield edges.snapshot, queries.src[queries.warm], queries.dst[queries.warm]
        scorer.observe(edges)
        sampler.observe(edges)


def compare_gradients(
    model: torch.nn.Module,
    loss: Callable[[SnapshotBatch], Tensor],
    batches: Sequence[SnapshotBatch],
    whole: Sequence[SnapshotBatch],
) -> dict[str, float]:
    """Return the memory of a step, and how far its gradient is from that of the whole snapshot (without dropout)."""
    keep, held, most = _Gradient(model), {}, 0
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    def counted(batch: SnapshotBatch) -> Tensor:
        nonlocal most
        held.clear()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            value = loss(batch)
        most = max(most, sum(held.values()))
        return value

    model.train()
    late_snapshot_step(keep, batches, counted)
    model.eval()
    gradients = []
    for part in (batches, whole):
        late_snapshot_step(keep, part, loss)
        gradients.append(keep.gradient)
    difference = (gradients[0] - gradients[1]).abs().max() / gradients[1].abs().max()
    return {"tape_mb": most / 2**20, "gradient_difference": float(difference)}
