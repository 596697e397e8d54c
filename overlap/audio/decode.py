"""Decodes an audio file into one clip of the configured rate and length.

Safe repairs (resampling, downmixing, padding, trimming) are applied and reported. Anything else
raises `AudioError`, whose message becomes the reason in the quarantine.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from overlap.audio.foreign_formats import CONVERSION, foreign_format
from overlap.audio.wav_pcm16 import Pcm16, parse_pcm16
from overlap.config import AudioFormat
from overlap.errors import AudioError
from overlap.system.jit import compiled

CLIPPED_FRACTION = 0.01
"""A clip with more than this fraction of its samples at full scale is reported as clipped."""
SUFFIXES = frozenset(
    {".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus"}
    | {".rf64", ".snd", ".sph", ".voc", ".w64", ".wav", ".wave"}
)
"""Suffixes of clips, in any case; libsndfile reads all of these formats."""
MAX_PEAK = 8.0
"""A clip with a larger peak is not scaled as audio (integers stored as floats, for instance). One
such clip would raise the peak of the whole data set and put every other clip below the floor of
the normalisation."""
MARGIN_SECONDS = 0.1
"""Length read beyond the end of the clip, so that resampling has the samples that follow it."""
MAX_BYTES_PER_SECOND = 192_000 * 8 * 8
"""Upper bound of the usual formats: 192 kHz, eight channels, 64 bits."""
OVERHEAD_BYTES = 16 << 20
"""Bytes allowed in addition: metadata, cover images, or audio beyond the clip that is trimmed."""
MAX_RATE_HZ = 1 << 20
"""No recorder is faster, and FLAC's field for the rate ends here; a higher rate in a header is
wrong."""
MIN_RATE_RATIO = 1 / 64
"""Lowest sampling rate relative to the wanted one; below it, a file has nothing of the frequency
band of the features."""
RESAMPLING = "HQ"
"""soxr's quality of resampling."""
OPEN_FILES = Path("/proc/self/fd")
"""The open files of this process, on Linux."""
INT16_SCALE = np.float32(2**-15)
"""Value of one step of a 16-bit sample; a power of two, so that scaling is exact."""


@dataclass(frozen=True)
class Clip:
    """A decoded clip, ready for the features."""

    samples: NDArray[np.float32]
    """(samples,) float32, full scale 1.0."""
    repairs: tuple[str, ...]
    """Repairs applied to it: resampled, downmixed, padded, trimmed."""
    clipped: bool
    """Whether more than `CLIPPED_FRACTION` of its samples are at full scale."""


def is_audio(name: str) -> bool:
    """Return whether a file name has the suffix of a clip and is not hidden."""
    # As the suffix of a `PurePosixPath`, whose creation takes most of the time of a listing.
    stem, dot, suffix = name.rpartition(".")
    named = stem and not stem.endswith("/") and not name.startswith(".")
    return bool(named) and dot + suffix.lower() in SUFFIXES


def max_file_bytes(wanted: AudioFormat) -> int:
    """Return the size limit of a clip's file, in bytes; it also limits the decoded samples.

    Longer audio is trimmed, but only within reason: a recording of ten hours is a mistake, and
    would exhaust a worker's memory before it is recognised as one.

    Examples:
        >>> max_file_bytes(AudioFormat(16000, 16000)) / 1e6
        30.294016
    """
    seconds = wanted.samples / wanted.sample_rate + MARGIN_SECONDS
    return int(seconds * MAX_BYTES_PER_SECOND) + OVERHEAD_BYTES


def decode(data: bytes, wanted: AudioFormat, out: NDArray[np.float32] | None = None) -> Clip:
    """Decode an audio file and repair the clip.

    The clip is the beginning of the file; only that part is decoded, however long the file is.
    `overlap.audio.wav_pcm16` reads plain 16-bit WAV files, libsndfile everything else.

    Args:
        data: Content of a file in any format that libsndfile reads.
        wanted: Rate and length of the result.
        out: (samples,) float32, contiguous: receives the samples, for instance a row of a batch;
            its content is undefined after an error.

    Raises:
        AudioError: the file is not readable audio (`unreadable`), has no samples (`no-samples`),
            contains NaN or infinity (`not-finite`), is silent (`silent`), exceeds `MAX_PEAK`
            (`too-loud`), or has an implausible rate (`implausible-rate`) or number of channels
            (`too-many-channels`).
    """
    pcm = parse_pcm16(data)
    if pcm is None:
        samples, rate, length = _read(data, wanted)
    elif pcm.samples.shape == (wanted.samples, 1) and pcm.rate_hz == wanted.sample_rate:
        return _clip_without_repair(pcm.samples[:, 0], out)
    else:
        samples, rate, length = _scaled(pcm, wanted)
    return _repaired(samples, rate, length, wanted, out)


