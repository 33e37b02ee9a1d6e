"""Is a model honest, and is it alive? A trial of any entry, on data that differs where the model may not look."""

from dgl_dysign.experiments.check.checks import check_entry
from dgl_dysign.experiments.check.report import CheckReport, Verdict

__all__ = ["CheckReport", "Verdict", "check_entry"]
