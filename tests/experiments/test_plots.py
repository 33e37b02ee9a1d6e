"""Pictures: PNGs that show something, and something else for other numbers."""

import sys

import numpy as np
import pytest

from dgl_dysign.errors import BackendError
from dgl_dysign.experiments import plots

pyplot = pytest.importorskip("matplotlib.pyplot")
RANDOM = np.random.default_rng(0)


def history(scale=1.0, epochs=4, accuracy=True):
    return [
        {"epoch": e, "loss": scale / (e + 1), **({"val_accuracy": 0.2 * e} if accuracy else {})} for e in range(epochs)
    ]


def rows(mean=70.0, **names):
    scores = {"mean": mean, "std": 1.0, "runs": 3}
    given = [("dysign", 0.4), ("dysign", 0.8), ("gcn", 0.4)]
    return [{"row": row, "train_ratio": ratio, "macro_f1": scores, **names} for row, ratio in given]


def variants(mean=70.0):
    scores = {"mean": mean, "std": 1.0, "runs": 3}
    return [
        {"group": group, "variant": str(k), "macro_f1": {**scores, "mean": mean + k}}
        for group in ("decay", "leak", "latency", "coupling")
        for k in range(3)
    ]


def studied(mean=70.0):
    figures = {
        "mrr": {"mean": mean, "std": 1.0, "runs": 3, "noise": 2.0},
        "seconds": {"mean": 9.0, "std": 0.0, "runs": 3},
    }
    return [{"value": name, **figures} for name in ("1", "2", "all but one")]


SPIKES = (RANDOM.random((5, 3, 16)) < 0.3).astype(np.float32)
PICTURES = {
    "learning_curves": (
        lambda path: plots.learning_curves({"a": history(), "b": history(2.0, accuracy=False)}, path),
        lambda path: plots.learning_curves({"a": history(3.0), "b": history(0.5, accuracy=False)}, path),
    ),
    "firing_rates": (
        lambda path: plots.firing_rates(RANDOM.dirichlet(np.ones(9), 6), range(6), path),
        lambda path: plots.firing_rates(RANDOM.dirichlet(np.ones(9), 6), range(6), path),
    ),
    "one_snapshot": (
        lambda path: plots.firing_rates(np.eye(9)[:1], [3], path),
        lambda path: plots.firing_rates(np.eye(9)[4:5], [3], path),
    ),
    "spike_raster": (
        lambda path: plots.spike_raster(SPIKES, ["x", "y", "z"], path),
        lambda path: plots.spike_raster(1 - SPIKES, ["x", "y", "z"], path),
    ),
    "confusion_matrix": (
        lambda path: plots.confusion_matrix(np.array([[5, 1], [0, 0]]), ["p", "q"], "title", path),
        lambda path: plots.confusion_matrix(np.array([[1, 5], [0, 0]]), ["p", "q"], "title", path),
    ),
    "study": (
        lambda path: plots.study(studied(), {"mrr": "mrr"}, ("seconds", "seconds"), "title", path),
        lambda path: plots.study(studied(30.0), {"mrr": "mrr"}, None, "title", path),
    ),
    "score_bars": (
        lambda path: plots.score_bars(rows(), "macro_f1", "title", path),
        lambda path: plots.score_bars(rows(30.0), "macro_f1", "title", path),
    ),
    "ablation": (
        lambda path: plots.ablation(variants(), "title", path),
        lambda path: plots.ablation(variants(40.0), "title", path),
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_shows_its_numbers(tmp_path, name):
    draw, draw_other = PICTURES[name]
    path = tmp_path / f"{name}.png"
    assert draw(path) == path
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    image = pyplot.imread(path)
    assert min(image.shape[:2]) > 100
    dark = (image[..., :3].mean(2) < 0.9).mean()
    assert dark > 0.005, "blank"
    other = pyplot.imread(draw_other(tmp_path / "other.png"))
    assert other.shape != image.shape or (other != image).any()
    assert not pyplot.get_fignums()  # nothing is left open


def test_rows_of_the_confusion_matrix_are_true_classes(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "matplotlib.axes.Axes.text", lambda self, x, y, text, **_: shown.append((round(y), round(x), text))
    )
    plots.confusion_matrix(np.array([[3, 1], [0, 4]]), ["p", "q"], "title", tmp_path / "x.png")
    assert shown == [(0, 0, "75"), (0, 1, "25"), (1, 0, "0"), (1, 1, "100")]


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BackendError, match="pip install"):
        plots.score_bars(rows(), "macro_f1", "title", tmp_path / "x.png")
