import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.rules import Rule, bin_times
from data_prep.sources._layout import Column, Layout
from data_prep.sources._source import ReadOptions, Source
from data_prep.spool import Arrangement, FirstSnapshots, Repeats, spool
from tests.data_prep.raw_files import pieces_of

LAYOUT = Layout((Column("src", "integer"), Column("dst", "integer"), Column("time", "number")), vector="rest")


def arranged(home, parts, width=10.0):
    """Spool some lists of (src, dst, time) and arrange them in snapshots of equal width."""
    made = []
    for number, events in enumerate(parts):
        path = home / f"{number}.txt"
        path.write_text("".join(f"{src} {dst} {time} {src} {dst / 2}\n" for src, dst, time in events))
        source = Source("a", (path,), LAYOUT, Rule("every", width=width))
        made.append(spool(source, 0, home / f"part-{number}", ReadOptions()))
    times = [time for events in parts for _, _, time in events]
    binning = bin_times(Rule("every", width=width), min(times), max(times))
    maps = {"src": lambda part, ids: ids + 100, "dst": lambda part, ids: ids}
    return Arrangement(made, maps, binning, home / "sorted")


def rows(arrangement):
    names = ("snapshot", "src", "dst", "time", "edge_id")
    return [
        row for chunk in arrangement.chunks() for row in zip(*(chunk[name].tolist() for name in names), strict=True)
    ]


SORTED = [[(1, 2, 0.0), (3, 4, 5.0)], [(5, 6, 5.0), (7, 8, 25.0), (7, 8, 25.0)]]
UNSORTED = [[(1, 2, 25.0), (3, 4, 9.0)], [(5, 6, 5.0), (7, 8, 0.0), (7, 8, 25.0)]]


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
@pytest.mark.parametrize("parts", [SORTED, UNSORTED, [UNSORTED[0]], [SORTED[1], SORTED[0]]])
def test_events_come_by_snapshot_and_in_file_order_inside(tmp_path, parts, chunk):
    with pieces_of(chunk, 1 << 20):
        made = arranged(tmp_path, parts)
        flat = [event for events in parts for event in events]
        low = min(time for _, _, time in flat)
        expected = [
            (int((time - low) // 10), src + 100, dst, time, number) for number, (src, dst, time) in enumerate(flat)
        ]
        expected.sort(key=lambda row: (row[0], row[4]))
        assert made.is_sorted == (parts is SORTED)
        assert rows(made) == expected
        for rows_at_once in (1, 2, 100):
            pieces = list(made.features(rows_at_once))
            assert all(len(piece) == rows_at_once for piece in pieces[:-1])
            assert np.concatenate(pieces).tolist() == [[flat[row[4]][0], flat[row[4]][1] / 2] for row in expected]


def test_sorted_parts_take_no_room_on_the_disk(tmp_path):
    list(arranged(tmp_path, SORTED).chunks())
    assert not (tmp_path / "sorted").exists()


def test_parts_that_meet_at_one_time_are_sorted(tmp_path):
    assert arranged(tmp_path, SORTED).is_sorted
    assert not arranged(tmp_path, [[(1, 2, 5.0)], [(1, 2, 4.0)]]).is_sorted


def test_room_on_the_disk_is_taken_before_it_is_written_to(tmp_path, monkeypatch):
    """A sparse file that is mapped into memory kills the process where the disk is full."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        list(arranged(tmp_path, UNSORTED).chunks())


EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 5)), min_size=1, max_size=60)


def cut(columns, sizes):
    """Cut columns into chunks of these sizes, again and again."""
    at, number = 0, 0
    while at < len(columns["src"]):
        size = sizes[number % len(sizes)]
        yield {name: values[at : at + size] for name, values in columns.items()}
        at, number = at + size, number + 1


def columns(events):
    src, dst, time = (np.array(values, np.int64) for values in zip(*events, strict=True))
    return {"src": src, "dst": dst, "time": time.astype(float)}


@given(EVENTS, st.lists(st.integers(1, 9), min_size=1), st.integers(1, 3))
def test_first_snapshots(events, sizes, every):
    events = sorted(events, key=lambda event: event[2] // every)
    made = columns(events)
    made["snapshot"] = (made["time"] // every).astype(np.int32)
    first = FirstSnapshots(6)
    for chunk in cut(made, sizes):
        first.add(chunk)
    for node in range(6):
        seen = [time // every for src, dst, time in events if node in (src, dst)]
        assert first.first[node] == min(seen, default=-1)


@given(EVENTS, st.lists(st.integers(1, 9), min_size=1), st.booleans(), st.sampled_from([5, 2**31 - 1]))
def test_repeats_are_counted_across_chunks(events, sizes, is_sorted, num_nodes):
    """Sorted by time, or by snapshot only; with pairs that fit in 64 bits beside the group, or do not."""
    events = sorted(events, key=lambda event: event[2] if is_sorted else event[2] // 3)
    made = columns(events)
    made["snapshot"] = (made["time"] // 3).astype(np.int32)
    repeats = Repeats(num_nodes, is_sorted)
    for chunk in cut(made, sizes):
        repeats.add(chunk)
    assert repeats.finish() == len(events) - len(set(events))


def test_times_that_differ_in_the_last_digit_are_no_repeat():
    times = np.array([0.1, 0.1, np.nextafter(0.1, 1), 0.3])
    repeats = Repeats(2, True)
    repeats.add({"src": np.zeros(4, np.int64), "dst": np.ones(4, np.int64), "time": times})
    assert repeats.finish() == 1
    assert Repeats(2, True).finish() == 0
