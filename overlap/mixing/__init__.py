"""A data set of overlapped clips, mixed from a folder of single words."""

from overlap.mixing.draw import ANSWERS, mix
from overlap.mixing.pools import MixConfig

__all__ = ["ANSWERS", "MixConfig", "mix"]
