"""What counting and walks see of a pair of nodes, from the snapshots before."""

from dgl_dysign.pairs.cached_features import CachedFeatures
from dgl_dysign.pairs.link_features import LinkFeatures

__all__ = ["CachedFeatures", "LinkFeatures"]
