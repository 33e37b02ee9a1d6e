"""Pictures of runs, drawn once and not laid out: laying them out takes longer than a small run does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from dgl_dysign.experiments import plots


def _sketch(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=120)
    plots.pyplot().close(figure)
    return path


def use_sketches(set_attribute: Callable[[Any, str, Any], None] = setattr) -> None:
    """Let runs sketch their pictures from now on."""
    set_attribute(Figure, "tight_layout", lambda figure: None)
    set_attribute(plots, "save", _sketch)
