"""What projected walks of several widths lose against exact ones: UnderGS's test MRR on real data, weekly, by width.

    python benchmarks/projection_widths.py OUT --only otc --widths 16 64   # run again, it goes on where it was
    python benchmarks/projection_widths.py OUT --only otc --table          # the table of what was run, and run nothing

For each data set one line a kind of walks, exact first: test MRR in %, mean and deviation over seeds; the difference
from exact walks with its paired 95 % interval, over 1,000 draws of snapshots; CPU seconds a seed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from _comparison_page import Board, measured
from _studies import LINKS, run

from dgl_dysign.experiments.record import difference_text

WIDTHS = (16, 64, 128, 256)


def studies(name: str, widths: Sequence[int], seeds: int) -> dict[str, str]:
    """Return the studies of one data set by name, the exact one first."""
    walks = {"exact": "exact", **{str(width): f"projected --projection-width {width}" for width in widths}}
    return {
        f"{name}-{kind}": f"links {name} --walks {options} --seeds {seeds} --references counting --rows undergs"
        for kind, options in walks.items()
    }


def table(name: str, names: Sequence[str], out: Path) -> str:
    """Return the table of what was run of the studies of one data set."""
    board = Board(tuple(names), name, ("mrr",), ("exact",), "")
    kinds = {study: study.rpartition("-")[2] for study in names}
    every = measured(board, out, called=lambda study, row: kinds[study] if row == "undergs" else row)
    rows = {row.name: row for row in every if row.name in kinds.values()}  # counting references stand in the runs, too
    lines = ["| walks | seeds | MRR | difference | CPU s a seed |", "|---|---|---|---|---|"]
    for kind, row in sorted(rows.items(), key=lambda each: (each[0] != "exact", each[0].zfill(9))):
        figure, beside = row.figure("mrr"), row.differences.get("exact")
        apart = difference_text({**beside, "to": ""}).strip() if beside else "-"
        called = kind if kind == "exact" else f"{kind} wide"
        mrr = f"{figure['mean']:.1f} ± {figure['std']:.1f}"
        lines.append(f"| {called} | {figure['runs']} | {mrr} | {apart} | {row.cost('cpu_seconds'):.0f} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is not there yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path("build/projection-widths"), metavar="OUT")
    parser.add_argument("--only", nargs="+", choices=list(LINKS), default=list(LINKS), metavar="DATA", help="some")
    parser.add_argument("--widths", nargs="+", type=int, default=WIDTHS, metavar="WIDTH")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table", action="store_true", help="of what OUT holds: run nothing")
    args = parser.parse_args(argv)
    data = Path(os.environ.get("DYSIGN_DATA", "../shared/data"))
    for name in args.only:
        lines = studies(name, args.widths, args.seeds)
        for study, line in {} if args.table else lines.items():
            run(study, line, data, args.out)
        print(f"{name}:\n\n{table(name, list(lines), args.out)}\n", flush=True)


if __name__ == "__main__":
    main()
