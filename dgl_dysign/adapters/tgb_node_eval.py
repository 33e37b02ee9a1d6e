"""TGB's task of node properties: what each node will do next, as weights of classes, by NDCG."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.metrics import ndcg_score

from dgl_dysign.errors import ConfigError, DataError

_KEYS = ("sources", "destinations", "timestamps", "node_label_dict")
_PARTS = ("train", "val", "test")


class MovingAverage:
    r"""TGB's two baselines that count (Huang et al., NeurIPS 2023): the mean of a node's labels so far, which fade.

    .. math:: m \leftarrow ((w - 1) m + y) / w

    for a label y of a node; its first label is its first mean, and zeros stand before it. With ``window=1`` it is TGB's
    persistent forecast, the last label.

    Parameters
    ----------
    num_classes : int
        C, as ``dataset.num_classes``.
    window : int, default 7
        w, as in TGB's examples; 1 or more, else ConfigError.

    Examples
    --------
    >>> forecast = MovingAverage(2, window=2)
    >>> forecast.update(np.array([5]), np.array([[1.0, 0.0]]))
    >>> forecast.update(np.array([5]), np.array([[0.0, 1.0]]))
    >>> forecast.predict(2, np.array([5, 6]))
    array([[0.5, 0.5],
           [0. , 0. ]])
    """

    def __init__(self, num_classes: int, window: int = 7) -> None:
        if window < 1:
            raise ConfigError(f"found window={window}, expected 1 or more: 1 is the last label")
        self.num_classes, self.window = num_classes, window
        self.reset()

    def reset(self) -> None:
        """Forget all labels."""
        self._means: dict[int, np.ndarray] = {}

    def observe(self, src: np.ndarray, dst: np.ndarray, time: np.ndarray, feat: np.ndarray | None) -> None:
        """Events are not looked at."""

    def predict(self, time: int, nodes: np.ndarray) -> np.ndarray:
        """Return the means of nodes ``(n,)``, shape ``(n, C)``."""
        unknown = np.zeros(self.num_classes)
        return np.stack([self._means.get(node, unknown) for node in nodes.tolist()])

    def update(self, nodes: np.ndarray, labels: np.ndarray) -> None:
        """Let labels ``(n, C)`` of nodes ``(n,)`` into their means."""
        for node, label in zip(nodes.tolist(), labels, strict=True):
            self._means[node] = ((self.window - 1) * self._means.get(node, label) + label) / self.window


def evaluate_tgb_nodes(model: Any, data: Any, *, split: str = "test", batch_size: int = 200) -> dict[str, float]:
    r"""Score a model of node properties as TGB's examples do: NDCG\@10 of the labels of a time, mean over times.

    Labels of a time are asked for when a batch of events ends after it, of one time a batch at most, and count for the
    part that this batch is of (70, 15 and 15 % of the events, by quantiles of their times).

    Parameters
    ----------
    model : object
        It has the methods of `MovingAverage`. It is reset, and before it is asked about a time it has observed all
        events before that time, arrays ``(E,)`` and features ``(E, De)``, and the labels that were asked for earlier.
    data : NodePropPredDataset or mapping
        py-tgb's data set, or its ``full_data``: ``sources``, ``destinations``, ``timestamps`` (ascending), perhaps
        ``edge_feat``, and ``node_label_dict``: of times, dictionaries from nodes to labels ``(C,)``.
    split : {"train", "val", "test"}
        Whose labels count.
    batch_size : int, default 200
        Events a batch, as in TGB's examples: another one may ask for other times.

    Returns
    -------
    dict
        ``ndcg`` in [0, 1], and ``times``, the number of times that it is the mean of.

    Raises
    ------
    ConfigError, DataError
        If no label counts; if an array is missing, times descend, or scores are not finite or of another shape.

    Examples
    --------
    >>> labels, times = {t: {0: np.eye(3)[t % 3], 1: np.eye(3)[0]} for t in range(10)}, np.arange(11)
    >>> data = {"sources": times, "destinations": times, "timestamps": times, "node_label_dict": labels}
    >>> round(evaluate_tgb_nodes(MovingAverage(3, window=1), data, batch_size=1)["ndcg"], 3)
    0.783
    """
    full = data if isinstance(data, Mapping) else data.full_data
    missing = [name for name in _KEYS if name not in full]
    if missing:
        raise DataError(f"TGB: found no {missing[0]!r}, expected {', '.join(_KEYS)}; see NodePropPredDataset.full_data")
    times, labels = np.asarray(full["timestamps"]), full["node_label_dict"]
    if np.any(np.diff(times) < 0):
        raise DataError("TGB: found timestamps that descend, expected ascending ones; sort the events by time")
    columns = [full["sources"], full["destinations"], times, full.get("edge_feat")]
    seen, figures = 0, []
    model.reset()
    for part, time in _due(times, sorted(labels), batch_size):
        until, nodes = int(np.searchsorted(times, time)), np.array(list(labels[time]), np.int64)
        true = np.stack([np.asarray(label, np.float64) for label in labels[time].values()])
        model.observe(*(None if column is None else column[seen:until] for column in columns))
        if part == split:
            predicted = np.asarray(model.predict(time, nodes))
            if predicted.shape != true.shape or not np.isfinite(predicted).all():
                found = f"scores of shape {predicted.shape}, or some that are not finite"
                raise DataError(f"time {time}: found {found}, expected finite ones of shape {true.shape}")
            figures.append(float(ndcg_score(true, predicted, k=10)))
        model.update(nodes, true)
        seen = until
    if not figures:
        raise ConfigError(f"TGB: found no labels in {split!r}, expected some in {', '.join(_PARTS)}; see batch_size")
    return {"ndcg": float(np.mean(figures)), "times": len(figures)}


def _due(times: np.ndarray, label_times: list[int], batch_size: int) -> Iterator[tuple[str, int]]:
    """Yield the times of labels that are asked for, each with its part."""
    ends = np.searchsorted(times, np.quantile(times, [0.7, 0.85]), side="right").tolist()
    left = iter(label_times)
    due = next(left, None)
    for part, begin, end in zip(_PARTS, [0, *ends], [*ends, len(times)], strict=True):
        for first in range(begin, end, batch_size):
            if due is not None and times[min(first + batch_size, end) - 1] > due:
                yield part, due
                due = next(left, None)
