import json
import subprocess
import sys

import pytest

from dgl_dysign.data import schema
from dgl_dysign.data.verify import verify
from tests.folders import change_table, full_folder


@pytest.fixture
def folder(tmp_path):
    return full_folder(tmp_path / "p")


def test_verify_prints_what_was_checked(folder, prep):
    status, text, errors = prep("verify", folder)
    assert (status, errors) == (0, "")
    assert "test: all good" in text
    assert "file hashes" in text
    status, text, _ = prep("verify", folder, "--json")
    found = json.loads(text)
    assert (status, found["dataset"], found["path"]) == (0, "test", str(folder))
    assert {"check": "event labels", "count": 5} in found["checks"]
    assert [check["check"] for check in found["checks"]][:3] == ["manifest entries", "file hashes", "snapshot ranges"]
    assert prep("verify", folder, "-q") == (0, "", "")


@pytest.mark.parametrize("options", [[], ["--json"], ["--quiet"]])
def test_verify_names_the_first_fault_with_status_2(folder, prep, options):
    change_table(folder, "edges", lambda columns: columns["dst"].__setitem__(0, 9))
    status, text, errors = prep("verify", folder, *options)
    assert (status, text) == (2, "")
    assert errors.count("\n") == 1
    assert f"{folder}/edges.parquet, row 0: found dst 9, expected 0 to 4" in errors


@pytest.mark.parametrize("form", ["csv", "tgl", "dyglib"])
def test_export_tells_the_rows_of_each_file(folder, prep, tmp_path, form):
    status, text, errors = prep("export", folder, tmp_path / "out", "--to", form)
    assert (status, errors) == (0, "")
    assert "edges.csv" in text or "ml_test.csv" in text
    status, text, errors = prep("export", folder, tmp_path / "out", "--to", form, "--json", "--overwrite")
    found = json.loads(text)
    assert (status, errors, found["format"], found["path"]) == (0, "", form, str(tmp_path / "out"))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert set(found["rows"]) == names - {"export.json"}
    assert prep("export", folder, tmp_path / "b", "--to", form, "-q") == (0, "", "")
    assert {path.name for path in (tmp_path / "b").iterdir()} == names


def test_export_warns_of_times_that_tgl_would_round(folder, prep, tmp_path):
    def later(columns):
        for name in columns.keys() & {"time", "time_begin", "time_end"}:
            columns[name] = [time + 1e9 + 1 for time in columns[name]]

    change_table(folder, "edges", later)
    change_table(folder, "snapshots", later)
    _, text, _ = prep("export", folder, tmp_path / "a", "--to", "tgl")
    assert "5 of 5 times are rounded by TGL's float32; --shift-time" in " ".join(text.split())
    assert json.loads(prep("export", folder, tmp_path / "b", "--to", "tgl", "--json")[1])["rounded_times"] == 5
    _, text, _ = prep("export", folder, tmp_path / "c", "--to", "csv")
    assert "rounded" not in text


def test_export_needs_a_known_format_and_a_new_folder(folder, prep, tmp_path):
    assert prep("export", folder, tmp_path / "out")[0] == 2
    status, _, errors = prep("export", folder, tmp_path / "out", "--to", "dgl")
    assert status == 2
    assert all(form in errors for form in ("csv", "tgl", "dyglib"))
    before = sorted(path.name for path in folder.iterdir())
    for options, message in (([], "add --overwrite"), (["--overwrite"], "found no export.json of ours in it")):
        status, text, errors = prep("export", folder, folder, "--to", "csv", *options)
        assert (status, text) == (2, "")
        assert message in errors
    assert sorted(path.name for path in folder.iterdir()) == before
    verify(folder)


@pytest.mark.parametrize("command", ["describe", "verify", "export"])
def test_a_folder_that_is_none_is_refused(tmp_path, prep, command):
    more = [tmp_path / "out", "--to", "csv"] if command == "export" else []
    status, text, errors = prep(command, tmp_path / "absent", *more)
    assert (status, text, errors.count("\n")) == (2, "", 1)
    assert "found no manifest.json, expected a prepared folder" in errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["describe", "verify", "export"])
def test_help_has_an_example_and_starts_light(command):
    program = (
        f"import sys; sys.argv[1:] = [{command!r}, '--help']\nimport data_prep.cli\ntry: data_prep.cli.main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'pandas', 'torch', 'dgl', 'pyarrow', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    text = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
    assert text.endswith("[]\n")
    assert f"Example: dysign-prep {command} prepared/" in " ".join(text.split())


@pytest.mark.real
@pytest.mark.parametrize(("form", "name"), [("dyglib", "ml_wikipedia.csv"), ("tgl", "edges.csv")])
def test_real_wikipedia_comes_back_from_its_export(real_data, tmp_path, prep, form, name):
    """Exported, and prepared again from there, it has the same events."""
    assert prep("wikipedia", real_data / "wikipedia", tmp_path / "a", "-q") == (0, "", "")
    assert prep("export", tmp_path / "a", tmp_path / form, "--to", form, "-q") == (0, "", "")
    assert prep("wikipedia", tmp_path / form / name, tmp_path / "b", "-q") == (0, "", "")
    ours, again = (schema.table(tmp_path / folder, "edges") for folder in ("a", "b"))
    assert ours.equals(again)
    if form == "dyglib":
        assert schema.table(tmp_path / "a", "labels").equals(schema.table(tmp_path / "b", "labels"))
