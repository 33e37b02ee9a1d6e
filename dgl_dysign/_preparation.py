"""The one door to ``data_prep``, opened by the first name that is used: the plugin starts, and trains, without it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data_prep import *  # noqa: F403


def __getattr__(name: str) -> Any:
    import data_prep

    return getattr(data_prep, name)
