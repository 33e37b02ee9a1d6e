"""Pictures: PNGs that show the numbers given, and something else for other numbers."""

import sys

import numpy as np
import pytest

from dgl_dysign.errors import BackendError
from dgl_dysign.experiments import plots

pyplot = pytest.importorskip("matplotlib.pyplot")
RANDOM = np.random.default_rng(0)


def history(scale=1.0, epochs=4, **scores):
    return [{"epoch": e, "loss": scale / (e + 1), **{k: v * e for k, v in scores.items()}} for e in range(epochs)]


def lines(mean=70.0):
    places = [("dysign", 0.4), ("dysign", 0.8), ("gcn", 0.4)]
    return [
        {"row": row, "share": share, "macro_f1": {"mean": mean + share, "std": 1.0, "runs": 3}} for row, share in places
    ]


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
    "learning_curves": lambda path, k: plots.learning_curves({"a": history(k), "b": history(2.0)}, path),
    "firing_rates": lambda path, k: plots.firing_rates(RANDOM.dirichlet(np.ones(9), 6), range(6), path),
    "one_snapshot": lambda path, k: plots.firing_rates(np.eye(9)[2 * k : 2 * k + 1], [3], path),
    "spike_raster": lambda path, k: plots.spike_raster(abs(k - SPIKES), ["x", "y", "z"], path),
    "confusion_matrix": lambda path, k: plots.confusion_matrix(np.array([[5, k], [0, 0]]), ["p", "q"], "title", path),
    "study": lambda path, k: plots.study(studied(30.0 * k), {"mrr": "mrr"}, ("s", "seconds"), "title", path),
    "score_bars": lambda path, k: plots.score_bars(lines(30.0 * k), {"macro_f1": "Macro-F1"}, "title", path, "share"),
    "ablation": lambda path, k: plots.ablation(variants(30.0 * k), "title", path),
}


@pytest.fixture(scope="module", autouse=True)
def _sketches():
    """Draw pictures as users see them; other tests of tables only sketch them."""


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_shows_its_numbers(tmp_path, name):
    path = tmp_path / f"{name}.png"
    assert PICTURES[name](path, 1) == path
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    image = pyplot.imread(path)
    assert min(image.shape[:2]) > 100
    dark = (image[..., :3].mean(2) < 0.9).mean()
    assert dark > 0.005, "blank"
    other = pyplot.imread(PICTURES[name](tmp_path / "other.png", 2))
    assert other.shape != image.shape or (other != image).any()
    assert not pyplot.get_fignums()  # nothing is left open


@pytest.fixture
def kept(monkeypatch):
    """Keep figures instead of writing them."""
    figures = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: figures.append(figure))
    return figures


def test_rows_of_the_confusion_matrix_are_true_classes(tmp_path, kept):
    plots.confusion_matrix(np.array([[3, 1], [0, 4]]), ["p", "q"], "title", tmp_path / "x.png")
    texts = [(*map(round, text.get_position()[::-1]), text.get_text()) for text in kept[0].axes[0].texts]
    assert texts == [(0, 0, "75"), (0, 1, "25"), (1, 0, "0"), (1, 1, "100")]


def test_bars_are_of_all_shares_or_of_several_scores(kept, tmp_path):
    plots.score_bars(lines(), {"macro_f1": "Macro-F1"}, "title", tmp_path / "a.png", "share", "for training")
    (axis,) = kept[0].axes
    assert sorted(bar.get_width() for bar in axis.patches) == [70.4, 70.4, 70.8]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["dysign", "gcn"]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["40 % for training", "80 % for training"]
    two = [
        {"row": name, "auc": {"mean": 50 + k, "std": k, "runs": 2}, "ap": {"mean": k, "std": 0.0, "runs": 2}}
        for k, name in enumerate("ab")
    ]
    plots.score_bars(two, {"auc": "AUC", "ap": "average precision"}, "title", tmp_path / "b.png")
    assert [[bar.get_width() for bar in axis.patches] for axis in kept[1].axes] == [[50, 51], [0, 1]]
    assert [axis.get_xlabel() for axis in kept[1].axes] == ["AUC in %", "average precision in %"]


def test_learning_curves_have_a_panel_for_each_score_that_is_recorded(kept, tmp_path):
    histories = {"a": history(2.0, 2, val_auc=0.5, val_ap=0.1), "b": history(1.0, 2)}
    plots.learning_curves(histories, tmp_path / "a.png", "LEAKS")
    loss, auc, ap = kept[0].axes
    assert [line.get_ydata().tolist() for line in loss.lines] == [[2, 1], [1, 0.5]]
    assert [line.get_ydata().tolist() for line in (*auc.lines, *ap.lines)] == [[0, 50], [0, 10]]
    assert kept[0].get_suptitle() == "LEAKS"


def test_an_entry_has_one_colour_in_all_panels(kept, tmp_path):
    histories = {"a": [{"epoch": 0, "loss": 2.0}], "b": [{"epoch": 0, "loss": 1.0, "val_mrr": 0.5}]}
    plots.learning_curves(histories, tmp_path / "a.png")
    (figure,) = kept
    loss, mrr = ([(line.get_label(), line.get_color()) for line in axis.lines] for axis in figure.axes)
    assert mrr == loss[1:]


def test_over_time_is_a_running_mean(kept, tmp_path):
    curves = {"a": {"snapshot": [3, 4, 6, 7], "mrr": [10.0, 20, 30, 70]}, "b": {"snapshot": [3], "mrr": [5.0]}}
    plots.over_time(curves, "title", tmp_path / "a.png", window=3)
    lines = kept[0].axes[0].lines
    np.testing.assert_allclose(lines[0].get_ydata(), [15, 20, 40, 50])
    np.testing.assert_allclose(lines[1].get_ydata(), [10, 20, 30, 70])
    np.testing.assert_allclose(lines[2].get_ydata(), [5])


def test_curves_start_and_end_where_they_must(kept, tmp_path):
    true = np.array([0, 1, 0, 0, 1])
    scores = {"sure": true.astype(float), "none": np.zeros(5)}
    drawn = plots.ranking_curves(true, scores, "title", tmp_path)
    assert [path.name for path in drawn] == ["precision_recall.png", "roc.png"]
    (precision,), (roc,) = (figure.axes for figure in kept)
    lines = {line.get_label(): line.get_xydata() for line in precision.lines}
    assert lines["sure"].max() == 100
    assert np.allclose(lines["none"], [[100, 40]])
    assert "share of positives (40 %)" in lines
    for line in roc.lines[:2]:
        assert line.get_xydata()[[0, -1]].tolist() == [[0, 0], [100, 100]]
    assert [0, 100] in roc.lines[0].get_xydata().tolist()


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BackendError, match="pip install"):
        plots.score_bars(lines(), {"macro_f1": "Macro-F1"}, "title", tmp_path / "x.png")
