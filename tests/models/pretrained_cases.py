"""Prepared folders that grow, with more nodes, other numbers, another shape; and models whose every weight matters."""

import numpy as np
import torch

from dgl_dysign.data import TemporalGraph
from dgl_dysign.models import DySIGN, LabelInputs, LinkScorer, NodeInputs, SpikingUnderGS, UnderGS
from dgl_dysign.pairs import LinkFeatures
from tests.folders import write_folder

NODES, CLASSES, WIDTH, SNAPSHOTS = 30, 3, 4, 6
INPUTS = NodeInputs(decay=0.5, hops=(0, 1))
KINDS = ["dysign", "label-aware", "undergs", "mixer", "spiking", "spiking-ids"]
BY_NODE = ["undergs", "mixer", "spiking-ids"]  # models with something of each node


def events(snapshots=SNAPSHOTS, nodes=NODES, seed=0):
    """Return rows (snapshot, src, dst, time, edge id); those of a snapshot do not depend on how many there are."""
    rows = []
    for t in range(snapshots):
        rng = np.random.default_rng([seed, t])
        src, dst = rng.integers(nodes, size=(2, 40))
        keep = src != dst
        times = np.sort(rng.random(40)) * 10 + 10 * t
        rows += [(t, int(u), int(v), float(w)) for u, v, w in zip(src[keep], dst[keep], times[keep], strict=True)]
    return [(*row, number) for number, row in enumerate(rows)]


def folder(
    path, snapshots=SNAPSHOTS, nodes=NODES, *, order=None, seed=0, width=WIDTH, rows=None, ranges=None, **changes
):
    """Write a folder; nodes beyond ``NODES`` have no events, `order` says which number each of them has."""
    rows = events(snapshots, seed=seed) if rows is None else rows
    order = np.arange(nodes) if order is None else np.asarray(order)
    names = np.empty(nodes, object)
    names[order] = [str(1000 + node) for node in range(nodes)]
    moved = [(t, int(order[u]), int(order[v]), time, number) for t, u, v, time, number in rows]
    features = []
    for t in range(snapshots):
        values = np.zeros((nodes, width), np.float32)
        values[order[:NODES]] = np.random.default_rng([1, t]).normal(size=(NODES, width))
        features.append(values)
    labels = {int(order[node]): node % CLASSES for node in range(NODES)}
    options = {
        "node_features": features,
        "node_labels": dict(sorted(labels.items())),
        "raw_ids": list(names),
        "directed": False,
        "features": None,
        **changes,
    }
    ranges = ranges or [(10.0 * t, 10.0 * t + 10) for t in range(snapshots)]
    return TemporalGraph.load(write_folder(path, moved, ranges, nodes, row_group=64, **options))


def drawn(model):
    """Give every weight a value that matters."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model.eval()


def dysign(**options):
    torch.manual_seed(1)
    return drawn(DySIGN(2 * WIDTH, 8, CLASSES, **{"latency": 4, "label_hidden": 5, **options}))


def labels(data):
    nodes = torch.tensor([4, 1, 9, 17, 12, 2])
    return LabelInputs(nodes, data.labels[nodes], decays=(0.9, 0.2), steps=(1, 2), folds=3, seed=7)


def undergs(**options):
    torch.manual_seed(1)
    given = {"node_feats": WIDTH, "num_classes": CLASSES, "num_neighbors": 4, **options}
    return drawn(UnderGS(NODES, 8, given.pop("aggregator", "gcn"), **given))


def spiking(**options):
    torch.manual_seed(1)
    given = {"node_feats": 2 * WIDTH, "num_classes": CLASSES, "latency": 4, **options}
    return drawn(SpikingUnderGS(NODES, 8, **given))


def of_kind(kind, data):
    """Return a model and how it reads data."""
    if kind == "label-aware":
        return dysign(label_feats=2 * 2 * (CLASSES + 1)), NodeInputs(0.5, (0, 1), labels=labels(data))
    if kind == "spiking-ids":
        return spiking(node_feats=WIDTH, id_feats=3), NodeInputs()
    models = {"dysign": dysign, "undergs": undergs, "spiking": spiking, "mixer": lambda: undergs(aggregator="mixer")}
    return models[kind](), INPUTS


def scorer(kind, data, **options):
    """Return a link scorer with weights that matter."""
    kinds = {
        "features": lambda: LinkFeatures.of(data),
        "untimed": lambda: LinkFeatures(NODES, families=["pair", "activity"]),
        "projected": lambda: LinkFeatures(NODES, families=["projections"], projection_width=32),
    }
    features = kinds[kind]() if kind in kinds else None
    if features is not None:
        options["pair_feats"] = len(features.names)
    torch.manual_seed(2)
    if kind == "spiking":
        model = SpikingUnderGS(NODES, 8, latency=4, **options)
    else:
        model = UnderGS(NODES, 8, "mixer" if kind == "mixer" else "gcn", num_neighbors=4, **options)
    return LinkScorer(drawn(model), model.store(num_neighbors=4, snapshot_decay=0.7, hop_decay=0.3), features)
