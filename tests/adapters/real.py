"""The real data sets that adapters are tried on."""

from pathlib import Path

import pytest

from dgl_dysign.adapters import EventStream


def wikipedia(real_data: Path, home: Path) -> EventStream:
    """Return the events of Wikipedia, by way of a prepared folder; its one feature is 0 in every row."""
    return _prepared("wikipedia", real_data / "wikipedia" / "wikipedia.csv", home)


def bitcoin(real_data: Path, home: Path) -> EventStream:
    """Return the events of Bitcoin-OTC, by way of a prepared folder."""
    return _prepared("edges", real_data / "bitcoin_otc" / "soc-sign-bitcoinotc.csv", home)


def _prepared(command: str, raw: Path, home: Path) -> EventStream:
    from data_prep.cli import app

    if not raw.is_file():
        pytest.skip(f"no file {raw}")
    app([command, str(raw), str(home / "prepared"), "--quiet"], standalone_mode=False)
    return EventStream.of(home / "prepared")
