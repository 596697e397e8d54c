"""Loads the recordings of words, and names every one that cannot be used."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from overlap.audio.clips import decode_content
from overlap.audio.decode import Clip, max_file_bytes
from overlap.config import AudioFormat
from overlap.errors import AudioError, UserError
from overlap.io.bulk_read import read_local

SPEECH_THRESHOLD = 10 ** (-30 / 20)
"""Amplitude relative to a recording's peak above which a sample belongs to the word."""
SEARCH_SECONDS = 4.0
"""Time for the search of further unusable recordings after the first."""
NAMED_FILES = 20
"""Unusable recordings that a message names."""


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording of a word with the length of a clip."""

    samples: NDArray[np.float32]
    rms: float
    """Root mean square of the samples."""
    before: int
    """Samples before the word: the largest shift to the left that does not truncate it."""
    after: int
    """Samples after the word."""


def decode_recording(file: str, wanted: AudioFormat) -> Recording:
    """Decode a recording and find its word.

    Raises:
        UserError: it is unusable (`unusable-recording`).
    """
    try:
        clip = _decoded(file, wanted)
    except AudioError as error:
        raise UserError(
            f"{file}: {error}; remove it from the recordings",
            code="unusable-recording",
            file=file,
            fault=error.code,
            reason=str(error),
        ) from None
    samples = clip.samples.astype(np.float64)
    amplitude = np.abs(samples)
    spoken = amplitude > SPEECH_THRESHOLD * amplitude.max()
    return Recording(
        samples=clip.samples,
        rms=float(np.sqrt(np.mean(samples**2))),
        before=int(spoken.argmax()),
        after=int(spoken[::-1].argmax()),
    )


load_recording = lru_cache(maxsize=10_000)(decode_recording)
"""`decode_recording` of a file that this process needs several times."""


def _decoded(file: str, wanted: AudioFormat) -> Clip:
    folder, name = os.path.split(file)
    (content,) = read_local(folder, [name], max_file_bytes(wanted))
    return decode_content(content, wanted)


@contextmanager
def every_unusable_named(files: Sequence[str], wanted: AudioFormat) -> Iterator[None]:
    """Name every unusable recording if one of them ends the mixing, within `SEARCH_SECONDS`."""
    try:
        yield
    except UserError as error:
        if error.code != "unusable-recording":
            raise
        first = str(error.fields["file"])
        end, faults = time.monotonic() + SEARCH_SECONDS, {first: str(error.fields["reason"])}
        checked = 0
        for file in files:
            if time.monotonic() > end:
                break
            checked += 1
            try:
                _decoded(file, wanted)
            except AudioError as fault:
                faults[file] = str(fault)
        partly = "" if checked == len(files) else f" ({checked} of {len(files)} were checked)"
        named = "; ".join(f"{file}: {fault}" for file, fault in [*faults.items()][:NAMED_FILES])
        more = f"; … ({len(faults)} in total)" if len(faults) > NAMED_FILES else ""
        raise UserError(
            f"{len(faults)} of the recordings cannot be used{partly}: {named}{more}; remove "
            "them from the recordings",
            code=error.code,
            **error.fields,
            files=tuple(faults),
        ) from None
