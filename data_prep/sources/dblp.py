"""DBLP and Tmall as MMDNE, SpikeNet and Dy-SIGN share them: ``src dst time`` lines and ``node2label.txt``."""

from pathlib import Path

from data_prep.rules import Rule
from data_prep.sources._labels import read_labels
from data_prep.sources._layout import Column, Layout
from data_prep.sources._source import ReadOptions, Source, find_parts, name_of, parts_named
from dgl_dysign.errors import DataError

LABELS = "node2label.txt"
LAYOUT = Layout((Column("src", "integer"), Column("dst", "integer"), Column("time", "number")))


def open_source(raw: Path, read: ReadOptions, dataset: str = "dblp") -> Source:
    """Open ``dblp.txt`` (or one other text file, after which the data set is then named) or ``tmall.txt``.

    Undirected; ids are node numbers as they stand; one snapshot a step. ``node2label.txt`` is complete and in order or
    not. SpikeNet makes one snapshot of ten of Tmall's 186 steps: ``--merge 10``.
    """
    if dataset == "dblp":
        parts = _dblp_parts(raw)
        dataset = parts[0].name.partition(".")[0].partition("-")[0]
    else:
        parts = find_parts(raw, f"{dataset}.txt", command=dataset)
    return Source(
        name_of(dataset, raw),
        parts,
        LAYOUT,
        Rule("step"),
        keep_ids=True,
        time_unit="as in the file",
        unix=False,
        nodes=read_labels(raw / LABELS, read),
    )


def _dblp_parts(raw: Path) -> tuple[Path, ...]:
    if not raw.is_dir():
        raise DataError(f"{raw}: found no such folder, expected one with dblp.txt and {LABELS}; check RAW")
    if parts := parts_named(raw, "dblp.txt"):
        return parts
    others = sorted(path for path in raw.glob("*.txt") if path.name != LABELS)
    if len(others) == 1:
        return tuple(others)
    names = ", ".join(path.name for path in others) or "no edge file"
    raise DataError(f"{raw}: found {names}, expected dblp.txt or one other .txt file beside {LABELS}; check RAW")
