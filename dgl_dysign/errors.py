"""The exceptions users see: each says what was got, what was expected and what to do."""


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
