import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.synth.network import Network, Votes
from dgl_dysign.errors import ConfigError

SIZES = {"nodes": 2000, "events": 40_000, "steps": 20}


def run(network):
    steps = list(network)
    number = np.repeat([step.number for step in steps], [len(step) for step in steps])
    return steps, number, np.concatenate([np.stack([step.src, step.dst]) for step in steps], axis=1)


@settings(max_examples=40, deadline=None)
@given(
    nodes=st.integers(40, 400),
    more=st.integers(0, 800),
    steps=st.integers(1, 9),
    ends=st.sampled_from(["same", "two", "cite"]),
    classes=st.integers(1, 5),
    repeat=st.sampled_from([0.0, 0.5, 1.0]),
    growth=st.sampled_from([0.0, 2.0]),
    seed=st.integers(0, 9),
)
def test_counts_are_exact_and_each_node_arrives_when_it_says(nodes, more, steps, ends, seed, repeat, **options):
    repeat = 0.0 if ends == "cite" else repeat
    network = Network(nodes, nodes + more, steps, ends=ends, seed=seed, repeat=repeat, **options)
    made, number, (src, dst) = run(network)
    assert [len(step) for step in made] == network.sizes.tolist()
    assert min(network.sizes) >= 1
    assert len(src) == nodes + more
    assert (src != dst).all()
    first = np.full(nodes, steps)
    np.minimum.at(first, src, number)
    np.minimum.at(first, dst, number)
    assert np.array_equal(first, network.arrival)
    assert network.communities % options["classes"] == 0
    if ends != "same":
        assert not network.is_passive[src].any()
    if ends == "two":
        assert network.is_passive[dst].all()
    if ends == "cite":
        assert (network.arrival[src] == number).all()
        assert (network.is_passive[dst] | (network.arrival[dst] < number)).all()


def test_equal_seeds_give_equal_events_and_others_do_not():
    first, again, other = (run(Network(**SIZES, seed=seed))[2] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_events_stay_in_communities_as_often_as_they_should():
    for mixing in (0.0, 0.2, 1.0):
        steps, _, _ = run(Network(**SIZES, mixing=mixing, repeat=0.0))
        inside = np.concatenate([step.src_community == step.dst_community for step in steps])
        shuffled = [np.random.default_rng(0).permutation(step.src_community) == step.dst_community for step in steps]
        chance = np.concatenate(shuffled).mean()
        # New nodes that are acted on are met by anyone.
        assert inside.mean() == pytest.approx(1 - mixing + mixing * chance, abs=0.06)
    assert chance < 0.2


def test_degrees_follow_the_tail():
    for tail in (1.4, 2.5):
        network = Network(20_000, 600_000, 10, tail=tail, mixing=1.0, repeat=0.0, ends="two", passive=10_000)
        _, _, (src, _) = run(network)
        # Of nodes that were there from the start: the least active tenth falls out, where single events blur the law.
        old = np.flatnonzero((network.arrival == 0) & ~network.is_passive)
        degree = np.sort(np.bincount(src, minlength=20_000)[old])[::-1]
        top = degree[4 : len(degree) // 10]
        slope = np.polyfit(np.log(np.arange(5, 5 + len(top))), np.log(top), 1)[0]
        assert -1 / slope == pytest.approx(tail, rel=0.25)


def test_communities_drift():
    def changed(moves):
        seen, now = {}, {}
        for step in Network(**SIZES, moves=moves):
            for node, community in zip(step.src.tolist(), step.src_community.tolist(), strict=True):
                seen.setdefault(node, community)
                now[node] = community
        return np.mean([seen[node] != now[node] for node in seen])

    assert changed(0.0) == 0
    assert 0.1 < changed(0.5) < changed(3.0)


def test_drift_shows_in_who_meets_whom():
    """Pairs of nodes that met early meet again late less often than pairs that met late."""
    _, number, (src, dst) = run(Network(**SIZES, moves=3.0, repeat=0.0, mixing=0.0, growth=0.0))
    pair = src * 2000 + dst
    late = np.unique(pair[number >= 18])
    before, early = (np.isin(np.unique(pair[(number >= a) & (number < b)]), late).mean() for a, b in ((16, 18), (0, 2)))
    assert before > 1.5 * early


def test_events_repeat_the_nearer_the_more_often():
    def again(repeat):
        _, _, (src, dst) = run(Network(**SIZES, repeat=repeat))
        return 1 - len(np.unique(src * 2000 + dst)) / len(src)

    shares = [again(repeat) for repeat in (0.0, 0.4, 0.8)]
    assert shares[0] < 0.35
    assert np.all(np.diff(shares) > 0.1)
    _, _, pairs = run(Network(**SIZES, repeat=0.5))
    gaps = [(pairs[:, gap:] == pairs[:, :-gap]).all(axis=0).mean() for gap in (1, 10, 1000)]
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2]


def test_labels_come_from_communities_the_later_the_more():
    network = Network(**SIZES, classes=4, moves=2.0)
    votes = Votes(network, memory=0.6)
    halfway = None
    for step in network:
        votes.add(step)
        if step.number == 12:
            halfway = votes.labels(noise=0)
    last = dict(zip(step.src.tolist(), (step.src_community % 4).tolist(), strict=True))
    labels = votes.labels(noise=0)
    nodes, classes = np.array(list(last)), np.array(list(last.values()))
    assert (labels[nodes] == classes).mean() > 0.75
    assert (labels[nodes] == classes).mean() > (halfway[nodes] == classes).mean() + 0.1
    noisy = votes.labels(noise=0.5)
    assert (noisy == labels).mean() == pytest.approx(0.5 + 0.5 / 4, abs=0.05)
    assert np.argmax(np.bincount(labels)) == 0


def test_the_order_of_arrival_is_one_and_does_not_tell_the_activity():
    network = Network(**SIZES)
    order = network.arrival_order()
    assert np.array_equal(np.sort(order), np.arange(2000))
    assert (np.diff(network.arrival[order]) >= 0).all()
    assert abs(np.corrcoef(order, np.arange(2000))[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": 100, "events": 50, "steps": 5}, "found 50 events of 100 nodes in 5 steps"),
        ({"nodes": 10, "events": 50, "steps": 60}, "found 50 events of 10 nodes in 60 steps"),
        ({"nodes": 10, "events": 50, "steps": 5, "passive": 0}, "found 10 nodes that act and 0 that do not"),
        (
            {"nodes": 10, "events": 50, "steps": 5, "passive": 7, "ends": "cite", "repeat": 0.0},
            "found 3 nodes .* expected 5 and 1",
        ),
        ({"nodes": 10, "events": 50, "steps": 5, "ends": "cite"}, "repeat: found 0.2, expected 0"),
    ],
)
def test_too_little_of_anything_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Network(**options)


def times(begin, end, burst=0.0):
    network = Network(nodes=200, events=5000, steps=7)
    return [network.seconds(step, begin, end, burst) for step in network]


def test_times_rise_from_the_first_to_the_last_second_and_steps_are_equally_long():
    steps = times(1000, 7999)
    every = np.concatenate(steps)
    assert (every[0], every[-1], len(every)) == (1000, 7999, 5000)
    assert (np.diff(every) >= 0).all()
    assert [(step // 1000).tolist() for step in steps] == [[number] * len(step) for number, step in enumerate(steps, 1)]


def test_bursts_share_a_second():
    ties = [np.mean(np.diff(np.concatenate(times(0, 10**12, burst))) == 0) for burst in (0.0, 0.3)]
    assert ties[0] == 0
    assert abs(ties[1] - 0.3) < 0.03
