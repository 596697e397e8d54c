"""Synthesis of data sets: spoken words, and clips of overlapping words mixed from recordings."""

from typing import TYPE_CHECKING

from overlap.system.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from overlap.synthetic.mixed_data import ANSWERS, mix
    from overlap.synthetic.speakers import MixConfig
else:
    __getattr__, __dir__ = lazy_exports(
        __name__, {"mixed_data": ("ANSWERS", "mix"), "speakers": ("MixConfig",)}
    )

__all__ = ["ANSWERS", "MixConfig", "mix"]
