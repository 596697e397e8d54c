"""Synthesis of data sets: spoken words, and clips of overlapping words mixed from recordings."""

from overlap.synthetic.mix import ANSWERS, mix
from overlap.synthetic.speakers import MixConfig

__all__ = ["ANSWERS", "MixConfig", "mix"]
