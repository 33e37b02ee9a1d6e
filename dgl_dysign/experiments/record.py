"""What one unit of a run came to: one typed record, written and read by this module alone.

A unit is one entry of a table, fitted once: on one split, with one seed. Its record is ``units/<key>.json`` of the run
folder and a line of ``metrics.jsonl``. Imports neither PyTorch nor DGL, so that reports start fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from dgl_dysign.errors import DataError
from dgl_dysign.files import read_sealed

#: Of the records that are written.
VERSION = 1
#: Of the files that `dgl_dysign.experiments.diagnostics` writes.
DIAGNOSTICS_VERSION = 1
#: What to do about a run folder whose ``config.json`` is damaged.
ASKED = "put it back from a copy, or remove the folder: nothing else says what was asked, so that it cannot be resumed"
#: What a unit was scored on.
KINDS = ("node", "link", "event", "study", "other")
#: Begins the protocol of what was fitted elsewhere: nobody here can tell what it has seen.
NOT_VERIFIED = "not verified"
#: How tables and pictures call the figures, all in percent. The order counts: the first one that a run has is its
#: headline, and a report's table shows the first five.
FIGURES = {
    "mrr": "MRR",
    "auc": "AUC",
    "macro_f1": "Macro-F1",
    "micro_f1": "Micro-F1",
    "hits@1": "Hits@1",
    "hits@3": "Hits@3",
    "hits@10": "Hits@10",
    "list_auc": "AUC within lists",
    "ap": "average precision",
    "auc_at_equilibrium": "AUC at the equilibrium",
    "macro_f1_at_equilibrium": "Macro-F1 at the equilibrium",
    "micro_f1_at_equilibrium": "Micro-F1 at the equilibrium",
    "ap_at_equilibrium": "average precision at the equilibrium",
    "mrr_pooled": "MRR, pooled",
    "mrr_ties_against": "MRR, ties against",
    "mrr_tenth": "MRR of a tenth, ties against",
    "cold_mrr": "MRR of cold edges",
    "accuracy": "accuracy",
    "recall_at_1pct": "found in the top 1 %",
}


#: What a pass of a network costs, where it can be counted; by name how tables call it. All but the last are a node's.
OPERATIONS = {
    "latency": "latency",
    "firing_rate": "firing rate",
    "macs": "MAC",
    "synops": "SynOps",
    "additions": "other additions",
    "membrane_updates": "membrane updates",
    "message_bits": "message bits",
    "model_energy_pj": "pJ (model, not measurement)",
    "parameter_bytes": "bytes of weights",
}


def difference_text(difference: Mapping[str, Any]) -> str:
    """Return a ``difference`` of ``summary.json`` as tables show it.

    Examples
    --------
    >>> difference_text({"to": "relu-network", "figure": "macro_f1", "mean": 0.4, "low": -0.1, "high": 0.9})
    '+0.4 [-0.1, 0.9] relu-network'
    """
    return "{mean:+.1f} [{low:.1f}, {high:.1f}] {to}".format(**difference)


@dataclass(frozen=True)
class Scoring:
    """What one way of scoring a fitted entry gave.

    Parameters
    ----------
    scores, val_scores : dict
        Figures on test and on validation; one that is not defined is not there.
    condition : dict
        What tells this scoring from others of the same entry and seed: share for training and split, the snapshots
        that end the parts of a split by time, kind of negatives, group and variant of a study.
    protocol : str
        How it was scored, in words; empty where there is but one way.
    by_snapshot : dict
        Of links: ``val`` and ``test``, each with ``snapshot`` and ``mrr``.
    confusion : list or None
        Counts on test, true classes in rows.

    Raises
    ------
    TypeError
        If a figure, or a share, is no number (a figure may be None).
    """

    scores: dict[str, float]
    val_scores: dict[str, float] = field(default_factory=dict)
    condition: dict[str, Any] = field(default_factory=dict)
    protocol: str = ""
    by_snapshot: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    confusion: list[list[int]] | None = None

    def __post_init__(self) -> None:
        shares = [self.condition[name] for name in ("train_ratio", "historical") if name in self.condition]
        figures = [value for value in (*self.scores.values(), *self.val_scores.values()) if value is not None]
        for value in (*shares, *figures):
            if not isinstance(value, int | float):
                raise TypeError(f"found {value!r} where a number is expected")


@dataclass(frozen=True)
class UnitRecord:
    """One entry, fitted once and scored in one or several ways.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    key : str
        Of the unit: the name of its file.
    entry : str
        Name of the entry.
    seed : int
        Of everything that was drawn.
    scorings : sequence of Scoring
        One at least, but for units of unknown old runs.
    history : list of dict
        Records of epochs; empty where nothing was trained in epochs.
    cost : dict
        ``cpu_seconds`` and ``peak_rss_bytes``; of a network also ``parameters``, its number of weights, and those of
        `OPERATIONS` that could be counted.
    extra : dict
        What else the entry says of itself, such as a setting that it chose on validation.
    source : dict
        Which entry this was, in which version: ``entry``, ``arguments`` and ``sha256`` of the file that defines it;
        empty in records that were written before they had one.
    version : int
        Of the record; 0: before records had one.

    Examples
    --------
    >>> record = UnitRecord("node", "0.4-split0-seed0-gcn", "gcn", 0, [Scoring({"macro_f1": 70.0})])
    >>> UnitRecord.from_json(record.to_json()) == record
    True
    """

    kind: str
    key: str
    entry: str
    seed: int
    scorings: Sequence[Scoring]
    history: list[dict[str, Any]] = field(default_factory=list)
    cost: dict[str, float] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    version: int = VERSION

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any], key: str = "") -> UnitRecord:
        """Return what JSON holds, of this version or of version 0.

        Parameters
        ----------
        record : mapping
            As read.
        key : str, optional
            Of the unit, for records of version 0 that do not name it.

        Raises
        ------
        DataError
            If it is no record of a unit, or one of a later version.
        """
        version = record.get("version", 0)
        if version not in (0, VERSION):
            raise DataError(f"found a unit of version {version}, expected {VERSION} at most: read it with that version")
        try:
            if version == 0:
                return _checked(_of_version_0(record, key))
            scorings = [Scoring(**scoring) for scoring in record["scorings"]]
            values = {"source": {}, **record, "scorings": scorings}
            return _checked(cls(**{f.name: values[f.name] for f in fields(cls)}))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(
                f"not the record of a unit ({type(error).__name__}: {error}); delete it and resume the run"
            ) from error


def read_units(folder: Path) -> dict[str, UnitRecord]:
    """Return the records of all finished units of a run folder by key, in order of the keys.

    Numbers that JSON has not (NaN, infinity) become None; a figure, or a cost, that is None is not there.

    Raises
    ------
    DataError
        If a file is damaged; names it.
    """
    return {file.stem: _read_unit(file) for file in sorted((folder / "units").glob("*.json"))}


def _read_unit(file: Path) -> UnitRecord:
    record = read_sealed(file, parse_constant=lambda _: None)
    try:
        return UnitRecord.from_json(record, file.stem)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error


_TYPES = {
    "kind": str, "key": str, "entry": str, "seed": int, "history": list, "cost": dict, "extra": dict, "source": dict,
}  # fmt: skip
_SCORING_TYPES = {"scores": dict, "val_scores": dict, "condition": dict, "protocol": str, "by_snapshot": dict}


def _checked(record: UnitRecord) -> UnitRecord:
    """Return a record that was read, without figures and costs that are None, if one can compute with it."""
    _check_types(record, _TYPES)
    if record.kind not in KINDS:
        raise ValueError(f"found kind={record.kind!r}, expected one of {', '.join(KINDS)}")
    if not record.scorings and record.version:
        raise ValueError("found no scorings, expected one at least")
    for epoch in record.history:
        if not isinstance(epoch, dict):
            raise TypeError(f"found {epoch!r} in history, expected an object")
        _check_numbers({name: epoch[name] for name in epoch if name in ("loss", "gap") or name.startswith("val_")})
    _check_numbers(record.cost)
    for scoring in record.scorings:
        _check_types(scoring, _SCORING_TYPES)
        _check_numbers(scoring.scores)
        _check_numbers(scoring.val_scores)
        for values in _lists(scoring):
            _check_numbers(_numbered(values))
        _check_numbers({name: scoring.condition.get(name) for name in ("train_ratio", "historical")})
        hash(tuple(scoring.condition.values()))
    scorings = [
        replace(scoring, scores=_known(scoring.scores), val_scores=_known(scoring.val_scores))
        for scoring in record.scorings
    ]
    return replace(record, scorings=scorings, cost=_known(record.cost))


def _check_types(record: Any, types: Mapping[str, type]) -> None:
    for name, expected in types.items():
        if not isinstance(value := getattr(record, name), expected):
            raise TypeError(f"found {name}={value!r}, expected {expected.__name__}")


def _check_numbers(values: Mapping[Any, Any]) -> None:
    for name, value in values.items():
        if value is not None and not isinstance(value, int | float):
            raise TypeError(f"found {name}={value!r}, expected a number")
        float(value or 0)  # JSON has whole numbers that no float holds


def _lists(scoring: Scoring) -> Iterator[Any]:
    """Yield what has to be lists of numbers."""
    yield from scoring.confusion or []
    for part in scoring.by_snapshot.values():
        yield from part.values()


def _numbered(values: Any) -> dict[int, Any]:
    if not isinstance(values, list) or None in values:
        raise TypeError(f"found {values!r}, expected a list of numbers")
    return dict(enumerate(values))


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


_NO_SCORES = ("seed", "split", "train_ratio", "historical", "cpu_seconds", "peak_rss_bytes", "decay", "epochs")


def _of_version_0(record: Mapping[str, Any], key: str) -> UnitRecord:
    """Read a record that does not say of which kind it is: the only place that guesses."""
    scorings = list(_scorings_of_version_0(record))
    if "figures" in record:
        kind = "link"
    elif "train_ratio" in record:
        kind = "node"
    elif "recall_at_1pct" in record:
        kind = "event"
    else:
        kind = "study" if isinstance(record.get("scores"), dict) else "other"
    if kind != "study":
        cost, entry = record, str(record["row"] if kind != "other" else record.get("row", key))
    else:  # the variants of a unit are named group|variant; a unit of one variant also notes its cost there
        variants = [scores for scores in record["scores"].values() if isinstance(scores, dict)]
        cost = record["scores"] if not variants else variants[0]
        entry = str(record.get("key", key))
    return UnitRecord(
        kind,
        str(record.get("key", key)) if kind != "study" else key,
        entry,
        int(record.get("seed", 0)),
        scorings,
        list(record.get("history") or []),
        {name: cost[name] for name in ("cpu_seconds", "peak_rss_bytes") if name in cost},
        {"decay": record["decay"]} if "decay" in record else {},
        version=0,
    )


def _scorings_of_version_0(record: Mapping[str, Any]) -> Iterator[Scoring]:
    if "figures" in record:
        for figures in record["figures"]:
            over_time = {"val": figures["val_by_snapshot"], "test": figures["by_snapshot"]}
            condition = {"historical": figures["historical"]}
            yield Scoring(*_scores_of_version_0(figures), condition, str(figures["protocol"]), over_time)
    elif isinstance(record.get("scores"), dict):
        named = {name: scores for name, scores in record["scores"].items() if isinstance(scores, dict)}
        for name, scores in named.items():
            group, _, variant = name.partition("|")
            yield Scoring(*_scores_of_version_0(scores), {"group": group, "variant": variant or name})
        if not named:
            over_time = {
                part: {"mrr": record["by_snapshot"][name]}
                for part, name in (("val", "val_mrr"), ("test", "mrr"))
                if name in record.get("by_snapshot", {})
            }
            yield Scoring(*_scores_of_version_0(record["scores"]), by_snapshot=over_time)
    else:
        condition = {name: record[name] for name in ("train_ratio", "split") if name in record}
        protocol = str(record["protocol"] if "train_ratio" in record else record.get("protocol", ""))
        yield Scoring(*_scores_of_version_0(record), condition, protocol, confusion=record.get("confusion"))


def _scores_of_version_0(record: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the figures of a record: those on test, and those on validation."""
    numbers = {
        name: value
        for name, value in record.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in _NO_SCORES
    }
    val = {name.removeprefix("val_"): value for name, value in numbers.items() if name.startswith("val_")}
    return {name: value for name, value in numbers.items() if not name.startswith("val_")}, val
