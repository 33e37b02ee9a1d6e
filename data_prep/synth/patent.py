"""US patents: SpikeNet's JSON lines, NBER's originals, or SNAP's list of citations with NBER's table."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import numpy as np

from data_prep.synth.network import Network, Step, Votes
from data_prep.synth.output import Choice, Decimal, Field, Integer, Maybe, Output, joined
from data_prep.synth.published import Request

CLASSES = 6
FIRST_YEAR = 1975
_CITING = 0.763
"""Share of patents that cite; others are cited only."""
_FIRST_OF_1963, _FIRST_OF_1975, _AFTER_1999 = 3_070_801, 3_858_241, 6_009_555
_NAMES = (
    "PATENT,GYEAR,GDATE,APPYEAR,COUNTRY,POSTATE,ASSIGNEE,ASSCODE,CLAIMS,NCLASS,CAT,SUBCAT,CMADE,CRECEIVE,RATIOCIT,"
    "GENERAL,ORIGINAL,FWDAPLAG,BCKGTLAG,SELFCTUB,SELFCTLB,SECDUPBD,SECDLWBD"
)
_HEADER = ",".join(f'"{name}"' for name in _NAMES.split(",")) + "\n"
_COUNTRIES = ('"US"', '"US"', '"US"', '"JP"', '"DE"', '"FR"', '"GB"', '"BE"')
_STATES = ('"CA"', '"NY"', '"IL"', '"TX"', '"NJ"', '"OH"')


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
    _write_nber(patents, rows, unknown, str(form), output)
    return {**counts, "unknown_cited": unknown, "isolated": patents.isolated}


class Patents:
    """Patents of a network (``ends="cite"``, one step a year) and what they cite; `isolated` others have no citation.

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
        self.late, of_acting = _numbers_late(len(acting), isolated // 3)
        self.early, of_cited = _numbers_early(len(cited_only), isolated - isolated // 3, network.stream(40))
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


def _numbers_late(acting: int, isolated: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the patent numbers of 1975 to 1999, rising: all, and those of the patents that cite."""
    total = acting + isolated
    numbers = _FIRST_OF_1975 + np.arange(total) * (_AFTER_1999 - _FIRST_OF_1975) // total
    return numbers, np.delete(numbers, (2 * np.arange(isolated) + 1) * total // max(2, 2 * isolated))


def _numbers_early(cited: int, isolated: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the patent numbers of 1963 to 1974, rising: all, and those of the patents that are cited, in any order."""
    total = cited + isolated
    numbers = _FIRST_OF_1963 + np.arange(total) * (_FIRST_OF_1975 - _FIRST_OF_1963) // total
    return numbers, rng.permutation(numbers)[:cited]


def _write_nber(patents: Patents, rows: int, unknown: int, form: str, output: Output) -> None:
    """Write the citations, of which some go to patents before 1963 that have no row, and the patents."""
    snap = form == "snap"
    header = '"CITING","CITED"\n'
    if snap:
        # The real file also counts its nodes there.
        header = f"# Directed graph: cit-Patents.txt (generated)\n# Edges: {rows}\n# FromNodeId\tToNodeId\n"
    outgoing, incoming = np.zeros((2, patents.network.nodes), np.int64)
    name, comma = ("cit-Patents.txt", b"\t") if snap else ("cite75_99.txt", b",")
    added = np.diff(np.rint(unknown * np.cumsum(patents.network.sizes) / (rows - unknown)).astype(np.int64), prepend=0)
    with output.edges(name, rows, header.encode()) as file:
        for year, src, dst in patents.citations():
            src, cited = _add_unknown(patents, year, src, dst, int(added[year - 1975]))
            file.write(joined((Integer(patents.number[src]), Integer(cited)), comma), len(src))
            outgoing += np.bincount(src, minlength=len(outgoing))
            incoming += np.bincount(dst, minlength=len(outgoing))
    _write_table(patents, outgoing, incoming, output)


def _add_unknown(
    patents: Patents, year: int, src: np.ndarray, dst: np.ndarray, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Let patents of a year cite some that are older than 1963; return citing nodes and cited numbers."""
    rng = patents.network.stream(41, year)
    more = src[rng.integers(0, len(src), number)]
    old = _FIRST_OF_1963 - 1 - (rng.random(number) ** 2 * (_FIRST_OF_1963 - 2)).astype(np.int64)
    src, cited = np.concatenate([src, more]), np.concatenate([patents.number[dst], old])
    order = np.argsort(patents.number[src], kind="stable")
    return src[order], cited[order]


def _write_table(patents: Patents, outgoing: np.ndarray, incoming: np.ndarray, output: Output) -> None:
    number = np.concatenate([patents.early, patents.late])
    count = len(number)
    place = np.searchsorted(number, patents.number)
    rng = patents.network.stream(42)

    def spread(values: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
        otherwise[place] = values
        return otherwise

    year, day = _granted(patents, number, place)
    late = number >= _FIRST_OF_1975
    outgoing, incoming = (spread(values, np.zeros(count, np.int64)) for values in (outgoing, incoming))
    cat = 1 + spread(patents.votes.labels(), rng.integers(0, patents.network.classes, count))
    kind = Integer(cat), Integer(10 * cat + rng.integers(1, 10, count))
    measures = _measures(rng, outgoing, incoming, late)
    line = joined([Integer(number), Integer(year), Integer(day), *_origin(rng, year, late), *kind, *measures], b",")
    with output.table("apat63_99.txt", count, _HEADER.encode()) as file:
        file.write(line, count)


def _granted(patents: Patents, number: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the year in which each patent was granted, and the day since 1960-01-01."""
    date = np.zeros(len(number), np.int64)
    acting = ~patents.network.is_passive
    date[place[acting]] = patents.date[acting]
    # Patents that do not cite come on the day of the one before; the numbers of 1963 to 1974 are spread over the weeks.
    date = np.maximum.accumulate(date)
    date[(date == 0) & (number >= _FIRST_OF_1975)] = patents.date[acting].min()
    early = number < _FIRST_OF_1975
    weeks = (number - _FIRST_OF_1963) * (12 * 52) // (_FIRST_OF_1975 - _FIRST_OF_1963)
    year = np.where(early, 1963 + weeks // 52, date // 10_000)
    month = np.where(early, 1, date // 100 % 100)
    start = (12 * (year - 1970) + month - 1).astype("datetime64[M]").astype("datetime64[D]")
    day = (start - np.datetime64("1960-01-01")).astype(np.int64) + np.where(early, weeks % 52 * 7, date % 100 - 1)
    return year, day


def _origin(rng: np.random.Generator, year: np.ndarray, late: np.ndarray) -> list[Field]:
    """Fill APPYEAR to NCLASS; some fields are empty as in the real table."""
    count = len(year)
    country = rng.integers(0, len(_COUNTRIES), count)
    state = np.where(country < 3, 1 + rng.integers(0, len(_STATES), count), 0)
    owned = rng.random(count) < 0.75
    return [
        Maybe(Integer(year - rng.integers(1, 4, count)), year >= 1967),
        Choice(_COUNTRIES, country),
        Choice(('""', *_STATES), state),
        Maybe(Integer(rng.integers(5, 900_000, count)), owned & (year >= 1969)),
        Integer(np.where(owned, rng.integers(2, 4, count), 1)),
        Maybe(Integer(rng.integers(1, 40, count)), late),
        Integer(rng.integers(2, 800, count)),
    ]


def _measures(rng: np.random.Generator, outgoing: np.ndarray, incoming: np.ndarray, late: np.ndarray) -> list[Field]:
    """Fill CMADE to SECDLWBD: counts of citations, and measures made of them where there are any."""
    count, cites, cited = len(outgoing), late & (outgoing > 0), incoming > 0

    def share() -> Decimal:
        return Decimal(rng.integers(0, 10_001, count), 4)

    return [
        Maybe(Integer(outgoing), late),
        Integer(incoming),
        Maybe(share(), cites),
        Maybe(share(), cited),
        Maybe(share(), cites),
        Maybe(Decimal(rng.integers(10_000, 200_000, count), 4), cited),
        Maybe(Decimal(rng.integers(10_000, 400_000, count), 4), cites),
        *(Maybe(share(), present & (rng.random(count) < 0.5)) for present in (cites, cites, cited, cited)),
    ]