def clip_from_samples(
    samples: NDArray[np.generic],
    rate_hz: int,
    wanted: AudioFormat,
    out: NDArray[np.float32] | None = None,
) -> Clip:
    """Check and repair samples in memory as `decode` does with those of a file.

    Args:
        samples: (samples,) int16, or floating with full scale 1.0, of any length.
        rate_hz: Sampling rate of `samples`.
        wanted: Rate and length of the result.
        out: (samples,) float32, contiguous: receives the samples; undefined after an error.

    Raises:
        AudioError: as `decode`.
    """
    part = samples[: _frames_needed(rate_hz, 1, len(samples), wanted)].astype(np.float32)
    if samples.dtype == np.int16:
        part *= INT16_SCALE
    return _repaired(_checked(part[:, None]), rate_hz, len(samples), wanted, out)


def _clip_without_repair(codes: NDArray[np.int16], out: NDArray[np.float32] | None) -> Clip:
    """Return the clip of (samples,) int16 that already have the wanted rate and length.

    Most files are of this kind: the result equals that of `_repaired`, in a third of its time.
    """
    clip = np.empty(len(codes), np.float32) if out is None else out
    lowest, highest = _scale(codes, clip)
    if lowest == highest == 0:
        raise silent_error()
    clipped = False
    if highest == 2**15 - 1 or lowest <= 1 - 2**15:
        full = np.count_nonzero(codes == 2**15 - 1) + np.count_nonzero(codes <= 1 - 2**15)
        clipped = bool(full / len(codes) > CLIPPED_FRACTION)
    return Clip(clip, (), clipped)


@compiled
def _scale(codes: NDArray[np.int16], out: NDArray[np.float32]) -> tuple[np.int16, np.int16]:
    """Convert codes to float32 in one pass; return the minimum and maximum of them and zero."""
    lowest = highest = np.int16(0)
    for index in range(len(codes)):
        lowest, highest = min(lowest, codes[index]), max(highest, codes[index])
        out[index] = np.float32(codes[index]) * INT16_SCALE
    return lowest, highest


def _scaled(pcm: Pcm16, wanted: AudioFormat) -> tuple[NDArray[np.float32], int, int]:
    part = pcm.samples[: _frames_needed(pcm.rate_hz, pcm.channels, len(pcm.samples), wanted)]
    return part.astype(np.float32) * INT16_SCALE, pcm.rate_hz, len(pcm.samples)


def _read(data: bytes, wanted: AudioFormat) -> tuple[NDArray[np.float32], int, int]:
    """Return the (frames, channels) float32 that the clip needs, the file's rate and frames."""
    try:
        with file_in_memory(data) as path, soundfile.SoundFile(path) as file:
            rate = file.samplerate
            frames = _frames_needed(rate, file.channels, file.frames, wanted)
            samples = file.read(frames, dtype="float32", always_2d=True)
            # A header may claim more frames than exist; the number of frames read is then right.
            length = len(samples) if len(samples) < frames else max(file.frames, frames)
    except AudioError:  # a ValueError too
        raise
    except soundfile.LibsndfileError as error:
        # The prefix names the file in memory; without it, equal faults have equal reasons.
        raise unreadable_error(error.error_string, data) from None
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
        raise unreadable_error(str(error), data) from None
    return _checked(samples), rate, length


def unreadable_error(fault: str, data: bytes) -> AudioError:
    """Return the error of content that libsndfile rejects; `data` is its beginning."""
    fault = fault.strip().rstrip(".")
    if foreign := foreign_format(data[:16]):
        fault = f"the content is {foreign}; {CONVERSION}"
    return AudioError(f"unreadable ({fault})", code="unreadable", fault=fault)


