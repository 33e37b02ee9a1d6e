import sys

from data_prep.describe import describe, show_description
from data_prep.terminal import progress, show_counts
from tests.folders import full_folder


def test_nothing_is_drawn_without_a_terminal_or_where_quiet(capsys):
    for quiet in (False, True):
        with progress(quiet) as add:
            advance = add("reading", 3)
            advance()
            advance(2)
    assert capsys.readouterr() == ("", "")


def test_a_bar_with_rate_goes_to_the_terminal_on_stderr(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress(False) as add:
        advance = add("reading", 4)
        advance(2)
        advance(2)
    output, errors = capsys.readouterr()
    assert output == ""
    assert "reading" in errors
    assert "100%" in errors
    assert "/s" in errors


def test_numbers_are_grouped_and_paths_come_out_whole(capsys):
    path = "/somewhere/" + "deep/" * 30
    show_counts("written", {"num_edges": 235769, "seconds": 0.25, "path": path})
    text = capsys.readouterr().out
    assert "235,769" in text
    assert "edges" in text
    assert path in "".join(character for character in text if character not in " │\n").replace("path", "", 1)


def cells(text, start):
    """Cells of the first row of a table that starts with a text."""
    line = next(line for line in text.splitlines() if line.strip("│ ").startswith(start))
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_a_description_shows_labels_degrees_and_snapshots(tmp_path, capsys):
    show_description(describe(full_folder(tmp_path / "p", dataset="wikipedia-generated")), tmp_path / "a.png")
    text = capsys.readouterr().out
    assert cells(text, "edges") == ["edges", "5", "157,474", "-157,469"]
    assert cells(text, "positive events") == ["positive events", "2", "217", "-215"]
    assert cells(text, "edge features") == ["edge features", "2", "172", "-170"]
    assert cells(text, "labelled events")[1] == "5"
    assert cells(text, "repeated events")[1] == "1"
    assert cells(text, "rejected rows")[1] == "1"
    # Users 0, 1, 2 have 2, 1, 2 events; items 3 and 4 have 4 and 1.
    assert cells(text, "user") == ["user", "3", "0", "2", "1.667", "2", "2"]
    assert cells(text, "item") == ["item", "2", "0", "1", "2.5", "4", "4"]
    # snapshot, time, events, active, new, seen, positive
    assert cells(text, "2 ") == ["2", "20", "3", "4", "2", "5", "1"]
    assert str(tmp_path / "a.png") in text.replace("\n", "")
