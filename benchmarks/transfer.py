"""What holds on graphs that nobody tuned for: the tables of the documentation on real data, by one resumable command.

    python benchmarks/transfer.py                          # all studies whose data is there: many hours
    python benchmarks/transfer.py --only school fraud-new  # some of them; run again, they go on where they were killed

Raw files lie in $DYSIGN_DATA (default ../shared/data), one folder a data set; ``demo`` is generated. Each command of
``dysign-prep`` and ``dysign-train`` is shown as it runs, prepared folders and run folders lie in OUT, and each JSON
line is one row of a summary.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

BIN = Path(sys.executable).parent
OTC = "DATA/bitcoin_otc/soc-sign-bitcoinotc.csv"
FRAUD = f"edges {OTC} PREPARED --every week --labels DATA/bitcoin_otc_fraud/otc_gt.csv --features"
CLASSES = "--src-label c1 --dst-label c2 --undirected --features spectral"
PRIMARY = f"edges DATA/primary_school/primaryschool.csv PREPARED {CLASSES}"
LINKS = {"otc": OTC, "alpha": "DATA/bitcoin_alpha/soc-sign-bitcoinalpha.csv", "uci": "DATA/uci_message/CollegeMsg.txt"}
#: How data is prepared, by the options of ``dysign-prep``.
DATA = {
    "school": "dblp DATA/school PREPARED --snapshots 50",
    "primary": f"{PRIMARY} --every 1h",
    "primary-day": f"{PRIMARY} --every 1d",
    "dblp": "dblp DATA/dblp PREPARED",
    "fraud": f"{FRAUD} spectral",
    "fraud-degree": f"{FRAUD} degree",
    "aminer": "edges DATA/aminer/Aminer.txt PREPARED --labels DATA/aminer/Aminer_label.txt --features spectral",
    "demo": "dblp DEMO PREPARED",
    "uci-day": f"edges {LINKS['uci']} PREPARED --every day",
    **{name: f"edges {file} PREPARED --every week" for name, file in LINKS.items()},
    **{f"{name}-roland": f"edges {file} PREPARED --every roland-week" for name, file in LINKS.items()},
    **{f"{n}-fixed": f"edges {f} PREPARED --every {190080 if n == 'uci' else 1200000}" for n, f in LINKS.items()},
}
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


def command(tool: str, *options: str) -> None:
    """Run an installed command of this package, and show it; its tables go to the error output, beside progress."""
    print("$", tool, *options, file=sys.stderr, flush=True)
    subprocess.run([str(BIN / tool), *options], check=True, stdout=sys.stderr)


def prepared(name: str, data: Path, out: Path) -> Path:
    """Return a prepared folder, made if it is not there."""
    folder, demo = out / "prepared" / name, out / "raw-demo"
    if not folder.exists():
        if name == "demo" and not demo.exists():
            command("dysign-prep", "synth", "dblp", str(demo), "--nodes", "3000")
        places = {"PREPARED": str(folder), "DEMO": str(demo)}
        parts = [places.get(part, part.replace("DATA", str(data), 1)) for part in DATA[name].split()]
        command("dysign-prep", *parts)
    return folder


def run(study: str, data: Path, out: Path) -> list[dict[str, object]]:
    """Run a study, or go on with it; return its summary."""
    table, name, *options = STUDIES[study].split()
    folder = out / study
    resume = ["--resume"] if folder.exists() else []
    command("dysign-train", table, str(prepared(name, data, out)), "--run-dir", str(folder), *options, *resume)
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run studies one after the other; the exit status is 1 if some failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path("build/transfer"), metavar="OUT")
    parser.add_argument("--only", nargs="+", choices=list(STUDIES), default=list(STUDIES), metavar="STUDY", help="some")
    parser.add_argument("--list", action="store_true", help="show the studies, and run nothing")
    args = parser.parse_args(argv)
    if args.list:
        print(*(f"{study}: dysign-train {options}" for study, options in STUDIES.items()), sep="\n")
        return 0
    data, failed = Path(os.environ.get("DYSIGN_DATA", "../shared/data")), []
    for study in args.only:
        try:
            for line in run(study, data, args.out):
                print(json.dumps({"study": study, **line}), flush=True)
        except subprocess.CalledProcessError as error:  # it has said why
            failed.append(study)
            print(f"{study}: status {error.returncode}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
