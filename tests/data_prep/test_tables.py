from data_prep.tables import show_counts


def test_numbers_are_grouped_and_paths_come_out_whole(capsys):
    path = "/somewhere/" + "deep/" * 30
    show_counts("written", {"num_edges": 235769, "seconds": 0.25, "path": path})
    text = capsys.readouterr().out
    assert "235,769" in text
    assert "edges" in text
    assert path in "".join(character for character in text if character not in " │\n").replace("path", "", 1)
