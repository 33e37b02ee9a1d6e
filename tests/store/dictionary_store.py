"""The store of the reference, written down with dictionaries and without haste: what the real one must equal."""

import math
from collections import defaultdict

UNIT = 2**20
FINE = 2**12


def cohesion(edges):
    """Return log2 of C from distinct ``(src, dst, weight)``; logarithms, because a hub's C underflows."""
    ends = degree_of(edges)
    terms = defaultdict(list)
    for src, dst, weight in edges:
        for node, other in {(src, dst), (dst, src)}:
            a, b = ends[node], ends[other]
            terms[node].append((a / b if a <= b else -a / b) + math.log(weight))
    return {
        node: max(powers) / math.log(2) + math.log2(math.fsum(math.exp(power - max(powers)) for power in powers))
        for node, powers in terms.items()
    }


def degree_of(edges, weighted=False):
    ends = defaultdict(float)
    for src, dst, weight in edges:
        ends[src] += weight if weighted else 1
        ends[dst] += weight if weighted else 1
    return ends


def core(edges):
    near = defaultdict(set)
    for src, dst, _ in edges:
        near[src].add(dst)
        near[dst].add(src)
    number, k = {}, 0
    left = {node: others - {node} for node, others in near.items()}
    while left:
        node = min(left, key=lambda v: len(left[v]))
        k = max(k, len(left[node]))
        number[node] = k
        for other in left.pop(node):
            left[other].discard(node)
    return number


def log2_importance(name, edges):
    if name == "cohesion":
        return cohesion(edges)
    values = {"degree": degree_of(edges, weighted=True), "core": core(edges)}.get(name)
    if values is None:
        values = dict.fromkeys(degree_of(edges), 1.0)
    return {node: math.log2(value) if value else -math.inf for node, value in values.items()}


class DictionaryStore:
    """Lists of (key, snapshot, -hop, -neighbour, edge id, type): a greater tuple is a better entry."""

    def __init__(
        self, num_neighbors=16, num_hops=2, hop_decay=0.1, snapshot_decay=0.05, importance="cohesion", direction="both",
        directed=True, slots_per_type=False,
    ):  # fmt: skip
        self.num_neighbors, self.num_hops = num_neighbors, num_hops
        self.hop = round(UNIT * FINE * math.log2(hop_decay))
        self.decay = round(UNIT * FINE * math.log2(snapshot_decay))
        self.importance, self.direction, self.directed = importance, direction, directed
        self.slots_per_type = slots_per_type
        self.lists = {}
        self.next_edge_id = 0

    def insert(self, snapshot, src, dst, edge_id=None, weight=None, edge_type=None):
        events = {}
        for row, (u, v) in enumerate(zip(src, dst, strict=True)):
            pair = (u, v) if self.directed else (min(u, v), max(u, v))
            event = (-1 if edge_id is None else edge_id[row], 1.0 if weight is None else weight[row])
            kind = 0 if edge_type is None else edge_type[row]
            name = (*pair, kind)
            events[name] = max(event, events.get(name, event))
        edges = []
        for number, (pair, (edge, w)) in enumerate(sorted(events.items())):
            edges.append((*pair, edge if edge_id is not None else self.next_edge_id + number, w))
        score = log2_importance(self.importance, [(u, v, w) for u, v, _, _, w in edges])
        direct = defaultdict(list)
        for u, v, kind, edge, w in edges:
            for node, other, way in ((u, v, "out"), (v, u, "in")):
                if u != v and self.direction in (way, "both"):
                    units = -(2**50) if score[other] == -math.inf else round(UNIT * score[other])
                    key = (units + round(UNIT * math.log2(w))) * FINE - snapshot * self.decay
                    direct[node].append((key, snapshot, -1, -other, edge, kind))
        self.lists |= {node: self._best(node, self._candidates(node, direct)) for node in list(direct)}
        self.next_edge_id = max([self.next_edge_id, *(edge + 1 for _, _, _, edge, _ in edges)])

    def _candidates(self, node, direct):
        yield from self.lists.get(node, ())
        yield from direct[node]
        for other in {-entry[3] for entry in direct[node]}:
            for key, time, hop, *rest in self.lists.get(other, []) + direct[other]:
                if 1 - hop <= self.num_hops:
                    yield (key + self.hop, time, hop - 1, *rest)

    def _best(self, node, candidates):
        best = {}
        for entry in candidates:
            name = (entry[3], entry[4], entry[5] if self.slots_per_type else 0)
            if entry[3] != -node:
                best[name] = max(entry, best.get(name, entry))
        ranked, used = [], defaultdict(int)
        for entry in sorted(best.values(), reverse=True):
            section = entry[5] if self.slots_per_type else 0
            used[section] += 1
            if used[section] <= self.num_neighbors:
                ranked.append(entry)
        return ranked

    def entries(self, node):
        """Return (neighbour, edge id, snapshot, hop, type) of a node, the best first."""
        return [(-near, edge, time, -hop, kind) for _, time, hop, near, edge, kind in self.lists.get(node, ())]
