"""The studies of published sizes: each is a command that is read as it is meant; data sets are of published size."""

from types import SimpleNamespace

import _studies
import published_size
import pytest

from dgl_dysign.experiments import train, train_cli


@pytest.mark.parametrize("study", published_size.STUDIES)
def test_the_options_of_a_study_are_those_of_the_command(study, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(train, "run_links", lambda options: read.append(options) or SimpleNamespace(show=list))
    table, name, *options = published_size.STUDIES[study].split()
    assert train_cli.main([table, str(tmp_path), "--run-dir", str(tmp_path / "run"), *options]) in (None, 0)
    (run,) = read
    assert run.rows[-1] == "undergs"
    assert run.walks == ("exact" if study.endswith("-exact") else "projected" if "--walks" in options else None)
    assert (run.max_edges is None) is (name == "mathoverflow-size")


def test_generated_sets_are_whole():
    sizes = {name: _studies.GENERATED[name] for name in published_size.STUDIES if name in _studies.GENERATED}
    assert sizes.pop("mathoverflow-size").endswith("--events 107580")
    assert len(sizes) == 3
    assert all(line.endswith("--scale 1") for line in sizes.values())


def test_a_study_is_listed_alone(capsys):
    assert published_size.main(["--only", "reddit-title", "--list"]) == 0
    assert capsys.readouterr().out.startswith("reddit-title: dysign-train links reddit-title --max-edges 1024")


def test_seeds_and_rows_may_be_run_first(capsys):
    assert published_size.main(["--only", "mathoverflow-size", "--seeds", "2", "--rows", "undergs", "--list"]) == 0
    assert capsys.readouterr().out == (
        "mathoverflow-size: dysign-train links mathoverflow-size --walks projected --seeds 2 --rows undergs\n"
    )
