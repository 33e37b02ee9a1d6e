"""The table of links under ROLAND's protocols."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from dgl_dysign.evaluation import mean_std
from dgl_dysign.evaluation.roland import ROLAND_FIGURES
from dgl_dysign.experiments.differences import leads
from dgl_dysign.experiments.record import Scoring
from dgl_dysign.experiments.tables import LinkTable, Summary, spread_text


@dataclass(frozen=True)
class RolandTable(LinkTable):
    """Entries on the links of one data set under ``roland-live`` or ``roland-fixed``.

    Parameters
    ----------
    published : mapping
        Further lines by name: the MRR that the released code reports, in %.
    """

    published: Mapping[str, float] = field(default_factory=dict)
    by, group = "", ""
    scores = ROLAND_FIGURES

    def figures(self, scorings: Sequence[Scoring]) -> dict[str, Any]:
        """Return means of the scores on test, of the MRR on validation where there is one, and numbers."""
        figures: dict[str, Any] = {name: mean_std([s.scores[name] for s in scorings]) for name in self.scores}
        if scorings[0].val_scores:
            figures["val_mrr"] = mean_std([s.val_scores["mrr"] for s in scorings])
        return figures | {name: scorings[0].scores[name] for name in ("sources", "snapshots")}

    def tables(self, summary: Summary) -> Iterator[Table]:
        """Return the table; published figures stand in the column of what they are."""
        numbers = f"{summary[0]['sources']} sources in {summary[0]['snapshots']} snapshots"
        title = f"{self._title}: ROLAND's MRR in %, {self._runs(summary)}"
        table = Table("entry", title=title, caption=f"{summary[0]['protocol']}. {numbers}")
        for name in ("MRR", "ties against", "of a tenth", "validation", "Hits@1", "Hits@10", "CPU s", "MB"):
            table.add_column(name, justify="right")
        for line in summary:
            cells = [spread_text(line[k]) for k in ("mrr", "mrr_ties_against", "mrr_tenth")]
            cells.append(f"{line['val_mrr']['mean']:.1f}" if "val_mrr" in line else "-")
            cells += [f"{line[key]['mean']:.1f}" for key in ("hits@1", "hits@10")]
            cells += [f"{line['cpu_seconds']:.0f}", f"{line['peak_rss_bytes'] / 2**20:.0f}"]
            table.add_row(line["row"], *cells, style="bold" if leads(line) else None)
        for name, mrr in self.published.items():
            table.add_row(name, "-", "-", f"{mrr:.1f}", *"-----", style="dim")
        yield table
        yield from self._differences(summary)
