"""Reading run folders for a report: what is there, in one form whatever made it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.experiments.record import ASKED, DIAGNOSTICS_VERSION, Scoring, UnitRecord, read_units
from dgl_dysign.files import read_json, read_sealed, real_path, unsealed

_GENERATED = "-generated"
KINDS = {
    "node": "classes of nodes", "link": "links", "event": "labels of events", "study": "study of settings",
    "other": "other",
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One trained model, scored in one way: a row of the tables.

    ``row`` and ``group`` say what was trained, under which condition (share for training, kind of negatives); ``key``
    is the unit's, ``protocol`` how it was scored, in words, or empty. ``history`` are records of epochs; ``over_time``,
    of link runs, has ``val`` and ``test``, each with ``snapshot`` and ``mrr``; ``confusion`` are counts on test, true
    classes in rows; ``cost`` has ``cpu_seconds``, ``peak_rss_bytes`` and ``parameters``, where they are known;
    ``choice`` is what `dgl_dysign.experiments.choice.choose` returned, if settings were chosen.
    """

    row: str
    group: str
    key: str
    protocol: str
    test: dict[str, float]
    val: dict[str, float]
    history: list[dict[str, Any]] = field(default_factory=list)
    over_time: dict[str, Any] = field(default_factory=dict)
    confusion: list[list[int]] | None = None
    cost: dict[str, float] = field(default_factory=dict)
    choice: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One run folder, under the name that the report gives it; ``config`` and ``versions`` are as the run wrote them.

    ``kind`` is one of `KINDS`; the name of the data set is without the mark of generated data. ``results`` are of all
    finished units; ``diagnostics`` by key of the unit, see `dgl_dysign.experiments.diagnostics`; ``under_way`` are the
    keys of units that have a checkpoint and are not finished; ``summarised`` says whether the run came to its end once.
    ``differences`` are those of the summary from the best control (``to``, ``figure``, ``mean``, ``low``, ``high``), by
    row and group.
    """

    path: Path
    name: str
    kind: str
    dataset: str
    generated: bool
    config: dict[str, Any]
    versions: dict[str, Any]
    results: list[Result]
    diagnostics: dict[str, dict[str, Any]]
    under_way: list[str]
    summarised: bool
    differences: dict[tuple[str, str], dict[str, Any]]

    @property
    def unfinished(self) -> str:
        """What is not done, in words; empty for a finished run."""
        parts = [] if self.summarised else ["it has no summary"]
        if self.under_way:
            parts.append(f"under way: {', '.join(self.under_way)}")
        return "; ".join(parts)

    @property
    def leaks(self) -> bool:
        """Whether models saw what they were asked about."""
        return any("LEAKS" in result.protocol for result in self.results) or self.config.get("protocol") == (
            "undergs-released"
        )

    @property
    def warnings(self) -> list[str]:
        """What has to stand beside every figure of the run."""
        warnings = ["leaking protocol: for reproduction only, never a result"] if self.leaks else []
        warnings += ["generated data"] if self.generated else []
        return warnings + (["unfinished run"] if self.unfinished else [])


def read_runs(paths: list[Path]) -> Iterator[Run]:
    """Read run folders one after the other.

    Raises ``ConfigError`` if one is no run folder, or named twice, ``DataError`` that names the file if one is damaged.
    """
    seen: dict[Path, Path] = {}
    for path in paths:
        real = real_path(path)
        if real in seen:
            raise ConfigError(f"{path} and {seen[real]} are the same run; name each run once")
        seen[real] = path
        if not (path / "config.json").is_file():
            what = "does not exist" if not path.exists() else "has no config.json" if path.is_dir() else "is a file"
            raise ConfigError(f"{path} {what}; expected the folder of a run (the --run-dir of a training)")
    names = _names(list(seen))
    for path, name in zip(paths, names, strict=True):
        yield _read_run(path, name)


def _names(paths: list[Path]) -> list[str]:
    """Return the folders' names, with as many parents as it takes to tell them apart."""
    depth = 1
    while True:
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
        depth += 1


