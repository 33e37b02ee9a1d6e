"""Going on with any snapshot: the same bits as undisturbed, whatever lies in the state folder."""

import itertools
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from data_prep.features import KINDS, features
from data_prep.features._checkpoint import Checkpoints
from dgl_dysign.errors import ConfigError

REAL_KINDS = [kind for kind in KINDS if kind != "none"]
STATEFUL = ["spectral", "deepwalk", "node2vec"]
PARAMS = {
    "degree": {},
    "spectral": {"dim": 4, "oversample": 4},
    "deepwalk": {"dim": 4, "num_walks": 2, "walk_length": 8},
    "node2vec": {"dim": 4, "num_walks": 2, "walk_length": 8, "p": 4.0, "q": 0.5, "decay": 0.8},
}
SNAPSHOTS = 6


def made_events(seed: int = 0):
    """Return events of 80 nodes over six snapshots, of which one is empty."""
    rng = np.random.default_rng(seed)
    snapshot = np.sort(rng.choice([0, 1, 2, 4, 5], 300))
    src = rng.integers(0, 40 + 8 * snapshot)
    return snapshot, src, (src + rng.integers(0, 12, 300)) % 80, 80, SNAPSHOTS


def run(kind, start=0, state=None, events=None, seconds=0.0, **change):
    """Compute features, with a checkpoint after every snapshot unless there shall be `seconds` between two."""
    params = {**PARAMS[kind], **change}
    return features(kind, *(events or made_events()), start=start, state=state, state_seconds=seconds, **params)


@pytest.fixture(scope="module")
def whole():
    """What an undisturbed run yields, by kind."""
    return {kind: list(run(kind)) for kind in REAL_KINDS}


def assert_same(arrays, expected):
    arrays = list(arrays)
    assert len(arrays) == len(expected)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(arrays, expected, strict=True))


def saved(folder):
    return sorted(int(path.stem) for path in folder.glob("*.npz"))


@pytest.mark.parametrize("kind", REAL_KINDS)
def test_every_start_without_any_state(kind, whole):
    for start in (1, 3, SNAPSHOTS - 1, SNAPSHOTS):
        assert_same(run(kind, start), whole[kind][start:])


@pytest.mark.parametrize("kind", REAL_KINDS)
def test_stopped_after_any_snapshot_and_resumed(kind, whole, tmp_path):
    for taken in (0, 1, 3, 4, SNAPSHOTS):  # snapshot 3 is empty
        state = tmp_path / str(taken)
        first = run(kind, state=state)
        assert_same(itertools.islice(first, taken), whole[kind][:taken])
        first.close()  # as a killed run: nothing after the last array it gave out
        # The state before the last array: that one may not have been written.
        assert not state.exists() or (kind != "degree" and saved(state)[-1] == taken - 1)
        assert_same(run(kind, taken, state), whole[kind][taken:])


@pytest.mark.parametrize("kind", STATEFUL)
def test_stopped_again_and_again(kind, whole, tmp_path):
    for start in range(SNAPSHOTS):
        step = run(kind, start, tmp_path)
        assert next(step).tobytes() == whole[kind][start].tobytes()
        step.close()
    # Each resumed run saved the state its last snapshot started from before giving it out.
    assert saved(tmp_path)[-1] == SNAPSHOTS - 1


@pytest.mark.parametrize("kind", STATEFUL)
def test_a_checkpoint_is_never_ahead_of_what_was_taken(kind, tmp_path):
    for taken, _ in enumerate(run(kind, state=tmp_path)):
        assert all(number <= taken for number in saved(tmp_path))
    assert saved(tmp_path) == [SNAPSHOTS - 2, SNAPSHOTS - 1]


@pytest.mark.parametrize("kind", STATEFUL)
def test_a_checkpoint_spares_the_work_before_it(kind, whole, tmp_path):
    list(run(kind, state=tmp_path))
    seen = []
    assert_same(run(kind, SNAPSHOTS - 1, tmp_path, progress=seen.append), whole[kind][-1:])
    assert seen[0] > (SNAPSHOTS - 1) / SNAPSHOTS
    seen.clear()
    # All that is there is ahead: from the beginning again.
    assert_same(run(kind, 1, tmp_path, progress=seen.append), whole[kind][1:])
    assert 0 < seen[0] <= 1 / SNAPSHOTS


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: b"not a zip file",
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw[:-1],
        lambda raw: raw[:600] + bytes([raw[600] ^ 1]) + raw[601:],
        lambda raw: raw[: len(raw) // 2] + bytes(64) + raw[len(raw) // 2 + 64 :],
    ],
)
def test_a_damaged_checkpoint_counts_as_absent(damage, whole, tmp_path):
    list(run("deepwalk", state=tmp_path))
    older, newest = sorted(tmp_path.glob("*.npz"))
    newest.write_bytes(damage(newest.read_bytes()))
    seen = []
    assert_same(run("deepwalk", SNAPSHOTS - 1, tmp_path, progress=seen.append), whole["deepwalk"][-1:])
    assert (SNAPSHOTS - 2) / SNAPSHOTS < seen[0] <= (SNAPSHOTS - 1) / SNAPSHOTS  # the older one was used
    older.write_bytes(b"")
    newest.write_bytes(b"")
    assert_same(run("deepwalk", 2, tmp_path), whole["deepwalk"][2:])


