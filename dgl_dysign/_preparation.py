"""The one door to ``data_prep``, opened by the first name that is used: the plugin starts, and trains, without it.

``data_prep`` is a package of its own beside ``dgl_dysign``, under a name that others may have chosen, too: where
another one is found first, this says so.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dgl_dysign.errors import BackendError

if TYPE_CHECKING:
    from data_prep import *  # noqa: F403


def package() -> Any:
    """Return the module ``data_prep``.

    Raises
    ------
    BackendError
        If it is not that of dgl-dysign.
    """
    import data_prep

    if "PrepareOptions" not in getattr(data_prep, "__all__", ()):
        place = Path((*data_prep.__path__,)[0]) if hasattr(data_prep, "__path__") else data_prep.__file__
        raise BackendError(
            f"data_prep: found another package of this name, {place}, before that of dgl-dysign, expected "
            f"{Path(__file__).parents[1] / 'data_prep'}; rename it, or take its folder out of PYTHONPATH and sys.path"
        )
    return data_prep


def main() -> int:
    """Run ``dysign-prep``; return its exit status."""
    try:
        package()
    except BackendError as error:
        print(f"dysign-prep: {error}", file=sys.stderr)
        return 2
    from data_prep.cli import main as run

    return run()


def __getattr__(name: str) -> Any:
    return getattr(package(), name)