def _read_run(path: Path, name: str) -> Run:
    opened = _object(path / "config.json", ASKED)
    config, versions = opened.get("config"), opened.get("versions")
    if not isinstance(config, dict) or not isinstance(versions, dict):
        raise ConfigError(f"{path} is no run folder: its config.json has no config and versions")
    units = read_units(path)
    prepared = config.get("prepared")
    dataset = str(prepared.get("dataset", "")) if isinstance(prepared, dict) else ""
    return Run(
        path,
        name,
        next((unit.kind for unit in reversed(units.values())), "other"),
        dataset.removesuffix(_GENERATED) or "not recorded",
        dataset.endswith(_GENERATED),
        config,
        versions,
        [_result(unit, scoring) for unit in units.values() for scoring in unit.scorings],
        _diagnostics(path),
        sorted(_under_way(path, set(units))),
        (path / "summary.json").is_file(),
        _differences(path / "summary.json"),
    )


def _object(file: Path, *do: str) -> dict[str, Any]:
    """Read a JSON object; what JSON has no number for becomes None."""
    return read_sealed(file, *do, parse_constant=lambda _: None)


def _differences(file: Path) -> dict[tuple[str, str], dict[str, Any]]:
    if not file.is_file():
        return {}
    try:
        lines = read_json(file, parse_constant=lambda _: None)
        if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
            raise ValueError("expected a list of objects, as a run writes it")
        lines = [unsealed(line) for line in lines]
        return {(line["row"], _group(line)): line["difference"] for line in lines if line.get("difference")}
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{file}: not the summary of a run ({error}); delete it and resume the run") from error


def _diagnostics(path: Path) -> dict[str, dict[str, Any]]:
    records = {}
    for file in sorted((path / "diagnostics").glob("*.json")):
        record = _object(file)
        if record.get("schema") != DIAGNOSTICS_VERSION:
            raise DataError(
                f"{file}: found schema {record.get('schema')!r}, expected {DIAGNOSTICS_VERSION}; it was written by "
                f"another version: delete it, or report with that version"
            )
        confusion = record.get("confusion") or []
        if not isinstance(confusion, list) or not all(map(_is_confusion, confusion)):
            raise DataError(f"{file}: confusion is not as this version writes it; delete the file")
        records[file.stem] = record
    return records


def _is_confusion(part: Any) -> bool:
    if not isinstance(part, dict) or not isinstance(part.get("about"), str):
        return False
    counts, names = part.get("counts"), part.get("classes")
    if not isinstance(counts, list) or not isinstance(names, list | None):
        return False
    lines = [line for line in counts if isinstance(line, list) and len(line) == len(counts)]
    return len(lines) == len(counts) and all(type(cell) is int and 0 <= cell < 2**63 for line in lines for cell in line)


def _under_way(path: Path, finished: set[str]) -> Iterator[str]:
    for file in (path / "checkpoints").glob("*.pt"):
        if not file.name.endswith(".model.pt") and file.stem not in finished:
            yield file.stem


def _result(unit: UnitRecord, scoring: Scoring) -> Result:
    """Return a row of the tables: an entry, or a variant of a study, under one condition."""
    return Result(
        str(scoring.condition.get("variant", unit.entry)),
        _group(scoring.condition),
        unit.key,
        scoring.protocol,
        scoring.scores,
        scoring.val_scores,
        unit.history,
        scoring.by_snapshot if unit.kind == "link" else {},
        scoring.confusion,
        unit.cost if unit.kind != "study" else {},
        dict(unit.extra.get("choice", {})),
    )


def _group(condition: Mapping[str, Any]) -> str:
    """Return how a condition, or that of a line of the summary, is called."""
    if "train_ratio" in condition:
        return f"{100 * condition['train_ratio']:.0f} % for training"
    if "historical" in condition:
        return f"{100 * condition['historical']:.0f} % historical negatives"
    return str(condition.get("group", ""))
