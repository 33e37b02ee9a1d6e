"""Wikipedia of JODIE: users and what they edit, labels of events, features of edges."""

from pathlib import Path

from data_prep.sources._jodie import open_interactions
from data_prep.sources._source import ReadOptions, Source


def open_source(raw: Path, read: ReadOptions) -> Source:
    """Open whichever form a folder holds (see :func:`data_prep.sources._jodie.open_interactions`)."""
    return open_interactions(raw, "wikipedia", read)
