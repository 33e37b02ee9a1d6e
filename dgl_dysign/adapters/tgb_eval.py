"""The protocol of the Temporal Graph Benchmark for our link models: its negatives, its evaluator."""

import os
import pickle
import pickletools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.adapters import to_events
from dgl_dysign.adapters._shared import require
from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.data.snapshot_edges import distinct_edges
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.evaluation.links import LinkModel, score_candidates
from dgl_dysign.evaluation.ranking import hits, mrr, tie_aware_rank
from dgl_dysign.events import exact
from dgl_dysign.files import regular, write_file

_ALLOWED = {
    (home, name)
    for names, homes in (
        (("_reconstruct", "scalar", "_frombuffer"), ("multiarray", "numeric")),
        (("ndarray", "dtype"), ("",)),
    )
    for name in names
    for part in homes
    for home in ((f"numpy.core.{part}", f"numpy._core.{part}") if part else ("numpy",))
}


class _OnlyArrays(pickle.Unpickler):
    """Reads numbers, arrays and containers of them; a pickle may otherwise run any program, or ask for any memory."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        replaced: dict[str, Any] = {"_reconstruct": _empty, "ndarray": None}  # a class could be called with any shape
        return replaced[name] if name in replaced else super().find_class(module, name)


def _empty(kind: None, shape: tuple[int, ...], dtype: bytes) -> np.ndarray:
    """Return what NumPy makes of an array before it is filled, which is never larger where NumPy wrote it."""
    if shape != (0,):
        raise pickle.UnpicklingError(f"it asks for an array of shape {shape} before its values")
    return np.ndarray(0, np.int8)


def _load(stream: BinaryIO) -> Any:
    """Read a pickle whose memo has no more places than the file has bytes: one of n takes 16 n bytes at once."""
    for code, place, at in pickletools.genops(stream):
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(place or 0) > int(at or 0):
            raise pickle.UnpicklingError(f"it asks for {place} places in byte {at}")
    stream.seek(0)
    return _OnlyArrays(stream).load()


def read_negatives(path: str | os.PathLike[str]) -> dict[tuple[int, ...], np.ndarray]:
    """Read TGB's negatives, such as ``tgbl-wiki_test_ns_v2.pkl``.

    The file is a pickle; of it only numbers, arrays and containers are read, and nothing in it is run.

    Returns
    -------
    dict
        For each true edge ``(source, destination, time)``, or for all true edges ``(time, source, type)`` of thgl and
        tkgl data, the wrong destinations, int64; not always as many (4 of tgbl-wiki's edges have 998 and not 999).

    Raises
    ------
    DataError
        If the file is missing or damaged, or holds something else.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as home:
    ...     write_negatives(Path(home) / "ns.pkl", {(0, 3, 10): [2, 4]})
    ...     read_negatives(Path(home) / "ns.pkl")
    {(0, 3, 10): array([2, 4])}
    """
    try:
        with open(regular(path), "rb") as stream:
            negatives = _load(stream)
    except OSError as error:
        raise DataError(f"{path}: found no readable file ({error.strerror}), expected TGB's negatives") from None
    except Exception as error:  # a damaged pickle may raise almost anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path}: found no pickle of arrays ({reason}), expected TGB's negatives; copy it again"
        ) from None
    if not isinstance(negatives, dict):
        kind = type(negatives).__name__
        raise DataError(f"{path}: found {kind}, expected a dict from edges to arrays, as TGB writes")
    return _checked(negatives, str(path))


def write_negatives(path: str | os.PathLike[str], negatives: Mapping[tuple[int, ...], Any]) -> None:
    """Write negatives, such as :func:`read_negatives` returns, as TGB's samplers read them (``load_eval_set``).

    The file is there whole or not at all; DataError if a key or an array is none of TGB's.
    """
    checked = _checked(negatives, "negatives")
    with write_file(path) as temporary, open(temporary, "wb") as stream:
        pickle.dump(checked, stream, protocol=4)


def _checked(negatives: Mapping[Any, Any], where: str) -> dict[tuple[int, ...], np.ndarray]:
    widths = {len(key) if isinstance(key, tuple) else 0 for key in negatives}
    if not widths <= {3}:
        raise DataError(f"{where}: found keys of {sorted(widths)} numbers, expected all of 3, as TGB has them")
    checked = {}
    for key, nodes in negatives.items():
        # TGB's arrays are of floats wherever a source has no history: an empty list was joined to them.
        wrong = exact(f"{where}, {key}", nodes, np.int64)
        if wrong.ndim != 1 or not len(wrong):
            raise DataError(f"{where}, {key}: found shape {wrong.shape}, expected a list of one node or more")
        checked[tuple(int(part) for part in exact(where, key, np.int64))] = wrong
    return checked


def evaluate_tgb(
    model: LinkModel,
    data: Any,
    negatives: Any,
    evaluator: Any = None,
    *,
    split: str = "test",
    typed: bool | None = None,
    k: int = 10,
    batch_size: int = 512,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, float]:
    r"""Score a link model as the Temporal Graph Benchmark does, on given negatives.

    .. math:: rank = 1 + \tfrac{1}{2} \left( \#\{q : s_q > s_0\} + \#\{q : s_q \ge s_0\} \right)

    of each true edge among its negatives; MRR and Hits\@k are means over edges. The model is reset, then observes
    snapshot by snapshot; all edges of a snapshot are scored before it is observed, so that the model knows less than
    TGB allows (all events before the edge's own time), never more.

    Parameters
    ----------
    model : LinkModel
        The model; trained on what comes before, if it is one that learns.
    data : EventStream or object
        Whatever :func:`dgl_dysign.adapters.to_events` reads, with snapshots: of a prepared folder, or made with
        :func:`dgl_dysign.adapters.times.binned`.
    negatives : mapping, path, or NegativeEdgeSampler
        As :func:`read_negatives` returns, its file, or TGB's sampler with that split loaded. Every event that is a key
        is scored, repeated ones repeatedly, as TGB does.
    evaluator : str or object, optional
        TGB's ``Evaluator``, or the name of its data set (needs py-tgb); default: the same figures without py-tgb.
    split : {"val", "test"}
        Which part of TGB's sampler.
    typed : bool, optional
        Whether keys are ``(time, source, type)``, as py-tgb 2.3 has them for thgl and tkgl data; scores do not depend
        on the type. Default: as the class of the sampler says, of others False.
    k : int, default 10
        Of Hits\@k; TGB's evaluator brings its own.
    batch_size : int, default 512
        Most edges scored at once.
    progress : callable, optional
        Called as ``progress(done, total)`` after every snapshot.

    Returns
    -------
    dict
        ``mrr``, ``hits@k`` and ``edges``, the number of events that were scored.

    Raises
    ------
    ConfigError, DataError
        If the data has no snapshots; if a key of the negatives is no event of the data, or names no node, or scores are
        NaN or of another shape.

    Examples
    --------
    >>> from dgl_dysign.baselines import RecentDegree
    >>> stream = EventStream.from_rows([0, 1, 0], [2, 3, 3], [0, 5, 9], snapshot=[0, 0, 1], num_nodes=5,
    ...                                snapshot_begin=[0, 9], snapshot_end=[9, 10])
    >>> evaluate_tgb(RecentDegree(5), stream, {(0, 3, 9): [2, 4], (1, 3, 5): [2]})
    {'mrr': 0.6666666666666666, 'hits@10': 1.0, 'edges': 2}
    """
    stream, wrong = to_events(data), _negatives(negatives, split)
    if typed is None:
        typed = type(negatives).__name__ in ("THGNegativeEdgeSampler", "TKGNegativeEdgeSampler")
    if stream.snapshot is None:
        raise ConfigError(
            "evaluate_tgb: found a stream without snapshots, expected some; take a prepared folder, or make them with "
            "dgl_dysign.adapters.times.binned(stream, rule)"
        )
    if isinstance(evaluator, str):
        evaluator = require("tgb.linkproppred.evaluate", "tgb").Evaluator(name=evaluator)
    queries = _queries(stream, wrong, typed)
    figures: list[tuple[int, dict[str, float]]] = []
    for rows, true, drawn in _scores(model, stream, queries, batch_size, progress):
        figures.append((rows, _figures(true, drawn, k) if evaluator is None else _of_tgb(evaluator, true, drawn)))
    total = sum(rows for rows, _ in figures)
    names = figures[0][1]
    return {**{name: sum(rows * part[name] for rows, part in figures) / total for name in names}, "edges": total}


def _negatives(negatives: Any, split: str) -> dict[tuple[int, ...], np.ndarray]:
    if isinstance(negatives, str | os.PathLike):
        return read_negatives(negatives)
    if hasattr(negatives, "eval_set"):
        if not negatives.eval_set.get(split):
            raise ConfigError(f"evaluate_tgb: found no negatives of {split!r}, expected them; call load_{split}_ns()")
        if getattr(negatives, "strategy", None) == "time-filtered":
            raise ConfigError(
                "evaluate_tgb: found a sampler that is 'time-filtered', whose sets are true destinations, expected "
                "wrong ones; pass a dict of them, all but these, with typed=True"
            )
        negatives = negatives.eval_set[split]
    return _checked(negatives, "negatives")


def _queries(stream: EventStream, wrong: dict[tuple[int, ...], np.ndarray], typed: bool) -> dict[int, np.ndarray]:
    """Return the wrong destinations of each row that is to be scored."""
    if not wrong:
        raise DataError("negatives: found none, expected those of one edge or more")
    if typed and stream.edge_type is None:
        raise DataError("negatives: found keys with a type, expected none, as the stream has no types of events")
    columns = [stream.time, stream.src, stream.edge_type] if typed else [stream.src, stream.dst, stream.time]
    rows = zip(*(column.tolist() for column in columns if column is not None), strict=True)
    queries = {row: wrong[key] for row, key in enumerate(rows) if key in wrong}  # 5.0 and 5 are one key
    keys = set(zip(*(column[list(queries)].tolist() for column in columns if column is not None), strict=True))
    if len(keys) < len(wrong):
        lost = next(key for key in wrong if key not in keys)
        raise DataError(
            f"negatives: found {len(wrong) - len(keys)} edges that are no events, such as {lost}, expected events of "
            f"{stream.name!r}; are they of other data, or were ids or times changed? Those of thgl and tkgl data need "
            "typed=True"
        )
    least, most = min(int(nodes.min()) for nodes in wrong.values()), max(int(nodes.max()) for nodes in wrong.values())
    if least < 0 or most >= stream.num_nodes:
        raise DataError(
            f"negatives: found nodes from {least} to {most}, expected 0 to {stream.num_nodes - 1}; give num_nodes when "
            "you read the data"
        )
    return queries


def _scores(
    model: LinkModel,
    stream: EventStream,
    queries: dict[int, np.ndarray],
    batch_size: int,
    progress: Callable[[int, int], object] | None,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield number, scores ``(B,)`` and negatives' scores ``(B, Q)`` of edges with equally many negatives."""
    assert stream.snapshot is not None
    last = int(stream.snapshot[max(queries)])
    bounds = np.searchsorted(stream.snapshot, np.arange(last + 2))
    model.reset()
    for t in range(last + 1):
        rows = range(bounds[t], bounds[t + 1])
        by_width: dict[int, list[int]] = {}
        for row in rows:
            if row in queries:
                by_width.setdefault(len(queries[row]), []).append(row)
        for some in by_width.values():
            for begin in range(0, len(some), batch_size):
                yield _scored(model, t, stream, some[begin : begin + batch_size], queries)
        columns = (stream.src, stream.dst, stream.edge_id, stream.time, stream.edge_weight)
        part = [None if column is None else column[rows.start : rows.stop] for column in columns]
        model.observe(distinct_edges(t, *part, num_nodes=stream.num_nodes, directed=stream.directed))
        if progress is not None:
            progress(t + 1, last + 1)


def _scored(
    model: LinkModel, snapshot: int, stream: EventStream, rows: list[int], queries: dict[int, np.ndarray]
) -> tuple[int, Tensor, Tensor]:
    wrong = np.stack([queries[row] for row in rows])
    dst = torch.from_numpy(np.concatenate([stream.dst[rows][:, None], wrong], axis=1))
    src = torch.from_numpy(stream.src[rows])
    scores = score_candidates(f"snapshot {snapshot}", model, snapshot, src, dst, len(rows)).cpu()
    return len(rows), scores[:, 0], scores[:, 1:]


def _figures(true: Tensor, drawn: Tensor, k: int) -> dict[str, float]:
    ranks = tie_aware_rank(torch.cat([true[:, None], drawn], dim=1))
    return {"mrr": mrr(ranks), f"hits@{k}": hits(ranks, k)}


def _of_tgb(evaluator: Any, true: Tensor, drawn: Tensor) -> dict[str, float]:
    name = f"hits@{evaluator.k_value}"
    figures = evaluator.eval({"y_pred_pos": true, "y_pred_neg": drawn, "eval_metric": ["mrr", "hits@"]})
    return {"mrr": float(figures["mrr"]), name: float(figures[name])}
