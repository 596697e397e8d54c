"""The same features computed with other libraries, each used for best speed.

Every implementation computes its tables and compiles its functions once, works in float32, and
processes the number of clips at a time that measured fastest. All run on one core: `available`
limits each library to one thread.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import librosa
import numpy as np
import scipy.fft
import scipy.signal
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from overlap.config import FeatureConfig, Resolution
from overlap.features.reference import AMIN, mel_filters

Compute = Callable[[NDArray[np.float32], FeatureConfig], NDArray[np.generic]]
"""(clips, samples) float32 -> (clips, mel, frame, resolution), decibels relative to 1.0."""

Part = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Computes the features of a few clips for a fixed configuration."""

SCIPY_CLIPS, TENSORFLOW_CLIPS, TORCH_CLIPS, JAX_CLIPS = 4, 8, 8, 8
"""Clips at a time; the fastest of 1 to 64."""

DECIBELS = 10 / np.log(10)
"""Decibels per natural logarithm of a power."""


def available() -> dict[str, Compute]:
    """Return the implementations whose libraries are installed; limits each to one thread."""
    implementations: dict[str, Compute] = {"numpy, scipy.fft": scipy_fft}
    for name, prepare, compute in (
        ("tf.signal", _one_tensorflow_thread, tf_signal),
        ("torch.stft", _one_torch_thread, torch_stft),
        ("torchaudio", _one_torchaudio_thread, torchaudio_mel),
        ("librosax, JAX", _one_jax_thread, librosax_mel),
    ):
        # OSError: torchaudio built for another torch lacks a shared library.
        with suppress(ImportError, OSError):
            prepare()
            implementations[name] = compute
    return implementations


def scipy_fft(clips: NDArray[np.float32], config: FeatureConfig) -> NDArray[np.float32]:
    """Use NumPy strided frames, SciPy's float32 transform and a dense mel matrix."""

    def compute(part: NDArray[np.float32]) -> NDArray[np.float32]:
        features = np.empty((len(part), *config.shape), np.float32)
        for index, resolution in enumerate(config.resolutions):
            half = resolution.n_fft // 2
            padded = np.pad(part, ((0, 0), (half, half)))
            frames = sliding_window_view(padded, resolution.n_fft, axis=1)[:, :: config.hop_length]
            spectrum = scipy.fft.rfft(frames * _padded_window(resolution), axis=-1)
            mel = (spectrum.real**2 + spectrum.imag**2) @ _filters(config, resolution)
            decibels = 10 * np.log10(np.maximum(mel, np.float32(AMIN)))
            features[..., index] = decibels.transpose(0, 2, 1)
        return features

    return _in_parts(compute, clips, SCIPY_CLIPS, config)


def tf_signal(clips: NDArray[np.float32], config: FeatureConfig) -> NDArray[np.float32]:
    """Use tf.signal, traced once as a tf.function."""
    return _in_parts(_tensorflow(config), clips, TENSORFLOW_CLIPS, config)


