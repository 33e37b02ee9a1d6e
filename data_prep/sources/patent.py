"""US patents: SpikeNet's JSON lines, NBER's cite75_99 with apat63_99, or SNAP's cit-Patents dated from apat63_99."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_prep.rules import Rule
from data_prep.sources._layout import Column, Layout
from data_prep.sources._source import NodeTable, ReadOptions, Source, each_once, find_parts, name_of
from data_prep.writer import arrow

CITATIONS = (Column("src", "integer"), Column("dst", "integer"))
SPIKENET = Layout(
    (*CITATIONS, Column("time", "yyyymmdd"), Column("src_original", "skip"), Column("dst_original", "skip")),
    brackets=True,
)
NODES = Layout(
    (Column("node", "integer"), Column("original", "integer"), Column("date", "skip"), Column("label", "integer")),
    brackets=True,
)
_READ = {0: Column("patent", "integer"), 2: Column("granted", "integer"), 10: Column("category", "integer")}
PATENTS = Layout(
    tuple(_READ.get(number, Column(f"field{number + 1}", "skip")) for number in range(23)),
    delimiter=",",
    header=1,
    quote=True,
)
_DAY = 86_400
_FROM_1960 = 3653
"""Days from 1960-01-01, where NBER's count begins, to 1970-01-01."""


def open_source(raw: Path, read: ReadOptions, dataset: str = "patent") -> Source:
    """Open ``patent_edges.json`` (and nodes), or ``cite75_99.txt`` or ``cit-Patents.txt`` with ``apat63_99.txt``.

    Directed from the citing patent; time is the day of its grant; one snapshot a year. In SpikeNet's form ids are node
    numbers as they stand and the raw id is the patent's number; in the others nodes are the patents that cite or are
    cited, by their numbers.
    """
    parts = find_parts(raw, "patent_edges.json", "cite75_99.txt", "cit-Patents.txt", command="patent")
    folder = parts[0].parent
    dataset = name_of(dataset, folder)
    year = Rule("calendar", unit="year")
    if parts[0].name.startswith("patent_edges"):
        nodes = _spikenet_nodes(find_parts(folder, "patent_nodes.json", command="patent")[0], read)
        return Source(dataset, parts, SPIKENET, year, keep_ids=True, directed=True, nodes=nodes)
    nodes, dates = _nber_nodes(find_parts(folder, "apat63_99.txt", command="patent")[0], read)
    if parts[0].name.startswith("cite75_99"):
        layout = Layout(CITATIONS, delimiter=",", header=1, derive=dates)
    else:
        layout = Layout(CITATIONS, comment="#", derive=dates)
    return Source(dataset, parts, layout, year, directed=True, nodes=nodes)


def _spikenet_nodes(path: Path, read: ReadOptions) -> NodeTable:
    (node, original, label), source, rejected = each_once(read.open(path, NODES), "node")
    return NodeTable(node, label, raw_id=original, sources=[source], rejected=rejected, file=path)


def _nber_nodes(path: Path, read: ReadOptions) -> tuple[NodeTable, "Granted"]:
    (patent, day, category), source, rejected = each_once(read.open(path, PATENTS), "patent")
    nodes = NodeTable(patent, category, complete=False, sources=[source], rejected=rejected)
    return nodes, Granted(path.name, patent, (day - _FROM_1960) * float(_DAY))


@dataclass(frozen=True, eq=False)
class Granted:
    """Add to citations the time at which the citing patent was granted."""

    file: str
    patent: np.ndarray
    time: np.ndarray

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the batch with ``time``; raise ValueError if a citing patent has no date."""
        src = np.from_dlpack(batch.column("src"))
        at = np.minimum(np.searchsorted(self.patent, src), len(self.patent) - 1)
        missing = np.flatnonzero(self.patent[at] != src)
        if len(missing):
            raise ValueError(f"citing patent {src[missing[0]]}", f"one that {self.file} dates")
        return pa.record_batch([*batch.columns, arrow(self.time[at])], names=[*batch.schema.names, "time"])

    def __repr__(self) -> str:
        return f"Granted({self.file}, {len(self.patent)} patents)"
