"""What a model sees of one snapshot."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dgl_dysign.data import TemporalGraph
from dgl_dysign.data.row_store import RowFiles, column_blocks
from dgl_dysign.errors import ConfigError
from dgl_dysign.ops import aggregate, symmetric_norm

SCALINGS = ("standard", "unit")


class Snapshot(NamedTuple):
    """One snapshot as a model takes it.

    Parameters
    ----------
    graph : DGLGraph
        All N nodes, and the edges seen so far.
    edge_weight : Tensor
        Aged number of events of each pair, ``(E,)``.
    feat : Tensor
        Input features, ``(N, d)``; zero for nodes not seen yet.
    active : Tensor
        Mask of the nodes seen so far, ``(N,)``.
    """

    graph: Any
    edge_weight: Tensor
    feat: Tensor
    active: Tensor


def spread(num_snapshots: int, count: int) -> list[int]:
    """Return ``count`` evenly spaced snapshot indices that end at the last one.

    Examples
    --------
    >>> spread(27, 1), spread(27, 3)
    ([26], [8, 17, 26])
    """
    if not 1 <= count <= num_snapshots:
        raise ConfigError(f"count must lie between 1 and the {num_snapshots} snapshots of the data, but got {count}")
    return [round((k + 1) * num_snapshots / count) - 1 for k in range(count)]


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

    Everything comes from events up to each snapshot alone.

    Parameters
    ----------
    data : TemporalGraph
        A prepared folder with features.
    indices : sequence of int
        Which snapshots, in order of time.
    decay : float, default 1
        Weight that an event keeps with each snapshot that passes.
    hops : sequence of int, default (0, 1)
        How often the features are aggregated, for each block of columns.
    scaling : {"standard", "unit"}, default "standard"
        Mean 0 and deviation 1, or the range [0, 1] (as Bernoulli encoding needs it), of each column over active nodes.
    device : device, default "cpu"
        Where the tensors go; a graph stays on the CPU.

    Returns
    -------
    list of Snapshot
        ``feat`` is ``(N, len(hops) * feature_dim)``, float32.

    Raises
    ------
    ConfigError
        For an unknown scaling, or no hops.
    DataError
        If the folder has no features.
    """
    _check(hops, scaling)
    found = []
    for index in indices:
        graph, active = data.graph(index, decay=decay), data.active(index)
        weight = graph.edata.pop("weight")
        feat = _scaled_means(graph, weight, data.features(index), active, hops, scaling)
        found.append(Snapshot(graph, weight.to(device), feat.to(device), active.to(device)))
    return found


class StreamedSnapshots(Sequence[Snapshot]):
    """What `load_snapshots` reads, one snapshot in memory at a time: features lie on disk, graphs are built when asked.

    Parameters
    ----------
    data, indices, decay, hops, scaling, device
        As for `load_snapshots`.
    files : RowFiles
        Where features go, once each; ``Snapshot.feat`` stays on the CPU.

    Raises
    ------
    ConfigError, DataError
        As `load_snapshots` does; a missing feature when its snapshot is asked for.

    Examples
    --------
    >>> from tempfile import gettempdir
    >>> from dgl_dysign.data import TemporalGraph
    >>> from dgl_dysign.data.row_store import RowFiles, column_blocks
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
        _check(hops, scaling)
        self.data, self.indices, self.files, self.decay = data, list(indices), files, decay
        self.hops, self.scaling, self.device = hops, scaling, device
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
            self._held = place, self._build(place)
        return self._held[1]

    def drop(self) -> None:
        """Let go of the snapshot in memory, until one is asked for again."""
        self._held = None
        gc.collect()  # DGL's graphs lie in cycles

    def _build(self, place: int) -> Snapshot:
        index = self.indices[place]
        graph, active = self.data.graph(index, decay=self.decay), self.data.active(index)
        weight = graph.edata.pop("weight")
        if place not in self._feats:
            feat = self.data.features(index)
            self._feats[place] = _scaled_means(graph, weight, feat, active, self.hops, self.scaling, self.files)
        return Snapshot(graph, weight.to(self.device), self._feats[place], active.to(self.device))


def _check(hops: Sequence[int], scaling: str) -> None:
    if scaling not in SCALINGS:
        raise ConfigError(f"scaling must be one of {SCALINGS}, but got {scaling!r}")
    if not hops or min(hops) < 0:
        raise ConfigError(f"hops must name at least one number of aggregations, none negative, but got {list(hops)}")


def _scaled_means(
    graph: Any,
    weight: Tensor,
    feat: Tensor,
    active: Tensor,
    hops: Sequence[int],
    scaling: str,
    files: RowFiles | None = None,
) -> Tensor:
    """Return the means of all hops side by side, scaled; of large features some columns at a time."""
    rows, width = feat.shape
    if files is None and len(column_blocks(rows, width)) == 1:
        means = _hop_means(graph, weight, feat, hops)
        _scale(means, active, scaling)
        return means
    out = feat.new_empty(rows, width * len(hops)) if files is None else files.zeros(rows, width * len(hops))
    pieces = []
    for columns, part in _columns(feat) if files is None else files.columns(feat):
        means = _hop_means(graph, weight, part, hops)
        _scale(means, active, scaling)
        for place, mean in enumerate(means.chunk(len(hops), 1)):
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


def _scale(feat: Tensor, active: Tensor, scaling: str) -> None:
    # By blocks of columns, in place: a copy of wide features would be the largest thing in memory.
    for block in feat.split(32, dim=1):
        seen = block[active]
        if not len(seen):
            continue
        if scaling == "standard":
            low, size = seen.mean(0), seen.std(0, correction=0)
        else:
            low, size = seen.amin(0), seen.amax(0) - seen.amin(0)
        # A constant column becomes zero: the rounding of its mean would be divided by next to nothing.
        size = size.masked_fill(seen.amax(0) == seen.amin(0), torch.inf)
        block.sub_(low).div_(size.clamp(min=1e-6)).mul_(active[:, None])
