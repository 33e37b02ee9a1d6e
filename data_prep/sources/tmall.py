"""Tmall as SpikeNet shares it: as DBLP, with labels of a seventh of the nodes in an order of their own."""

from pathlib import Path

from data_prep.sources._labels import LABELS
from data_prep.sources._source import ReadOptions, Source, find_parts, name_of
from data_prep.sources.dblp import open_steps


def open_source(raw: Path, read: ReadOptions) -> Source:
    """Open ``tmall.txt`` (whole, compressed or in parts) and read ``node2label.txt``.

    SpikeNet makes one snapshot of ten of its 186 steps: ``--merge 10``.

    Parameters
    ----------
    raw : path
        Folder with both files.
    read : ReadOptions
        How to read.

    Returns
    -------
    Source
        Undirected; ids are node numbers as they stand; one snapshot a step.

    Raises
    ------
    DataError
        If a file is missing, or at the first bad line of the labels.
    """
    return open_steps(find_parts(raw, "tmall.txt", command="tmall"), raw / LABELS, name_of("tmall", raw), read)
