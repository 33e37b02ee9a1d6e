"""Reddit hyperlinks as SNAP shares them: names of subreddits, written dates and 86 properties."""

from typing import Any

import numpy as np

from data_prep.synth.clock import seconds
from data_prep.synth.network import Network, Step
from data_prep.synth.output import Output
from data_prep.synth.published import Request
from data_prep.synth.text import Bytes, Decimal, Field, Integer, Vector, joined, text_table

_HEADER = b"SOURCE_SUBREDDIT\tTARGET_SUBREDDIT\tPOST_ID\tTIMESTAMP\tLINK_SENTIMENT\tPROPERTIES\n"
_FIRST_POST = int("1u4nrp", 36)
_SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnprstvwxyz" for vowel in "aeiou"]
_BASE_36 = np.frombuffer(b"0123456789abcdefghijklmnopqrstuvwxyz", np.uint8)


def write(request: Request, output: Output) -> dict[str, Any]:
    """Write the edge file; return the counts."""
    options, nodes = request.format.options, request.num_nodes
    network = Network(nodes, request.rows, request.format.steps, seed=request.seed, growth=0.5)
    names = _names(network.stream(10).permutation(nodes))
    number = _FIRST_POST
    with output.edges(str(options["file"]), request.rows, _HEADER) as file:
        for step in network:
            time = seconds(network, step, int(options["begin"]), int(options["end"]))
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