@lru_cache(maxsize=8)
def _tensorflow(config: FeatureConfig) -> Part:
    import tensorflow as tf

    def one(clips: Any, resolution: Resolution) -> Any:  # noqa: ANN401  tensors
        # tf.signal pads windows at the end, so a frame starts with the samples of its window.
        width = resolution.win_length
        before = resolution.samples_before_centre
        after = max(
            0, (config.frames - 1) * config.hop_length + width - before - config.clip_samples
        )
        spectrum = tf.signal.stft(
            tf.pad(clips, ((0, 0), (before, after))),
            frame_length=width,
            frame_step=config.hop_length,
            fft_length=resolution.n_fft,
            window_fn=lambda _length, dtype: tf.constant(_window(resolution), dtype),
        )[:, : config.frames]
        power = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
        flat = tf.reshape(power, (-1, resolution.n_fft // 2 + 1))
        mel = tf.matmul(flat, tf.constant(_filters(config, resolution)))
        decibels = DECIBELS * tf.math.log(tf.maximum(mel, AMIN))
        return tf.reshape(decibels, (-1, config.frames, config.n_mels))

    def every(clips: Any) -> Any:  # noqa: ANN401  tensors
        found = [one(clips, resolution) for resolution in config.resolutions]
        return tf.transpose(tf.stack(found, axis=-1), (0, 2, 1, 3))

    clips = tf.TensorSpec((None, config.clip_samples), tf.float32)
    traced = tf.function(every, input_signature=[clips])
    return lambda part: np.asarray(traced(part).numpy())


def torch_stft(clips: NDArray[np.float32], config: FeatureConfig) -> NDArray[np.float32]:
    """Use torch.stft and a dense mel matrix."""
    return _in_parts(_torch(config), clips, TORCH_CLIPS, config)


@lru_cache(maxsize=8)
def _torch(config: FeatureConfig) -> Part:
    import torch

    tables = [
        (
            resolution,
            torch.from_numpy(_window(resolution)),
            torch.from_numpy(np.ascontiguousarray(_filters(config, resolution).T)),
        )
        for resolution in config.resolutions
    ]

    def one(clips: Any, resolution: Resolution, window: Any, filters: Any) -> Any:  # noqa: ANN401
        spectrum = torch.stft(
            clips,
            resolution.n_fft,
            hop_length=config.hop_length,
            win_length=resolution.win_length,
            window=window,
            pad_mode="constant",
            return_complex=True,
        )
        mel = torch.matmul(filters, torch.view_as_real(spectrum).square().sum(-1))
        return mel.clamp_min(AMIN).log10().mul(10)

    def compute(part: NDArray[np.float32]) -> NDArray[np.float32]:
        clips = torch.from_numpy(part)
        with torch.inference_mode():
            found = torch.stack([one(clips, *table) for table in tables], -1)
        return np.asarray(found.numpy())

    return compute


def torchaudio_mel(clips: NDArray[np.float32], config: FeatureConfig) -> NDArray[np.float32]:
    """Use MelSpectrogram and AmplitudeToDB of torchaudio."""
    return _in_parts(_torchaudio(config), clips, TORCH_CLIPS, config)


@lru_cache(maxsize=8)
def _torchaudio(config: FeatureConfig) -> Part:
    import torch
    from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

    mels = [
        MelSpectrogram(
            sample_rate=config.sample_rate,
            n_fft=resolution.n_fft,
            win_length=resolution.win_length,
            hop_length=config.hop_length,
            f_min=config.fmin_hz,
            f_max=config.fmax_hz,
            n_mels=config.n_mels,
            pad_mode="constant",
            norm="slaney",
            mel_scale="slaney",
        )
        for resolution in config.resolutions
    ]
    decibels = AmplitudeToDB(stype="power")

    def compute(part: NDArray[np.float32]) -> NDArray[np.float32]:
        clips = torch.from_numpy(part)
        with torch.inference_mode():
            found = torch.stack([decibels(mel(clips)) for mel in mels], -1)
        return np.asarray(found.numpy())

    return compute


def librosax_mel(clips: NDArray[np.float32], config: FeatureConfig) -> NDArray[np.float32]:
    """Use librosax, librosa's interface in JAX, compiled once per number of clips."""
    return _in_parts(_librosax(config), clips, JAX_CLIPS, config)


@lru_cache(maxsize=8)
def _librosax(config: FeatureConfig) -> Part:
    import jax
    import jax.numpy as jnp
    from librosax.feature import melspectrogram

    def every(clips: Any) -> Any:  # noqa: ANN401  tensors
        found = [
            melspectrogram(
                y=clips,
                sr=config.sample_rate,
                n_fft=resolution.n_fft,
                win_length=resolution.win_length,
                hop_length=config.hop_length,
                n_mels=config.n_mels,
                fmin=config.fmin_hz,
                fmax=config.fmax_hz,
            )
            for resolution in config.resolutions
        ]
        mel = jnp.stack([one[..., : config.frames] for one in found], axis=-1)
        return DECIBELS * jnp.log(jnp.maximum(mel, AMIN))

    compiled = jax.jit(every)
    return lambda part: np.asarray(compiled(part))


def _one_tensorflow_thread() -> None:
    import tensorflow as tf

    # RuntimeError: TensorFlow is already initialised; its number of threads is fixed.
    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def _one_torch_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _one_torchaudio_thread() -> None:
    import torchaudio  # noqa: F401  checks that it is installed

    _one_torch_thread()


def _one_jax_thread() -> None:
    if "jax" not in sys.modules:  # JAX reads the flags once
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    import librosax  # noqa: F401  checks that it is installed


def _in_parts(
    compute: Part, clips: NDArray[np.float32], size: int, config: FeatureConfig
) -> NDArray[np.float32]:
    features = np.empty((len(clips), *config.shape), np.float32)
    for start in range(0, len(clips), size):
        features[start : start + size] = compute(clips[start : start + size])
    return features


@lru_cache(maxsize=64)
def _window(resolution: Resolution) -> NDArray[np.float32]:
    """Return the periodic Hann window, (win_length,) float32."""
    window = scipy.signal.get_window("hann", resolution.win_length, fftbins=True)
    return np.asarray(window, np.float32)


@lru_cache(maxsize=64)
def _padded_window(resolution: Resolution) -> NDArray[np.float32]:
    """Return the window padded with zeros on both sides, (n_fft,) float32."""
    return np.asarray(librosa.util.pad_center(_window(resolution), size=resolution.n_fft))


@lru_cache(maxsize=64)
def _filters(config: FeatureConfig, resolution: Resolution) -> NDArray[np.float32]:
    """Return the mel filters, (bins, mels) float32."""
    filters = mel_filters(config, resolution)
    return np.ascontiguousarray(filters.T, np.float32)
