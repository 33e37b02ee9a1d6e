"""A small generated data set, prepared with features."""

from pathlib import Path

from data_prep.cli import app


def generated(home: Path, nodes: int = 240, classes: int = 3, features: str = "spectral") -> Path:
    """Return a prepared folder of a generated network in the format of DBLP."""
    raw, out = home / "raw", home / "prepared"
    if not raw.exists():
        app(
            ["synth", "dblp", str(raw), "--nodes", str(nodes), "--classes", str(classes), "--steps", "6", "--quiet"],
            standalone_mode=False,
        )
    size = ["--dim", "8"] if features == "spectral" else []
    app(["dblp", str(raw), str(out), "--features", features, *size, "--quiet"], standalone_mode=False)
    return out


def generated_links(home: Path, events: int = 1500, snapshots: int = 12) -> Path:
    """Return a prepared folder of generated ratings in the format of Bitcoin-OTC."""
    raw, out = home / "raw-links", home / "prepared-links"
    app(["synth", "bitcoin-otc", str(raw), "--events", str(events), "--quiet"], standalone_mode=False)
    app(["edges", str(raw), str(out), "--snapshots", str(snapshots), "--quiet"], standalone_mode=False)
    return out
