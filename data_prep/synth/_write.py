"""Writing the raw files of any format."""

import json
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from data_prep.synth.output import Output
from data_prep.synth.published import MARKER, Request
from dgl_dysign.data.schema import SCHEMA_VERSION


def write(request: Request, folder: Path, on_rows: Callable[[int], object] | None = None) -> dict[str, Any]:
    """Write generated raw files, and ``synth.json`` which says how they were made.

    Parameters
    ----------
    request : Request
        What shall be generated.
    folder : path
        An empty folder.
    on_rows : callable, optional
        Called with a number of rows of the edge file once they are written.

    Returns
    -------
    dict
        Counts: ``nodes`` and ``events``, and what else the format has.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as home:
    ...     made = write(Request("college-msg", events=500), Path(home))
    ...     sorted(path.name for path in Path(home).iterdir())
    ['CollegeMsg.txt', 'synth.json']
    >>> made
    {'nodes': 16, 'events': 500}
    """
    output = Output(folder, request.parts, request.compress, on_rows)
    module = import_module(f"data_prep.synth.{request.format.writer}")
    made: dict[str, Any] = module.write(request, output)
    given = {**asdict(request), "form": request.chosen_form, "scale": request.share, **made}
    said = {"schema_version": SCHEMA_VERSION, "generator": given.pop("name"), **given}
    (folder / MARKER).write_text(json.dumps(said, indent=2) + "\n")
    return made
