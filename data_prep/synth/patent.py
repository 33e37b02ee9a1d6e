"""US patents: SpikeNet's JSON lines, NBER's originals, or SNAP's list of citations with NBER's table."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import numpy as np

from data_prep.synth import nber
from data_prep.synth.network import Network, Step, Votes
from data_prep.synth.output import Output
from data_prep.synth.published import Request
from data_prep.synth.text import Field, Integer, joined

CLASSES = 6
FIRST_YEAR = 1975
_CITING = 0.763
"""Share of patents that cite; others are cited only."""


def write(request: Request, output: Output) -> dict[str, Any]:
    """Write citations and patents; return the counts."""
    options, rows, form = request.format.options, request.rows, request.chosen_form
    unknown = 0 if form == "spikenet" else round(rows * (1 - request.format.events / int(options["rows_with_unknown"])))
    nodes = request.num_nodes
    network = Network(
        nodes,
        rows - unknown,
        request.format.steps,
        ends="cite",
        passive=nodes - round(_CITING * nodes),
        classes=CLASSES,
        communities=20,
        seed=request.seed,
        repeat=0.0,
    )
    counts = {"nodes": nodes, "events": rows, "steps": request.format.steps, "classes": CLASSES}
    patents = Patents(network, isolated=request.part_of(int(options["listed"])) - nodes)
    if form == "spikenet":
        _write_spikenet(patents, rows, output)
        return counts
    nber.write(patents, rows, unknown, str(form), output)
    return {**counts, "unknown_cited": unknown, "isolated": patents.isolated}


class Patents:
    """Patents in the order of their dates, and what they cite.

    Parameters
    ----------
    network : Network
        With ``ends="cite"`` and one step a year.
    isolated : int
        Patents that are in NBER's table, but neither cite nor are cited.

    Attributes
    ----------
    name : numpy.ndarray, shape (nodes,)
        Rank of each node in order of date; known once its year is over.
    date : numpy.ndarray, shape (nodes,)
        Date as yyyymmdd; of a patent that is only cited, that of its first citation.
    number : numpy.ndarray, shape (nodes,)
        Patent number, rising with the date; below 3,858,241 (the first of 1975) if it is only cited.
    """

    def __init__(self, network: Network, isolated: int) -> None:
        self.network = network
        self.isolated = isolated
        self.votes = Votes(network)
        self.name = np.zeros(network.nodes, np.int64)
        self.date = np.full(network.nodes, 99_999_999, np.int64)
        self._order = network.arrival_order()
        acting = self._order[~network.is_passive[self._order]]
        cited_only = self._order[network.is_passive[self._order]]
        self.late, of_acting = nber.numbers_late(len(acting), isolated // 3)
        self.early, of_cited = nber.numbers_early(len(cited_only), isolated - isolated // 3, network.stream(40))
        self.number = np.zeros(network.nodes, np.int64)
        self.number[acting], self.number[cited_only] = of_acting, of_cited

    def citations(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Give the year, and the citing and cited nodes, for each year; in order of the citing patent's date."""
        done = 0
        for step in self.network:
            self.votes.add(step)
            new = self._order[done : done + np.count_nonzero(self.network.arrival == step.number)]
            self._set_dates(step, new)
            self.name[new[np.argsort(self.date[new], kind="stable")]] = np.arange(done, done + len(new))
            done += len(new)
            order = np.argsort(self.name[step.src], kind="stable")
            yield FIRST_YEAR + step.number, step.src[order], step.dst[order]

    def _set_dates(self, step: Step, new: np.ndarray) -> None:
        acting = new[~self.network.is_passive[new]]
        days = tuesdays(FIRST_YEAR + step.number)
        self.date[acting] = days[np.arange(len(acting)) * len(days) // len(acting)]
        first = self.network.arrival[step.dst] == step.number
        np.minimum.at(self.date, step.dst[first], self.date[step.src[first]])


def tuesdays(year: int) -> np.ndarray:
    """Return the first 52 Tuesdays of a year as yyyymmdd: patents are granted on Tuesdays."""
    first = date(year, 1, 1)
    first += timedelta((1 - first.weekday()) % 7)
    days = [first + timedelta(weeks=week) for week in range(52)]
    return np.array([10_000 * day.year + 100 * day.month + day.day for day in days])


def _write_spikenet(patents: Patents, rows: int, output: Output) -> None:
    with output.edges("patent_edges.json", rows) as file:
        for _, src, dst in patents.citations():
            columns = patents.name[src], patents.name[dst], patents.date[src], patents.number[src], patents.number[dst]
            file.write(_json_line(*columns), len(src))
    by_name = np.argsort(patents.name)
    number, granted, label = patents.number[by_name], patents.date[by_name], 1 + patents.votes.labels()[by_name]
    with output.table("patent_nodes.json", len(by_name)) as file:
        file.write(_json_line(np.arange(len(by_name)), number, granted, label), len(by_name))


def _json_line(*columns: np.ndarray) -> list[Field | bytes]:
    return joined(map(Integer, columns), b", ", begin=b"[", end=b"]\n")
