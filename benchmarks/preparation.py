"""Preparing raw files of published size, beside pyarrow merely parsing the same files.

Each row is a pair of fresh processes, run in turn: ``dysign-prep`` on a generated data set, and
``pyarrow.csv.read_csv`` (its default: all cores) on the same files. ``ratio`` compares the seconds of the command's own
work with those of the parse; ``process_ratio`` the whole processes, start and imports included; the least of some runs
counts. ``peak_mib`` is the greatest resident memory of the whole process. Reading back: one snapshot alone, beside a
scan of the same table. Polars and DuckDB, where they are installed, read the same file of ``src dst time``, number the
nodes by their ids, sort by snapshot (a step of Tmall, a day of Stack-Overflow) and write Parquet with zstd; they check
and hash nothing.

    python benchmarks/preparation.py                       # a twentieth of the published sizes
    python benchmarks/preparation.py --scale 1 --raw DIR   # the published sizes; needs 6 GB and keeps the files in DIR
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq

DATA = {
    "tmall": ([], "tmall.txt", " "),
    "wikipedia": ([], "wikipedia.csv", ","),
    "patent": ([], "patent_edges.json", ","),
    "reddit": ([], "reddit.csv", ","),
    "stack-overflow": (["--every", "1d"], "sx-stackoverflow.txt", " "),
}
"""Options of the preparation, the file of events, and its delimiter."""

PARSE = """
import sys, time
from pyarrow import csv
start = time.perf_counter()
rows = 0
for path, delimiter, skip in zip(*[iter(sys.argv[1:])] * 3):
    read = csv.ReadOptions(autogenerate_column_names=True, skip_rows=int(skip))
    parse = csv.ParseOptions(delimiter=delimiter, quote_char=False)
    rows += csv.read_csv(path, read_options=read, parse_options=parse).num_rows
print(time.perf_counter() - start)
"""

SNAPSHOT = """
import sys, time
from dgl_dysign.data import schema
import pyarrow.dataset as ds
folder, rows, first = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
schema.read_rows(folder, "snapshots", 0, 1)
start = time.perf_counter()
table = schema.read_rows(folder, "edges", first, rows)
once = time.perf_counter() - start
start = time.perf_counter()
schema.read_rows(folder, "edges", first, rows)
again = time.perf_counter() - start
snapshot = table["snapshot"][0].as_py()
start = time.perf_counter()
scanned = schema.table(folder, "edges")
import pyarrow.compute as pc
scanned = scanned.filter(pc.equal(scanned["snapshot"], snapshot))
scan = time.perf_counter() - start
assert scanned.num_rows == table.num_rows == rows
print(once, again, scan)
"""

POLARS = """
import sys, time
import polars as pl
path, out, width = sys.argv[1], sys.argv[2], float(sys.argv[3])
start = time.perf_counter()
kinds = {"src": pl.Int64, "dst": pl.Int64, "time": pl.Float64}
edges = pl.read_csv(path, separator=" ", has_header=False, schema=kinds).with_row_index("edge_id")
nodes = pl.DataFrame({"raw": pl.concat([edges["src"], edges["dst"]]).unique().sort()}).with_row_index("node")
step = pl.col("time") // width if width else pl.col("time").rank("dense")
edges = edges.with_columns((step - step.min()).cast(pl.Int32).alias("snapshot"))
for end in ("src", "dst"):
    edges = edges.join(nodes, left_on=end, right_on="raw", maintain_order="left").drop(end).rename({"node": end})
