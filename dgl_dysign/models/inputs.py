"""How a prepared folder becomes what a model of nodes reads: the one reader of training and of prediction."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dgl_dysign._dgl import dgl
from dgl_dysign.data.row_store import RowFiles, column_blocks
from dgl_dysign.data.snapshot_edges import snapshot_edges
from dgl_dysign.data.temporal_graph import TemporalGraph
from dgl_dysign.errors import ConfigError, check_choice
from dgl_dysign.models.label_features import LabelReading, read_labels, smooth_predictions
from dgl_dysign.ops import aggregate, symmetric_norm
from dgl_dysign.store import NeighborStore

Features = Tensor | Callable[[Tensor], Tensor]
CLIP = 5.0  # deviations from the mean beyond which features are cut
SCALINGS = ("standard", "unit")
# Columns that are scaled together. Sums over other blocks of columns round differently, and figures would move.
_COLUMNS, _STORE_COLUMNS = 32, 64


class Snapshot(NamedTuple):
    """One snapshot as a model takes it.

    ``graph`` has all N nodes and the edges seen so far, ``edge_weight`` ``(E,)`` the aged number of events of each
    pair, ``feat`` the input features, ``(N, d)``, zero for nodes not seen yet, ``active`` the mask of the nodes seen,
    ``(N,)``.
    """

    graph: Any
    edge_weight: Tensor
    feat: Tensor
    active: Tensor


def evenly_spaced(num_snapshots: int, count: int) -> list[int]:
    """Return ``count`` evenly spaced snapshot indices that end at the last one.

    Examples
    --------
    >>> evenly_spaced(27, 1), evenly_spaced(27, 3)
    ([26], [8, 17, 26])
    """
    if not 1 <= count <= num_snapshots:
        raise ConfigError(
            f"count must lie between 1 and the {num_snapshots} snapshots that may be read, but got {count}: read out "
            f"fewer (--snapshots), or of data split by time train until a later one"
        )
    return [round((k + 1) * num_snapshots / count) - 1 for k in range(count)]


@dataclass(frozen=True)
class LabelInputs:
    """Training labels as inputs, see `masked_label_features` and `smooth_predictions`.

    ``nodes`` and ``classes`` are the training nodes, in the order of the training, int64 ``(n,)``: other labels are
    never read, as those that the data has gained since must not change what is predicted. ``decays`` are of the graphs
    over which labels spread, ``smooth_decay`` and ``alpha`` (0: none) of the smoothing of what is predicted. With
    ``strength`` 0 the propagated labels alone count, with 1 the model alone. ``prior`` is the place of their decay, and
    their steps (None: chosen within the training nodes, see `read_labels`).
    """

    nodes: Tensor
    classes: Tensor
    decays: Sequence[float] = (0.9, 0.5, 0.2, 0.05)
    steps: Sequence[int] = (1, 2, 4, 8)
    folds: int = 10
    seed: int = 0
    smooth_decay: float = 0.1
    alpha: float = 0.6
    strength: float = 1.0
    prior: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.nodes.dim() != 1 or self.nodes.shape != self.classes.shape or not len(self.nodes):
            raise ConfigError(
                f"expected training nodes and their classes, each of shape (n,), but got {tuple(self.nodes.shape)} and "
                f"{tuple(self.classes.shape)}"
            )

    def read(self, data: TemporalGraph, snapshot: int, device: torch.device | str = "cpu") -> LabelReading:
        """Return what `read_labels` does at the end of a snapshot."""
        graphs = [graph_at(data, snapshot, decay, device) for decay in self.decays]
        labels, train = self._labels(data.num_nodes, device)
        own = self.steps, self.folds, self.seed, self.prior
        return read_labels(graphs, labels, train, data.num_classes, *own)

    def finished(self, data: TemporalGraph, snapshot: int, logits: Tensor, prior: Tensor) -> Tensor:
        r"""Return what is predicted: the correction of the propagated labels by a model, smoothed over the graph.

        .. math:: \mathrm{softmax}(\log p + c\,(y - \log p))

        with y the model's ``logits``, log p the ``prior`` of `read` and c the ``strength``, smoothed over the graph of
        the snapshot with training nodes clamped to their label.
        """
        probabilities = torch.lerp(prior, logits.log_softmax(1), self.strength).softmax(1)
        graph, weight = graph_at(data, snapshot, self.smooth_decay, logits.device)
        labels, train = self._labels(data.num_nodes, logits.device)
        return smooth_predictions(graph, weight, probabilities, labels, train, self.alpha)

    def _labels(self, num_nodes: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """Return the labels of all nodes, -1 where the training had none, and the training nodes."""
        train, labels = self.nodes.to(device), torch.full((num_nodes,), -1, device=device)
        labels[train] = self.classes.to(device)
        return labels, train


@dataclass(frozen=True)
class NodeInputs:
    """What turns a prepared folder into a model's input; saved with the model, so that `predict` needs no more.

    Nothing in it is fitted to the data: scalings are those of each snapshot's own columns.

    Parameters
    ----------
    decay, hops, scaling
        As for `load_snapshots`.
    store : dict, optional
        For `UnderGS` and `SpikingUnderGS`: arguments of `preset_store`, beside the number of nodes.
    labels : LabelInputs, optional
        For a label-aware `DySIGN`.
    simulate : bool or None, default True
        Predict with the spiking simulation, with the solver, or (None) as the layer was made.

    Examples
    --------
    >>> from dgl_dysign.models import NodeInputs
    >>> NodeInputs(decay=0.1).hops
    (0, 1)
    """

    decay: float = 1.0
    hops: Sequence[int] = (0, 1)
    scaling: str = "standard"
    store: dict[str, Any] | None = None
    labels: LabelInputs | None = field(default=None, compare=False)
    simulate: bool | None = True

    def __post_init__(self) -> None:
        if not 0 < self.decay <= 1:
            raise ConfigError(f"decay must lie in (0, 1], but got {self.decay}")
        check_choice("scaling", self.scaling, SCALINGS)
        if not self.hops or min(self.hops) < 0:
            raise ConfigError(
                f"hops must name at least one number of aggregations, none negative, but got {list(self.hops)}"
            )

    def snapshots(
        self,
        data: TemporalGraph,
        indices: Sequence[int],
        device: torch.device | str = "cpu",
        files: RowFiles | None = None,
    ) -> Sequence[Snapshot]:
        """Return what `load_snapshots` or, with files, `StreamedSnapshots` reads."""
        own = self.decay, self.hops, self.scaling, device
        return load_snapshots(data, indices, *own) if files is None else StreamedSnapshots(data, indices, files, *own)

    def renumbered(self, places: Tensor) -> NodeInputs:
        """Return the same for nodes that have other numbers: node i is now ``places[i]``."""
        if self.labels is None:
            return self
        return replace(self, labels=replace(self.labels, nodes=places[self.labels.nodes]))

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return all of it as plain values, and as tensors."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.labels is None:
            return plain, {}
        labels = {f.name: getattr(self.labels, f.name) for f in fields(self.labels)}
        tensors = {f"labels.{name}": labels.pop(name).long() for name in ("nodes", "classes")}
        return {**plain, "labels": labels}, tensors

    @classmethod
    def of(cls, plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> NodeInputs:
        """Return what `parts` were taken from."""
        values = _with_tuples(plain)
        if plain["labels"] is not None:
            own = _with_tuples(plain["labels"])
            values["labels"] = LabelInputs(tensors["labels.nodes"], tensors["labels.classes"], **own)
        return cls(**values)


def _with_tuples(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}


def graph_at(
    data: TemporalGraph, snapshot: int, decay: float, device: torch.device | str = "cpu"
) -> tuple[Any, Tensor]:
    """Return the graph of all events up to a snapshot, and its aged weights on a device."""
    graph = data.graph(snapshot, decay=decay)
    return graph, graph.edata.pop("weight").to(device)


def load_snapshots(
    data: TemporalGraph,
    indices: Sequence[int],
    decay: float = 1.0,
    hops: Sequence[int] = (0, 1),
    scaling: str = "standard",
    device: torch.device | str = "cpu",
) -> list[Snapshot]:
    r"""Read snapshots, with the features' means over several hops side by side.

    .. math:: x_t = \Vert_{h \in hops} \mathrm{scale}(\hat A_t^h X_t)

    Everything comes from events up to each snapshot alone; ``feat`` is ``(N, len(hops) * feature_dim)``, float32.

    Parameters
    ----------
    data, indices : TemporalGraph, sequence of int
        A prepared folder with features (or ``DataError``), and which snapshots, in order of time.
    decay : float, default 1
        Weight in (0, 1] that an event keeps with each snapshot that passes.
    hops : sequence of int, default (0, 1)
        How often the features are aggregated, for each block of columns.
    scaling : {"standard", "unit"}, default "standard"
        Mean 0 and deviation 1, or the range [0, 1] (as Bernoulli encoding needs it), of each column over active nodes.
    device : device, default "cpu"
        Where the tensors go; a graph stays on the CPU.
    """
    inputs = NodeInputs(decay, hops, scaling)
    return [_read(data, index, inputs, device) for index in indices]


class StreamedSnapshots(Sequence[Snapshot]):
    """What `load_snapshots` reads, one snapshot in memory at a time: features lie on disk, graphs are built on demand.

    Arguments and errors are those of `load_snapshots`. Features go to ``files``, once each; ``Snapshot.feat`` stays on
    the CPU.

    Examples
    --------
    >>> from tempfile import gettempdir
    >>> from dgl_dysign.data import TemporalGraph
    >>> from dgl_dysign.data.row_store import RowFiles
    >>> snapshots = StreamedSnapshots(TemporalGraph.load(prepared), [5, 11], RowFiles(gettempdir()))
    >>> [snapshot.feat.shape for snapshot in snapshots]
    [torch.Size([100, 14]), torch.Size([100, 14])]
    """

    def __init__(
        self,
        data: TemporalGraph,
        indices: Sequence[int],
        files: RowFiles,
        decay: float = 1.0,
        hops: Sequence[int] = (0, 1),
        scaling: str = "standard",
        device: torch.device | str = "cpu",
    ) -> None:
        self.data, self.indices, self.files, self.device = data, list(indices), files, device
        self.inputs = NodeInputs(decay, hops, scaling)
        self._feats: dict[int, Tensor] = {}
        self._held: tuple[int, Snapshot] | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: Any) -> Any:
        """Return the snapshot at a place, or those of a slice."""
        if isinstance(place, slice):
            return [self[k] for k in range(len(self))[place]]
        place = range(len(self))[place]
        if self._held is None or self._held[0] != place:
            self.drop()  # before the next is built: two graphs may not fit
            index, feat = self.indices[place], self._feats.get(place)
            self._held = place, _read(self.data, index, self.inputs, self.device, self.files, feat)
            self._feats[place] = self._held[1].feat
        return self._held[1]

    def drop(self) -> None:
        """Let go of the snapshot in memory, until one is read again."""
        if self._held is not None:
            self._held = None
            gc.collect()  # DGL's graphs lie in cycles


def _read(
    data: TemporalGraph,
    index: int,
    inputs: NodeInputs,
    device: torch.device | str,
    files: RowFiles | None = None,
    feat: Tensor | None = None,
) -> Snapshot:
    """Return a snapshot; its features go to files where there are some, unless they were read before."""
    graph, active = data.graph(index, decay=inputs.decay), data.active(index)
    weight = graph.edata.pop("weight")
    if feat is None:
        feat = _scaled_means(graph, weight, data.features(index), active, inputs, files)
    return Snapshot(graph, weight.to(device), feat if files else feat.to(device), active.to(device))


def _scaled_means(
    graph: Any, weight: Tensor, feat: Tensor, active: Tensor, inputs: NodeInputs, files: RowFiles | None
) -> Tensor:
    """Return the means of all hops side by side, scaled; of large features some columns at a time."""
    rows, width = feat.shape
    count = len(inputs.hops)
    if files is None and len(column_blocks(rows, width)) == 1:
        return _scale(_hop_means(graph, weight, feat, inputs.hops), active, inputs.scaling)
    out = feat.new_empty(rows, width * count) if files is None else files.zeros(rows, width * count)
    pieces = []
    for columns, part in _columns(feat) if files is None else files.columns(feat):
        means = _scale(_hop_means(graph, weight, part, inputs.hops), active, inputs.scaling)
        for place, mean in enumerate(means.chunk(count, 1)):
            target = slice(place * width + columns.start, place * width + columns.stop)
            if files is None:
                out[:, target] = mean
            else:
                pieces.append((target, files.keep(mean)))
        del part, means, mean  # before the next ones are made
    return out if files is None else files.join(out, pieces)


def _columns(feat: Tensor) -> Iterator[tuple[slice, Tensor]]:
    for columns in column_blocks(*feat.shape):
        yield columns, feat[:, columns].contiguous()


def _hop_means(graph: Any, weight: Tensor, feat: Tensor, hops: Sequence[int]) -> Tensor:
    norm, width = symmetric_norm(graph, weight), feat.shape[1]
    out = feat.new_empty(feat.shape[0], width * len(hops))
    for hop in range(max(hops) + 1):
        if hop:
            feat = aggregate(graph, feat, norm, norm="none")
        for place in (k for k, wanted in enumerate(hops) if wanted == hop):
            out[:, place * width : (place + 1) * width] = feat
    return out


def _scale(feat: Tensor, active: Tensor, scaling: str = "standard", columns: int = _COLUMNS) -> Tensor:
    """Scale each column over active nodes in place, so many together: a copy of wide features might not fit."""
    for block in feat.split(columns, dim=1):
        seen = block[active]
        if not len(seen):
            continue
        low, size = scale_of(seen, scaling)
        block.sub_(low).div_(size).mul_(active[:, None])
    return feat


def scale_of(seen: Tensor, scaling: str = "standard") -> tuple[Tensor, Tensor]:
    """Return what to take from each column of some rows, and what to divide it by."""
    if scaling == "standard":
        low, size = seen.mean(0), seen.std(0, correction=0)
    else:
        low, size = seen.amin(0), seen.amax(0) - seen.amin(0)
    # A constant column becomes zero: the rounding of its mean would be divided by next to nothing.
    return low, size.masked_fill(seen.amax(0) == seen.amin(0), torch.inf).clamp(min=1e-6)


def store_graph(store: NeighborStore, now: int, nodes: Tensor | None = None, symmetric: bool = False) -> Any:
    r"""Return what a store holds as a graph on the CPU: an edge from each neighbour to the node that keeps it.

    The weight of an edge is the neighbour's share of the node's scores, :math:`I_{uv} / \sum_k |I_{kv}|`, aged to the
    beginning of snapshot ``now``. There are at most N K edges, however many events there were. Of distinct ``nodes``
    (or ``ConfigError``) it is the subgraph that they induce, whose i-th node is ``nodes[i]``; ``symmetric`` adds each
    edge in the other direction as well, with the same weight. ``edata`` has ``weight``, ``ndata`` ``mass``
    (:math:`\log(1 + \sum_k |I_{kv}|)`) and ``active`` (whether the store keeps any neighbour of the node).

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.models import preset_store, store_graph
    >>> store = preset_store(3)
    >>> store.insert(0, torch.tensor([0, 2]), torch.tensor([1, 1]))
    >>> graph = store_graph(store, now=1)
    >>> graph.num_nodes(), graph.edata["weight"].sum().item()
    (3, 3.0)
    """
    ids = torch.arange(store.num_nodes) if nodes is None else nodes.cpu().long()
    neighbors = store.neighbors(ids, now)
    node, influence = neighbors.node.cpu(), neighbors.influence.cpu()
    total = influence.abs().sum(1)
    share = influence / torch.where(total > 0, total, 1.0)[:, None]
    there = (node >= 0) & (share != 0)
    src, dst, weight = node[there], there.nonzero()[:, 0], share[there]
    if nodes is not None:
        place = torch.full((store.num_nodes,), -1)
        place[ids] = torch.arange(len(ids))
        if int((place >= 0).sum()) != len(ids):
            raise ConfigError("nodes must be distinct, but some are named twice: pass nodes.unique()")
        kept = place[src] >= 0
        src, dst, weight = place[src][kept], dst[kept], weight[kept]
    if symmetric:
        src, dst, weight = torch.cat([src, dst]), torch.cat([dst, src]), weight.repeat(2)
    graph = dgl.graph((src, dst), num_nodes=len(ids))
    graph.edata["weight"] = weight
    graph.ndata["mass"], graph.ndata["active"] = total.log1p(), (node >= 0).any(1)
    return graph


def fill_store(store: NeighborStore, data: TemporalGraph, last: int) -> NeighborStore:
    """Insert the snapshots that the store does not hold yet, up to the last one; return the store."""
    for t in range(store.snapshot + 1, last + 1):
        store.insert(snapshot_edges(data, t))
    return store


def scaled_features(data: TemporalGraph, snapshot: int) -> Tensor:
    """Return the features of a snapshot, each column with mean 0 and deviation 1 over the nodes seen so far."""
    return _scale(data.features(snapshot), data.active(snapshot), columns=_STORE_COLUMNS)


def store_snapshots(
    data: TemporalGraph,
    store: NeighborStore,
    indices: Sequence[int],
    symmetric: bool = True,
    hops: Sequence[int] = (0, 1),
    device: torch.device | str = "cpu",
) -> list[Snapshot]:
    """Read snapshots as `load_snapshots` does, from the store's entries instead of all events.

    The store is emptied, then given the snapshots up to each index in turn. ``symmetric``: messages also go back from a
    node to the neighbours that it keeps. Features are aggregated over the store's graph, of at most N K edges or twice
    that.
    """
    store.reset()
    snapshots = []
    for index in indices:
        graph = store_graph(fill_store(store, data, index), index, symmetric=symmetric)
        weight, active = graph.edata.pop("weight"), data.active(index)
        means = _hop_means(graph, weight, data.features(index), hops)
        feat = _scale(means, active, columns=_STORE_COLUMNS).to(device)
        snapshots.append(Snapshot(graph, weight.to(device), feat, active.to(device)))
    return snapshots


def standardised(feat: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Return features in deviations from their mean, cut at 5 either way; an infinite deviation gives zero."""
    return (feat - mean).div_(deviation).clamp_(-CLIP, CLIP)


