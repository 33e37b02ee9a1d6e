"""What counting and walks see of a pair of nodes, from the snapshots before.

An argument outside its range raises `ConfigError`, and so do snapshots in the wrong order.
"""

from dgl_dysign.pairs.cached_features import CachedFeatures
from dgl_dysign.pairs.link_features import LinkFeatures

__all__ = ["CachedFeatures", "LinkFeatures"]
