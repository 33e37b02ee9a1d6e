"""Is every comparison system honest, and alive in every parameter? `dysign-check` on each, in each table it stands in.

    python benchmarks/check_systems.py                    # TGM's where it is installed (extra tgm)
    python benchmarks/check_systems.py --only tgat htne   # some of them

Each line is a row: CPU seconds, faults, and what is said of its parameters; OUT holds the whole reports. Run again,
the command asks again about those that were not without a fault.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from resource import RLIMIT_CPU, setrlimit
from typing import Any

from dgl_dysign.errors import DGLDySignError
from dgl_dysign.experiments import event_entries, link_entries, node_entries
from dgl_dysign.experiments.check import check_entry

TABLES = {"nodes": node_entries, "links": link_entries, "events": event_entries}


def systems() -> list[tuple[str, str]]:
    """Return the table and the name of every row that is a comparison system."""
    return [(table, row) for table, rows in TABLES.items() for row, e in rows.default_entries().items() if e.compares]


def check(table: str, row: str, file: Path, limit: int) -> None:
    """Write the report on a row, if that takes no more than so many CPU seconds."""
    setrlimit(RLIMIT_CPU, (limit, limit))
    try:
        report: dict[str, Any] = json.loads(check_entry(row, kind=table[:-1]).to_json())
    except DGLDySignError as error:
        report = {"ok": False, "error": str(error)}
    file.write_text(json.dumps({"cpu_seconds": time.process_time(), **report}, indent=1) + "\n", encoding="utf-8")


def read(file: Path) -> dict[str, Any]:
    """Return a report, or that there is none."""
    if not file.exists():
        return {"ok": False, "cpu_seconds": 0.0, "error": "stopped"}
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return report


def said(report: dict[str, Any]) -> str:
    """Say in a line what a report says."""
    if "error" in report:
        return f"not checked: {report['error']}"
    verdicts = {line["check"]: line for line in report["verdicts"]}
    faults = [name for name, line in verdicts.items() if line["verdict"] == "FAULT"]
    return f"{'FAULT: ' + ', '.join(faults) if faults else 'ok'}; {verdicts['parameters']['seen']}"


def main(argv: Sequence[str] | None = None) -> int:
    """Check one row after the other; the exit status is 1 if one is not without a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path("build/check-systems"), metavar="OUT")
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW", help="some of them")
    parser.add_argument("--limit", type=int, default=600, help="CPU seconds after which one is stopped (default 600)")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    reports = []
    for table, row in (each for each in systems() if not args.only or each[1] in args.only):
        file = args.out / f"{table}-{row}.json"
        if not read(file)["ok"]:
            file.unlink(missing_ok=True)
            process = get_context("fork").Process(target=check, args=(table, row, file, args.limit))
            process.start()
            process.join()
        reports.append(read(file))
        print(f"{table:6}  {row:20}  {reports[-1]['cpu_seconds']:4.0f}  {said(reports[-1])}", flush=True)
    return 0 if all(report["ok"] for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
