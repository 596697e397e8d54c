"""Compute features with the fastest backend that supports the configuration."""

import logging
import threading
from functools import lru_cache
from typing import Literal

import numba
import numpy as np
from numpy.typing import NDArray

from overlap.config import FeatureConfig
from overlap.features.kernel.constants import unsupported
from overlap.features.kernel.kernel import MelKernel
from overlap.system.thread_limits import ONE_BLAS_THREAD

LOG = logging.getLogger(__name__)

Backend = Literal["kernel", "batched"]

_THREAD = threading.local()
KERNELS_PER_THREAD = 4
"""Kernels cached per thread; each has 2 to 4 MB of buffers."""


def unsupported_reason(config: FeatureConfig) -> str | None:
    """Return why the kernel does not support a configuration, or None if it does."""
    reason = unsupported(config)
    if reason is None and numba.config.DISABLE_JIT:
        reason = "numba's compiler is disabled (NUMBA_DISABLE_JIT)"
    if reason is None:
        return None
    return f"the batched backend computes the features, about ten times slower: {reason}"


def select_backend(config: FeatureConfig) -> Backend:
    """Return the backend that computes features of a configuration."""
    return "kernel" if unsupported_reason(config) is None else "batched"


@lru_cache(maxsize=64)
def _log_once(reason: str) -> None:
    LOG.warning(reason)


def warm_up(config: FeatureConfig) -> None:
    """Load or compile the kernel in advance, so that the first block does not wait for it."""
    compute_features(np.zeros((1, config.clip_samples), np.float32), config)


def compute_features(
    clips: NDArray[np.float32],
    config: FeatureConfig,
    out: NDArray[np.float16] | NDArray[np.float32] | None = None,
) -> NDArray[np.float16] | NDArray[np.float32]:
    """Compute the log-mel features of clips.

    Args:
        clips: (clips, samples) float32, full scale 1.0; finite.
        config: Resolutions, hop and mel bands.
        out: (clips, mel, frame, resolution), float16 or float32, C-contiguous; None
            allocates a float16 array.

    Returns:
        `out`, filled with decibels relative to 1.0.

    Raises:
        ValueError: The clips have the wrong length or are not finite, or `out` has the wrong
            shape.
    """
    reason = unsupported_reason(config)
    if reason is not None:
        from overlap.features.batched import batched_features  # SciPy: half a second

        _log_once(reason)
        with ONE_BLAS_THREAD:
            return batched_features(clips, config, out)
    if out is None:
        out = np.empty((len(clips), *config.shape), np.float16)
    _kernel(config, out.dtype)(clips, out)
    return out


def _kernel(config: FeatureConfig, dtype: np.dtype[np.generic]) -> MelKernel:
    """Return this thread's kernel; the least recently used kernel is evicted."""
    kernels: dict[tuple[FeatureConfig, np.dtype[np.generic]], MelKernel]
    kernels = _THREAD.__dict__.setdefault("kernels", {})
    kernel = kernels.pop((config, dtype), None) or MelKernel(config, dtype)
    kernels[config, dtype] = kernel
    if len(kernels) > KERNELS_PER_THREAD:
        del kernels[next(iter(kernels))]
    return kernel
