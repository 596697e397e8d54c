"""Decodes a recording of any length as a stream of blocks at the configured rate.

The samples equal those of `overlap.audio.decode`: the mean of the channels, resampled by the same
library with the same quality. Only blocks are in memory. A file that is not on a local disk is
first copied to a temporary file, because libsndfile seeks.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Final

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from overlap.audio.decode import (
    MAX_PEAK,
    OPEN_FILES,
    RESAMPLING,
    check_rate,
    unreadable_error,
)
from overlap.audio.foreign_formats import CONVERSION
from overlap.audio.mp3_length import mp3_seconds
from overlap.errors import AudioError
from overlap.io.location import Location
from overlap.io.storage_errors import describe, is_of_storage

BLOCK_FRAMES: Final = 4096
"""Frames that are decoded at once. A file is lost from the beginning of the first block on that
cannot be decoded."""
BLOCK_BYTES: Final = 1 << 20
"""Largest size of a block of decoded samples, bytes."""
MISSING_SECONDS: Final = 0.1
"""Difference from the length in the header above which a part of the recording is missing."""
MP3: Final = "MP3"
"""libsndfile's name of the format."""
MP3_SECONDS: Final = 1.0
"""Difference from the sum of an MP3 file's frames above which libsndfile has not read all of them:
encoders add a fraction of a second, which decoders remove."""
MP3_PART: Final = 0.01
"""The same relative to the length."""
UNKNOWN_FRAMES: Final = 1 << 60
"""libsndfile states at least this number of frames if the header has none."""


