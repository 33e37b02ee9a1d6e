"""The exceptions users see: each says what was got, what was expected and what to do."""

from collections.abc import Collection
from numbers import Integral


class DGLDySignError(Exception):
    """Base class of every error that this package raises on purpose."""


class DataError(DGLDySignError):
    """A raw file or prepared folder that cannot be used; names the file and, where there is one, the line."""


class ConfigError(DGLDySignError, ValueError):
    """An argument outside its range, or two that exclude each other."""


class GraphError(DGLDySignError):
    """A graph on which an operation is not defined."""


class BackendError(DGLDySignError, ImportError):
    """A missing or broken optional part, such as DGL itself or an extra."""


class CountError(DGLDySignError):
    """Operations of a module that nobody can count; names the module."""


class EntryError(DGLDySignError):
    """An error in the code of an entry that is not this package's.

    Parameters
    ----------
    message : str
        One line, which names the entry.
    trace : str
        The entry's own traceback: command lines show it before the message.
    """

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace


def check_choice(
    name: str, value: object, allowed: Collection[object], error: type[DGLDySignError] = ConfigError
) -> None:
    """Raise an error that names the argument, its value and the values it may have, unless it has one of them.

    Parameters
    ----------
    name : str
        The argument.
    value : object
        Its value.
    allowed : collection
        What it may be.
    error : type, default ConfigError
        What is raised.

    Raises
    ------
    DGLDySignError
        Of the type `error`.

    Examples
    --------
    >>> check_choice("norm", "most", ("both", "none"))
    Traceback (most recent call last):
        ...
    dgl_dysign.errors.ConfigError: norm must be one of 'both', 'none', but got 'most'
    """
    if value not in allowed:
        raise error(f"{name} must be one of {', '.join(map(repr, allowed))}, but got {value!r}")


def check_least(least: float, **values: float) -> None:
    """Raise ``ConfigError`` that names the first of some arguments that is below the least that they may be.

    Examples
    --------
    >>> check_least(1, layers=2, window=0)
    Traceback (most recent call last):
        ...
    dgl_dysign.errors.ConfigError: window=0: expected 1 or more
    """
    for name, value in values.items():
        if not value >= least:
            raise ConfigError(f"{name}={value}: expected {least} or more")


def check_heads(width: int, num_heads: int) -> None:
    """Raise ``ConfigError`` unless heads of attention, one or more, share a width evenly.

    Examples
    --------
    >>> check_heads(64, 3)
    Traceback (most recent call last):
        ...
    dgl_dysign.errors.ConfigError: found 3 heads for a width of 64, expected 1 or more that divide it
    """
    if min(width, num_heads) < 1 or width % num_heads:
        raise ConfigError(f"found {num_heads} heads for a width of {width}, expected 1 or more that divide it")


def check_growth(who: str, own: int, num_nodes: object) -> None:
    """Raise ``ConfigError`` unless `num_nodes` is a whole number, not below the number of nodes that `who` has.

    Examples
    --------
    >>> check_growth("the store", 5, 4)
    Traceback (most recent call last):
        ...
    dgl_dysign.errors.ConfigError: found num_nodes=4, but the store has 5 nodes and does not shrink: make a new one
    """
    if not isinstance(num_nodes, Integral):
        raise ConfigError(f"num_nodes={num_nodes!r}: expected a whole number, of {own} or more")
    if int(num_nodes) < own:
        raise ConfigError(
            f"found num_nodes={num_nodes!r}, but {who} has {own} nodes and does not shrink: make a new one"
        )


def growth_remedy(saved: int, own: int) -> str:
    """Return what to do where something of `saved` nodes shall be loaded into something of `own` nodes."""
    return f"call grow({saved}) first" if saved > own else f"load it into one of {saved} nodes, then call grow({own})"
