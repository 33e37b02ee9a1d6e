"""The command: one file, whole or not at all, and one clear error."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from dgl_dysign.files import read_sealed, sealed
from dgl_dysign.report import page
from dgl_dysign.report.cli import main
from tests.abuse.tampering import odd_values
from tests.report.run_folders import event_run, link_run, node_run, study_run

pytest.importorskip("jinja2")
pytest.importorskip("plotly")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Leave the large script out where no browser reads it."""
    monkeypatch.setattr(page, "_plotly", lambda: "AAAA")


def test_the_page_has_everything_of_all_runs(tmp_path, capsys):
    runs = [node_run(tmp_path / "a"), link_run(tmp_path / "b"), event_run(tmp_path / "c"), study_run(tmp_path / "d")]
    out = tmp_path / "r.html"
    assert main([*map(str, runs), "-o", str(out), "--title", "A & <B>"]) == 0
    text = out.read_text()
    assert "<title>A &amp; &lt;B&gt;</title>" in text
    for title in (
        "Runs at a glance", "Figures", "Training loss", "MRR over time", "Firing rates over snapshots", "Spike raster",
        "Equilibrium gap and solver steps", "Contents of the neighbour store", "Confusion matrix", "Config", "Versions",
    ):  # fmt: skip
        assert title in text
    drawn = json.loads(re.search(r'id="charts">(.*?)</script>', text, re.S)[1])
    assert len(drawn) == text.count('role="img"')
    assert len(set(re.findall(r'id="([^"]+)"', text))) == len(re.findall(r'id="([^"]+)"', text))
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert [file.name for file in tmp_path.iterdir() if "tmp" in file.name] == []
    assert str(out) in capsys.readouterr().out


def test_names_from_runs_cannot_leave_their_place(tmp_path):
    path = node_run(tmp_path / "a", dataset="</script><img src=x>")
    assert main([str(path), "-o", str(tmp_path / "r.html"), "--quiet"]) == 0
    text = (tmp_path / "r.html").read_text()
    assert "<img" not in text
    assert text.count("</script>") == 3


