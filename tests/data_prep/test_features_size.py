"""What features take, and the refusal where a machine does not have it."""

import numpy as np
import pytest

from data_prep.features import KINDS, bytes_on_disk, check_memory, features, free_memory, in_memory, options, width
from dgl_dysign.errors import ConfigError


def machine(root, available_kb=None, own="/a/b", limits=None):
    """Write the files in which Linux tells the free memory; ``limits``: group -> (max, current, inactive_file)."""
    (root / "proc/self").mkdir(parents=True)
    if available_kb is not None:
        (root / "proc/meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable:    {available_kb} kB\n")
    (root / "proc/self/cgroup").write_text(f"1:cpu:/x\n0::{own}\n")
    for group, (most, current, cache) in (limits or {}).items():
        folder = root / "sys/fs/cgroup" / group
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{current}\n")
        (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cache}\nactive_file 7\n")
    return root


def test_free_memory_is_the_least_of_all_limits(tmp_path):
    assert free_memory(machine(tmp_path / "1", 1000)) == 1_024_000
    limits = {"": ("max", 5, 0), "a": (900_000, 500_000, 100_000), "a/b": (950_000, 400_000, 0)}
    assert free_memory(machine(tmp_path / "2", 1000, limits=limits)) == 500_000
    assert free_memory(machine(tmp_path / "3", 1000, own="/", limits={"": (700, 300, 0)})) == 400
    assert free_memory(tmp_path / "nothing known") is None


def test_on_this_machine_a_number_of_bytes():
    free = free_memory()
    assert free is None or free > 1 << 20


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("none", {}, 0),
        ("degree", {}, 4 * 7 * 100 * 10),
        ("spectral", {}, 4 * 512 * 100 * (10 + 3)),
        ("spectral", {"dim": 8, "decay": 0.5}, 4 * 8 * 100 * (10 + 3)),
        ("deepwalk", {}, 4 * 128 * 100 * (10 + 6)),
        ("node2vec", {"dim": 2}, 4 * 2 * 100 * (10 + 6)),
    ],
)
def test_bytes_on_disk(kind, given, expected):
    assert bytes_on_disk(kind, 100, 10, **given) == expected


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_the_width_of_the_estimate_is_the_width_of_the_features(kind):
    x = next(features(kind, [0], [0], [1], 3, 1))
    assert x.shape[1] == width(options(kind))


def test_bytes_on_disk_of_unknown_options():
    with pytest.raises(ConfigError, match="unknown option 'decay'"):
        bytes_on_disk("degree", 1, 1, decay=0.5)
    with pytest.raises(ConfigError, match="kind: got 'pagerank'"):
        bytes_on_disk("pagerank", 1, 1)


@pytest.mark.parametrize("kind", ["spectral", "deepwalk", "degree"])
def test_what_does_not_fit_is_refused_and_what_fits_is_not(kind):
    chosen = options(kind)
    needed = in_memory(kind, 1_000_000, 10, chosen)
    with pytest.raises(ConfigError, match=rf"{kind} features, \d+ wide, of 1,000,000 nodes and 10 events") as caught:
        check_memory(kind, 1_000_000, 10, chosen, needed - 1)
    assert f"--features {'none' if kind == 'degree' else 'degree'}" in str(caught.value)
    assert ("--dim" in str(caught.value)) == (kind != "degree")
    for free in (needed, None):
        check_memory(kind, 1_000_000, 10, chosen, free)


@pytest.mark.skipif(free_memory() is None, reason="the free memory of this machine is unknown")
@pytest.mark.parametrize("kind", ["spectral", "deepwalk", "degree"])
def test_features_are_refused_before_any_work(kind):
    with pytest.raises(ConfigError, match=rf"{kind} features, \d+ wide, of 1,000,000,000,000 nodes and 10 events"):
        features(kind, *[np.zeros(10, int)] * 3, 10**12, 1)


def test_the_width_that_is_offered_fits():
    chosen, sizes = options("spectral"), (500_000, 1_000_000)
    with pytest.raises(ConfigError, match=r"--dim (\d+) or less") as caught:
        check_memory("spectral", *sizes, chosen, 1 << 30)
    dim = int(str(caught.value).split("--dim ")[1].split()[0])
    check_memory("spectral", *sizes, {**chosen, "dim": dim}, 1 << 30)
    with pytest.raises(ConfigError):
        check_memory("spectral", *sizes, {**chosen, "dim": dim + 8}, 1 << 30)
    with pytest.raises(ConfigError, match="give --features degree, or free memory"):
        check_memory("spectral", *sizes, chosen, 1 << 10)
