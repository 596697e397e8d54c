"""Memory requirements of computing features."""

from overlap.config import FeatureConfig, StoreConfig

PROCESS_BYTES = 420_000_000
"""A worker process with Dask, NumPy, Numba, Zarr and the kernel, before its first block."""
COPIES = 2
"""Buffers per chunk: a thread computes into one, and Zarr writes from another."""


def feature_worker_bytes(features: FeatureConfig, store: StoreConfig, threads: int) -> int:
    """Return the peak memory of a worker that computes features, bytes.

    Args:
        features: The features.
        store: Chunking of the store.
        threads: Blocks that the worker computes concurrently.
    """
    return PROCESS_BYTES + threads * COPIES * store.chunk_clips * features.clip_bytes
