r"""Everything that this folder tries, with counts: damaged and hostile folders, kills, full disks, two at once.

    python -m tests.abuse                          # all of it: many minutes
    python -m tests.abuse kills pairs --times 100  # some of it, longer
    python -m tests.abuse damage --only "run folder"

Each line is one thing that was tried: how often, how often it went wrong, and CPU seconds; the last one is their sum.
What went wrong is said on stderr.
"""

import argparse
import gc
import os
import re
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # as dysign-train has it, before PyTorch is imported

import torch._dynamo  # noqa: F401  imported here, so that no forked process has to

from tests.abuse import damaged, full, hostile, killed, launched, samples
from tests.abuse.attempts import Attempt, Work, attempts
from tests.abuse.tampering import tampered

TABLES = ("nodes", "links", "events")
_AT_ONCE = 50
Counts = Iterator[tuple[str, int, list[str]]]
Trial = Callable[[Path, dict[str, Path], argparse.Namespace], Counts]


def damage(home: Path, made: dict[str, Path], chosen: argparse.Namespace) -> Counts:
    """Put something else in the place of each file, flip bytes, and change values in JSON."""
    for target in samples.targets(home, made):
        if re.search(chosen.only, target.name):
            for kind in ("special", "flips", "values"):
                tried = tampered(target, home, (kind,), chosen.times, chosen.seed)
                count, wrong = _tried(islice(tried, None, None, chosen.every))
                if count:
                    yield f"{target.name}: {kind}", count, wrong


def code(home: Path, made: dict[str, Path], chosen: argparse.Namespace) -> Counts:
    """Put pickles that run code in all places."""
    (home / "code").mkdir()
    model, mark = samples.saved_model(home / "code", made["events"]), home / "mark"
    count, wrong = _tried(hostile.readings(home / "code", model, made["events"], mark), 2)
    yield "pickles that run code", count, wrong + ["one of them ran"] * mark.exists()


def runs(home: Path, made: dict[str, Path], chosen: argparse.Namespace) -> Counts:
    """Damage each file of finished and of killed runs, and take each away."""
    for table in TABLES:
        if re.search(chosen.only, table):
            folder = home / f"damaged-{table}"
            folder.mkdir()
            works = damaged.tried(table, made[table], folder, chosen.times, chosen.seed)
            count, wrong = _tried(islice(works, None, None, chosen.every))
            yield f"damaged runs, {table}", count, wrong


def small_disk(home: Path, made: dict[str, Path], chosen: argparse.Namespace) -> Counts:
    """Write to a disk that is too small, and again when there is room."""
    if reason := full.why_not(home):
        print(f"small disk: left out, {reason}", file=sys.stderr)
        return
    for name, write in full.writers(made, home).items():
        if re.search(chosen.only, name):
            ends = list(full.tried(name, write, home))
            yield f"small disk: {name}", len(ends), [line for _, wrong in ends for line in wrong]


def _compile(made: dict[str, Path], home: Path) -> None:
    """Have Numba compile what trainings call: in a new clone that takes longer than anything may that does not hang."""
    for table in TABLES:
        Attempt([samples.training(table, made[table], home / f"compiled-{table}")]).ends(patience=600)


def _tried(works: Iterator[tuple[str, Work]], status: int | None = None) -> tuple[int, list[str]]:
    """Do some work in other processes; return how often, and what went wrong."""
    count, wrong = 0, []
    while part := list(islice(works, _AT_ONCE)):
        count += len(part)
        for (name, _), end in zip(part, attempts([work for _, work in part]), strict=True):
            if end.wrong or status not in (None, end.status):
                wrong.append(f"{name}: {end.wrong or end}")
    return count, wrong


def _each_table(run: Callable[[str, Path, Path], list[str]], name: str, times: int, told: Counter[str]) -> Trial:
    def trial(home: Path, made: dict[str, Path], chosen: argparse.Namespace) -> Counts:
        for table in TABLES:
            if re.search(chosen.only, table):
                folder = home / f"{name} {table}".replace(" ", "-")
                folder.mkdir()
                yield f"{name}, {table}", times, run(table, made[table], folder)
                print("".join(f"  {count} x {what}\n" for what, count in told.most_common()), end="", file=sys.stderr)
                told.clear()

    return trial


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("damage", "runs", "code", "kills", "pairs", "torchrun", "disk", "small-disk", "twice", "half")
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"some of {', '.join(names)}; default: all")
    parser.add_argument("--times", type=int, default=30, help="kills of each training, and flips of each file")
    parser.add_argument("--every", type=int, default=1, help="of damaged folders try every N-th alone")
    parser.add_argument("--only", default="", metavar="REGEX", help="folders and tables whose name it is found in")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(argv)
    if unknown := set(chosen.what) - set(names):
        parser.error(f"found {', '.join(sorted(unknown))}, expected some of {', '.join(names)}")
    trials = _trials(chosen)
    samples.small_pictures()
    gc.freeze()  # else each process looks through, and so copies, all that was imported
    tried, failed = 0, 0
    with tempfile.TemporaryDirectory(prefix="abuse-") as home:
        made = samples.prepared(Path(home))
        _compile(made, Path(home))
        for name in chosen.what or names:
            spent = _cpu_seconds()
            for what, count, wrong in trials[name](Path(home), made, chosen):
                used, spent = _cpu_seconds() - spent, _cpu_seconds()
                print(f"{what:60} {count:6} tried {len(wrong):4} wrong {used:6.0f} CPU s", flush=True)
                print("".join(f"  {line}\n" for line in wrong), end="", file=sys.stderr)
                tried, failed = tried + count, failed + len(wrong)
    print(f"{tried} tried, {tried - failed} survived, {failed} wrong; {_cpu_seconds():.0f} CPU s")
    return int(failed > 0)


def _trials(chosen: argparse.Namespace) -> dict[str, Trial]:
    more = {"times": chosen.times, "seed": chosen.seed}
    moments, told = [share / 20 for share in range(20)], Counter[str]()
    pair = partial(killed.pair_kills, told=told, **more)
    worker = partial(launched.worker_kills, told=told, **more)
    return {
        "damage": damage,
        "runs": runs,
        "code": code,
        "kills": _each_table(partial(killed.kills, **more), "killed and resumed", chosen.times, told),
        "pairs": _each_table(pair, "one of two processes killed", chosen.times, told),
        "torchrun": _each_table(worker, "one worker of torchrun killed", chosen.times, told),
        "disk": _each_table(partial(killed.full_disk, moments=moments), "full disk", len(moments), told),
        "small-disk": small_disk,
        "twice": _each_table(killed.two_at_once, "two processes in one folder", 3, told),
        "half": _each_table(killed.half_a_line, "half a line in metrics.jsonl", 3, told),
    }


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    sys.exit(main())
