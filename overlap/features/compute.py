"""Features by the fastest backend that can compute them."""

import logging
import threading
from functools import lru_cache
from typing import Literal

import numba
import numpy as np
from numpy.typing import NDArray

from overlap.config import FeatureConfig
from overlap.features.batched import batched_features
from overlap.features.kernel.constants import unsupported
from overlap.features.kernel.kernel import MelKernel
from overlap.system.thread_limits import ONE_BLAS_THREAD

LOG = logging.getLogger(__name__)

Backend = Literal["kernel", "batched"]

_KERNELS = threading.local()
KEPT = 4
"""Kernels kept per thread; each has 2 to 4 MB of buffers."""


def unsupported_reason(config: FeatureConfig) -> str | None:
    """Why this configuration needs the batched backend; None: the kernel computes it."""
    reason = unsupported(config)
    if reason is None and numba.config.DISABLE_JIT:
        reason = "numba's compiler is switched off (NUMBA_DISABLE_JIT)"
    if reason is None:
        return None
    return f"features go the batched way, some ten times slower than the kernel: {reason}"


def backend(config: FeatureConfig) -> Backend:
    """How features of this configuration are computed."""
    return "kernel" if unsupported_reason(config) is None else "batched"


@lru_cache(maxsize=64)
def _log_once(reason: str) -> None:
    LOG.warning(reason)


def warm_up(config: FeatureConfig) -> None:
    """Load the compiled kernel, or compile it, so that the first block need not."""
    compute_features(np.zeros((1, config.clip_samples), np.float32), config)


def compute_features(
    clips: NDArray[np.float32],
    config: FeatureConfig,
    out: NDArray[np.float16] | NDArray[np.float32] | None = None,
) -> NDArray[np.float16] | NDArray[np.float32]:
    """Log-mel features of some clips.

    Args:
        clips: (clips, samples) float32, full scale 1.0; finite.
        config: Resolutions, hop and mel bands.
        out: (clips, mel, frame, resolution), float16 or float32, C-contiguous; a new float16
            array if not given.

    Returns:
        `out`, filled with decibels relative to 1.0.

    Raises:
        ValueError: the clips have another length, are not finite, or `out` another shape.
    """
    reason = unsupported_reason(config)
    if reason is not None:
        _log_once(reason)
        with ONE_BLAS_THREAD:
            return batched_features(clips, config, out)
    if out is None:
        out = np.empty((len(clips), *config.shape), np.float16)
    _kernel(config, out.dtype)(clips, out)
    return out


def _kernel(config: FeatureConfig, dtype: np.dtype[np.generic]) -> MelKernel:
    """This thread's kernel; the one used longest ago makes room for a new one."""
    kept: dict[tuple[FeatureConfig, np.dtype[np.generic]], MelKernel]
    kept = _KERNELS.__dict__.setdefault("kept", {})
    kernel = kept.pop((config, dtype), None) or MelKernel(config, dtype)
    kept[config, dtype] = kernel
    if len(kept) > KEPT:
        del kept[next(iter(kept))]
    return kernel
