"""Pictures of event labels: drawn, and from what was given."""

import numpy as np

from dgl_dysign.experiments import event_plots, plots


def figures(monkeypatch):
    """Keep what is drawn."""
    kept = []
    save = plots._save
    monkeypatch.setattr(event_plots, "_save", lambda figure, path: kept.append(figure) or save(figure, path))
    return kept


def test_curves_start_and_end_where_they_must(tmp_path, monkeypatch):
    kept = figures(monkeypatch)
    true = np.array([0, 1, 0, 0, 1])
    scores = {"sure": true.astype(float), "none": np.zeros(5)}
    drawn = event_plots.event_curves(true, scores, "title", tmp_path)
    assert [path.name for path in drawn] == ["precision_recall.png", "roc.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
    (precision,), (roc,) = (figure.axes for figure in kept)
    lines = {line.get_label(): line.get_xydata() for line in precision.lines}
    assert lines["sure"].max() == 100
    assert np.allclose(lines["none"], [[100, 40]])
    assert "share of positives (40 %)" in lines
    for line in roc.lines[:2]:
        assert line.get_xydata()[[0, -1]].tolist() == [[0, 0], [100, 100]]
    assert [0, 100] in roc.lines[0].get_xydata().tolist()


def test_bars_and_learning(tmp_path, monkeypatch):
    kept = figures(monkeypatch)
    rows = [
        {"row": name, "auc": {"mean": 50 + k, "std": k, "runs": 2}, "ap": {"mean": k, "std": 0.0, "runs": 2}}
        for k, name in enumerate("ab")
    ]
    history = [{"epoch": k, "loss": 1.0 - k / 4, "val_auc": 0.5 + k / 4, "val_ap": 0.1} for k in range(2)]
    event_plots.event_bars(rows, "title", tmp_path / "bars.png")
    event_plots.event_learning({"a": history}, tmp_path / "learning.png")
    bars, learning = kept
    assert [patch.get_width() for patch in bars.axes[0].patches] == [50, 51]
    assert [text.get_text() for text in bars.axes[0].get_yticklabels()] == ["a", "b"]
    assert [axis.lines[0].get_ydata().tolist() for axis in learning.axes] == [[1.0, 0.75], [50, 75], [10, 10]]
