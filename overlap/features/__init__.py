"""Log-mel features: the reference, the fast backends, the store and its exact statistics."""

from typing import TYPE_CHECKING

from overlap.system.import_path import skip_numba_settings
from overlap.system.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from overlap.features.extract import extract_block
    from overlap.features.jobs import BlockDone, BlockJob, block_job, block_jobs
    from overlap.features.statistics import Normalisation
    from overlap.features.store.blocks import Block
    from overlap.features.store.store import FeatureStore
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "extract": ("extract_block",),
            "jobs": (
                "BlockDone",
                "BlockJob",
                "block_job",
                "block_jobs",
            ),
            "statistics": ("Normalisation",),
            "store.blocks": ("Block",),
            "store.store": ("FeatureStore",),
        },
    )

skip_numba_settings()  # modules of this package import Numba, some through librosa

__all__ = [
    "Block",
    "BlockDone",
    "BlockJob",
    "FeatureStore",
    "Normalisation",
    "block_job",
    "block_jobs",
    "extract_block",
]
