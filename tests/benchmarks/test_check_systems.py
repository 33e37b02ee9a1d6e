"""One command asks all comparison systems; those without a fault are asked once."""

import json

from benchmarks import check_systems
from dgl_dysign.errors import BackendError
from dgl_dysign.experiments.check import CheckReport, Verdict


def asked(row, kind):
    while row == "endless":
        pass
    if row == "elsewhere":
        raise BackendError("install it")
    verdict = Verdict("FAULT" if row == "dead" else "ok", f"of {kind}s", check="parameters")
    return CheckReport(row, kind, "generated", [verdict])


def test_every_system_of_every_table_is_known():
    systems = check_systems.systems()
    assert {("nodes", "htne"), ("links", "tgm-tgn"), ("links", "node-counts"), ("events", "tgat-counts")} < set(systems)
    assert not {"undergs", "dysign", "boosted-trees"} & {row for _, row in systems}


def test_a_line_is_said_of_each_and_those_with_a_fault_are_asked_again(tmp_path, monkeypatch, capsys):
    rows = [("links", "good"), ("events", "dead"), ("nodes", "endless"), ("links", "elsewhere")]
    monkeypatch.setattr(check_systems, "systems", lambda: rows)
    monkeypatch.setattr(check_systems, "check_entry", asked)
    assert check_systems.main([str(tmp_path), "--limit", "1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=3)[3] for line in lines] == [
        "ok; of links", "FAULT: parameters; of events", "not checked: stopped", "not checked: install it",
    ]  # fmt: skip
    first = (tmp_path / "links-good.json").stat().st_mtime_ns
    assert json.loads((tmp_path / "events-dead.json").read_text())["verdicts"][0]["verdict"] == "FAULT"
    monkeypatch.setattr(check_systems, "check_entry", lambda row, kind: asked("good", kind))
    assert check_systems.main([str(tmp_path), "--only", "good", "dead"]) == 0
    assert (tmp_path / "links-good.json").stat().st_mtime_ns == first
