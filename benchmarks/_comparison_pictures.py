"""The pictures of the comparison: figures of a table's lines against what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dgl_dysign.experiments import plots
from dgl_dysign.experiments.record import FIGURES

FAR = 30  # points below the best row of a panel: such rows are left out, so that the others can be told apart
#: Of the pictures: the column of a cost, its label, and the scale of its axis.
COSTS = ((-4, "CPU seconds of a fit", "log"), (-2, "peak memory in MiB", "linear"))
OURS = ("dysign", "undergs")  # how names of our rows begin
AROUND = [(r * np.cos(a), r * np.sin(a)) for r in range(6, 200, 6) for a in np.linspace(0, 2 * np.pi, 16, False)]


@dataclass(frozen=True)
class Line:
    """A line of a table: a row as the page shows it, which may have been run on another machine, long ago."""

    cells: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the row; "" where the line has none."""
        return self.cells[0].partition("`")[2].partition("`")[0]

    @property
    def figure(self) -> float:
        """The mean of the headline."""
        return float(self.cells[1].split()[0])

    @property
    def runs(self) -> int:
        """How many runs the means are of; 0 where nothing was measured."""
        return int(self.cells[2]) if self.cells[2].isdigit() else 0

    def cost(self, column: int) -> float | None:
        """Return seconds of a fit without its choice, or MiB, from a column; None where it is not known."""
        text = self.cells[column].split()[0]
        return None if text == "-" else float(text)


def draw(panels: Mapping[str, tuple[str, Sequence[Line]]], column: int, label: str, scale: str, docs: Path) -> str:
    """Draw figures of rows against a cost, a panel a title, beside a page; return what shows it there."""
    figure, axes = plots.pyplot().subplots(len(panels), 1, figsize=(7, 5 * len(panels)), squeeze=False)
    drawn = []
    for axis, (title, (score, lines)) in zip(axes[:, 0], panels.items(), strict=True):
        axis.set(xscale=scale, xlabel=label, ylabel=f"{FIGURES[score]} in %", title=title)
        axis.grid(alpha=0.2)
        axis.margins(0.12)
        near = [line for line in lines if line.figure > lines[0].figure - FAR]
        costs = [(line.cost(column), line.figure, line.name) for line in near]
        drawn.append([(max(x, 0.1), y, name) for x, y, name in costs if x is not None])
        for x, y, name in drawn[-1]:
            ours = name.startswith(OURS)
            axis.plot(x, y, "D" if ours else "o", markersize=6 if ours else 4, color=_colour(name))
    figure.tight_layout()
    for axis, points in zip(axes[:, 0], drawn, strict=True):
        write_names(axis, points)
    file = f"images/comparison-{'cpu' if scale == 'log' else 'memory'}.png"
    plots.save(figure, docs / file)
    return f"![Figures against {label}; ours are diamonds]({file})"


def _colour(name: str) -> str:
    return "#d55e00" if name.startswith(OURS) else "#44546a"  # of other brightness, whoever sees them


def write_names(axis: Any, points: Sequence[tuple[float, float, str]]) -> None:
    """Write names at points, each at the nearest place that hides no point and no other name; "" is none."""
    scale = axis.figure.dpi / 72  # all below is in points, as sizes of letters are
    centres = axis.transData.transform([point[:2] for point in points]) / scale
    taken = [np.concatenate([centre - 3, centre + 3]) for centre in centres]
    frame = np.array(axis.bbox.extents) / scale
    for (x, y, name), centre in sorted(zip(points, centres, strict=True), key=lambda pair: -pair[0][1]):
        if not name:
            continue
        size = np.array([4.3 * len(name), 8])
        for right, up in AROUND:
            begin = centre + np.array([right - size[0] * (right < 0), up - size[1] / 2])
            box = np.concatenate([begin, begin + size])
            within = (box[:2] >= frame[:2]).all() and (box[2:] <= frame[2:]).all()
            if within and not any((box[:2] < other[2:]).all() and (other[:2] < box[2:]).all() for other in taken):
                break
        taken.append(box)
        axis.annotate(
            name, (x, y), (right, up), textcoords="offset points", fontsize=7, color=_colour(name),
            ha="left" if right >= 0 else "right", va="center",
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": "0.6", "shrinkA": 0, "shrinkB": 2},
        )  # fmt: skip
