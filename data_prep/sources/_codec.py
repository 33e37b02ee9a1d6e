"""Names of encodings, for options and for readers alike; nothing heavy."""

import codecs

from dgl_dysign.errors import ConfigError


def text_codec(encoding: str) -> str:
    """Return the name of a codec; raise ConfigError if Python has none of that name for text.

    >>> text_codec("latin1"), text_codec("UTF-8-SIG")
    ('iso8859-1', 'utf-8')
    """
    try:
        codec = codecs.lookup(encoding)
    except (LookupError, ValueError):
        codec = None
    if codec is None or not codec._is_text_encoding:
        raise ConfigError(f"--encoding: found {encoding!r}, expected a codec of Python's, such as latin-1 or utf-16")
    return codec.name.removesuffix("-sig")
