import calendar

import pytest

from data_prep.rules import Rule
from data_prep.sources import patent
from data_prep.sources._source import ReadOptions
from dgl_dysign.errors import ConfigError, DataError

READ, QUARANTINE = ReadOptions(), ReadOptions("quarantine")


def unix(year, month, day):
    return float(calendar.timegm((year, month, day, 0, 0, 0)))


@pytest.fixture
def spikenet(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "patent_edges.json").write_text("[0, 1, 19750318, 9, 8]\n[3,1,19761231,7,8]\n[2, 3, 19770101, 6, 7]\r\n")
    (raw / "patent_nodes.json").write_text(
        "[3, 3070804, 19761231, 1]\n[0,3070801,19750318,6]\n[1, 3070802, 19750318, 4]\n[2, 3070803, 19770101, 1]\n"
    )
    return raw


def apat(number, year, day, category):
    return f'{number},{year},{day},,"BE","",,1,,269,{category},69,,1,,0,,,,,,,'


@pytest.fixture
def nber(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    rows = [apat(3070803, 1964, 1461, 2), apat(3070801, 1963, 1096, 6), apat(3070802, 1963, 1100, 1)]
    (raw / "apat63_99.txt").write_text("\n".join(['"PATENT","GYEAR","GDATE"', *rows]) + "\n")
    (raw / "cite75_99.txt").write_text('"CITING","CITED"\n3070801,956203\n3070803,3070801\n3070803,956203\n')
    return raw


def test_spikenets_form_dates_classes_and_patent_numbers(spikenet, rows, made):
    source = patent.open_source(spikenet, READ)
    days = [unix(1975, 3, 18), unix(1976, 12, 31), unix(1977, 1, 1)]
    assert rows(source) == {"src": [0, 3, 2], "dst": [1, 1, 3], "time": days}
    manifest, tables = made(source)
    assert (manifest["directed"], manifest["dataset"], manifest["id_order"]) == (True, "patent", "as in the file")
    assert (manifest["num_snapshots"], manifest["class_names"]) == (3, ["1", "4", "6"])
    assert tables["labels"] == [(0, 2), (1, 1), (2, 0), (3, 0)]
    assert [row[1] for row in tables["nodes"]] == ["3070801", "3070802", "3070803", "3070804"]
    assert [row[0] for row in tables["edges"]] == [0, 1, 2]
    merged, _ = made(source, rule=Rule("calendar", unit="year", merge=2))
    assert merged["num_snapshots"] == 2


def test_a_line_is_never_evaluated(spikenet, made):
    with open(spikenet / "patent_edges.json", "a") as file:
        file.write("[__import__('os').getpid(), 1, 19770101, 0, 0]\n[0, 1, 19770230, 0, 0]\n[[0], 1, 19770101, 0, 0]\n")
    with pytest.raises(DataError, match=r"patent_edges\.json, line 4: found src .*__import__.*expected an integer"):
        made(patent.open_source(spikenet, READ))
    manifest, tables = made(patent.open_source(spikenet, QUARANTINE), "quarantine")
    assert [row[1] for row in tables["rejected"]] == [4, 5, 6]
    assert "a real date as yyyymmdd" in tables["rejected"][1][3]
    assert manifest["num_edges"] == 3


def test_nodes_without_an_event_or_without_an_entry_are_nodes_too(spikenet, made):
    with open(spikenet / "patent_nodes.json", "a") as file:
        file.write("[6, 3070809, 19770101, 5]\n")
    manifest, tables = made(patent.open_source(spikenet, READ))
    assert manifest["num_nodes"] == 7
    assert tables["nodes"][4:] == [(4, "4", None, -1), (5, "5", None, -1), (6, "3070809", None, -1)]
    assert tables["labels"][-1] == (6, 2)


def test_a_node_that_is_listed_twice_is_refused_or_set_aside(spikenet, made):
    with open(spikenet / "patent_nodes.json", "a") as file:
        file.write("[1, 5, 19750318, 2]\n")
    with pytest.raises(DataError, match=r"patent_nodes\.json, line 5: found node 1 again, .* \(first on line 3\)"):
        patent.open_source(spikenet, READ)
    manifest, tables = made(patent.open_source(spikenet, QUARANTINE), "quarantine")
    assert tables["rejected"] == [("patent_nodes.json", 5, "1 5 2", "node 1 was given before")]
    assert tables["labels"][1] == (1, 1)
    assert manifest["sources"][1]["rejected"] == 1


def test_spikenets_ids_may_not_be_far(spikenet, made):
    with open(spikenet / "patent_nodes.json", "a") as file:
        file.write(f"[{10**12}, 5, 19750318, 2]\n")
    with pytest.raises(DataError, match=rf"patent_nodes\.json: found node id {10**12}"):
        made(patent.open_source(spikenet, READ))


@pytest.mark.parametrize("form", ["nber", "snap"])
def test_nbers_citations_are_dated_by_the_citing_patent(nber, rows, made, form):
    if form == "snap":
        (nber / "cite75_99.txt").unlink()
        pairs = "3070801\t956203\n3070803\t3070801\n3070803\t956203\n"
        (nber / "cit-Patents.txt").write_text(f"# Directed graph\n# FromNodeId\tToNodeId\n{pairs}")
    source = patent.open_source(nber, READ)
    # Days from 1960-01-01: 1096 is the first of 1963, 1461 the first of 1964.
    assert rows(source)["time"] == [unix(1963, 1, 1), unix(1964, 1, 1), unix(1964, 1, 1)]
    manifest, tables = made(source)
    assert [row[1] for row in tables["nodes"]] == ["956203", "3070801", "3070803"]
    assert tables["edges"] == [
        (0, 1, 0, unix(1963, 1, 1), 0), (1, 2, 1, unix(1964, 1, 1), 1), (1, 2, 0, unix(1964, 1, 1), 2)
    ]  # fmt: skip
    # 956203 has no row among the patents and so no class; 3070802 has no citation and is no node.
    assert (tables["labels"], manifest["class_names"]) == ([(1, 1), (2, 0)], ["2", "6"])
    assert (manifest["id_order"], manifest["num_snapshots"], manifest["directed"]) == ("ascending", 2, True)
    assert manifest["sources"][0]["lines"] == (4 if form == "nber" else 3)


def test_a_citing_patent_without_a_date_is_a_bad_row(nber, made):
    with open(nber / "cite75_99.txt", "a") as file:
        file.write("999,3070801\n")
    with pytest.raises(DataError, match=r"99\.txt, line 5: found citing patent 999 in .*, expected one that apat63_99"):
        made(patent.open_source(nber, READ))
    _, tables = made(patent.open_source(nber, QUARANTINE), "quarantine")
    assert [row[:3] for row in tables["rejected"]] == [("cite75_99.txt", 5, "999,3070801")]


def test_a_patent_has_one_row(nber, made):
    with open(nber / "apat63_99.txt", "a") as file:
        file.write(apat(3070801, 1990, 9999, 3) + "\n")
    with pytest.raises(DataError, match=r"apat63_99\.txt, line 5: found patent 3070801 again, .*\(first on line 3\)"):
        patent.open_source(nber, READ)
    _, tables = made(patent.open_source(nber, QUARANTINE), "quarantine")
    assert [row[:2] for row in tables["rejected"]] == [("apat63_99.txt", 5)]
    assert len(tables["labels"]) == 2


def test_quotes_and_empty_fields_of_the_patents(nber):
    with open(nber / "apat63_99.txt", "a") as file:
        file.write('3070900,1963,1096,,"B,E","a ""b""",,1,,269,4,69,,1,,0,,,,,,,\n')
    nodes = patent.open_source(nber, READ).nodes
    assert (nodes.node[-1], nodes.value[-1]) == (3070900, 4)
    with open(nber / "apat63_99.txt", "a") as file:
        file.write('3070901,1963,1096,,"BE","",,1,,269,,69,,1,,0,,,,,,,\n')
    with pytest.raises(DataError, match=r"apat63_99\.txt, line 6: found category ''"):
        patent.open_source(nber, READ)


def test_what_is_missing_is_named(nber):
    (nber / "apat63_99.txt").unlink()
    with pytest.raises(DataError, match=r"expected apat63_99\.txt; check RAW of dysign-prep patent"):
        patent.open_source(nber, READ)
    (nber / "patent_edges.json").write_text("[0, 1, 19750318, 9, 8]\n")
    with pytest.raises(DataError, match=r"found cite75_99\.txt, patent_edges\.json, expected patent_nodes\.json"):
        patent.open_source(nber, READ)
    for path in list(nber.iterdir()):
        path.unlink()
    with pytest.raises(DataError, match=r"expected patent_edges\.json or cite75_99\.txt or cit-Patents\.txt"):
        patent.open_source(nber, READ)


def test_a_day_beyond_all_calendars_is_one_error(nber, made):
    (nber / "apat63_99.txt").write_text('"H"\n' + apat(3070801, 1963, 2**62, 1) + "\n")
    (nber / "cite75_99.txt").write_text('"H"\n3070801,1\n')
    with pytest.raises(ConfigError, match=r"expected Unix seconds of the years 1 to 9999 .* --time-unit ms, or"):
        made(patent.open_source(nber, READ))
