"""From the bytes of a sound file to one clip of the configured rate and length.

Repairs that are safe (resampling, downmixing, padding, trimming) are made and reported; what
cannot be repaired raises `AudioError` with the reason that the quarantine records.
"""

import io
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from overlap.audio.wav_pcm16 import Pcm16, pcm16
from overlap.config import AudioFormat
from overlap.errors import AudioError
from overlap.system.jit import compiled

CLIPPED_FRACTION = 0.01
"""A clip with more than this fraction of its samples at full scale is reported as clipped."""
SUFFIXES = frozenset(
    {".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus"}
    | {".rf64", ".snd", ".sph", ".voc", ".w64", ".wav", ".wave"}
)
"""Files with these suffixes, in any case, are taken for clips; libsndfile reads them all."""
LOUDEST = 8.0
"""A clip that reaches beyond this is not scaled as sound is (integers written as floats, say).
One such clip would raise the peak of the whole data set and put every other clip below the
floor of the normalisation."""
MARGIN_SECONDS = 0.1
"""Read beyond the end of the clip, so that resampling sees what follows it."""
FATTEST_BYTES_PER_SECOND = 192_000 * 8 * 8
"""The most that a second of any usual sound takes: 192 kHz, eight channels, 64 bits."""
AROUND_BYTES = 16 << 20
"""Bytes allowed beside that: texts, pictures, or what follows the clip and is trimmed."""
HIGHEST_RATE_HZ = 1 << 20
"""No recorder is faster, and the field for it in FLAC ends here; a header that says more lies."""
LOWEST_RATE = 1 / 64
"""As a part of the wanted rate; a file below that has nothing of the band that the features see."""
SCALE = np.float32(2**-15)
"""Full scale of a 16-bit sample; a power of two, so that no bit of it is rounded."""


@dataclass(frozen=True)
class Clip:
    """One clip, ready for the features."""

    samples: NDArray[np.float32]
    """(samples,) float32, full scale 1.0."""
    repairs: tuple[str, ...]
    """What was done to it: resampled, downmixed, padded, trimmed."""
    clipped: bool
    """Whether more than `CLIPPED_FRACTION` of its samples are at full scale."""


def is_audio(name: str) -> bool:
    """Whether a file of this name is taken for a clip."""
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in SUFFIXES


def most_bytes(wanted: AudioFormat) -> int:
    """Largest file that is read for a clip, in bytes; decoded, what it needs is held to this too.

    Longer sound is trimmed, but only as far as it may be meant as a clip: ten hours are a mistake,
    and would take a worker's memory before they are known for one.

    Examples:
        >>> most_bytes(AudioFormat(16000, 16000)) / 1e6
        30.294016
    """
    seconds = wanted.samples / wanted.sample_rate + MARGIN_SECONDS
    return int(seconds * FATTEST_BYTES_PER_SECOND) + AROUND_BYTES


def decode(data: bytes, wanted: AudioFormat, out: NDArray[np.float32] | None = None) -> Clip:
    """Decode a sound file and repair it.

    Only the part that the clip needs is decoded, however long the file is: the clip is its
    beginning. A plain 16-bit wav file is read by `overlap.audio.wav_pcm16`, everything else by
    libsndfile.

    Args:
        data: Content of a file in any format that libsndfile reads.
        wanted: Rate and length of the result.
        out: (samples,) float32, contiguous: where the clip goes, for instance a row of a batch;
            its content is undefined after an error.

    Raises:
        AudioError: no audio can be read, it has no samples, is not finite, is silent, reaches
            beyond `LOUDEST`, or has a rate or a number of channels that no clip has.
    """
    pcm = pcm16(data)
    if pcm is None:
        samples, rate, length = _read(data, wanted)
    elif pcm.samples.shape == (wanted.samples, 1) and pcm.rate_hz == wanted.sample_rate:
        return _plain(pcm.samples[:, 0], out)
    else:
        samples, rate, length = _scaled(pcm, wanted)
    return _repaired(samples, rate, length, wanted, out)


def clip_of(
    samples: NDArray[np.generic],
    rate_hz: int,
    wanted: AudioFormat,
    out: NDArray[np.float32] | None = None,
) -> Clip:
    """Samples that are in memory, checked and repaired as those of a file.

    Args:
        samples: (samples,) int16, or floating with full scale 1.0, of any length.
        rate_hz: Their rate.
        wanted: Rate and length of the result.
        out: (samples,) float32, contiguous: where the clip goes; undefined after an error.

    Raises:
        AudioError: as `decode`.
    """
    part = samples[: _frames(rate_hz, 1, len(samples), wanted)].astype(np.float32)
    if samples.dtype == np.int16:
        part *= SCALE
    return _repaired(_usable(part[:, None]), rate_hz, len(samples), wanted, out)


