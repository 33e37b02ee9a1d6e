import pytest

from data_prep.synth.published import FORMATS, Request
from dgl_dysign.errors import ConfigError

PUBLISHED = {
    "tmall": (577_314, 4_807_545),
    "patent": (2_738_012, 13_960_811),
    "wikipedia": (8_227 + 1_000, 157_474),
    "reddit": (10_000 + 984, 672_447),
    "bitcoin-otc": (5_881, 35_592),
    "bitcoin-alpha": (3_783, 24_186),
    "college-msg": (1_899, 59_835),
    "wiki-talk": (1_140_149, 7_833_140),
    "stack-overflow": (2_601_977, 63_497_050),
    "reddit-hyperlinks": (35_776, 286_561),
    "reddit-title": (54_075, 571_927),
}


def test_published_sizes():
    assert {name: (form.nodes, form.events) for name, form in FORMATS.items()} == PUBLISHED
    assert (FORMATS["tmall"].steps, FORMATS["patent"].steps, FORMATS["wikipedia"].steps) == (186, 25, 744)
    assert [FORMATS[name].options["positive"] for name in ("wikipedia", "reddit")] == [217, 366]


@pytest.mark.parametrize("name", FORMATS)
def test_full_scale_is_the_published_size(name):
    request = Request(name, scale=1)
    assert (request.num_nodes, request.rows) == PUBLISHED[name]
    assert Request(name, events=request.rows).num_nodes == request.num_nodes


def test_originals_of_patents_have_rows_of_their_own():
    assert [Request("patent", scale=1, form=form).rows for form in FORMATS["patent"].forms] == [
        13_960_811, 16_522_438, 16_522_438,
    ]  # fmt: skip
    assert Request("patent", scale=1, form="nber").num_nodes == 2_738_012


def test_defaults_are_small_and_the_first_form():
    for name in FORMATS:
        assert 24_000 <= Request(name).rows <= 330_000 or name in ("wikipedia", "reddit")
    assert Request("reddit").chosen_form == "jodie"
    assert Request("tmall").chosen_form is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "cora"}, "name: found 'cora', expected tmall, patent"),
        ({"name": "tmall", "scale": 0.5, "events": 1000}, "found both a scale and a number of events"),
        ({"name": "tmall", "scale": 1.5}, "scale: found 1.5, expected more than 0 and at most 1"),
        ({"name": "tmall", "scale": float("nan")}, "scale: found nan"),
        ({"name": "tmall", "scale": 0.0}, "scale: found 0.0"),
        ({"name": "tmall", "scale": 1e-6}, "tmall: found 5 events to make, expected 400 to 4807545"),
        ({"name": "tmall", "events": 5_000_000}, "found 5000000 events to make, expected 400 to 4807545"),
        ({"name": "tmall", "seed": -1}, "seed: found -1, expected 0 or more"),
        ({"name": "tmall", "form": "tgl"}, "form: found 'tgl', expected none, as there is one form only"),
        ({"name": "patent", "form": "tgl"}, "form: found 'tgl', expected spikenet, nber, snap"),
    ],
)
def test_impossible_requests_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Request(**options)
