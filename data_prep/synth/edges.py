"""Lists of timed edges as SNAP shares them: Bitcoin ratings, ``src dst unixtime`` messages, Reddit hyperlinks."""

from typing import Any

import numpy as np

from data_prep.synth.network import Network, Step
from data_prep.synth.output import Bytes, Decimal, Field, Integer, Output, Vector, joined, text_table
from data_prep.synth.published import Request

_DAY = 86_400
_GOOD = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10), (0.62, 0.18, 0.08, 0.03, 0.04, 0.01, 0.01, 0.01, 0.003, 0.017)
_BAD = (-10, -5, -3, -2, -1), (0.68, 0.05, 0.03, 0.06, 0.18)
_HEADER = b"SOURCE_SUBREDDIT\tTARGET_SUBREDDIT\tPOST_ID\tTIMESTAMP\tLINK_SENTIMENT\tPROPERTIES\n"
_FIRST_POST = int("1u4nrp", 36)
_SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnprstvwxyz" for vowel in "aeiou"]
_BASE_36 = np.frombuffer(b"0123456789abcdefghijklmnopqrstuvwxyz", np.uint8)


def write_messages(request: Request, output: Output) -> dict[str, Any]:
    """Write ``src dst unixtime`` lines; return the counts."""
    options, nodes = request.format.options, request.num_nodes
    network = Network(nodes, request.rows, request.format.steps, communities=40, seed=request.seed)
    names = spaced_names(network, request.part_of(options["highest"], least=nodes))
    with output.edges(str(options["file"]), request.rows) as file:
        for step in network:
            time = network.seconds(step, int(options["begin"]), int(options["end"]), burst=0.05)
            fields = Integer(names[step.src]), Integer(names[step.dst]), Integer(time)
            file.write(joined(fields, b" "), len(step))
    return {"nodes": nodes, "events": request.rows}


def spaced_names(network: Network, highest: int) -> np.ndarray:
    """Give nodes ids from 1 to `highest` in the order in which they arrive, with gaps where there are fewer nodes."""
    lower = 1 + np.sort(network.stream(10).permutation(highest - 1)[: network.nodes - 1])
    names = np.empty(network.nodes, np.int64)
    names[network.arrival_order()] = np.concatenate([lower, [highest]])
    return names


def write_bitcoin(request: Request, output: Output) -> dict[str, Any]:
    """Write ``source,target,rating,time`` lines; return the counts."""
    options, nodes = request.format.options, request.num_nodes
    network = Network(nodes, request.rows, request.format.steps, seed=request.seed, repeat=0.0, growth=0.0)
    names = spaced_names(network, request.part_of(options["highest"], least=nodes))
    begin, end = int(options["begin"]), int(options["end"])
    rows: list[np.ndarray] = []
    for step in network:
        time = network.seconds(step, begin, end)
        rows.append(np.stack([names[step.src], names[step.dst], ratings(network, step), time]))
    src, dst, rating, time = np.concatenate(rows, axis=1)
    when: Field
    if options["daily"]:
        # The real file holds one time a day, and lists the ratings that each node got, the best first.
        order = np.lexsort((network.stream(14).random(len(time)), -rating, dst))
        src, dst, rating, time = src[order], dst[order], rating[order], time[order]
        when = Integer(begin + (time - begin) // _DAY * _DAY)
    else:
        # Times do not fall: sorting only puts the fractions within a second in order.
        when = Decimal(np.sort(time * 100_000 + network.stream(14).integers(0, 100_000, len(time))), 5)
    with output.edges(str(options["file"]), request.rows) as file:
        file.write(joined((Integer(src), Integer(dst), Integer(rating), when), b","), request.rows)
    return {"nodes": nodes, "events": request.rows}


def ratings(network: Network, step: Step) -> np.ndarray:
    """Rate members of one's own community well, and others badly now and then."""
    rng = network.stream(13, step.number)
    bad = rng.random(len(step)) < np.where(step.src_community == step.dst_community, 0.04, 0.35)
    return np.where(bad, *(_draw(rng, len(step), *table) for table in (_BAD, _GOOD)))


def _draw(rng: np.random.Generator, number: int, values: tuple[int, ...], shares: tuple[float, ...]) -> np.ndarray:
    at = np.searchsorted(np.cumsum(shares)[:-1], rng.random(number), side="right")
    return np.array(values)[at]


def write_hyperlinks(request: Request, output: Output) -> dict[str, Any]:
    """Write names of subreddits, written dates and 86 properties; return the counts."""
    options, nodes = request.format.options, request.num_nodes
    network = Network(nodes, request.rows, request.format.steps, seed=request.seed, growth=0.5)
    names = _names(network.stream(10).permutation(nodes))
    number = _FIRST_POST
    with output.edges(str(options["file"]), request.rows, _HEADER) as file:
        for step in network:
            time = network.seconds(step, int(options["begin"]), int(options["end"]))
            post = _posts(number + np.arange(len(step)))
            fields = [Bytes(table) for table in (names[step.src], names[step.dst], post, _written(time))]
            properties = joined(_properties(network, step, int(options["dim"])), b",")
            file.write([*joined([*fields, _sentiment(network, step)], b"\t", end=b"\t"), *properties], len(step))
            number += len(step)
    return {"nodes": nodes, "events": request.rows, "properties": int(options["dim"])}


def _sentiment(network: Network, step: Step) -> Field:
    """Draw 1 or -1, the latter more often between communities."""
    shares = np.where(step.src_community == step.dst_community, 0.04, 0.25)
    return Integer(np.where(network.stream(30, step.number).random(len(step)) < shares, -1, 1))


def _properties(network: Network, step: Step, dim: int) -> list[Field]:
    """Draw two counts, and numbers that tell the communities apart."""
    rng = network.stream(31, step.number)
    centres = network.stream(32).random((2, network.communities, dim - 2))
    letters = rng.integers(20, 2000, len(step))
    values = centres[0, step.src_community] + centres[1, step.dst_community] + rng.random((len(step), dim - 2))
    return [Decimal(10 * letters, 1), Decimal(letters * 4 // 5 * 10, 1), Vector(np.rint(values * 2e5).astype(np.int32))]


def _names(numbers: np.ndarray) -> np.ndarray:
    """Make up names: the syllables of a number, and for some of them a year or a word."""
    texts = []
    for number in numbers.tolist():
        ending = ("", "", "", "2014", "_pics", "_talk")[number % 6]
        texts.append(_syllables(100 + number) + ending)
    return text_table(texts)


def _syllables(number: int) -> str:
    text = ""
    while number:
        number, low = divmod(number, len(_SYLLABLES))
        text = _SYLLABLES[low] + text
    return text


def _posts(numbers: np.ndarray) -> np.ndarray:
    """Write numbers to the base of 36, six digits each, and the ``s`` that ends the name of a post there."""
    digits = _BASE_36[numbers[:, None] // 36 ** np.arange(5, -1, -1) % 36]
    return np.pad(digits, ((0, 0), (0, 1)), constant_values=ord("s"))


def _written(seconds: np.ndarray) -> np.ndarray:
    """Write times like ``2013-12-31 16:39:18``."""
    dates = np.datetime_as_string(seconds.astype("datetime64[s]"), unit="s").astype("S19")
    table = dates.view(np.uint8).reshape(len(seconds), 19)
    table[:, 10] = ord(" ")
    return table
