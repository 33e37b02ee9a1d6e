"""Packages that only an adapter needs: imported when it is used, and missed with the name of the extra."""

from importlib import import_module
from typing import Any

from dgl_dysign.errors import BackendError


def require(module: str, extra: str | None = None) -> Any:
    """Import a module of another package, or say how to install it.

    Parameters
    ----------
    module : str
        Its full name, such as ``"torch_geometric.data"``.
    extra : str, optional
        The extra of dgl-dysign that installs the package; default: it has none, and the package is named itself.

    Returns
    -------
    module
        The module.

    Raises
    ------
    BackendError
        An ImportError, if the package is missing or cannot be imported.

    Examples
    --------
    >>> require("json").__name__
    'json'
    >>> require("no_such_package.data", "pyg")
    Traceback (most recent call last):
    dgl_dysign.errors.BackendError: no_such_package.data: found no package no_such_package, expected it; install it \
with `pip install dgl-dysign[pyg]`
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == package
        found = f"no package {package}" if missing else f"an import that fails ({error})"
        wanted = f"dgl-dysign[{extra}]" if extra else package.replace("_", "-")
        raise BackendError(f"{module}: found {found}, expected it; install it with `pip install {wanted}`") from error
