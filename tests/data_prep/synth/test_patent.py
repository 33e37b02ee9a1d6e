import csv
import json
from datetime import date, timedelta

import numpy as np
import pytest

from data_prep.synth.patent import tuesdays

EVENTS = 8000
NODES = round(2_738_012 * EVENTS / 13_960_811)


@pytest.fixture(scope="module")
def spikenet(made):
    """Read edges and nodes."""
    folder = made("patent", events=EVENTS)
    return [
        np.array([json.loads(line) for line in (folder / f"patent_{kind}.json").read_text().splitlines()])
        for kind in ("edges", "nodes")
    ]


@pytest.fixture(scope="module")
def nber(made):
    """Read citations and the rows of patents."""
    folder = made("patent", events=EVENTS, form="nber")
    with (folder / "apat63_99.txt").open(newline="") as file:
        rows = list(csv.DictReader(file))
    cites = np.loadtxt(folder / "cite75_99.txt", delimiter=",", skiprows=1, dtype=int)
    return cites, rows, json.loads((folder / "synth.json").read_text())


def test_nodes_are_all_there_and_in_order(spikenet):
    edges, nodes = spikenet
    assert (len(edges), len(nodes)) == (EVENTS, NODES)
    assert np.array_equal(nodes[:, 0], np.arange(NODES))
    assert np.array_equal(np.unique(edges[:, :2]), np.arange(NODES))
    assert len(np.unique(nodes[:, 1])) == NODES
    assert set(nodes[:, 3]) == set(range(1, 7))
    assert np.array_equal(edges[:, 3:], nodes[edges[:, :2], 1])


def test_a_citation_has_the_date_of_the_citing_patent_and_looks_back(spikenet):
    edges, nodes = spikenet
    dates = nodes[:, 2]
    assert (np.diff(dates) >= 0).all()
    assert (np.diff(edges[:, 2]) >= 0).all()
    assert np.array_equal(edges[:, 2], dates[edges[:, 0]])
    assert (dates[edges[:, 1]] <= edges[:, 2]).all()
    assert set(edges[:, 2] // 10_000) == set(range(1975, 2000))
    days = [date(day // 10_000, day // 100 % 100, day % 100) for day in np.unique(dates).tolist()]
    assert {day.weekday() for day in days} == {1}


def test_a_patent_that_is_only_cited_has_the_date_of_its_first_citation(spikenet):
    edges, nodes = spikenet
    cites = np.isin(nodes[:, 0], edges[:, 0])
    assert 0.7 < cites.mean() < 0.8
    first = np.full(NODES, 99_999_999)
    np.minimum.at(first, edges[:, 1], edges[:, 2])
    assert np.array_equal(first[~cites], nodes[~cites, 2])
    assert ((nodes[:, 1] >= 3_858_241) == cites).all()
    numbers = nodes[cites, 1]
    assert (np.diff(numbers) > 0).all()
    assert numbers.max() < 6_009_555


def test_classes_can_be_told_from_citations(spikenet):
    edges, nodes = spikenet
    same = (nodes[edges[:, 0], 3] == nodes[edges[:, 1], 3]).mean()
    share = np.bincount(nodes[:, 3]) / NODES
    assert same > 2 * (share**2).sum()
    received = np.bincount(edges[:, 1])
    assert received.max() > 15 * received[received > 0].mean()


def test_nber_citations_are_those_of_patents_with_rows_and_of_older_ones(nber):
    cites, rows, said = nber
    known = np.array([int(row["PATENT"]) for row in rows])
    assert len(cites) == EVENTS
    assert np.isin(cites[:, 0], known).all()
    unknown = ~np.isin(cites[:, 1], known)
    assert unknown.sum() == said["unknown_cited"] == round(EVENTS * (1 - 13_960_811 / 16_522_438))
    assert cites[unknown, 1].max() < 3_070_801
    assert (np.diff(cites[:, 0]) >= 0).all()
    in_events = np.unique(np.concatenate([cites[:, 0], cites[~unknown, 1]]))
    assert len(in_events) == said["nodes"]
    assert len(known) - len(in_events) == said["isolated"] > 0


def test_the_23_columns_agree_with_each_other_and_with_the_citations(nber):
    cites, rows, _ = nber
    assert len(rows[0]) == 23
    number = np.array([int(row["PATENT"]) for row in rows])
    assert (np.diff(number) > 0).all()
    days = [date(1960, 1, 1) + timedelta(int(row["GDATE"])) for row in rows]
    years = np.array([int(row["GYEAR"]) for row in rows])
    assert [day.year for day in days] == years.tolist()
    assert (np.diff(years) >= 0).all()
    assert ((number >= 3_858_241) == (years >= 1975)).all()
    assert {row["CAT"] for row in rows} == set("123456")
    assert all(row["SUBCAT"][0] == row["CAT"] for row in rows)
    assert all((row["CMADE"] == "") == (year < 1975) for row, year in zip(rows, years, strict=True))
    assert [int(row["CMADE"] or 0) for row in rows] == [np.count_nonzero(cites[:, 0] == n) for n in number]
    assert [int(row["CRECEIVE"]) for row in rows] == [np.count_nonzero(cites[:, 1] == n) for n in number]
    empty = [sum(value == "" for value in row.values()) for row in rows]
    assert min(empty) < 3
    assert max(empty) > 10


def test_snap_has_the_same_citations_under_comments(made, nber):
    folder = made("patent", events=EVENTS, form="snap")
    assert np.array_equal(np.loadtxt(folder / "cit-Patents.txt", delimiter="\t", dtype=int), nber[0])
    comments = [line for line in (folder / "cit-Patents.txt").read_text().splitlines() if line.startswith("#")]
    assert comments[1:] == [f"# Edges: {EVENTS}", "# FromNodeId\tToNodeId"]
    original = made("patent", events=EVENTS, form="nber")
    assert (folder / "apat63_99.txt").read_bytes() == (original / "apat63_99.txt").read_bytes()


def test_tuesdays():
    assert (tuesdays(1975)[0], tuesdays(1975)[10], tuesdays(1999)[-1]) == (19750107, 19750318, 19991228)
