"""What features take in memory, and whether this machine has it: known before hours are spent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dgl_dysign.errors import ConfigError

# Libraries, and what does not grow with the data.
_BASE = 256 << 20


def width(options: Mapping[str, Any]) -> int:
    """Return the number of columns that features with these options have."""
    return options["dim"] * np.size(options.get("decay", 1.0))


def in_memory(kind: str, num_nodes: int, num_events: int, options: Mapping[str, Any]) -> int:
    """Return about how many bytes the computation takes at its peak, beside the events.

    The yielded array and the one before, which the caller may still hold, are included. Peaks measured on DBLP and on
    graphs of 0.6 and 2.7 million nodes lay 0 to 30 % below; those of degree features by up to 250 MiB.
    """
    if kind == "none":
        return 0
    yielded = _BASE + 2 * 4 * num_nodes * width(options)
    if kind == "degree":
        return yielded + 80 * num_nodes + 60 * min(num_events, 1 << 22) + 9 * num_events
    links = 2 * num_events
    if kind == "spectral":
        columns = options["dim"] + options["oversample"]
        work = 4 * num_nodes * (width(options) + options["dim"] + 3 * columns)
        correction = 8 * min(10 * links, options["max_paths"])
        return yielded + work + correction + links * (24 * np.size(options["decay"]) + 36)
    return yielded + 2 * 4 * num_nodes * options["dim"] + 80 * links


def check_memory(kind: str, num_nodes: int, num_events: int, options: Mapping[str, Any], free: int | None) -> None:
    """Raise ConfigError, with what would fit, if the estimate is beyond the free memory (None: unknown, enough)."""
    needed = in_memory(kind, num_nodes, num_events, options)
    if free is None or needed <= free:
        return
    fitting = [
        dim
        for dim in range(8, options.get("dim", 0), 8)
        if in_memory(kind, num_nodes, num_events, {**options, "dim": dim}) <= free
    ]
    smaller = f"--dim {fitting[-1]} or less, or " if fitting and kind != "degree" else ""
    remedy = f"give {smaller}--features {'none' if kind == 'degree' else 'degree'}, or free memory"
    raise ConfigError(
        f"{kind} features, {width(options)} wide, of {num_nodes:,} nodes and {num_events:,} events: found "
        f"{free / 2**30:.1f} GiB of free memory, expected about {needed / 2**30:.1f} GiB; {remedy}"
    )


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that can still be used, by the system's count and by limits on this process; None: unknown."""
    return min((*_of_system(root), *_of_groups(root)), default=None)


def _of_system(root: Path) -> Iterator[int]:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) << 10


def _of_groups(root: Path) -> Iterator[int]:
    """Yield what is left of each limit of a control group (version 2) that holds this process."""
    top = root / "sys/fs/cgroup"
    own = [line[len("0::/") :] for line in _lines(root / "proc/self/cgroup") if line.startswith("0::/")]
    for group in [top / own[0], *(top / own[0]).parents] if own else []:
        limit, used = _lines(group / "memory.max"), _lines(group / "memory.current")
        if limit and used and limit[0] != "max":
            cache = [int(line.split()[1]) for line in _lines(group / "memory.stat") if "inactive_file" in line]
            yield int(limit[0]) - int(used[0]) + sum(cache)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
