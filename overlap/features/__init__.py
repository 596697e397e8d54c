"""Log-mel features: the reference, the fast backends, the store and its exact statistics."""

from overlap.features.extract import extract_block
from overlap.features.jobs import BlockDone, BlockJob, block_job, block_jobs
from overlap.features.statistics import Normalisation
from overlap.features.store.blocks import Block
from overlap.features.store.store import FeatureStore

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
