r"""Read damaged files until one is neither read nor refused: a target for each reader, by atheris or by plain chance.

    python benchmarks/fuzz.py                                        # each reader, 200 files, with a seed
    python benchmarks/fuzz.py edges --runs 20000 --seed 7            # one of them, longer
    python benchmarks/fuzz.py --atheris -- -max_total_time=60        # guided by coverage: pip install atheris

A file may be read, or refused by one of the package's errors; any other error, or more than 20 seconds, is a finding:
the file goes to OUT, and the exit status is 1. Files begin as those of ``DYSIGN_DATA/cases`` and as tiny ones that are
written on the spot. What follows ``--`` are options of libFuzzer, whose time begins when all is imported.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)] if str(ROOT) not in sys.path else []

import torch  # noqa: E402

from data_prep import PrepareOptions, prepare  # noqa: E402
from dgl_dysign.adapters._files import read_array  # noqa: E402
from dgl_dysign.adapters.tgb_eval import read_negatives, write_negatives  # noqa: E402
from dgl_dysign.data import TemporalGraph  # noqa: E402
from dgl_dysign.data.schema import sha256  # noqa: E402
from dgl_dysign.data.tensor_file import load_tensors  # noqa: E402
from dgl_dysign.errors import DGLDySignError  # noqa: E402
from dgl_dysign.experiments.record import read_units  # noqa: E402
from dgl_dysign.files import read_toml  # noqa: E402
from dgl_dysign.models import UnderGS  # noqa: E402
from tests.data_prep.damage import FORMS, mutate  # noqa: E402
from tests.folders import full_folder  # noqa: E402

SECONDS = 20
_TOML = b'seeds = 3\nrows = ["a"]\n[b]\nc = 1.5\n'


@dataclass(frozen=True)
class Reader:
    """Where a file is put, what it may look like at first, and what reads it."""

    file: Path
    seeds: list[bytes]
    read: Callable[[], object]
    allowed: tuple[type[Exception], ...] = (DGLDySignError,)

    def __call__(self, data: bytes) -> bool:
        """Read a file within some seconds; return False if it is refused."""
        signal.alarm(SECONDS)
        try:
            return self.reads(data)
        finally:
            signal.alarm(0)

    def reads(self, data: bytes) -> bool:
        """Read a file, however long it takes; return False if it is refused."""
        self.file.write_bytes(data)
        try:
            self.read()
        except self.allowed:
            return False
        return True


def _raw(home: Path, form: str, more: Sequence[bytes] = ()) -> Reader:
    """Return the reader of a format of raw files; the first of them is damaged."""
    files, raw = FORMS[form].files, home / "raw"
    if form == "otc":  # under its own name, which says what its columns are, no other file is read
        files = {"data.csv": files["soc-sign-bitcoinotc.csv"]}
    raw.mkdir()
    for name, data in files.items():
        (raw / name).write_bytes(data)
    options = PrepareOptions(features="none", overwrite=True)
    first = next(iter(files))
    path = raw / first if form == "otc" else raw
    return Reader(
        raw / first, [files[first], *more], lambda: prepare(FORMS[form].command[0], path, home / "out", options)
    )


def _cases() -> list[bytes]:
    folder = Path(os.environ.get("DYSIGN_DATA", ROOT.parent / "shared" / "data")) / "cases"
    return [file.read_bytes() for file in sorted(folder.glob("*.[ct]s*")) + sorted(folder.glob("*.txt"))]


def _prepared(home: Path, name: str) -> Reader:
    def read() -> None:
        data = TemporalGraph.load(folder)
        for t in range(data.num_snapshots):
            _ = data.graph(t), data.edge_weights(t), data.edge_features(t), data.event_labels(t), data.active(t)

    folder = full_folder(home / "prepared")
    return Reader(folder / name, [(folder / name).read_bytes()], read)


def _model(home: Path, name: str) -> Reader:
    def read() -> None:
        if name == "model.safetensors":  # its hash fits, as in a folder of somebody who means harm
            config["files"][name] = sha256(folder / name)
            (folder / "config.json").write_text(json.dumps(config))
        UnderGS.from_pretrained(folder)

    folder = UnderGS(5, hidden_feats=4).save_pretrained(home / "model")
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return Reader(folder / name, [(folder / name).read_bytes()], read)


def _unit(home: Path) -> Reader:
    (home / "units").mkdir()
    scoring = {"scores": {"mrr": 1.5}, "val_scores": {}, "condition": {"train_ratio": 0.4}, "protocol": "p"}
    record = {"kind": "node", "key": "k", "entry": "e", "seed": 0, "scorings": [scoring], "version": 1}
    record |= {"history": [{"epoch": 0}], "cost": {"cpu_seconds": 1.0}, "extra": {}}
    old = {"row": "gcn", "train_ratio": 0.4, "macro_f1": 70.0, "history": []}
    return Reader(
        home / "units" / "k.json", [json.dumps(each).encode() for each in (record, old)], partial(read_units, home)
    )


def _tensors(home: Path) -> Reader:
    file, model = home / "checkpoint.pt", torch.nn.Linear(2, 2)
    state = {
        "model": model.state_dict(),
        "optimizer": torch.optim.AdamW(model.parameters()).state_dict(),
        "history": [],
    }
    torch.save(state, file)
    return Reader(file, [file.read_bytes()], partial(load_tensors, file), (ValueError,))


def _array(home: Path) -> Reader:
    np.save(home / "array.npy", np.ones((3, 2)))
    data = (home / "array.npy").read_bytes()
    return Reader(home / "array.npy", [data], partial(read_array, home / "array.npy", None, "an array"))


def _negatives(home: Path) -> Reader:
    write_negatives(home / "ns.pkl", {(0, 3, 10): [2, 4], (1, 2, 11): [5]})
    return Reader(home / "ns.pkl", [(home / "ns.pkl").read_bytes()], partial(read_negatives, home / "ns.pkl"))


READERS: dict[str, Callable[[Path], Reader]] = {
    "edges": lambda home: _raw(home, "otc", _cases()),
    "dblp": lambda home: _raw(home, "dblp"),
    "jodie": lambda home: _raw(home, "jodie wikipedia"),
    "manifest": lambda home: _prepared(home, "manifest.json"),
    "tables": lambda home: _prepared(home, "edges.parquet"),
    "config": lambda home: _model(home, "config.json"),
    "weights": lambda home: _model(home, "model.safetensors"),
    "checkpoint": _tensors,
    "unit": _unit,
    "array": _array,
    "negatives": _negatives,
    "options": lambda home: Reader(home / "o.toml", [_TOML], lambda: read_toml(home / "o.toml")),
}  # fmt: skip


def _too_slow(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} seconds")


def by_chance(name: str, runs: int, seed: int, out: Path) -> dict[str, Any]:
    """Read damaged files, each drawn from the seed and its number alone; return the counts."""
    counts: Counter[str] = Counter()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as home:
        reader = READERS[name](Path(home))
        for number in range(runs):
            rng = random.Random(f"{seed} {name} {number}")
            data = mutate(rng.choice(reader.seeds), rng)
            try:
                counts["read" if reader(data) else "refused"] += 1
            except Exception:
                counts["wrong"] += 1
                out.mkdir(parents=True, exist_ok=True)
                (out / f"{name}-{seed}-{number}").write_bytes(data)
                print(f"{name} {number}: {traceback.format_exc(limit=-3)}", file=sys.stderr)
    return {"reader": name, "runs": runs, "seed": seed, **counts, "seconds": round(time.perf_counter() - begun, 1)}


def by_atheris(name: str, options: Sequence[str], out: Path) -> int:
    """Let atheris look for files, in a process that it ends; return whether there is a finding."""
    process = os.fork()
    if not process:
        try:
            _atheris(name, options, out)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    print(json.dumps({"reader": name, "atheris": list(options), "status": status}), flush=True)
    return int(status != 0)


def _atheris(name: str, options: Sequence[str], out: Path) -> None:
    import atheris

    out.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="fuzz-"))
    reader, corpus = READERS[name](home), home / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(reader.seeds):
        (corpus / str(number)).write_bytes(seed)
    for each in gc.get_objects():  # the packages' own functions: with those of PyTorch it takes minutes to begin
        if isinstance(each, FunctionType) and str(each.__module__).startswith(("data_prep.", "dgl_dysign.")):
            atheris.instrument_func(each)

    def mutator(data: bytes, longest: int, seed: int) -> bytes:
        return mutate(data, random.Random(seed))[:longest] if seed % 2 else atheris.Mutate(data, longest)

    arguments = [sys.argv[0], str(corpus), f"-artifact_prefix={out}/{name}-", f"-timeout={SECONDS}", *options]
    atheris.Setup(arguments, reader.reads, custom_mutator=mutator)
    atheris.Fuzz()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"some of {', '.join(READERS)}; default: all")
    parser.add_argument("--runs", type=int, default=200, help="files for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), help="where files go that are findings")
    parser.add_argument("--atheris", action="store_true", help="guided by coverage, a process a reader")
    own = list(sys.argv[1:] if argv is None else argv)
    cut = own.index("--") if "--" in own else len(own)
    chosen = parser.parse_args(own[:cut])
    names = chosen.readers or list(READERS)
    if unknown := set(names) - READERS.keys():
        parser.error(f"no reader {', '.join(sorted(unknown))}; expected some of {', '.join(READERS)}")
    if chosen.atheris:  # libFuzzer has the alarm for itself
        return max(by_atheris(name, own[cut + 1 :], chosen.out) for name in names)
    signal.signal(signal.SIGALRM, _too_slow)
    wrong = 0
    for name in names:
        row = by_chance(name, chosen.runs, chosen.seed, chosen.out)
        print(json.dumps(row), flush=True)
        wrong += row.get("wrong", 0)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