def check_numbers(*tensors: Tensor) -> None:
    """Raise ``ConfigError`` of tensors on the meta device."""
    if any(tensor.device.type == "meta" for tensor in tensors):
        raise ConfigError(
            "found model or nodes on the meta device, which holds no numbers: call model.to_empty(device='cpu') and "
            "load_state_dict, and pass nodes with numbers"
        )


def look_up(name: str, source: Features | None, ids: Tensor, width: int, device: torch.device) -> Tensor | None:
    """Return the features of ids ``(n,)``, ``(n, width)`` on a device; None where the model was made without (width 0).

    `source` has a row for each id, or is a function of ids; `name` is the argument's, for errors. Raises
    ``ConfigError`` if features are missing, not expected, of another shape, or wanted of an id that is not known.
    """
    if (source is not None) != (width > 0):
        got = "none" if source is None else "some"
        raise ConfigError(f"{name}: this model was made with {name}s={width}, but got {got}")
    if source is None:
        return None
    if len(ids) and int(ids.min()) < 0:
        raise ConfigError(f"{name}: features of id {int(ids.min())} were asked for, expected ids from 0")
    if isinstance(source, Tensor):
        if len(ids) and int(ids.max()) >= len(source):
            raise ConfigError(f"{name} has {len(source)} rows, but id {int(ids.max())} was asked for")
        rows = source[ids.to(source.device)]
    else:
        rows = source(ids)
    if tuple(rows.shape) != (len(ids), width):
        raise ConfigError(f"{name} must give shape {(len(ids), width)}, but gave {tuple(rows.shape)}")
    return rows.to(device)
