"""Wikipedia and Reddit: JODIE's CSV, or the forms that TGN / DyGLib and TGL make of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_prep.synth.network import Network
from data_prep.synth.output import Decimal, Integer, Output, Vector, joined
from data_prep.synth.published import Request

_HEADER = b"user_id,item_id,timestamp,state_label,comma_separated_list_of_features\n"
_BLOCK = 4096
"""Rows of features with a random stream of their own."""
_PERIODS = 4
"""Parts of the time, in each of which another community is in trouble."""


@dataclass(frozen=True)
class Events:
    """All events in order: ids from 0 for users and for items, in the order in which they appear."""

    network: Network
    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    community: np.ndarray
    label: np.ndarray
    num_users: int
    dim: int

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        """User, item, time and label."""
        return self.user, self.item, self.time, self.label

    def features(self) -> Iterator[np.ndarray]:
        """Give the features of 4,096 events at a time, in millionths: communities of both ends, and noise."""
        scale = np.float32(0.3)
        centres = self.network.stream(20).standard_normal((2, self.network.communities, self.dim), np.float32)
        for block in range(-(-len(self.user) // _BLOCK)):
            rows = slice(block * _BLOCK, (block + 1) * _BLOCK)
            of_user, of_item = (centres[end][self.community[end, rows]] for end in (0, 1))
            noise = self.network.stream(21, block).standard_normal(of_user.shape, np.float32)
            values = np.clip(scale * (of_user + of_item + noise), -9, 9)
            yield np.rint(values * np.float32(1e6)).astype(np.int32)


def write(request: Request, output: Output) -> dict[str, Any]:
    """Write the edge file (and for ``dyglib`` the array of features); return the counts."""
    events = make_events(request)
    _FORMS[str(request.chosen_form)](request.name, events, output)
    users, items = events.num_users, request.num_nodes - events.num_users
    counts = {"nodes": users + items, "users": users, "items": items, "events": request.rows}
    return {**counts, "positive": int(events.label.sum()), "features": events.dim}


def make_events(request: Request) -> Events:
    """Draw all events."""
    options, nodes = request.format.options, request.num_nodes
    items = min(nodes - 2, request.part_of(options["items"], least=2))
    steps = min(request.format.steps, nodes - items, request.rows // 8)
    network = Network(
        nodes, request.rows, steps, ends="two", passive=items, seed=request.seed, repeat=0.5, growth=0.0, moves=1.0
    )
    chunks = [
        (
            step.src,
            step.dst,
            network.seconds(step, 0, int(options["last_time"])),
            step.src_community,
            step.dst_community,
        )
        for step in network
    ]
    src, dst, time, *community = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    positive = min(nodes - items, request.part_of(options["positive"]))
    label = _trouble(network, src, time, np.stack(community), positive)
    user, item = _by_appearance(src), _by_appearance(dst)
    return Events(network, user, item, time, np.stack(community), label, nodes - items, int(options["dim"]))


def _by_appearance(ids: np.ndarray) -> np.ndarray:
    """Give ids from 0 in the order in which they first appear."""
    _, first, which = np.unique(ids, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[which]


def _trouble(network: Network, user: np.ndarray, time: np.ndarray, community: np.ndarray, positive: int) -> np.ndarray:
    """Label some users' last events: rather in the community that is in trouble then, and outside the user's own.

    Weights are drawn from without replacement: the largest of log-weight plus Gumbel noise.
    """
    last = np.zeros(network.nodes, np.int64)
    last[user] = np.arange(len(user))
    last = np.unique(last[user])
    own, met = community[:, last]
    period = time[last] * _PERIODS // (time[-1] + 1)
    rng = network.stream(22)
    weight = np.log(60) * (own == trouble_of(period, network.communities)) + np.log(3) * (own != met)
    score = weight + rng.gumbel(size=len(last))
    label = np.zeros(len(user), np.int64)
    label[last[np.argsort(score)[len(last) - positive :]]] = 1
    return label


def trouble_of(period: np.ndarray, communities: int) -> np.ndarray:
    """Return the community that is in trouble in a quarter of the time."""
    return (3 * period + 1) % communities


def _write_jodie(name: str, events: Events, output: Output) -> None:
    with output.edges(f"{name}.csv", len(events.user), _HEADER) as file:
        done = 0
        for block in events.features():
            rows = slice(done, done + len(block))
            user, item, time, label = (column[rows] for column in events.columns)
            fields = Integer(user), Integer(item), Decimal(10 * time, 1), Integer(label), Vector(block)
            file.write(joined(fields, b","), len(block))
            done = rows.stop


def _write_dyglib(name: str, events: Events, output: Output) -> None:
    count = len(events.user)
    user, item, time, label = events.columns
    row = np.arange(count)
    ids = Integer(row), Integer(user + 1), Integer(item + events.num_users + 1)
    line = joined([*ids, Decimal(10 * time, 1), Decimal(10 * label, 1), Integer(row + 1)], b",")
    with output.edges(f"ml_{name}.csv", count, b",u,i,ts,label,idx\n") as file:
        file.write(line, count)
    with (output.folder / f"ml_{name}.npy").open("wb") as array:
        shape = (count + 1, events.dim)
        np.lib.format.write_array_header_1_0(array, {"descr": "<f8", "fortran_order": False, "shape": shape})
        # Event 0 does not exist there: it stands for "no event".
        array.write(np.zeros(events.dim).tobytes())
        for block in events.features():
            array.write((block / 1e6).astype("<f8").tobytes())


def _write_tgl(name: str, events: Events, output: Output) -> None:
    count = len(events.user)
    user, item, time, _ = events.columns
    # Training, validation and test: 70, 15 and 15 %, drawn (interpolation) or in order of time (extrapolation).
    bounds = np.array([0.7, 0.85])
    drawn = np.searchsorted(bounds, events.network.stream(23).random(count), side="right")
    in_order = np.searchsorted(bounds * count, np.arange(count), side="right")
    ids = Integer(np.arange(count)), Integer(user), Integer(item + events.num_users)
    line = joined([*ids, Decimal(10 * time, 1), Integer(drawn), Integer(in_order)], b",")
    with output.edges("edges.csv", count, b",src,dst,time,int_roll,ext_roll\n") as file:
        file.write(line, count)


_FORMS = {"jodie": _write_jodie, "dyglib": _write_dyglib, "tgl": _write_tgl}
