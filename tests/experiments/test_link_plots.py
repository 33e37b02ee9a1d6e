"""Pictures of link figures: they are drawn, of the values given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from dgl_dysign.experiments import link_plots, plots

ROWS = [
    {"row": name, "historical": share, "mrr": {"mean": mean + share, "std": 1.0, "runs": 2}}
    for share in (0.0, 0.5)
    for name, mean in (("random", 5.0), ("undergs", 79.0))
]


@pytest.fixture
def kept(monkeypatch):
    """Keep figures instead of writing them."""
    figures = []
    for module in (plots, link_plots):
        monkeypatch.setattr(module, "_save", lambda figure, path: figures.append(figure) or path)
    yield figures
    plt.close("all")


def test_bars(kept, tmp_path):
    link_plots.link_bars(ROWS, "mrr", "title", tmp_path / "a.png")
    (axis,) = kept[0].axes
    assert sorted(bar.get_width() for bar in axis.patches) == [5.0, 5.5, 79.0, 79.5]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["random", "undergs"]
    assert len(axis.get_legend().get_texts()) == 2


def test_curves(kept, tmp_path):
    history = [{"epoch": e, "loss": 2.0 - e, "val_mrr": 0.5 + e / 10} for e in range(2)]
    link_plots.link_curves({"undergs": history}, "title", tmp_path / "a.png")
    loss, val = (axis.lines[0].get_ydata() for axis in kept[0].axes)
    np.testing.assert_allclose(loss, [2, 1])
    np.testing.assert_allclose(val, [50, 60])


def test_over_time_is_a_running_mean(kept, tmp_path):
    rows = {"a": {"snapshot": [3, 4, 6, 7], "mrr": [10.0, 20, 30, 70]}, "b": {"snapshot": [3], "mrr": [5.0]}}
    link_plots.link_over_time(rows, "title", tmp_path / "a.png", window=3)
    lines = kept[0].axes[0].lines
    np.testing.assert_allclose(lines[0].get_ydata(), [15, 20, 40, 50])
    np.testing.assert_allclose(lines[1].get_ydata(), [10, 20, 30, 70])
    np.testing.assert_allclose(lines[2].get_ydata(), [5])


def test_a_file_is_written(tmp_path):
    path = link_plots.link_bars(ROWS[:2], "mrr", "title", tmp_path / "a.png")
    assert path.read_bytes().startswith(b"\x89PNG")
