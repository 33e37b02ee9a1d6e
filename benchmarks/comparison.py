"""The systems that the two papers compare with, beside ours, on the same data: the tables of docs/comparison.md.

    python benchmarks/comparison.py OUT --list                    # which studies there are
    python benchmarks/comparison.py OUT --only uci otc            # some of them; run again, they go on where they were
    python benchmarks/comparison.py OUT --only otc --rows roland  # only these rows for now; the others can follow
    python benchmarks/comparison.py OUT --page docs/comparison.md README.md  # tables and pictures, with what OUT holds

Raw files lie in $DYSIGN_DATA (default ../shared/data). Prepared folders and run folders lie in OUT, which may be that
of ``benchmarks/transfer.py``: what has the same name is the same. All studies together take days of one processor, so
that a table grows row by row, on whatever machine: a row that OUT lacks, or has fewer runs of, stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from _studies import LINKS, run_or_write
from transfer import NODE_ROWS

#: Systems that read the features of nodes, with what stands beside all. Long ones take minutes: one split, one seed.
FAST = "logistic-regression dysign evolvegcn-o"
LONG = "mpnn-lstm jodie evolvegcn-h tgat dysat spikenet"
#: Spiking ones take an hour or more with SpikeNet's 100 epochs: 24, as many as Dy-SIGN has.
SPIKING = "spikenet spikenet-memory signn delay-dsgn chronospike"
#: Systems that read edges alone, and no label: one training for all splits.
EMBEDDINGS = "deepwalk node2vec htne m2dne dynamic-triad"
SPLITS = "--train-ratio 0.4 0.6 0.8 --splits 3 --seeds 1 --no-choice"
ONCE = "--splits 1 --seeds 1 --no-choice"
ENCODERS = "evolvegcn-h evolvegcn-o roland wingnn dysat dysat-tgl dgnn-gru dgnn-lstm dgnn-tf jodie tgat"
BOTH = " ".join(f"{name} {name}-counts" for name in ENCODERS.split())
WALKS = "--no-choice --rows logistic-regression relu-network gcn dysign"
UNDERGS = "boosted-trees undergs-paper undergs-no-counts undergs"


def node_studies(inputs: str, data: str, references: str) -> Iterator[tuple[str, str]]:
    """Yield the studies of DBLP on some inputs: references and ours, then systems; of long ones each has its own."""
    for percent in (40, 60, 80):
        name, options = f"{inputs}-{percent}", f"nodes {data} --train-ratio 0.{percent // 10}"
        yield name, f"{options} --splits 3 --seeds 3 {references}"
        yield f"{name}-fast", f"{options} --splits 3 --seeds 1 --no-choice --rows {FAST}"
        yield from ((f"{name}-{system}", f"{options} {ONCE} --rows {system}") for system in LONG.split())
        for system in SPIKING.split():
            yield f"{name}-{system}-24-epochs", f"{options} {ONCE} --epochs 6 --rows {system}"


def link_studies(name: str) -> Iterator[tuple[str, str]]:
    """Yield the studies of one data set of links: as everywhere here, and under ROLAND's protocol."""
    yield name, f"links {name} --seeds 3 --rows logistic-regression {UNDERGS} node-counts tpnet simpledyg {BOTH}"
    live = f"links {name}-roland --protocol roland-live"
    yield f"{name}-live-counts", f"{live} --seeds 3 --rows logistic-regression node-counts"
    yield f"{name}-live-systems", f"{live} --seeds 1 --rows {UNDERGS} tpnet simpledyg {BOTH}"


#: What is trained: a table of ``dysign-train``, data, and options, rows last.
STUDIES = {
    **dict(node_studies("dblp", "dblp", f"--rows {NODE_ROWS}")),
    **{f"dblp-edges-{name}": f"nodes dblp {SPLITS} --rows {name}" for name in EMBEDDINGS.split()},
    **dict(node_studies("dblp-walks", "dblp-deepwalk", WALKS)),
    "dblp-40-spikenet-4-epochs": f"nodes dblp --train-ratio 0.4 {ONCE} --epochs 1 --rows spikenet",
    **{study: line for name in LINKS for study, line in link_studies(name)},
    "wikipedia": f"events wikipedia --seeds 3 --rows always-no few-events logistic-regression {UNDERGS} {BOTH}",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run studies, or write the page; the exit status is 1 if some failed."""
    return run_or_write(__doc__, STUDIES, "build/comparison", "_comparison_page", argv)


if __name__ == "__main__":
    sys.exit(main())
