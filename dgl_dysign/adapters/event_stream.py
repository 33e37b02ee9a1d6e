"""The hub of all adapters: the table of events, and the way from there to a prepared folder."""

import os
from collections.abc import Mapping
from typing import Any

from dgl_dysign import _preparation
from dgl_dysign.events import EventTable


class EventStream(EventTable):
    """An :class:`dgl_dysign.events.EventTable`, which every adapter reads and writes.

    :meth:`from_rows` makes a stream of rows in any order, :meth:`of` one of a prepared folder; :meth:`prepare` writes a
    folder.

    Examples
    --------
    >>> EventStream.from_rows([0, 2, 1], [1, 2, 0], [3.0, 1.0, 3.0], num_nodes=4)
    EventStream('events', 3 events, 4 nodes)
    """

    def prepare(
        self,
        folder: str | os.PathLike[str],
        *,
        rule: "_preparation.Rule | None" = None,
        features: str = "none",
        feature_options: Mapping[str, Any] | None = None,
        names_of: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
    ) -> dict[str, Any]:
        """Write a prepared folder, as ``dysign-prep`` does of raw files; :func:`data_prep.prepare` does the work.

        ``EventStream.of(folder)`` gives this stream back, with its snapshots, empty ones included.

        Parameters
        ----------
        folder : path
            The folder to write.
        rule : data_prep.Rule, optional
            How times become snapshots; default: the stream's own, or one a distinct time where it has none.
        features, feature_options, names_of, overwrite
            As of :class:`data_prep.PrepareOptions`: node features such as ``"degree"`` and their options; a prepared
            folder whose names of nodes, types and classes are taken.

        Returns
        -------
        dict
            The manifest.

        Raises
        ------
        ConfigError
            If a folder cannot hold what the stream has: edge types, node features, labels of events and of nodes.
        DataError
            If there is no event, `folder` may not be written, or `names_of` has other nodes.

        Examples
        --------
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> stream = EventStream.of(prepared, node_features="drop")
        >>> with TemporaryDirectory() as home:
        ...     manifest = stream.prepare(Path(home) / "again", features="degree")
        ...     EventStream.of(Path(home) / "again", node_features="drop").equals(stream)
        True
        """
        options = _preparation.PrepareOptions(
            every=rule, features=features, feature_options=feature_options or {}, names_of=names_of, overwrite=overwrite
        )
        return _preparation.prepare(self.name, self, folder, options)