@dataclass(frozen=True)
class Fault:
    """A part of a recording whose samples cannot be used."""

    start: int
    """First sample, at the configured rate."""
    stop: int
    """End, exclusive."""
    error: AudioError
    """The reason: `not-finite` or `too-loud`."""


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive samples of a recording."""

    samples: NDArray[np.float32]
    """(samples,) float32, full scale 1.0; zero where a fault is."""
    faults: tuple[Fault, ...] = ()
    """Faults that begin in what was read since the previous block."""


class SequentialFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile publishes no types
    """A sound file that is read forwards only.

    After every read of a seekable file, soundfile seeks to where the read ended. An MP3 decoder
    then loses what it keeps of earlier frames, and the next samples are wrong.
    """

    def seekable(self) -> bool:
        """Return False."""
        return False


class RecordingStream:
    """A recording, opened for reading from its beginning to its end once.

    Args:
        file: The file, as libsndfile opened it.
        content: The same file.
        wanted_rate: Sampling rate of the blocks, Hz.

    Attributes:
        rate: Sampling rate of the file, Hz.
        channels: Number of its channels.
        frames: Number of its frames according to its header; None if unknown.
        frames_read: Number of frames that were read.
        damage: What is wrong with the file, known after its end; empty if nothing is.

    Raises:
        AudioError: The rate is implausible (`implausible-rate`).
    """

    def __init__(self, file: SequentialFile, content: IO[bytes], wanted_rate: int) -> None:
        self._file, self._content, self._wanted_rate = file, content, wanted_rate
        self.rate: int = file.samplerate
        self.channels: int = file.channels
        self.frames: int | None = file.frames if 0 < file.frames < UNKNOWN_FRAMES else None
        self.frames_read = 0
        self.damage = ""
        check_rate(self.rate, wanted_rate)

    @property
    def repairs(self) -> tuple[str, ...]:
        """The repairs of every block: downmixed, resampled."""
        downmixed = ("downmixed",) if self.channels > 1 else ()
        return (*downmixed, "resampled") if self.rate != self._wanted_rate else downmixed

    def blocks(self) -> Iterator[Block]:
        """Yield the samples in order.

        A file that cannot be decoded beyond some time ends there, with the reason in `damage`.

        Raises:
            AudioError: Nothing can be decoded (`unreadable`), or there are no samples
                (`no-samples`).
        """
        resampler = None
        if self.rate != self._wanted_rate:
            resampler = soxr.ResampleStream(
                self.rate, self._wanted_rate, 1, dtype="float32", quality=RESAMPLING
            )
        for frames in self._decoded():
            faults = self._faults(frames)
            mono = frames[:, 0].copy() if self.channels == 1 else frames.mean(axis=1)
            self.frames_read += len(frames)
            if resampler is not None:
                mono = resampler.resample_chunk(mono)
            yield Block(mono, faults)
        if not self.frames_read:
            raise AudioError("empty", code="no-samples")
        self._note_missing_part()
        if resampler is not None:
            yield Block(resampler.resample_chunk(np.empty(0, np.float32), last=True))

    def _decoded(self) -> Iterator[NDArray[np.float32]]:
        """Yield (frames, channels) float32 up to the end or the first error."""
        size = max(1, min(BLOCK_FRAMES, BLOCK_BYTES // (4 * self.channels)))
        buffer = np.empty((size, self.channels), np.float32)
        while True:
            try:
                frames = self._file.read(dtype="float32", always_2d=True, out=buffer)
            except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
                fault = str(getattr(error, "error_string", error)).strip().rstrip(".")
                if not self.frames_read:
                    raise unreadable_error(fault, b"") from None
                at = self.frames_read / self.rate
                self.damage = f"damaged after {at:.1f} s ({fault}); the rest is not used"
                return
            if not len(frames):
                return
            yield frames

    def _note_missing_part(self) -> None:
        if self.damage or self.frames is None:
            return
        read = self.frames_read / self.rate
        if self._file.format == MP3:
            seconds = mp3_seconds(self._content)
            if seconds - read > max(MP3_SECONDS, MP3_PART * seconds):
                self.damage = (
                    f"only the first {read:.1f} s of {seconds:.1f} s can be read, because the MP3 "
                    f"file does not state its length; {CONVERSION}"
                )
        elif (missing := self.frames / self.rate - read) > MISSING_SECONDS:
            self.damage = (
                f"{missing:.1f} s of the {self.frames / self.rate:.1f} s in its header are "
                "missing; later times may be too early"
            )

    def _faults(self, frames: NDArray[np.float32]) -> tuple[Fault, ...]:
        """Return the unusable parts of some frames, and set them to zero."""
        if np.abs(frames).max(initial=0) <= MAX_PEAK:  # False for NaN
            return ()
        wrong: NDArray[np.bool_] = (~np.isfinite(frames)).max(axis=1)
        peaks = np.where(wrong, 0, np.abs(frames).max(axis=1))
        loud = peaks > MAX_PEAK
        faults = [
            self._fault(start, stop, AudioError("not finite", code="not-finite"))
            for start, stop in _runs(wrong)
        ]
        for start, stop in _runs(loud):
            peak = float(peaks[start:stop].max())
            message = f"too loud (peak {peak:.3g}; full scale is 1)"
            error = AudioError(message, code="too-loud", peak=peak, limit=MAX_PEAK)
            faults.append(self._fault(start, stop, error))
        frames[wrong | loud] = 0
        return tuple(faults)

    def _fault(self, start: int, stop: int, error: AudioError) -> Fault:
        ratio = self._wanted_rate / self.rate
        first, end = self.frames_read + start, self.frames_read + stop
        return Fault(int(first * ratio), int(np.ceil(end * ratio)), error)


def _runs(chosen: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the start and end of every run of true values.

    Examples:
        >>> _runs(np.array([True, True, False, True]))
        [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
    pairs = edges.reshape(-1, 2).tolist()
    return [(int(start), int(stop)) for start, stop in pairs]


@contextmanager
def open_recording(location: Location, wanted_rate: int) -> Iterator[RecordingStream]:
    """Open a recording for streaming.

    Args:
        location: The file, in any format that libsndfile reads, at any address.
        wanted_rate: Sampling rate of the blocks, Hz.

    Raises:
        AudioError: The file cannot be opened (`not-opened`), is not readable audio (`unreadable`),
            or has an implausible rate (`implausible-rate`).
    """
    with _local_file(location) as file:
        head = file.read(16)
        file.seek(0)
        try:
            sound = SequentialFile(_path_of(file))
        except soundfile.LibsndfileError as error:
            raise unreadable_error(error.error_string, head) from None
        except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
            raise unreadable_error(str(error), head) from None
        with sound:
            yield RecordingStream(sound, file, wanted_rate)


@contextmanager
def _local_file(location: Location) -> Iterator[IO[bytes]]:
    """Yield the open file on a local disk; what is stored elsewhere is copied first."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(location.reading())
            if location.local is None:
                copy = stack.enter_context(tempfile.NamedTemporaryFile(prefix="overlap-recording-"))
                shutil.copyfileobj(file, copy)
                copy.flush()
                copy.seek(0)
                file = copy
        except Exception as error:
            if not isinstance(error, KeyError) and not is_of_storage(error):
                raise
            raise AudioError(
                f"cannot be opened ({describe(error)})",
                code="not-opened",
                errno=getattr(error, "errno", None),
            ) from None
        yield file


def _path_of(file: IO[bytes]) -> str:
    """Return a path of an open file, in whose folder libsndfile finds no resource fork."""
    return str(OPEN_FILES / str(file.fileno())) if OPEN_FILES.is_dir() else os.fspath(file.name)
