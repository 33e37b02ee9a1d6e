"""The page of the comparison has the figures of the records, in order, and nothing that was not run."""

from pathlib import Path

import _comparison_page
import comparison
import numpy as np
import pytest

from dgl_dysign.experiments.record import Scoring, UnitRecord
from dgl_dysign.experiments.run_folder import RunFolder
from dgl_dysign.files import read_sealed

STUDIES = {"otc": "links otc --seeds 2 --rows boosted-trees node-counts roland undergs wingnn"}
STUDIES |= {
    "dblp-walks-40-tgat": "nodes dblp-deepwalk --rows tgat",
    "otc-live-systems": "links otc-roland --rows roland",
}
CURVES = {"boosted-trees": [70.0, 70.0], "node-counts": [60.0, 64.0], "roland": [62.0, 66.0]}  # of two snapshots
COST = {"cpu_seconds": 40.0, "peak_rss_bytes": 300 << 20, "parameters": 12345}


@pytest.fixture
def runs(tmp_path):
    """A run of links with two seeds, in which roland is 2 above node-counts in each snapshot, and one of nodes."""
    folder = RunFolder(tmp_path / "otc", {})
    for seed in range(2):
        for name, curve in CURVES.items():
            values = [value + 2 * seed for value in curve]
            over_time = {"test": {"snapshot": [7, 8], "mrr": values}}
            scoring = Scoring({"mrr": float(np.mean(values))}, condition={"historical": 0.0}, by_snapshot=over_time)
            cost = COST if name == "roland" else {"cpu_seconds": 1.0}
            record = UnitRecord("link", f"seed{seed}-{name}", name, seed, [scoring], cost=cost)
            folder.save_unit(record.key, record.to_json())
    scoring = Scoring({"macro_f1": 66.04, "micro_f1": 70.0}, condition={"train_ratio": 0.4, "split": 42})
    record = UnitRecord("node", "k", "tgat", 0, [scoring], cost={"cpu_seconds": 300.0, "choice_cpu_seconds": 900.0})
    RunFolder(tmp_path / "dblp-walks-40-tgat", {}).save_unit("k", record.to_json())
    return tmp_path


def written(page, runs, *names):
    page.write_text("Words.\n" + "".join(f"<!-- made: {name} -->\nold\n<!-- end -->\n" for name in names))
    _comparison_page.write([page], runs, STUDIES)
    return page.read_text()


def test_a_table_has_the_figures_of_the_records_best_first(runs, tmp_path):
    (tmp_path / "images").mkdir()
    text = written(tmp_path / "page.md", runs, "otc", "pictures")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == [
        "row", "MRR", "runs", "beside `node-counts`", "beside `boosted-trees`", "CPU s", "weights", "peak MiB",
        "published",
    ]  # fmt: skip
    assert [row[0] for row in rows[2:]] == [
        "`boosted-trees`", "`roland`", "`node-counts`", "`undergs`", "FALCON",
    ]  # fmt: skip
    trees, roland, counts, undergs = rows[2:6]
    assert roland[1:3] == ["65.0 ± 1.4", "2"]
    assert roland[3:5] == ["**+2.0 [2.0, 2.0]**", "-6.0 [-8.0, -4.0]"]  # snapshots with 62 and 66 beside 70
    assert roland[5:] == ["40", "12,345", "300", "-"]
    assert trees[3:5] == ["**+8.0 [6.0, 10.0]**", "-"]
    assert counts[3:7] == ["-", "-8.0 [-10.0, -6.0]", "1", "-"]
    assert undergs == ["`undergs`", "not measured", *"------", "92.1"]
    assert "Not measured: `wingnn`." in text
    assert text.startswith("Words.\n")
    assert "old" not in text
    assert "(images/comparison-cpu.png)" in text
    assert all((tmp_path / "images" / f"comparison-{cost}.png").stat().st_size > 10_000 for cost in ("cpu", "memory"))
    assert written(tmp_path / "page.md", runs, "otc", "pictures") == text


def test_a_figure_far_from_the_published_one_wants_a_reason(runs, tmp_path):
    (tmp_path / "images").mkdir()
    text = written(tmp_path / "page.md", runs, "dblp-walks-40", "reasons")
    assert "| `tgat` | 66.0 / 70.0 | 1 | - | - | 300 + 900 | - | - | 71.2 / 71.1 |" in text
    assert "- `tgat`: 66.0 here, 71.2 published. Not explained." in text


def test_a_study_of_several_ratios_stands_in_the_table_of_each(tmp_path, monkeypatch):
    monkeypatch.setitem(STUDIES, "dblp-edges-htne", "nodes dblp --rows htne")
    folder = RunFolder(tmp_path / "dblp-edges-htne", {})
    for ratio in (0.4, 0.6):
        scoring = Scoring(dict.fromkeys(("macro_f1", "micro_f1"), 100 * ratio), condition={"train_ratio": ratio})
        folder.save_unit(str(ratio), UnitRecord("node", str(ratio), "htne", 0, [scoring], cost=COST).to_json())
    text = written(tmp_path / "page.md", tmp_path, "dblp-40", "dblp-60", "dblp-80")
    figures = [line.split(" | ")[1:3] for line in text.splitlines() if line.startswith("| `htne`")]
    assert figures == [["40.0 / 40.0", "1"], ["60.0 / 60.0", "1"], ["not measured", "-"]]


