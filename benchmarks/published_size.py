"""Links of generated data sets of published size: CPU seconds, peak memory and figures of each row of the table.

    python benchmarks/published_size.py OUT --list                 # which studies there are
    python benchmarks/published_size.py OUT --only wiki-talk       # one of them; run again, it goes on where it was

Edges and nodes are as many as published (MathOverflow: edges alone), snapshots are weeks. All edges are observed; of
larger sets, so many edges of a snapshot as ``--max-edges`` says are trained on and scored, the same for all rows. Each
line is one of the run's ``summary.json``, with the study, whose options ``--list`` shows.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from _studies import arguments, run_all

ROWS = "--seeds 1 --rows logistic-regression boosted-trees undergs-no-counts undergs"
#: What is trained: a table of ``dysign-train``, data, and options, rows last.
STUDIES = {
    "mathoverflow-size": f"links mathoverflow-size --walks projected {ROWS}",
    "mathoverflow-size-exact": "links mathoverflow-size --walks exact --seeds 1 --rows undergs",
    "reddit-title": f"links reddit-title --max-edges 1024 {ROWS}",
    "wiki-talk": f"links wiki-talk --max-edges 1024 --epochs 2 {ROWS}",
    "stack-overflow": f"links stack-overflow --max-edges 1024 --epochs 1 {ROWS}",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run studies; the exit status is 1 if some failed."""
    return run_all(arguments(__doc__, STUDIES, "build/published-size").parse_args(argv), STUDIES)


if __name__ == "__main__":
    sys.exit(main())
