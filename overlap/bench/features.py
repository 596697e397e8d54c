"""Benchmark of the feature implementations, interleaved, on one core."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from overlap.audio.decode import decode, is_audio
from overlap.bench.libraries import Compute, available
from overlap.config import AudioFormat, FeatureConfig
from overlap.errors import AudioError, DataError
from overlap.features.batched import batched_features
from overlap.features.compute import compute_features
from overlap.features.reference import AMIN, reference_features

REFERENCE = "librosa loop"
LIBROSA_BATCH = 32
TOP_DB = 80.0
ROUND_SECONDS = 0.1


@dataclass(frozen=True)
class BenchRow:
    """Result of one implementation."""

    name: str
    clips_per_cpu_second: float
    """Median over the rounds."""
    ratio: float
    """Speed relative to the reference in the same round; median over the rounds."""
    max_error_db: float
    """Largest difference from the reference within 80 dB of the peak of each resolution."""


def bench_features(
    clips: NDArray[np.float32], config: FeatureConfig, rounds: int = 7
) -> list[BenchRow]:
    """Measure all implementations on the same clips, interleaved, on one core.

    Args:
        clips: (clips, samples) float32.
        config: The features.
        rounds: Each round measures each implementation once, for at least `ROUND_SECONDS`.
    """
    implementations = IMPLEMENTATIONS | available()
    seconds: dict[str, list[float]] = {name: [] for name in implementations}
    errors = {}
    with threadpool_limits(1):
        reference = reference_features(clips, config)
        for name, compute in implementations.items():  # also compiles and fills caches
            errors[name] = largest_error_db(compute(clips, config), reference)
        for _ in range(rounds):
            for name, compute in implementations.items():
                seconds[name].append(cpu_seconds(lambda c=compute: c(clips, config)))  # type: ignore[misc]
    loop = np.array(seconds[REFERENCE])
    return [
        BenchRow(
            name=name,
            clips_per_cpu_second=len(clips) / float(np.median(taken)),
            ratio=float(np.median(loop / np.array(taken))),
            max_error_db=errors[name],
        )
        for name, taken in seconds.items()
    ]


def largest_error_db(values: NDArray[Any], reference: NDArray[np.float32]) -> float:
    """Return the largest error within `TOP_DB` of the peak of each resolution, dB.

    Args:
        values: (clips, mel, frame, resolution) decibels.
        reference: Decibels of the reference, of the same shape.
    """
    audible = reference > reference.max(axis=(0, 1, 2)) - TOP_DB
    return float(np.abs(values.astype(np.float64) - reference)[audible].max())


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of this process per call, measured over at least `ROUND_SECONDS`."""
    calls, started = 0, time.process_time()
    while (taken := time.process_time() - started) < ROUND_SECONDS or not calls:
        work()
        calls += 1
    return taken / calls


def librosa_in_batches(clips: NDArray[np.float32], config: FeatureConfig) -> NDArray[np.float32]:
    """Compute the features with the calls of the reference, on several clips at a time."""
    features = np.empty((len(clips), *config.shape), np.float32)
    for start in range(0, len(clips), LIBROSA_BATCH):
        part = slice(start, start + LIBROSA_BATCH)
        for index, resolution in enumerate(config.resolutions):
            power = librosa.feature.melspectrogram(
                y=clips[part], sr=config.sample_rate, n_fft=resolution.n_fft,
                win_length=resolution.win_length, hop_length=config.hop_length,
                n_mels=config.n_mels, fmin=config.fmin_hz, fmax=config.fmax_hz,
            )  # fmt: skip
            features[part, ..., index] = librosa.power_to_db(power, ref=1.0, amin=AMIN, top_db=None)
    return features


def speech_like(clips: int, config: FeatureConfig, seed: int = 0) -> NDArray[np.float32]:
    """Synthesise harmonics with formants and pauses, (clips, samples) float32."""
    random = np.random.default_rng(seed)
    t = np.arange(config.clip_samples) / config.sample_rate
    out = np.empty((clips, config.clip_samples), np.float32)
    for clip in out:
        pitch = random.uniform(90, 250) * (1 + 0.1 * np.sin(2 * np.pi * random.uniform(1, 4) * t))
        phase = 2 * np.pi * np.cumsum(pitch) / config.sample_rate
        tone = sum(
            np.exp(-((k * pitch.mean() - random.uniform(400, 2500)) ** 2) / 4e5) * np.sin(k * phase)
            for k in range(1, 25)
        )
        envelope = np.clip(
            np.sin(2 * np.pi * random.uniform(1, 3) * t + random.uniform(0, 6)), 0, 1
        )
        clip[:] = 0.1 * envelope * tone + 1e-3 * random.normal(size=len(t))
    return out


def _into(compute: Callable[..., object], dtype: type[np.floating[Any]]) -> Compute:
    """Wrap a backend so that it reuses its output array, as the service does."""
    buffers: dict[tuple[int, ...], NDArray[Any]] = {}

    def with_buffer(clips: NDArray[np.float32], config: FeatureConfig) -> NDArray[Any]:
        shape = (len(clips), *config.shape)
        if shape not in buffers:
            buffers[shape] = np.empty(shape, dtype)
        compute(clips, config, buffers[shape])
        return buffers[shape]

    return with_buffer


KERNEL = "kernel"
IMPLEMENTATIONS: dict[str, Compute] = {
    REFERENCE: reference_features,
    f"librosa, {LIBROSA_BATCH} clips at once": librosa_in_batches,
    "batched (float32 out)": _into(batched_features, np.float32),
    "batched": _into(batched_features, np.float16),
    "kernel (float32 out)": _into(compute_features, np.float32),
    KERNEL: _into(compute_features, np.float16),
}
"""This project's implementations, by name; the service uses `kernel`. Other libraries are added
when they are measured, because importing them takes seconds."""


def load_some(folder: Path, clips: int, config: FeatureConfig) -> NDArray[np.float32]:
    """Load sound files from a folder tree, repeated as needed.

    Returns:
        (clips, samples) float32.

    Raises:
        DataError: The folder has no sound files, or one is unusable.
    """
    files = sorted(f for f in folder.rglob("*") if f.is_file() and is_audio(f.name))
    if not files:
        raise DataError(
            f"{folder}: contains no sound files; name a folder of recordings",
            code="no-sound-files",
            folder=str(folder),
        )
    wanted = config.clip_format
    chosen = [files[(i * len(files)) // clips % len(files)] for i in range(clips)]
    return np.stack([_samples(file, wanted) for file in chosen])


def _samples(file: Path, wanted: AudioFormat) -> NDArray[np.float32]:
    try:
        return decode(file.read_bytes(), wanted).samples
    except AudioError as error:
        raise DataError(
            f"{file}: {error}; remove the file or use another folder",
            code="unusable-clip",
            file=str(file),
            reason=str(error),
        ) from None