def silent_error() -> AudioError:
    """Return the error of a clip whose samples are all zero."""
    return AudioError("silent", code="silent")


def _checked(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the samples if there are any, and all are finite and within `MAX_PEAK`."""
    if not len(samples):
        raise AudioError("empty", code="no-samples")
    if not np.isfinite(samples).all():
        raise AudioError("not finite", code="not-finite")
    peak = float(np.abs(samples).max())
    if peak > MAX_PEAK:
        raise AudioError(
            f"too loud (peak {peak:.3g}; full scale is 1)",
            code="too-loud", peak=peak, limit=MAX_PEAK,
        )  # fmt: skip
    return samples


@contextmanager
def file_in_memory(data: bytes) -> Iterator[str]:
    """Yield the path of a file in memory.

    libsndfile could read an object in memory. But if it recognises no format, which for it includes
    MP3, it searches the folder of the file for a resource fork, `._NAME` or `.AppleDouble/NAME`,
    and the folder of an object in memory is the current folder. The folder of this file has none.
    """
    if not hasattr(os, "memfd_create") or not OPEN_FILES.is_dir():
        with tempfile.TemporaryDirectory(prefix="overlap-clip-") as folder:
            path = Path(folder, "clip")
            path.write_bytes(data)
            yield str(path)
        return
    with os.fdopen(os.memfd_create("clip"), "wb") as file:
        file.write(data)
        file.flush()
        yield str(OPEN_FILES / str(file.fileno()))


def _frames_needed(rate: int, channels: int, length: int, wanted: AudioFormat) -> int:
    """Return how many frames the clip needs of a file, including the margin.

    Args:
        rate: Sampling rate in the file's header, Hz.
        channels: Number of channels in the header.
        length: Number of frames in the header.
        wanted: Rate and length of the clip.

    Raises:
        AudioError: the header has a rate or a number of channels that no clip has.
    """
    check_rate(rate, wanted.sample_rate)
    frames = int(np.ceil((wanted.samples / wanted.sample_rate + MARGIN_SECONDS) * rate))
    if 4 * channels * min(frames, length) > max_file_bytes(wanted):
        raise AudioError(
            f"too many channels ({channels} at {rate} Hz)",
            code="too-many-channels", channels=channels, rate_hz=rate,
        )  # fmt: skip
    return frames


def check_rate(rate: int, wanted_rate: int) -> None:
    """Raise an error if a header states a rate, Hz, that no recording has.

    Raises:
        AudioError: the rate is implausible (`implausible-rate`).
    """
    if not MIN_RATE_RATIO * wanted_rate <= rate <= MAX_RATE_HZ:
        raise AudioError(
            f"implausible sampling rate ({rate} Hz)",
            code="implausible-rate", rate_hz=rate,
        )  # fmt: skip


def _repaired(
    samples: NDArray[np.float32],
    rate: int,
    length: int,
    wanted: AudioFormat,
    out: NDArray[np.float32] | None,
) -> Clip:
    repairs = []
    full = np.count_nonzero(np.abs(samples) >= 1.0 - 2**-15)
    clipped = bool(full / samples.size > CLIPPED_FRACTION)
    if samples.shape[1] > 1:
        repairs.append("downmixed")
        mono = samples.mean(axis=1, dtype=np.float32)
    else:  # the mean of one channel, in which -0.0 is 0.0
        mono = samples[:, 0] + np.float32(0)
    if rate != wanted.sample_rate:
        repairs.append("resampled")
        mono = soxr.resample(mono, rate, wanted.sample_rate, quality=RESAMPLING).astype(np.float32)
    expected = length * wanted.sample_rate / rate
    if expected >= wanted.samples + 1:
        repairs.append("trimmed")
    elif expected <= wanted.samples - 1:
        repairs.append("padded")
    clip = np.empty(wanted.samples, np.float32) if out is None else out
    kept = mono[: wanted.samples]
    clip[: len(kept)] = kept
    clip[len(kept) :] = 0
    if not clip.any():
        raise silent_error()
    return Clip(clip, tuple(repairs), clipped)