def test_every_single_damaged_byte_is_seen_or_does_no_harm(whole, tmp_path):
    list(run("deepwalk", state=tmp_path))
    path = max(tmp_path.glob("*.npz"))
    raw = path.read_bytes()
    state = Checkpoints(tmp_path, np.load(path)["key"].item())
    newest, before = state.load(SNAPSHOTS)
    rng = np.random.default_rng(0)
    for place in rng.choice(len(raw), 150, replace=False):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1 << int(rng.integers(8))]) + raw[place + 1 :])
        number, after = state.load(SNAPSHOTS)
        needed = set(before) - {"key"}
        if number == newest and needed <= set(after):
            assert all(before[name].tobytes() == after[name].tobytes() for name in needed)


@pytest.mark.parametrize(
    "change",
    [{"seed": 5}, {"dim": 5}, {"decay": 0.5}, {"events": made_events(seed=1)}, {"kind": "node2vec"}],
    ids=["seed", "dim", "decay", "events", "kind"],
)
def test_a_foreign_checkpoint_counts_as_absent_and_goes_with_the_first_of_ours(change, whole, tmp_path):
    change = {"kind": "deepwalk", **change}
    list(run(change.pop("kind"), state=tmp_path, **change))
    (tmp_path / ".00009.npz.0a1b2c3d.tmp").write_bytes(b"left by a killed run")
    assert_same(run("deepwalk", SNAPSHOTS - 1, tmp_path), whole["deepwalk"][-1:])
    step = run("deepwalk", 0, tmp_path)
    next(step), next(step)
    assert [path.name for path in tmp_path.iterdir()] == ["00001.npz"]


def test_a_failed_save_leaves_the_older_checkpoint_and_no_rubbish(tmp_path, monkeypatch):
    kept = Checkpoints(tmp_path, "key")
    kept.save(1, {"x": np.arange(3)})

    def full(stream, **arrays):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        kept.save(2, {"x": np.arange(3)})
    assert [path.name for path in tmp_path.iterdir()] == ["00001.npz"]
    assert Checkpoints(tmp_path, "key").load(5)[0] == 1


def test_little_work_is_not_saved(whole, tmp_path):
    assert_same(run("deepwalk", state=tmp_path / "state", seconds=20.0), whole["deepwalk"])
    assert not (tmp_path / "state").exists()


def test_dear_checkpoints_are_rare(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    kept = Checkpoints(tmp_path, "key", every=10.0)

    def state():
        now[0] += 3  # what writing takes
        return {"x": np.arange(3)}

    written = []
    for snapshot in range(1, 30):
        now[0] += 5
        kept.save_if_due(snapshot, state)
        if saved(tmp_path)[-1:] == [snapshot]:
            written.append(snapshot)
    # First after 10 s of work, then after 10 times the 3 s that writing took.
    assert written == [2, 8, 14, 20, 26]


def test_a_killed_process_goes_on(whole, tmp_path):
    code = """
import sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_features_resume import run
out = Path(sys.argv[2])
for t, x in enumerate(run("node2vec", state=out / "state")):
    np.save(out / "part.npy", x)
    (out / "part.npy").rename(out / f"{t}.npy")
    if t == 3:
        print("here", flush=True)
        while True:
            pass
"""
    here = os.path.dirname(__file__)
    with subprocess.Popen([sys.executable, "-c", code, here, tmp_path], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signal.SIGKILL)
    written = [np.load(tmp_path / f"{t}.npy") for t in range(4)]
    assert_same(itertools.chain(written, run("node2vec", 4, tmp_path / "state")), whole["node2vec"])


@pytest.mark.parametrize("start", [-1, SNAPSHOTS + 1])
def test_start_outside_the_snapshots(start):
    with pytest.raises(ConfigError, match=f"start: got {start}, expected 0 to {SNAPSHOTS}"):
        run("degree", start)
