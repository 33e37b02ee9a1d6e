"""A few of the attacks of attacks.py, which runs thousands of them from the command line."""

import random
import time

import pytest

from data_prep.sources import patent
from data_prep.sources._layout import Column, Layout
from data_prep.sources._raw_file import RawFile
from tests.data_prep import attacks
from tests.data_prep.damage import FORMS, mutate


@pytest.mark.parametrize("form", FORMS)
def test_undamaged_files_are_prepared(tmp_path, form):
    """Else the attacks would show nothing."""
    for name, data in FORMS[form].files.items():
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(data)
    raw = tmp_path / "raw"
    command = [part.format(raw=raw) for part in FORMS[form].command]
    path, out = raw / FORMS[form].raw, tmp_path / "deep" / "out"
    arguments = [command[0], str(path), str(out), *command[1:], "--features", "none"]
    assert attacks.run(arguments, tmp_path) == attacks.Outcome(0, "")


def test_each_mutation_changes_something_and_can_be_done_again():
    data = FORMS["otc"].files["soc-sign-bitcoinotc.csv"]
    for number in range(300):
        assert mutate(data, random.Random(number)) == mutate(data, random.Random(number))
    changed = sum(mutate(data, random.Random(number)) != data for number in range(300))
    assert changed > 270


@pytest.mark.parametrize("first", range(0, 60, 30))
def test_damaged_files_are_prepared_or_refused_in_one_line(first):
    assert attacks.attacks(30, first, seed=2026) == []


def test_killed_at_any_moment_the_same_command_gives_the_same_bytes(tmp_path):
    assert attacks.kills(3, tmp_path, seed=5, rows=30_000)["kills"] == 3


SKIP = Column("", "skip")
TRIPLE = (Column("src", "integer"), Column("dst", "integer"), Column("time", "number"))
LAYOUTS = {
    "1 2 3": Layout(TRIPLE),
    "1,2,3": Layout(TRIPLE, ","),
    "1,2,3,4": Layout(TRIPLE, ",", vector="rest"),
    "[1, 2, 20000101, 1, 1]": patent.SPIKENET,
    "1 x 2 3 x": Layout((TRIPLE[0], SKIP, *TRIPLE[1:], SKIP)),
    "1,x,2,3,x": Layout((TRIPLE[0], SKIP, *TRIPLE[1:], SKIP), ","),
    "1,2,2020-01-01": Layout((*TRIPLE[:2], Column("time", "date")), ","),
    "a,b,3": Layout((Column("src", "text"), Column("dst", "text"), TRIPLE[2]), ","),
}


@pytest.mark.parametrize("junk", ["1", "\t ", " ,", "+1", "["])
@pytest.mark.parametrize("row", LAYOUTS)
def test_long_lines_among_short_ones_take_no_time(tmp_path, row, junk):
    """Searching one again for each short line, or going back and forth over it, took minutes."""
    places = [1, row.rindex(row[1]), row.rindex(row[1]) + 1, len(row) - 1, len(row)]
    damaged = [row[:at] + junk * (40_000 // len(junk)) + row[at:] for at in places]
    lines = [*[row] * 200, *damaged, *[row] * 200, f"{row}+", *[f"{line}!" for line in damaged]]
    (tmp_path / "raw").write_text("\n".join(lines))
    start = time.process_time()
    file = RawFile(tmp_path / "raw", LAYOUTS[row], on_error="quarantine")
    rows = sum(batch.num_rows for batch in file)
    assert time.process_time() - start < 5
    assert rows + len(file.rejected) == 411
    assert rows >= 400
