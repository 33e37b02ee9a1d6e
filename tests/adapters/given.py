"""What is given besides when a format is read back, as it does not tell it."""

from typing import Any

from dgl_dysign.adapters import EventStream

RANGES = ("snapshot_begin", "snapshot_end")


def rest(stream: EventStream, *names: str) -> dict[str, Any]:
    """Return name, unit of time, direction and sides of a stream, and the fields of these names."""
    return {name: getattr(stream, name) for name in ("name", "time_unit", "directed", "node_offset", *names)}