def test_labels_of_events_are_read_from_the_prepared_folder(tmp_path, monkeypatch):
    true, folder = np.array([0, 1, 0, 1, 0, 1]), RunFolder(tmp_path / "wikipedia", {})
    (tmp_path / "prepared" / "wikipedia").mkdir(parents=True)
    (tmp_path / "images").mkdir()
    monkeypatch.setattr(_comparison_page, "_events", lambda prepared: (np.arange(6), true))
    for name, scores in {"undergs": true, "boosted-trees": -true}.items():
        scoring = Scoring({"auc": 100.0 * (scores >= 0).all(), "ap": 1.234})
        np.save(tmp_path / "wikipedia" / "checkpoints" / f"{name}.scores.npy", scores)
        record = UnitRecord("event", name, name, 0, [scoring], cost={"cpu_seconds": 2.0})
        folder.save_unit(name, record.to_json())
    text = written(tmp_path / "page.md", tmp_path, "wikipedia")
    assert "| `undergs` | 100.0 / 1.23 | 1 | **+100.0 [100.0, 100.0]** | - | 2 | - | - | 75.9 |" in text


def test_a_row_that_is_not_at_hand_stays_unless_as_many_runs_replace_it(runs, tmp_path):
    page = tmp_path / "page.md"
    before = written(page, runs, "otc")
    (runs / "otc" / "units" / "seed1-roland.json").unlink()
    for file in (runs / "otc" / "units").glob("*-boosted-trees.json"):
        file.unlink()
    folder = RunFolder(runs / "otc", {}, resume=True)
    unit = read_sealed(runs / "otc" / "units" / "seed0-node-counts.json")
    folder.save_unit("seed0-node-counts", unit | {"cost": unit["cost"] | {"cpu_seconds": 99.0}})
    _comparison_page.write([page], runs, STUDIES)
    assert page.read_text() != before
    assert "†" not in page.read_text()  # other seconds of the same figures change no difference
    unit["scorings"][0]["scores"]["mrr"] = 90.0
    folder.save_unit("seed0-node-counts", unit)
    _comparison_page.write([page], runs, STUDIES)
    lines = page.read_text().splitlines()
    kept = [line for line in before.splitlines() if line.startswith(("| `boosted-trees`", "| `roland`"))]
    kept = [
        line.replace("+8.0 [6.0, 10.0]**", "+8.0 [6.0, 10.0]** †").replace("2.0]** |", "2.0]** † |") for line in kept
    ]
    assert [line for line in lines if line.startswith("| `")][1:3] == kept  # two runs beside one, and none
    counts = next(line for line in lines if line.startswith("| `node-counts`"))
    assert counts.startswith("| `node-counts` | 77.0 ± 18.4 | 2 | - | -8.0 [-10.0, -6.0] † |")
    assert "†: one of the two rows was fitted anew since" in page.read_text()
    again = page.read_text()
    _comparison_page.write([page], runs, STUDIES)
    assert page.read_text() == again


def test_the_summary_joins_the_row_with_counts_to_the_one_without():
    def row(name, value):
        return _comparison_page.Line((f"`{name}`", f"{value:.1f} ± 0.3", "2"))

    panels = {
        "OTC": ("mrr", [row("tgat-counts", 68.04), row("node-counts", 67.0), row("tgat", 41.0), row("random", 5.0)])
    }
    panels["UCI"] = ("mrr", [row("tgat", 40.0)])
    assert _comparison_page.summary(panels, ["tgat", "tgat-counts", "node-counts"]).splitlines()[2:] == [
        "| `tgat` | 41.0 / 68.0 | 40.0 |", "| `node-counts` | 67.0 | - |",
    ]  # fmt: skip


def test_nothing_is_invented_where_nothing_was_run(tmp_path):
    text = written(tmp_path / "page.md", tmp_path / "none", "pictures", "reasons", "otc-live")
    assert "No picture yet" in text
    assert "`roland` | not measured | - | - | - | - | - | - | 19.4 |" in text


def test_every_table_of_the_page_is_made_and_every_published_row_is_known():
    tables = _comparison_page.boards(comparison.STUDIES)
    page = (Path(comparison.__file__).parents[1] / "docs" / "comparison.md").read_text()
    assert all(f"<!-- made: {name} -->\n" in page for name in (*tables, "pictures", "reasons"))
    for board in tables.values():
        named = " ".join(comparison.STUDIES[study] for study in board.studies).split()
        known = {"source", *_comparison_page.NEVER_RUN, *named, *comparison.EMBEDDINGS.split()}
        assert known.issuperset(_comparison_page.PUBLISHED[board.published])
