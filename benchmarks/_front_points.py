"""Points of accuracy and cost: a row of a study each, with all its splits and seeds.

What is chosen is chosen by Macro-F1 on validation of the first split and seed, which all points have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

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

    def on(self, runs: Iterable[tuple[object, ...]]) -> float:
        """Return the mean of Macro-F1 over some runs."""
        return fmean(self.runs[run].scorings[0].scores["macro_f1"] for run in runs)

    def cost(self, name: str) -> float:
        """Return the mean of a cost; 0 where there is none."""
        return fmean(record.cost.get(name, 0.0) for record in self.runs.values())

    @property
    def latency(self) -> float:
        """Steps of the neurons; 0 without neurons."""
        return self.cost("latency")

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


def number(text: str) -> float:
    """Return the number that a cell of a table begins with."""
    return float(text.split()[0].replace(",", ""))


class Shown(NamedTuple):
    """What the page shows of the first split and seed of a point, which may have been run on another machine."""

    score: float
    validation: float
    energy: float

    @classmethod
    def of(cls, cell: str) -> Shown:
        """Read a cell of the table of all points, ``test / validation · energy``."""
        score, validation, energy = re.split(" / | · ", cell)
        return cls(number(score), number(validation), number(energy))


def front(those: Mapping[str, Shown]) -> list[str]:
    """Return the names of the points than which no cheaper one is better on validation, cheapest first."""
    names, best = [], 0.0
    for name, point in sorted(those.items(), key=lambda item: (item[1].energy, -item[1].validation)):
        if point.validation > best:
            names.append(name)
            best = point.validation
    return names
