"""How much memory computing features takes."""

from overlap.config import FeatureConfig, StoreConfig

PROCESS_BYTES = 420_000_000
"""A worker's process with Dask, NumPy, Numba, Zarr and the kernel, before its first block."""
COPIES = 2
"""A thread computes a chunk into one buffer, and Zarr writes it from another."""


def feature_worker_bytes(features: FeatureConfig, cut: StoreConfig, threads: int) -> int:
    """Largest memory of a worker that computes features.

    Args:
        features: The features.
        cut: How the store is cut.
        threads: Blocks that the worker computes side by side.
    """
    return PROCESS_BYTES + threads * COPIES * cut.chunk_clips * features.clip_bytes
