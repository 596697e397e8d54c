"""Log-mel features: the reference, the fast paths, the store and its exact statistics."""

from overlap.features.extract import BlockDone, BlockJob, block_job, extract_block
from overlap.features.statistics import Normalisation
from overlap.features.store import Block, FeatureStore

__all__ = [
    "Block",
    "BlockDone",
    "BlockJob",
    "FeatureStore",
    "Normalisation",
    "block_job",
    "extract_block",
]
