"""Points of accuracy and cost: a row of a study each, with all its splits and seeds.

What is chosen is chosen by Macro-F1 on validation: of the first split and seed, which all points have, or of all that
those have which were run several times.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from _comparison_page import Board, Row, measured

from dgl_dysign.experiments.record import UnitRecord, difference_text

RELU, LATENCY_8 = "relu-network floats", "dysign floats"


@dataclass(frozen=True)
class Point:
    """A row, the study that says how features enter and how long neurons fire, and what all of it came to."""

    row: Row

    @property
    def entry(self) -> str:
        """Name of the row in its study."""
        return self.row.name.split()[0]

    @property
    def study(self) -> str:
        """Name of the study."""
        return self.row.name.split()[1]

    @property
    def spiking(self) -> bool:
        """Whether it has neurons that fire."""
        return self.latency > 0

    @property
    def runs(self) -> dict[tuple[object, ...], UnitRecord]:
        """Records by split and seed, the first one first."""
        records = sorted((record for _, record in self.row.runs), key=lambda record: record.key)
        return {(record.seed, *record.scorings[0].condition.values()): record for record in records}

    @property
    def first(self) -> UnitRecord:
        """Record of the first split and seed."""
        return next(iter(self.runs.values()))

    @property
    def validation(self) -> float:
        """Macro-F1 on validation of the first split and seed."""
        return self.first.scorings[0].val_scores["macro_f1"]

    def on(self, runs: Iterable[tuple[object, ...]], validation: bool = False) -> float:
        """Return the mean of Macro-F1 over some runs, on test or on validation."""
        scorings = [self.runs[run].scorings[0] for run in runs]
        return fmean((each.val_scores if validation else each.scores)["macro_f1"] for each in scorings)

    def cost(self, name: str) -> float:
        """Return the mean of a cost; 0 where there is none."""
        return fmean(record.cost.get(name, 0.0) for record in self.runs.values())

    @property
    def latency(self) -> float:
        """Steps of the neurons; 0 without neurons."""
        return self.cost("latency")

    @property
    def operations(self) -> float:
        """Thousands of products and of additions by spikes, a node."""
        return (self.cost("macs") + self.cost("synops")) / 1000

    @property
    def energy(self) -> float:
        """Model energy in nJ a node."""
        return self.cost("model_energy_pj") / 1000

    def beside(self, control: str) -> str:
        """Return the difference from another point on the runs that both have; ``-`` from none."""
        difference = self.row.differences.get(control)
        return difference_text({**difference, "to": ""}).strip() if difference else "-"


def points(out: Path, studies: Iterable[str]) -> dict[str, Point]:
    """Return the points that were run, by row and study."""
    board = Board(tuple(studies), "dblp", ("macro_f1",), (RELU, LATENCY_8), "dblp-40")
    return {row.name: Point(row) for row in measured(board, out, lambda study, entry: f"{entry} {study}")}


def shared(those: Iterable[Point]) -> set[tuple[object, ...]]:
    """Return the runs, by split and seed, that all of some points have."""
    return set.intersection(*(set(point.runs) for point in those))


def best(those: Collection[Point]) -> Point:
    """Return the best point on validation, of those that were run several times if there are such."""
    several = [point for point in those if len(point.runs) > 1] or those
    runs = shared(several)
    return max(several, key=lambda point: point.on(runs, validation=True))


def front(those: Iterable[Point]) -> list[Point]:
    """Return the points than which no cheaper one is better on validation, cheapest first."""
    points: list[Point] = []
    for point in sorted(those, key=lambda point: (point.energy, -point.validation)):
        if not points or point.validation > points[-1].validation:
            points.append(point)
    return points
