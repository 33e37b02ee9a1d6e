"""What each row of ours or of a stranger's differs by from the best control, and how it is shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.table import Table
from rich.text import Text

from dgl_dysign.evaluation import Answers, bootstrap, difference
from dgl_dysign.experiments.record import FIGURES, difference_text


def add_differences(
    lines: Sequence[dict[str, Any]],
    names: Collection[str],
    controls: Collection[str],
    figure: str,
    tests: Sequence[Answers],
) -> None:
    """Note in the summary's line of each row that is no control its ``difference`` from the best one.

    The best control is the one with the highest figure on test, chosen there in its favour, of those that are given no
    more than the row: of a feature-only row the feature-only ones, of a label-aware row these and the label-aware ones.
    Of what is not verified nobody knows the kind: its control is the best of all. A row without a control gets no
    difference, one whose answers, or those of its control, were not kept gets None.

    Parameters
    ----------
    lines : sequence of dict
        Of the summary, under one condition.
    names, controls : collection of str
        Which rows are compared with each other, and which are controls.
    figure : str
        One of `dgl_dysign.evaluation.bootstrap`.
    tests : sequence of Answers
        A row whose answers were not kept is not in them.
    """
    named = {line["row"]: line for line in lines if line["row"] in names}
    pairs: dict[str, str] = {}
    for name, line in named.items():
        fair = [other for other in named.values() if other["row"] in controls and _is_fair(other, line)]
        if name not in controls and fair:
            pairs[name] = max(fair, key=lambda control: control[figure]["mean"])["row"]
            line["difference"] = None
    kept = [pair for pair in pairs.items() if all({*pair} <= test.rows.keys() for test in tests)]
    if not kept:
        return
    compared = dict.fromkeys(name for pair in kept for name in pair)
    drawn = bootstrap(figure, [replace(t, rows={name: t.rows[name] for name in compared}) for t in tests])
    for name, control in kept:
        named[name]["difference"] = {"to": control, "figure": figure, **difference(drawn[name], drawn[control])}


def _is_fair(control: Mapping[str, Any], line: Mapping[str, Any]) -> bool:
    """Whether a control is given no more than a row."""
    theirs, mine = (str(each.get("protocol", "")).split(":")[0] for each in (control, line))
    return theirs == mine or (theirs, mine) == ("feature-only", "label-aware") or not line.get("verified", True)


def leads(line: Mapping[str, Any]) -> bool:
    """Say whether a row is above the best control, with zero outside the interval."""
    return bool(line.get("difference")) and line["difference"]["low"] > 0


def difference_table(
    summary: Sequence[Mapping[str, Any]], title: str, figure: str, drawn: str, by: str = "", group: str = ""
) -> Table | None:
    """Return the table of the differences, a column for each value of `by`, a share of `group`; None without any."""
    lines = [line for line in summary if "difference" in line]
    if not lines:
        return None
    apart = ", positives and negatives apart" if figure == "auc" else ""
    caption = f"[95 % interval] over 1,000 draws of {drawn}{apart}; level where zero is inside"
    if any(line["difference"] is None for line in lines):
        caption += "; -: what it predicted, or its control, was not kept by the version that fitted it"
    table = Table("entry", title=f"{title}: {FIGURES[figure]} against the best control", caption=caption)
    shares = list(dict.fromkeys(line.get(by) for line in lines))
    for share in shares:
        table.add_column("difference" if share is None else f"{100 * share:.0f} % {group}")
    for name in dict.fromkeys(line["row"] for line in lines):
        cells = {line.get(by): _cell(line, "\n" if len(shares) > 1 else " ") for line in lines if line["row"] == name}
        table.add_row(narrow(name), *(cells.get(share, "") for share in shares))
    return table


def narrow(name: str) -> str:
    """Return the name of a mean of seeds, or of what is not verified, on two lines, so that tables fit a screen."""
    return name.replace(" (", "\n(")


def _cell(line: Mapping[str, Any], between: str) -> Text:
    if line["difference"] is None:
        return Text("-")
    control = line["difference"]["to"].split(" (mean of")[0]  # the control of a mean is a mean, or needs none
    text = difference_text({**line["difference"], "to": control}).replace("] ", f"]{between}", 1)
    return Text(text, style="bold" if leads(line) else "")
