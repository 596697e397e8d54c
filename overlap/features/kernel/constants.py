"""The constants of one resolution, laid out in the order in which the kernel reads them.

Everything is computed in float64 and rounded once. N is n_fft, M = N/2 the length of the
complex transform that does the work.

    window          (N,)          half the periodic Hann window in the first win_length entries,
                                  then zeros; the factor 1/2 belongs to the sums in
                                  `power_spectrum`
    twiddles        (…, 6)        for each transform length L = M, M/4, M/16, … above the leaves,
                                  and each p < L/4: cos and sin of -2*pi*p*j/L for j = 1, 2, 3
    schedule        (steps, 3)    offset, length and first row of twiddles of each sub-transform,
                                  depth first, so that each completes while it is in the cache
    positions       (M,)          position of value k of the transform after all steps
    split_twiddles  (M/2 + 1, 2)  cos and sin of -2*pi*k/N, which combine the two halves of a real
                                  transform
    edges           (mels + 2,)   segment s consists of the bins edges[s] to edges[s + 1]
    slopes          (M + 1, 2)    per bin: its weight in the filter that falls over its segment
                                  (s - 1) and in the filter that rises (s)

A mel filter rises from the centre of the previous filter to its own centre and falls to the centre
of the next. Between two centres, in a *segment*, each bin therefore belongs to at most two filters.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from overlap.config import FeatureConfig, Resolution
from overlap.features.kernel.simd import aligned
from overlap.features.mel_scale import mel_edges_hz
from overlap.features.reference import librosa_core, mel_filters

SMALLEST, LARGEST = 128, 4096
"""Range of transform lengths that the kernel supports."""


class Tables(NamedTuple):
    """The constants of one resolution; see the module docstring."""

    window: NDArray[np.float32]
    twiddles: NDArray[np.float32]
    schedule: NDArray[np.int64]
    positions: NDArray[np.int64]
    split_twiddles: NDArray[np.float32]
    edges: NDArray[np.int64]
    slopes: NDArray[np.float32]


@lru_cache(maxsize=64)
def tables(config: FeatureConfig, resolution: Resolution) -> Tables:
    """Compute the constants of one resolution of a supported configuration (`unsupported`)."""
    import scipy.signal  # slow to import, and only workers need it

    n_fft, half = resolution.n_fft, resolution.n_fft // 2
    window = np.zeros(n_fft)
    window[: resolution.win_length] = scipy.signal.get_window("hann", resolution.win_length) / 2
    twiddles, schedule = _transform(half)
    edges, slopes = _segments(config, resolution)
    return Tables(
        window=_float32(window),
        twiddles=_float32(twiddles),
        schedule=schedule,
        positions=_positions(half),
        split_twiddles=_float32(_unit_circle(np.arange(half // 2 + 1) / n_fft)),
        edges=edges,
        slopes=_float32(slopes),
    )


def unsupported(config: FeatureConfig) -> str | None:
    """Return why the kernel does not support a configuration, or None if it does."""
    for resolution in config.resolutions:
        n_fft = resolution.n_fft
        if not SMALLEST <= n_fft <= LARGEST or n_fft & (n_fft - 1):
            return f"n_fft {n_fft} is not a power of two from {SMALLEST} to {LARGEST}"
    return None


def leaf_length(half: int) -> int:
    """Return the leaf length of a transform of length `half`: 16 or 8."""
    return 16 if half.bit_length() % 2 else 8


def _transform(half: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Compute twiddles and schedule of a complex transform, radix 4, decimation in frequency."""
    lengths, first = [], {}
    length, row = half, 0
    while length > leaf_length(half):
        lengths.append(length)
        first[length] = row
        row += length // 4
        length //= 4
    angles = [np.outer(np.arange(n // 4), [1, 2, 3]) / n for n in lengths]
    steps: list[tuple[int, int, int]] = []

    def visit(offset: int, length: int) -> None:
        if length != half:  # the first step also packs the input and is not in the schedule
            steps.append((offset, length, first.get(length, 0)))
        if length > leaf_length(half):
            for quarter in range(4):
                visit(offset + quarter * (length // 4), length // 4)

    visit(0, half)
    return _unit_circle(np.concatenate(angles)).reshape(-1, 6), np.array(steps, np.int64)


def _positions(half: int) -> NDArray[np.int64]:
    """Return the position of each value k: radix-4 steps sort by k mod 4; leaves are in order."""
    k, positions = np.arange(half), np.zeros(half, np.int64)
    length = half
    while length > leaf_length(half):
        length //= 4
        positions += k % 4 * length
        k //= 4
    return positions + k


def _unit_circle(turns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return cos and sin of -2*pi*turns, (…, 2)."""
    return np.stack([np.cos(2 * np.pi * turns), -np.sin(2 * np.pi * turns)], axis=-1)


def _segments(
    config: FeatureConfig, resolution: Resolution
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Compute edges and slopes of librosa's Slaney filters."""
    filters = mel_filters(config, resolution)
    hertz = librosa_core().fft_frequencies(sr=config.sample_rate, n_fft=resolution.n_fft)
    edges = np.searchsorted(hertz, mel_edges_hz(config)).astype(np.int64)
    # A bin exactly on a centre may be in either segment; rounding must not drop its weight.
    edges[-1] = max(edges[-1], 1 + np.flatnonzero(filters.any(axis=0)).max(initial=-1))
    slopes = np.zeros((filters.shape[1], 2))
    padded = np.pad(
        filters, ((1, 1), (0, 0))
    )  # one zero filter before the first, one after the last
    for segment in range(config.n_mels + 1):
        bins = slice(edges[segment], edges[segment + 1])
        slopes[bins] = padded[segment : segment + 2, bins].T
    return edges, slopes


def _float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    out: NDArray[np.float32] = aligned(values.size)
    out[:] = values.ravel()
    return out
