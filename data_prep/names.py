"""Names in raw files, of nodes and of classes, as numbers."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from dgl_dysign.errors import DataError

MOST_CLASSES = 1 << 16
_WHOLE = re.compile(r"0|[1-9][0-9]{0,18}")


class Names:
    """Codes 0, 1, 2, ... of strings or integers, in the order in which they come; `list` has them in that order."""

    def __init__(self) -> None:
        self.list: list[Any] = []
        self._codes: dict[Any, int] = {}

    def encode(self, values: pa.Array) -> np.ndarray:
        """Return the code of each name, int64."""
        encoded = values.dictionary_encode()
        codes = [self._code(name) for name in encoded.dictionary.to_pylist()]
        return np.array(codes, np.int64)[np.from_dlpack(encoded.indices)]

    def _code(self, name: Any) -> int:
        code = self._codes.setdefault(name, len(self.list))
        if code == len(self.list):
            self.list.append(name)
        return code


class ClassNames(Names):
    """Codes of names of classes, without the blanks around them; -1 of an empty one, which is no class.

    >>> classes = ClassNames()
    >>> classes.encode(pa.array(["ok", "", " ok", "fraud"])).tolist(), classes.list
    ([0, -1, 0, 1], ['ok', 'fraud'])
    """

    def _code(self, name: str) -> int:
        name = name.strip()
        if not name:
            return -1
        if len(self.list) == MOST_CLASSES and name not in self._codes:
            raise DataError(
                f"labels: found more than {MOST_CLASSES} different ones, as {name[:60]!r}, expected names of classes; "
                "name another column, or give numbers to be learnt as --targets"
            )
        return super()._code(name)


def in_order(names: Iterable[Any]) -> list[Any]:
    """Sort distinct names of classes: by number where all are whole numbers as they stand, else by code points.

    >>> in_order({"10", "9"}), in_order({"10", "9", "09"})
    (['9', '10'], ['09', '10', '9'])
    """
    names = list(names)
    return sorted(names, key=int if all(_WHOLE.fullmatch(str(name)) for name in names) else None)
