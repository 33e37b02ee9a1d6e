"""NBER's patent files: ``cite75_99.txt`` (or SNAP's ``cit-Patents.txt``) and the 23 columns of ``apat63_99.txt``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from data_prep.synth.output import Output
from data_prep.synth.text import Choice, Decimal, Field, Integer, Maybe, joined

if TYPE_CHECKING:
    from data_prep.synth.patent import Patents

_FIRST_OF_1963, _FIRST_OF_1975, _AFTER_1999 = 3_070_801, 3_858_241, 6_009_555
_NAMES = (
    "PATENT,GYEAR,GDATE,APPYEAR,COUNTRY,POSTATE,ASSIGNEE,ASSCODE,CLAIMS,NCLASS,CAT,SUBCAT,CMADE,CRECEIVE,RATIOCIT,"
    "GENERAL,ORIGINAL,FWDAPLAG,BCKGTLAG,SELFCTUB,SELFCTLB,SECDUPBD,SECDLWBD"
)
_HEADER = ",".join(f'"{name}"' for name in _NAMES.split(",")) + "\n"
_COUNTRIES = ('"US"', '"US"', '"US"', '"JP"', '"DE"', '"FR"', '"GB"', '"BE"')
_STATES = ('"CA"', '"NY"', '"IL"', '"TX"', '"NJ"', '"OH"')


def numbers_late(acting: int, isolated: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the patent numbers of 1975 to 1999, rising: all, and those of the patents that cite."""
    total = acting + isolated
    numbers = _FIRST_OF_1975 + np.arange(total) * (_AFTER_1999 - _FIRST_OF_1975) // total
    return numbers, np.delete(numbers, (2 * np.arange(isolated) + 1) * total // max(2, 2 * isolated))


def numbers_early(cited: int, isolated: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the patent numbers of 1963 to 1974, rising: all, and those of the patents that are cited, in any order."""
    total = cited + isolated
    numbers = _FIRST_OF_1963 + np.arange(total) * (_FIRST_OF_1975 - _FIRST_OF_1963) // total
    return numbers, rng.permutation(numbers)[:cited]


def write(patents: Patents, rows: int, unknown: int, form: str, output: Output) -> None:
    """Write the citations, of which some go to patents before 1963 that have no row, and the patents."""
    snap = form == "snap"
    header = '"CITING","CITED"\n'
    if snap:
        # The real file also counts its nodes there.
        header = f"# Directed graph: cit-Patents.txt (generated)\n# Edges: {rows}\n# FromNodeId\tToNodeId\n"
    made, received = np.zeros((2, patents.network.nodes), np.int64)
    name, comma = ("cit-Patents.txt", b"\t") if snap else ("cite75_99.txt", b",")
    added = np.diff(np.rint(unknown * np.cumsum(patents.network.sizes) / (rows - unknown)).astype(np.int64), prepend=0)
    with output.edges(name, rows, header.encode()) as file:
        for year, src, dst in patents.citations():
            src, cited = _add_unknown(patents, year, src, dst, int(added[year - 1975]))
            file.write(joined((Integer(patents.number[src]), Integer(cited)), comma), len(src))
            made += np.bincount(src, minlength=len(made))
            received += np.bincount(dst, minlength=len(made))
    _write_table(patents, made, received, output)


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


def _write_table(patents: Patents, made: np.ndarray, received: np.ndarray, output: Output) -> None:
    number = np.concatenate([patents.early, patents.late])
    count = len(number)
    place = np.searchsorted(number, patents.number)
    rng = patents.network.stream(42)

    def spread(values: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
        otherwise[place] = values
        return otherwise

    year, day = _granted(patents, number, place)
    late = number >= _FIRST_OF_1975
    made, received = (spread(values, np.zeros(count, np.int64)) for values in (made, received))
    cat = 1 + spread(patents.votes.labels(), rng.integers(0, patents.network.classes, count))
    kind = Integer(cat), Integer(10 * cat + rng.integers(1, 10, count))
    measures = _measures(rng, made, received, late)
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


def _measures(rng: np.random.Generator, made: np.ndarray, received: np.ndarray, late: np.ndarray) -> list[Field]:
    """Fill CMADE to SECDLWBD: counts of citations, and measures made of them where there are any."""
    count, cites, cited = len(made), late & (made > 0), received > 0

    def share() -> Decimal:
        return Decimal(rng.integers(0, 10_001, count), 4)

    return [
        Maybe(Integer(made), late),
        Integer(received),
        Maybe(share(), cites),
        Maybe(share(), cited),
        Maybe(share(), cites),
        Maybe(Decimal(rng.integers(10_000, 200_000, count), 4), cited),
        Maybe(Decimal(rng.integers(10_000, 400_000, count), 4), cites),
        *(Maybe(share(), present & (rng.random(count) < 0.5)) for present in (cites, cites, cited, cited)),
    ]
