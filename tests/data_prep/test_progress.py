import sys

from data_prep.progress import progress


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
