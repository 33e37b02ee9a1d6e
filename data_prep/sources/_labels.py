"""Files of ``node label`` lines, in any order."""

from pathlib import Path

import numpy as np

from data_prep.sources._layout import Column, Kind, Layout
from data_prep.sources._raw_file import Rejected
from data_prep.sources._source import NodeTable, ReadOptions, ascending_order, read_columns
from dgl_dysign.errors import DataError

LABELS = "node2label.txt"


def read_labels(path: Path, read: ReadOptions, kind: Kind = "integer") -> NodeTable:
    """Read labels of nodes, whose ids are of a kind; a node may be listed twice, but not with two labels."""
    file = read.open(path, Layout((Column("node", kind), Column("label", "integer"))))
    node, label = read_columns(file)
    order = ascending_order(node)
    node, label = node[order], label[order]
    again = np.concatenate([[False], node[1:] == node[:-1]])
    first = np.maximum.accumulate(np.where(again, 0, np.arange(len(node))))
    clash = np.flatnonzero(label != label[first])
    refused = [
        (path.name, Rejected(line, f"{node[i]} {label[i]}", f"label {label[first[i]]} was given before"))
        for i, line in zip(clash, file.lines_of(order[clash] if read.on_error == "quarantine" else []), strict=False)
    ]
    if len(clash) and not refused:
        at = clash[np.argmin(order[clash])]
        line, before = file.lines_of(order[[at, first[at]]])
        raise DataError(
            f"{path}, line {line}: found label {label[at]} for node {node[at]}, expected label {label[first[at]]} "
            f"as on line {before}; keep one of the two"
        )
    source = file.source
    source = {**source, "rows": source["rows"] - len(clash), "rejected": source["rejected"] + len(clash)}
    rejected = sorted([(path.name, row) for row in file.rejected] + refused)
    rows = order[~again]
    return NodeTable(
        node[~again],
        label[~again],
        sources=[source],
        rejected=rejected,
        lines_of=lambda entries: file.lines_of(rows[entries]),
        file=path,
    )