class Structure(HTMLParser):
    """What a page is made of, without its texts: tags and the names of their attributes."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, [name for name, _ in attrs]))
        self.links += [value for name, value in attrs if name in ("href", "src", "action", "data", "srcset")]


HOSTILE = (
    "<script>alert(1)</script>", "</script><script>", "<!--<script>", "'\" onload='x' a=\"", "<a href='https://example.org'>best</a>",
    "&lt;a href=x&gt;", "{{ 7 * 7 }}", "%{x}<extra></extra>", "\u202egnissim\u2066", "\ud800", "\0", "two  blanks",
)  # fmt: skip


def report_with(home, name):
    """Write runs whose rows, classes, data, variants and title have a name; return the page."""
    runs = [node_run(home / "a", dataset=name), node_run(home / "b"), study_run(home / "c")]
    text = json.dumps(name)
    for file in home.glob("*/*/*.json"):
        value = json.dumps(read_sealed(file))
        for old, new in (("dysign", text), ("theory", text), ("latency|2", f"{text[:-1]}|{text[1:]}")):
            value = value.replace(f'"{old}"', new)
        file.write_text(json.dumps(sealed(json.loads(value))))
    assert main([*map(str, runs), "-o", str(home / "r.html"), "--title", f"{name}.", "--quiet"]) == 0
    return (home / "r.html").read_text()


def test_names_are_text_wherever_they_stand(tmp_path):
    """Plotly reads HTML in texts, too: a link in the name of a row was one in the chart."""
    for place in map(str, range(1 + len(HOSTILE))):
        (tmp_path / place).mkdir()
    plain = Structure(report_with(tmp_path / "0", "plain"))
    for place, name in enumerate(HOSTILE, 1):
        text = report_with(tmp_path / str(place), name)
        hostile, drawn = Structure(text), json.loads(re.search(r'id="charts">(.*?)</script>', text, re.S)[1])
        assert (hostile.tags, hostile.links) == (plain.tags, plain.links), name
        pictures = [[choice["data"], choice["layout"]] for chart in drawn for choice in chart["choices"]]
        assert set(re.findall(r"<[^>]*>", json.dumps(pictures))) <= {"<br>", "<extra>", "</extra>"}, name
        assert not page._ODD.search(text + json.dumps(drawn, ensure_ascii=False)), name


def test_warnings_stand_beside_every_figure(tmp_path):
    main([str(link_run(tmp_path / "a")), "-o", str(tmp_path / "r.html"), "--quiet"])
    text = (tmp_path / "r.html").read_text()
    heads = re.findall(r"<h3[^>]*>.*?</h3>", text)
    assert len(heads) > 5
    for head in heads:
        if re.sub("<[^>]+>", "", head) not in ("Config", "Versions"):
            assert "leaking protocol" in head
            assert "generated data" in head


def test_runs_of_one_kind_stand_side_by_side(tmp_path):
    runs = [node_run(tmp_path / "a"), node_run(tmp_path / "b", hidden=16), link_run(tmp_path / "c")]
    main([*map(str, runs), "-o", str(tmp_path / "r.html"), "--quiet"])
    text = (tmp_path / "r.html").read_text()
    assert re.findall(r"Side by side: [a-z ]+(?=</h2>)", text) == ["Side by side: classes of nodes"]
    assert "settings.hidden" in text


def test_a_file_that_is_there_is_kept_unless_told(tmp_path, capsys):
    run, out = node_run(tmp_path / "a"), tmp_path / "r.html"
    out.write_text("mine")
    assert main([str(run), "-o", str(out)]) == 2
    assert "is there; pass --overwrite" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert main([str(run), "-o", str(out), "--overwrite", "--quiet"]) == 0
    assert out.read_text() != "mine"


@pytest.mark.parametrize(("name", "message"), [(".", "is a folder"), ("no/r.html", "does not exist")])
def test_an_output_that_cannot_be_is_refused(tmp_path, capsys, name, message):
    assert main([str(node_run(tmp_path / "a")), "-o", str(tmp_path / name)]) == 2
    assert message in capsys.readouterr().err


def test_nothing_is_left_of_a_page_that_fails(tmp_path, monkeypatch, capsys):
    run = node_run(tmp_path / "a")

    def full(_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    assert main([str(run), "-o", str(tmp_path / "r.html")]) == 2
    assert "disk full" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_damaged_run_is_one_error_and_no_page(tmp_path, capsys):
    run = node_run(tmp_path / "a")
    (run / "diagnostics" / "0.4-split0-seed0-dysign.json").write_text('{"schema": 1, "firing": {"shares": 3}}')
    assert main([str(run), "-o", str(tmp_path / "r.html"), "--quiet"]) == 2
    assert "0.4-split0-seed0-dysign.json: firing is not as this version writes it" in capsys.readouterr().err
    assert not (tmp_path / "r.html").exists()


def test_a_run_without_a_finished_unit_is_shown(tmp_path):
    run = event_run(tmp_path / "a")
    (run / "units" / "seed0-undergs.json").unlink()
    assert main([str(run), "-o", str(tmp_path / "r.html"), "--quiet"]) == 0
    assert "unfinished" in (tmp_path / "r.html").read_text()


def test_a_missing_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(page, "find_spec", lambda name: None)
    assert main([str(node_run(tmp_path / "a")), "-o", str(tmp_path / "r.html")]) == 2
    assert "reports need plotly and jinja2: pip install 'dgl-dysign[report]'" in capsys.readouterr().err


def test_help_shows_examples_and_imports_little(capsys):
    code = (
        "import sys; from dgl_dysign.report.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'torch', 'dgl', 'plotly', 'jinja2', 'numpy'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr
    assert "dysign-report runs/otc runs/alpha -o links.html" in found.stdout


EVERY = int(os.environ.get("DYSIGN_EVERY_ODD_VALUE", "41"))  # one tries them all, in some minutes


@pytest.mark.parametrize("make", [node_run, link_run, event_run, study_run])
def test_a_record_with_an_odd_value_is_shown_or_refused_in_one_line(make, tmp_path, capsys):
    run, out = make(tmp_path / "a"), tmp_path / "r.html"
    files = [file for folder in ("units", "diagnostics") for file in sorted((run / folder).glob("*.json"))[:2]]
    tried = [(file, *odd) for file in files for odd in odd_values(file.read_bytes())]
    statuses = []
    for file, label, text in tried[::EVERY]:
        before = file.read_bytes()
        file.write_bytes(text)
        statuses.append(main([str(run), "-o", str(out), "--overwrite", "--quiet"]))
        said = capsys.readouterr().err
        assert (statuses[-1], said.count("\n")) in ((0, 0), (2, 1)), (file.name, label, said[-300:])
        file.write_bytes(before)
    assert set(statuses) == {0, 2}
