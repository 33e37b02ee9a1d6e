from datetime import datetime

import numpy as np
import pytest

EVENTS = 6000


@pytest.fixture(scope="module")
def rows(made):
    path = made("reddit-hyperlinks", events=EVENTS) / "soc-redditHyperlinks-body.tsv"
    return [line.split("\t") for line in path.read_text().splitlines()[1:]]


def test_counts_names_and_posts(rows):
    assert len(rows) == EVENTS
    assert len({name for row in rows for name in row[:2]}) == round(35_776 * EVENTS / 286_561)
    assert all(source != target for source, target, *_ in rows)
    posts = [int(row[2][:-1], 36) for row in rows]
    assert rows[0][2] == "1u4nrps"
    assert posts == list(range(posts[0], posts[0] + EVENTS))


def test_written_times_rise_over_the_real_range(rows):
    times = [datetime.strptime(row[3], "%Y-%m-%d %H:%M:%S") for row in rows]
    assert times == sorted(times)
    assert (rows[0][3], rows[-1][3]) == ("2013-12-31 16:39:18", "2017-04-30 16:58:21")


def test_some_links_are_bad_and_properties_depend_on_the_ends(rows):
    values = np.array([[float(value) for value in row[5].split(",")] for row in rows])
    assert values.shape == (EVENTS, 86)
    bad = np.array([row[4] == "-1" for row in rows])
    assert 0.05 < bad.mean() < 0.15
    shape = values[:, 2:] - values[:, 2:].mean(axis=0)
    by_source = {}
    for row, value in zip(rows, shape, strict=True):
        by_source.setdefault(row[0], []).append(value)
    means = np.stack([np.mean(values, axis=0) for values in by_source.values() if len(values) > 20])
    assert means.var(axis=0).mean() > 3 * shape.var(axis=0).mean() / 20