edges.sort("snapshot", maintain_order=True).write_parquet(out, compression="zstd", compression_level=1)
print(time.perf_counter() - start)
"""

DUCKDB = """
import sys, time
import duckdb
path, out, width = sys.argv[1], sys.argv[2], float(sys.argv[3])
start = time.perf_counter()
step = f"floor(time / {width})" if width else "dense_rank() over (order by time)"
duckdb.sql(f'''
set enable_progress_bar = false;
create table raw as select row_number() over () - 1 as edge_id, *, {step} as step from read_csv('{path}', delim=' ',
    header=false, columns={{'src': 'bigint', 'dst': 'bigint', 'time': 'double'}});
create table nodes as select id, row_number() over (order by id) - 1 as node from (select src as id from raw union
    select dst from raw);
copy (select cast(step - (select min(step) from raw) as integer) as snapshot, a.node as src, b.node as dst, time,
    edge_id from raw join nodes a on raw.src = a.id join nodes b on raw.dst = b.id order by snapshot, edge_id)
    to '{out}' (format parquet, compression zstd, compression_level 1);
''')
print(time.perf_counter() - start)
"""

PEERS = {"polars": POLARS, "duckdb": DUCKDB}


def run(arguments: Sequence[str]) -> tuple[str, float, float, float]:
    """Run a process; return what it printed, its seconds, its greatest resident memory in MiB and its CPU seconds."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments[:4])} ended with status {status}")
    seconds = time.perf_counter() - start
    return text, seconds, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def generate(name: str, raw: Path, scale: float) -> Path:
    """Return the raw folder of a data set, made if it is not there."""
    if not (raw / name).exists():
        run(["-m", "data_prep.cli", "synth", name, str(raw / name), "--scale", str(scale), "--quiet"])
    return raw / name


def measure(name: str, raw: Path, home: Path, runs: int) -> dict[str, Any]:
    """Prepare and parse one data set in turn."""
    options, edges, delimiter = DATA[name]
    others = [path for path in sorted(raw.iterdir()) if path.name not in (edges, "synth.json")]
    skip = "1" if name in ("wikipedia", "reddit") else "0"
    files = [str(raw / edges), delimiter, skip]
    for path in others:
        files += [str(path), delimiter, "0"]
    out = home / name
    prepared: list[tuple[float, ...]] = []
    parsed: list[tuple[float, ...]] = []
    command = "edges" if name == "stack-overflow" else name
    source = raw / edges if command == "edges" else raw
    for _ in range(runs):
        shutil.rmtree(out, ignore_errors=True)
        text, *usage = run(["-m", "data_prep.cli", command, str(source), str(out), *options, "--json"])
        summary = json.loads(text)
        prepared.append((summary["seconds"], *usage))
        text, *usage = run(["-c", PARSE, *files])
        parsed.append((float(text), *usage))
    seconds, process = min(m[0] for m in prepared), min(m[1] for m in prepared)
    parse, parse_process = min(p[0] for p in parsed), min(p[1] for p in parsed)
    return {
        "data": f"{name}, generated", "rows": summary["num_edges"], "nodes": summary["num_nodes"],
        "snapshots": summary["num_snapshots"], "raw_bytes": sum(path.stat().st_size for path in raw.iterdir()),
        "prepared_bytes": summary["bytes"], "seconds": round(seconds, 3), "process_seconds": round(process, 3),
        "cpu_seconds": round(min(m[3] for m in prepared), 2), "rows_per_second": round(summary["num_edges"] / seconds),
        "peak_mib": round(max(m[2] for m in prepared)), "peer": "pyarrow.csv.read_csv", "peer_seconds": round(parse, 3),
        "peer_process_seconds": round(parse_process, 3), "peer_cpu_seconds": round(min(p[3] for p in parsed), 2),
        "peer_peak_mib": round(max(p[2] for p in parsed)), "ratio": round(seconds / parse, 2),
        "process_ratio": round(process / parse_process, 2), "runs": runs,
    }  # fmt: skip


