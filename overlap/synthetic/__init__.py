"""A data set of overlapped clips, mixed from a folder of single words."""

from overlap.synthetic.mix import ANSWERS, mix
from overlap.synthetic.speakers import MixConfig

__all__ = ["ANSWERS", "MixConfig", "mix"]
