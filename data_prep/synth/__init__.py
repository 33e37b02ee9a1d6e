"""Generated raw files in the format, and up to the size, of each real data set: ``dysign-prep synth``."""

from data_prep.synth.dblp import DblpLike
from data_prep.synth.published import FORMATS, MARKER, Format, Request
from data_prep.synth.write import write

__all__ = ["FORMATS", "MARKER", "DblpLike", "Format", "Request", "write"]