def read_back(name: str, folder: Path) -> dict[str, Any]:
    """Read the middle snapshot of a prepared folder alone."""
    from dgl_dysign.data import schema

    snapshots = schema.table(folder, "snapshots").to_pylist()
    middle = snapshots[len(snapshots) // 2]
    text, *_ = run(["-c", SNAPSHOT, str(folder), str(middle["num_rows"]), str(middle["first_row"])])
    once, again, scan = map(float, text.split())
    return {
        "data": f"{name}, generated: snapshot {middle['snapshot']} read alone", "rows": middle["num_rows"],
        "milliseconds": round(1e3 * once, 2), "milliseconds_again": round(1e3 * again, 2),
        "peer": "scan of edges.parquet", "peer_milliseconds": round(1e3 * scan, 1),
    }  # fmt: skip


def peers(name: str, raw: Path, home: Path, runs: int) -> Iterator[dict[str, Any]]:
    """Let Polars and DuckDB read, number, sort and write the same file; and prepare it, in turn with each."""
    options, edges, _ = DATA[name]
    command, source, width = ("edges", raw / edges, "86400") if options else (name, raw, "0")
    out, written = home / name, home / "peer.parquet"
    for peer, script in PEERS.items():
        if not find_spec(peer):
            continue
        ours: list[tuple[float, ...]] = []
        theirs: list[tuple[float, ...]] = []
        for _ in range(runs):
            shutil.rmtree(out, ignore_errors=True)
            text, *usage = run(["-m", "data_prep.cli", command, str(source), str(out), *options, "--json"])
            ours.append((json.loads(text)["seconds"], *usage))
            text, *usage = run(["-c", script, str(raw / edges), str(written), width])
            theirs.append((float(text), *usage))
        seconds, peer_seconds = min(m[0] for m in ours), min(m[0] for m in theirs)
        yield {
            "data": f"{name}, generated", "peer": f"{peer}: read, number, sort, write", "rows": num_rows(written),
            "seconds": round(seconds, 3), "peer_seconds": round(peer_seconds, 3),
            "cpu_seconds": round(min(m[3] for m in ours), 2), "peer_cpu_seconds": round(min(m[3] for m in theirs), 2),
            "peak_mib": round(max(m[2] for m in ours)), "peer_peak_mib": round(max(m[2] for m in theirs)),
            "bytes": (out / "edges.parquet").stat().st_size, "peer_bytes": written.stat().st_size,
            "ratio": round(seconds / peer_seconds, 2), "runs": runs,
        }  # fmt: skip


def num_rows(path: Path) -> int:
    """Return the rows of a Parquet file."""
    return int(pq.read_metadata(path).num_rows)


def engines(raw: Path, home: Path, scale: float) -> Iterator[dict[str, Any]]:
    """Prepare eight parts in this process, in two worker processes, and on two workers of Dask."""
    parts = raw / "stack-overflow-parts"
    if not parts.exists():
        size = ["--scale", str(scale), "--parts", "8", "--quiet"]
        run(["-m", "data_prep.cli", "synth", "stack-overflow", str(parts), *size])
    folders = set()
    for chosen in ([], ["--workers", "2"], ["--engine", "dask", "--workers", "2"]):
        out = home / "parts"
        shutil.rmtree(out, ignore_errors=True)
        text, _, peak, _ = run(["-m", "data_prep.cli", "edges", str(parts), str(out), *chosen, "--json"])
        summary = json.loads(text)
        folders.add(json.dumps(json.loads((out / "manifest.json").read_text())["files"], sort_keys=True))
        yield {
            "data": "stack-overflow, generated, 8 parts", "engine": " ".join(chosen) or "local",
            "rows": summary["num_edges"], "seconds": summary["seconds"], "peak_mib": round(peak),
            "same_bytes": len(folders) == 1,
        }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Print one JSON line a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.05, help="share of the published sizes (default: 0.05)")
    parser.add_argument("--raw", type=Path, help="folder of generated raw data, kept (default: a temporary one)")
    parser.add_argument("--only", nargs="+", choices=sorted(DATA), default=list(DATA), help="data sets")
    parser.add_argument("--runs", type=int, default=3, help="runs of each process, of which the fastest counts")
    options = parser.parse_args(argv)
    with TemporaryDirectory() as temporary:
        home = Path(temporary)
        for name in options.only:
            raw = generate(name, options.raw or home / "raw", options.scale)
            print(json.dumps(measure(name, raw, home, options.runs)), flush=True)
            if name == "patent":
                print(json.dumps(read_back(name, home / name)), flush=True)
            if name in ("tmall", "stack-overflow"):
                for row in peers(name, raw, home, options.runs):
                    print(json.dumps(row), flush=True)
            shutil.rmtree(home / name)
        if "stack-overflow" in options.only:
            for row in engines(options.raw or home / "raw", home, options.scale / 4):
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