def _plain(codes: NDArray[np.int16], out: NDArray[np.float32] | None) -> Clip:
    """The clip of (samples,) int16 that need no repair.

    Most files are of this kind: the result is `_repaired`'s, in a third of its time.
    """
    clip = np.empty(len(codes), np.float32) if out is None else out
    lowest, highest = _scale(codes, clip)
    if lowest == highest == 0:
        raise AudioError("silent")
    clipped = False
    if highest == 2**15 - 1 or lowest <= 1 - 2**15:
        full = np.count_nonzero(codes == 2**15 - 1) + np.count_nonzero(codes <= 1 - 2**15)
        clipped = bool(full / len(codes) > CLIPPED_FRACTION)
    return Clip(clip, (), clipped)


@compiled
def _scale(codes: NDArray[np.int16], out: NDArray[np.float32]) -> tuple[np.int16, np.int16]:
    """Codes to float32 in one pass, with the lowest and the highest of them and zero."""
    lowest = highest = np.int16(0)
    for index in range(len(codes)):
        lowest, highest = min(lowest, codes[index]), max(highest, codes[index])
        out[index] = np.float32(codes[index]) * SCALE
    return lowest, highest


def _scaled(pcm: Pcm16, wanted: AudioFormat) -> tuple[NDArray[np.float32], int, int]:
    part = pcm.samples[: _frames(pcm.rate_hz, pcm.channels, len(pcm.samples), wanted)]
    return part.astype(np.float32) * SCALE, pcm.rate_hz, len(pcm.samples)


def _read(data: bytes, wanted: AudioFormat) -> tuple[NDArray[np.float32], int, int]:
    """(frames, channels) float32 that the clip needs, rate and frames of the whole file."""
    try:
        with soundfile.SoundFile(_File(data)) as file:
            rate = file.samplerate
            frames = _frames(rate, file.channels, file.frames, wanted)
            samples = file.read(frames, dtype="float32", always_2d=True)
            # A header may say more than there is: then the end is where reading ended.
            length = len(samples) if len(samples) < frames else max(file.frames, frames)
    except AudioError:  # is a ValueError too
        raise
    except soundfile.LibsndfileError as error:
        # Without its prefix, which names the object in memory: equal faults have equal reasons.
        raise AudioError(f"unreadable ({error.error_string.strip().rstrip('.')})") from None
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
        raise AudioError(f"unreadable ({str(error).strip().rstrip('.')})") from None
    return _usable(samples), rate, length


def _usable(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same samples, where there are any, and all are sound."""
    if not len(samples):
        raise AudioError("empty")
    if not np.isfinite(samples).all():
        raise AudioError("not finite")
    peak = float(np.abs(samples).max())
    if peak > LOUDEST:
        raise AudioError(f"too loud (reaches {peak:.3g}; full scale is 1)")
    return samples


class _File(io.BytesIO):
    """Bytes as a file whose position is where it was after a seek to nowhere, as on a disk.

    A damaged header makes libsndfile seek before the beginning. An exception cannot cross it: it
    would be printed, with a traceback, and taken for position 0.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


def _frames(rate: int, channels: int, length: int, wanted: AudioFormat) -> int:
    """Frames that the clip needs of a file with `length` of them, with the margin.

    Raises:
        AudioError: the header says something that no clip has.
    """
    if not LOWEST_RATE * wanted.sample_rate <= rate <= HIGHEST_RATE_HZ:
        raise AudioError(f"its header says a rate of {rate} Hz")
    frames = int(np.ceil((wanted.samples / wanted.sample_rate + MARGIN_SECONDS) * rate))
    if 4 * channels * min(frames, length) > most_bytes(wanted):
        raise AudioError(f"its header says {channels} channels at {rate} Hz")
    return frames


def _repaired(
    samples: NDArray[np.float32],
    rate: int,
    length: int,
    wanted: AudioFormat,
    out: NDArray[np.float32] | None,
) -> Clip:
    repairs = []
    clipped = bool(np.mean(np.abs(samples) >= 1.0 - 2**-15) > CLIPPED_FRACTION)
    if samples.shape[1] > 1:
        repairs.append("downmixed")
    mono = samples.mean(axis=1, dtype=np.float32)
    if rate != wanted.sample_rate:
        repairs.append("resampled")
        mono = soxr.resample(mono, rate, wanted.sample_rate, quality="HQ").astype(np.float32)
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
        raise AudioError("silent")
    return Clip(clip, tuple(repairs), clipped)
