"""What holds on graphs that nobody tuned for: the tables of the documentation on real data, by one resumable command.

    python benchmarks/transfer.py                          # all studies whose data is there: many hours
    python benchmarks/transfer.py --only school fraud-new  # some of them; run again, they go on where they were killed

Raw files lie in $DYSIGN_DATA (default ../shared/data), one folder a data set; ``demo`` is generated. Each command of
``dysign-prep`` and ``dysign-train`` is shown as it runs, prepared folders and run folders lie in OUT, and each JSON
line is one row of a summary.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from _studies import LINKS, arguments, run_all

NODE_ROWS = (
    "majority logistic-regression relu-network gcn dysign label-propagation label-aware-logistic label-aware-relu "
    "dysign-label-aware"
)
LINK_ROWS = "logistic-regression boosted-trees boosted-trees-all undergs-paper undergs-no-counts undergs node-counts"
FIXED_ROWS = "logistic-regression boosted-trees undergs"
NEW, LATER = "--split time --train-until 90 --val-until 100 --positive=-1", "--split time --positive=-1"
BY_SPLIT = {  # data, and options beside those of all nodes
    "school": "school --train-ratio 0.4 --splits 5",
    "primary": "primary --train-ratio 0.4 --splits 5",
    "fraud": "fraud --train-ratio 0.4 --splits 3",
    "demo": "demo --train-ratio 0.4 --splits 3",
    **{f"dblp-{percent}": f"dblp --train-ratio 0.{percent // 10} --splits 3" for percent in (40, 60, 80)},
}
BY_TIME = {  # the same
    "fraud-new": f"fraud {NEW} --seeds 3",
    "fraud-new-degree": f"fraud-degree {NEW} --seeds 3",
    "fraud-later": f"fraud {LATER} --train-ratio 0.5 --splits 3 --seeds 1",
    "primary-by-day": "primary-day --split time --train-ratio 0.4 --splits 3 --seeds 1",
    "primary-by-hour": "primary --split time --train-until 16 --val-until 20 --train-ratio 0.4 --splits 3 --seeds 1",
    "aminer-new": "aminer --split time --seeds 3",
    "dblp-new": "dblp --split time --seeds 1",
}
#: What is trained: a table of ``dysign-train``, data, and options.
STUDIES = {
    **{
        f"{name}{'-defaults' if defaults else ''}": f"nodes {data} --rows {NODE_ROWS} --seeds 3"
        + (" --no-choice" if defaults else "")
        for name, data in BY_SPLIT.items()
        for defaults in (False, True)
    },
    **{name: f"nodes {options} --rows {NODE_ROWS}" for name, options in BY_TIME.items()},
    **{f"links-{name}": f"links {name} --rows {LINK_ROWS} --seeds 3" for name in (*LINKS, "uci-day")},
    **{
        f"{name}-live": f"links {name}-roland --protocol roland-live --rows logistic-regression --seeds 3"
        for name in LINKS  # other rows that learn cost minutes a fit
    },
    **{f"{name}-fixed": f"links {name}-fixed --protocol roland-fixed --rows {FIXED_ROWS} --seeds 3" for name in LINKS},
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run studies; the exit status is 1 if some failed."""
    return run_all(arguments(__doc__, STUDIES, "build/transfer").parse_args(argv), STUDIES)


if __name__ == "__main__":
    sys.exit(main())
