"""What tables of scores share: how data is prepared, and how studies run, one resumable command each."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

BIN = Path(sys.executable).parent
OTC = "DATA/bitcoin_otc/soc-sign-bitcoinotc.csv"
FRAUD = f"edges {OTC} PREPARED --every week --labels DATA/bitcoin_otc_fraud/otc_gt.csv --features"
CLASSES = "--src-label c1 --dst-label c2 --undirected --features spectral"
PRIMARY = f"edges DATA/primary_school/primaryschool.csv PREPARED {CLASSES}"
LINKS = {"otc": OTC, "alpha": "DATA/bitcoin_alpha/soc-sign-bitcoinalpha.csv", "uci": "DATA/uci_message/CollegeMsg.txt"}
#: Data sets that are generated, by the options of ``dysign-prep synth``.
GENERATED = {
    "demo": "dblp --nodes 3000",
    "mathoverflow-size": "wiki-talk --events 107580",
    "reddit-title": "reddit-title --scale 1",
    "wiki-talk": "wiki-talk --scale 1",
    "stack-overflow": "stack-overflow --scale 1",
}
#: How data is prepared, by the options of ``dysign-prep``.
DATA = {
    "school": "dblp DATA/school PREPARED --snapshots 50",
    "primary": f"{PRIMARY} --every 1h",
    "primary-day": f"{PRIMARY} --every 1d",
    "dblp": "dblp DATA/dblp PREPARED",
    "dblp-deepwalk": "dblp DATA/dblp PREPARED --features deepwalk",
    "wikipedia": "wikipedia DATA/wikipedia PREPARED",
    "fraud": f"{FRAUD} spectral",
    "fraud-degree": f"{FRAUD} degree",
    "aminer": "edges DATA/aminer/Aminer.txt PREPARED --labels DATA/aminer/Aminer_label.txt --features spectral",
    "demo": "dblp RAW PREPARED",
    **{name: "edges RAW PREPARED --every week" for name in GENERATED if name != "demo"},
    "uci-day": f"edges {LINKS['uci']} PREPARED --every day",
    **{name: f"edges {file} PREPARED --every week" for name, file in LINKS.items()},
    **{f"{name}-roland": f"edges {file} PREPARED --every roland-week" for name, file in LINKS.items()},
    **{f"{n}-fixed": f"edges {f} PREPARED --every {190080 if n == 'uci' else 1200000}" for n, f in LINKS.items()},
}


def command(tool: str, *options: str) -> None:
    """Run an installed command of this package, and show it; its tables go to the error output, beside progress."""
    print("$", tool, *options, file=sys.stderr, flush=True)
    subprocess.run([str(BIN / tool), *options], check=True, stdout=sys.stderr)


def prepared(name: str, data: Path, out: Path) -> Path:
    """Return a prepared folder, made if it is not there."""
    folder, raw = out / "prepared" / name, out / f"raw-{name}"
    if not folder.exists():
        if name in GENERATED and not raw.exists():
            kind, *options = GENERATED[name].split()
            command("dysign-prep", "synth", kind, str(raw), *options)
        places = {"PREPARED": str(folder), "RAW": str(raw)}
        parts = [places.get(part, part.replace("DATA", str(data), 1)) for part in DATA[name].split()]
        command("dysign-prep", *parts)
    return folder


def run(study: str, line: str, data: Path, out: Path) -> list[dict[str, object]]:
    """Run a study, or go on with it; return its summary."""
    table, name, *options = line.split()
    folder = out / study
    resume = ["--resume"] if folder.exists() else []
    command("dysign-train", table, str(prepared(name, data, out)), "--run-dir", str(folder), *options, *resume)
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def arguments(about: str | None, studies: Mapping[str, str], out: str) -> argparse.ArgumentParser:
    """Return what reads the command line of a script of studies.

    Parts are rows, seeds and splits of the command line, instead of those of the studies: the others can follow.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path(out), metavar="OUT")
    parser.add_argument("--only", nargs="+", choices=list(studies), default=list(studies), metavar="STUDY", help="some")
    parser.add_argument("--list", action="store_true", help="show the studies, and run nothing")
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="instead of all rows of a study")
    for name in ("seeds", "splits"):
        parser.add_argument(f"--{name}", metavar="N", help="instead of those of a study; the others can follow")
    return parser


def _narrowed(args: argparse.Namespace, studies: Mapping[str, str]) -> dict[str, str]:
    """Return the studies with the rows, seeds and splits of the command line, whose others can follow."""
    lines = dict(studies)
    if args.rows:
        lines = {name: f"{line.partition('--rows')[0]}--rows {' '.join(args.rows)}" for name, line in lines.items()}
    for option, number in (("--seeds", args.seeds), ("--splits", args.splits)):
        if number:
            lines = {name: re.sub(rf"{option} \d+", f"{option} {number}", line) for name, line in lines.items()}
    return lines


def made(text: str, name: str) -> str:
    """Return what a page's text has between the markers of a name; "" where it has none."""
    return text.partition(f"<!-- made: {name} -->\n")[2].partition("<!-- end -->")[0]


def fill(page: Path, parts: Mapping[str, str]) -> None:
    """Write parts into a page, between the markers of their names; a part that it has no markers for is left out."""
    text = page.read_text(encoding="utf-8")
    for name, part in parts.items():
        begin, _, rest = text.partition(f"<!-- made: {name} -->\n")
        if rest:
            text = f"{begin}<!-- made: {name} -->\n\n{part}\n\n{rest[rest.index('<!-- end -->') :]}"
    page.write_text(text, encoding="utf-8")


def run_all(args: argparse.Namespace, studies: Mapping[str, str]) -> int:
    """Run studies one after the other, or list them; the exit status is 1 if some failed."""
    studies = _narrowed(args, studies)
    if args.list:
        print(*(f"{study}: dysign-train {studies[study]}" for study in args.only), sep="\n")
        return 0
    data, failed = Path(os.environ.get("DYSIGN_DATA", "../shared/data")), []
    for study in args.only:
        try:
            for line in run(study, studies[study], data, args.out):
                print(json.dumps({"study": study, **line}), flush=True)
        except subprocess.CalledProcessError as error:  # it has said why
            failed.append(study)
            print(f"{study}: status {error.returncode}", file=sys.stderr)
    return 1 if failed else 0


def run_or_write(about: str | None, studies: Mapping[str, str], out: str, page: str, argv: Sequence[str] | None) -> int:
    """Run studies, or let the module `page` write tables of what was run; the exit status is 1 if some failed."""
    parser = arguments(about, studies, out)
    parser.add_argument("--page", type=Path, nargs="+", help="write what OUT holds into tables of pages, run nothing")
    args = parser.parse_args(argv)
    if args.page:
        import_module(page).write(args.page, args.out, studies)  # studies need no PyTorch here
        return 0
    return run_all(args, studies)
