"""The mel kernel: samples to decibels in one pass, one SIMD lane per clip.

It computes the features of `overlap.features.reference` in float32. Sixteen clips (`LANES`; eight
or four on processors with narrower registers) are transposed so that one register holds sample n
of all of them. All further operations work on whole registers: the arithmetic of one clip, applied
to sixteen.

    clips     (clip, sample)
      | transpose
    samples   [sample]                    zero-padded at both ends
      | first_step                        window, two samples as one complex number, radix 4
    work      [point][real, imaginary]
      | transform.finish                  the rest of the complex transform, in place
      | power_spectrum                    |X|^2 of the real transform
    power     [bin]
      | mel_decibels                      two weights per bin, 10*log10
    tile      [mel][frame][resolution]    float32, or float16 codes
      | transpose_back
    out       (clip, mel, frame, resolution)

N is n_fft, M = N/2 the length of the complex transform, W(n, p) = exp(-2*pi*i*p/n). See
`overlap.features.kernel.constants` for the constants. For a real transform by a complex one of half
the length see Sorensen, Jones, Heideman and Burrus, "Real-valued fast Fourier transform
algorithms", 1987.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import DTypeLike, NDArray

from overlap.config import FeatureConfig
from overlap.features.inputs import check_finite, check_shapes
from overlap.features.kernel.constants import Tables, tables, unsupported
from overlap.features.kernel.simd import (
    LANES,
    aligned,
    exponent,
    fma,
    load,
    load_splat,
    mantissa,
    maximum,
    splat,
    store,
)
from overlap.features.kernel.transform import (
    ZERO,
    add,
    butterfly,
    finish,
    point,
    put_twiddled,
    sub,
    times,
)
from overlap.features.kernel.transposition import gather_clips, scatter_clips
from overlap.features.reference import AMIN
from overlap.system.jit import compiled, one_compiler

DB_PER_OCTAVE = np.float32(10 * np.log10(2))
MIDDLE = np.float32(1.5)


def _log_of_mantissa() -> tuple[np.float32, ...]:
    """Approximate 10*log10(m), m in [1, 2], by a polynomial in m - 1.5, highest power first.

    It is interpolated at the Chebyshev points; the error is below 2e-6 dB.
    """
    log = Chebyshev.interpolate(lambda m: 10 * np.log10(m), 8, [1, 2])
    centred = log.convert(kind=Polynomial)(Polynomial([1.5, 1.0]))
    return tuple(np.float32(c) for c in reversed(centred.coef))


LOG_OF_MANTISSA = _log_of_mantissa()


# --- the stages of one frame ---------------------------------------------------------------------


@njit(forceinline=True)
def windowed(samples, start, window, p):
    """Return samples 2p and 2p + 1 of the frame that starts at `start`, times the window."""
    return (
        load(samples, start + 2 * p) * load_splat(window, 2 * p),
        load(samples, start + 2 * p + 1) * load_splat(window, 2 * p + 1),
    )


@njit
def first_step(samples, start, tables, window_points, work):
    """Apply the window, pack, and compute the radix-4 step of length M.

    A window shorter than N is placed at the start of its frame, which affects only the phase of
    the spectrum. It is zero from point `window_points` on. Most windows end before the last
    quarter begins, which then need not be read.
    """
    quarter = len(tables.positions) // 4
    zero = (splat(ZERO), splat(ZERO))
    whole = max(0, window_points - 3 * quarter)
    for p in range(quarter):
        a = windowed(samples, start, tables.window, p)
        b = windowed(samples, start, tables.window, p + quarter)
        c = windowed(samples, start, tables.window, p + 2 * quarter)
        d = windowed(samples, start, tables.window, p + 3 * quarter) if p < whole else zero
        put_twiddled(work, p, quarter, butterfly(a, b, c, d), tables.twiddles, p)


@njit
def power_spectrum(work, positions, split_twiddles, power):
    """Compute |X[k]|^2, k = 0…M, from the complex transform Z of the packed samples.

    E = Z[k] + conj(Z[M-k]),  O = -i * (Z[k] - conj(Z[M-k])),
    X[k] = E + W(N, k) * O,   X[M-k] = conj(E - W(N, k) * O)

    The factors 1/2 of E and O are in the window.
    """
    half = len(positions)
    re, im = point(work, positions[0])
    lowest, highest = re + im, re - im
    lowest, highest = lowest + lowest, highest + highest
    store(power, 0, lowest * lowest)
    store(power, half, highest * highest)
    for k in range(1, half // 2 + 1):
        a, b = point(work, positions[k]), point(work, positions[half - k])
        even = (a[0] + b[0], a[1] - b[1])
        odd = (a[1] + b[1], b[0] - a[0])
        twiddled = times(
            odd, load_splat(split_twiddles, 2 * k), load_splat(split_twiddles, 2 * k + 1)
        )
        low, high = add(even, twiddled), sub(even, twiddled)
        store(power, k, fma(low[0], low[0], low[1] * low[1]))
        store(power, half - k, fma(high[0], high[0], high[1] * high[1]))


@njit(forceinline=True)
def decibels(power):
    """Compute 10*log10(max(power, 1e-10)) as 10*log10(2) * (exponent + log2(mantissa))."""
    power = maximum(power, splat(AMIN))
    x = mantissa(power) - splat(MIDDLE)
    log = splat(LOG_OF_MANTISSA[0])
    for index in range(1, len(LOG_OF_MANTISSA)):
        log = fma(log, x, splat(LOG_OF_MANTISSA[index]))
    return fma(exponent(power), splat(DB_PER_OCTAVE), log)


@njit
def mel_decibels(power, edges, slopes, tile, first, step):
    """Store the mel bands of one frame, in decibels, in registers first, first + step, … of `tile`.

    Within a segment, each bin contributes once to the falling filter and once to the rising one.
    A band is complete at the end of the segment over which its filter falls.
    """
    rising = splat(ZERO)
    for segment in range(len(edges) - 1):
        falling, rising = rising, splat(ZERO)
        more_falling, more_rising = splat(ZERO), splat(ZERO)
        first_bin, end = edges[segment], edges[segment + 1]
        # Two accumulators per filter: an addition waits four cycles for the previous one.
        for k in range(first_bin + 1, end, 2):
            value, other = load(power, k - 1), load(power, k)
            falling = fma(value, load_splat(slopes, 2 * k - 2), falling)
            rising = fma(value, load_splat(slopes, 2 * k - 1), rising)
            more_falling = fma(other, load_splat(slopes, 2 * k), more_falling)
            more_rising = fma(other, load_splat(slopes, 2 * k + 1), more_rising)
        if (end - first_bin) % 2:
            value = load(power, end - 1)
            falling = fma(value, load_splat(slopes, 2 * end - 2), falling)
            rising = fma(value, load_splat(slopes, 2 * end - 1), rising)
        rising = rising + more_rising
        if segment > 0:
            store(tile, first + (segment - 1) * step, decibels(falling + more_falling))


# --- all frames of a group of clips --------------------------------------------------------------


@compiled
def transpose(clips, padding, samples):
    """Transpose (LANES, samples): register padding + n holds sample n of all clips."""
    whole = clips.shape[1] // LANES * LANES
    for n in range(0, whole, LANES):
        gather_clips(clips, n, samples, padding + n)
    for n in range(whole, clips.shape[1]):
        for lane in range(LANES):
            samples[(padding + n) * LANES + lane] = clips[lane, n]


@compiled
def spectrogram(samples, start, hop, frames, window_points, tables, work, power, tile, first, step):
    """Compute all frames of one resolution into registers first, first + step, … of the tile."""
    for frame in range(frames):
        first_step(samples, start + frame * hop, tables, window_points, work)
        finish(work, tables.schedule, tables.twiddles)
        power_spectrum(work, tables.positions, tables.split_twiddles, power)
        mel_decibels(power, tables.edges, tables.slopes, tile, first + frame * step, frames * step)


@compiled
def transpose_back(tile, out):
    """Transpose registers to (LANES, values): register i holds value i of all clips."""
    whole = out.shape[1] // LANES * LANES
    for value in range(0, whole, LANES):
        scatter_clips(tile, value, out, value)
    for value in range(whole, out.shape[1]):
        for lane in range(LANES):
            out[lane, value] = tile[value * LANES + lane]


@dataclass(frozen=True, eq=False)
class _Spectrogram:
    """Parameters of one resolution."""

    start: int
    """Register of the first sample of frame 0."""
    window_points: int
    """Points (pairs of samples) of a frame that the window covers."""
    tables: Tables


class MelKernel:
    """The kernel for one configuration, with its buffers; not thread-safe.

    Args:
        config: The features.
        dtype: The output dtype, float16 or float32.

    Raises:
        ValueError: The kernel does not support the dtype or the configuration (`unsupported`).
    """

    def __init__(self, config: FeatureConfig, dtype: DTypeLike = np.float16) -> None:
        if np.dtype(dtype) not in (np.float16, np.float32):
            raise ValueError(f"dtype is {np.dtype(dtype)}, expected float16 or float32")
        reason = unsupported(config)
        if reason is not None:
            raise ValueError(f"the kernel does not support this configuration: {reason}")
        longest = max(resolution.n_fft for resolution in config.resolutions)
        self._config, self._padding = (
            config,
            max(r.samples_before_centre for r in config.resolutions),
        )
        self._dtype = np.dtype(dtype)
        self._code = np.dtype(np.uint16 if self._dtype == np.float16 else np.float32)
        self._spectrograms = [
            _Spectrogram(
                self._padding - r.samples_before_centre, -(-r.win_length // 2), tables(config, r)
            )
            for r in config.resolutions
        ]
        self._samples = aligned((self._padding + config.clip_samples + longest) * LANES)
        self._work = aligned(longest * LANES)
        self._power = aligned((longest // 2 + 1) * LANES)
        self._tile = aligned(int(np.prod(config.shape)) * LANES, self._code)
        self._clips = np.zeros((LANES, config.clip_samples), np.float32)
        self._values = np.zeros((LANES, int(np.prod(config.shape))), self._code)
        with one_compiler(self._code.name):
            self._group(self._clips, self._values)

    def __call__(
        self, clips: NDArray[np.float32], out: NDArray[np.float16] | NDArray[np.float32]
    ) -> None:
        """Compute features.

        Args:
            clips: (clips, samples) float32, full scale 1.0; finite.
            out: (clips, mel, frame, resolution) of the kernel's dtype, C-contiguous; filled with
                decibels relative to 1.0, undefined after an error.

        Raises:
            ValueError: An array has the wrong shape or dtype, or clips are not finite.
        """
        check_shapes(clips, self._config, out)
        if out.dtype != self._dtype or not out.flags.c_contiguous:
            raise ValueError(f"out is not a C-contiguous array of {self._dtype}")
        clips = np.ascontiguousarray(clips, np.float32)
        values = out.view(self._code).reshape(len(clips), self._values.shape[1])
        whole = len(clips) // LANES * LANES
        for first in range(0, whole, LANES):
            self._group(clips[first : first + LANES], values[first : first + LANES])
        rest = len(clips) - whole
        if rest:
            self._clips[:rest], self._clips[rest:] = clips[whole:], 0
            self._group(self._clips, self._values)
            values[whole:] = self._values[:rest]

    def _group(self, clips: NDArray[np.float32], values: NDArray[np.generic]) -> None:
        """Compute (LANES, values) from (LANES, samples)."""
        check_finite(clips)  # also loads them into the cache
        _, frames, resolutions = self._config.shape
        transpose(clips, self._padding, self._samples)
        for index, one in enumerate(self._spectrograms):
            spectrogram(
                self._samples, one.start, self._config.hop_length, frames, one.window_points,
                one.tables, self._work, self._power, self._tile, index, resolutions,
            )  # fmt: skip
        transpose_back(self._tile, values)
