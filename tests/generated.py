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
