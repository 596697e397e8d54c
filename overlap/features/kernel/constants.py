"""The constants of one resolution, laid out in the order in which the kernel reads them.

Everything is computed in float64 and rounded once. N is n_fft, M = N/2 the length of the
complex transform that does the work.

    window    (N,)          half the periodic Hann window in its first win_length places, then
                            zeros; the half pays for the sums of `power_spectrum`
    twiddles  (…, 6)        for each transform length L = M, M/4, M/16, … above the leaves, and
                            each p < L/4: cos and sin of -2*pi*p*j/L for j = 1, 2, 3
    schedule  (steps, 3)    offset, length and first row of twiddles of each sub-transform, depth
                            first, so that one is finished while it lies in the cache
    places    (M,)          where value k of the transform stands when all steps are done
    halves    (M/2 + 1, 2)  cos and sin of -2*pi*k/N: joins the two halves of a real transform
    edges     (mels + 2,)   the bins of segment s are edges[s] to edges[s + 1]
    slopes    (M + 1, 2)    per bin: its weight in the filter that falls over its segment
                            (s - 1), and in the one that rises (s)

A mel filter rises from the centre of the one before it to its own centre and falls to the centre
of the next, so between two centres, in a *segment*, every bin belongs to two filters at most.
"""

from functools import lru_cache
from typing import NamedTuple

import librosa
import numpy as np
from numpy.typing import NDArray

from overlap.config import FeatureConfig, Resolution
from overlap.features.kernel.simd import aligned
from overlap.features.reference import mel_filters

SMALLEST, LARGEST = 128, 4096
"""Transform lengths that the kernel's stages are made for."""


class Tables(NamedTuple):
    """The constants of one resolution; see the module."""

    window: NDArray[np.float32]
    twiddles: NDArray[np.float32]
    schedule: NDArray[np.int64]
    places: NDArray[np.int64]
    halves: NDArray[np.float32]
    edges: NDArray[np.int64]
    slopes: NDArray[np.float32]


@lru_cache(maxsize=64)
def tables(config: FeatureConfig, resolution: Resolution) -> Tables:
    """The constants of one resolution of a configuration that `unsupported` has nothing against."""
    import scipy.signal  # slow to import; only workers need it

    n_fft, half = resolution.n_fft, resolution.n_fft // 2
    window = np.zeros(n_fft)
    window[: resolution.win_length] = scipy.signal.get_window("hann", resolution.win_length) / 2
    twiddles, schedule = _transform(half)
    edges, slopes = _segments(config, resolution)
    return Tables(
        window=_float32(window),
        twiddles=_float32(twiddles),
        schedule=schedule,
        places=_places(half),
        halves=_float32(_circle(np.arange(half // 2 + 1) / n_fft)),
        edges=edges,
        slopes=_float32(slopes),
    )


def unsupported(config: FeatureConfig) -> str | None:
    """Why the kernel cannot compute a configuration; None when it can."""
    for resolution in config.resolutions:
        n_fft = resolution.n_fft
        if not SMALLEST <= n_fft <= LARGEST or n_fft & (n_fft - 1):
            return f"n_fft {n_fft} is not a power of two from {SMALLEST} to {LARGEST}"
    return None


def leaf(half: int) -> int:
    """Length of the transforms that end a transform of length `half`: 16 or 8."""
    return 16 if half.bit_length() % 2 else 8


def _transform(half: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Twiddles and schedule of a complex transform, radix 4, decimation in frequency."""
    lengths, first = [], {}
    length, row = half, 0
    while length > leaf(half):
        lengths.append(length)
        first[length] = row
        row += length // 4
        length //= 4
    angles = [np.outer(np.arange(n // 4), [1, 2, 3]) / n for n in lengths]
    steps: list[tuple[int, int, int]] = []

    def visit(offset: int, length: int) -> None:
        if length != half:  # the first step also makes the input and is not in the schedule
            steps.append((offset, length, first.get(length, 0)))
        if length > leaf(half):
            for quarter in range(4):
                visit(offset + quarter * (length // 4), length // 4)

    visit(0, half)
    return _circle(np.concatenate(angles)).reshape(-1, 6), np.array(steps, np.int64)


def _places(half: int) -> NDArray[np.int64]:
    """Where value k stands: each radix-4 step sorts by k mod 4, the leaves are in order."""
    k, places = np.arange(half), np.zeros(half, np.int64)
    length = half
    while length > leaf(half):
        length //= 4
        places += k % 4 * length
        k //= 4
    return places + k


def _circle(turns: NDArray[np.float64]) -> NDArray[np.float64]:
    """(…, 2): cos and sin of -2*pi*turns."""
    return np.stack([np.cos(2 * np.pi * turns), -np.sin(2 * np.pi * turns)], axis=-1)


def _segments(
    config: FeatureConfig, resolution: Resolution
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Edges and slopes of librosa's Slaney filters."""
    top = config.rate_hz / 2 if config.fmax_hz is None else config.fmax_hz
    filters = mel_filters(config, resolution)
    hertz = librosa.fft_frequencies(sr=config.rate_hz, n_fft=resolution.n_fft)
    centres = librosa.mel_frequencies(config.mels + 2, fmin=config.fmin_hz, fmax=top)
    edges = np.searchsorted(hertz, centres).astype(np.int64)
    # A bin that lies on a centre belongs to either segment; rounding must not drop its weight.
    edges[-1] = max(edges[-1], 1 + np.flatnonzero(filters.any(axis=0)).max(initial=-1))
    slopes = np.zeros((filters.shape[1], 2))
    padded = np.pad(filters, ((1, 1), (0, 0)))  # a falling one before the first, none after
    for segment in range(config.mels + 1):
        bins = slice(edges[segment], edges[segment + 1])
        slopes[bins] = padded[segment : segment + 2, bins].T
    return edges, slopes


def _float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    out: NDArray[np.float32] = aligned(values.size)
    out[:] = values.ravel()
    return out
