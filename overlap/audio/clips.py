"""Clips from the contents of files, or the reasons why there are none; digests of clips."""

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_hexdigest

from overlap.audio.decode import Clip, decode, max_file_bytes
from overlap.config import AudioFormat
from overlap.errors import AudioError
from overlap.io.bulk_read import Read, TooLargeError
from overlap.io.formatting import format_bytes
from overlap.io.location import Location

NOT_OPENED = "cannot be opened"
"""Prefix of the reason for a file that could not be read at all. Such a reason does not concern the
clip itself, so the next run tries the file again. Stored in catalogues: never change it."""
TOO_LARGE = "too large"
"""Prefix of the reason for a file that exceeds the size limit of a clip. Stored in catalogues."""


def digest(clip: Clip) -> str:
    """Return the digest of a clip's samples; equal audio has equal digests in any file format."""
    return xxh3_128_hexdigest(clip.samples.data)


def load_clip(data: Location, file: str, wanted: AudioFormat) -> Clip:
    """Read and decode one file.

    Raises:
        AudioError: it cannot be read (`not-opened`), exceeds the size limit (`file-too-large`), or
            cannot be decoded.
    """
    (content,) = data.read_many([file], max_file_bytes(wanted))
    return decode_content(content, wanted)


def decode_content(
    content: Read, wanted: AudioFormat, out: NDArray[np.float32] | None = None
) -> Clip:
    """Decode the content of a file; see `overlap.audio.decode.decode`.

    Raises:
        AudioError: it could not be read (`not-opened`), exceeds the size limit (`file-too-large`),
            or cannot be decoded.
    """
    if isinstance(content, TooLargeError):
        seconds, limit = wanted.samples / wanted.sample_rate, max_file_bytes(wanted)
        raise AudioError(
            f"{TOO_LARGE} ({content.strerror}; the limit for a clip of {seconds:g} s is "
            f"{format_bytes(limit)})",
            code="file-too-large",
            limit_bytes=limit,
        )
    if isinstance(content, OSError):
        raise AudioError(
            f"{NOT_OPENED} ({content.strerror or content})",
            code="not-opened",
            errno=content.errno,
        )
    return decode(content, wanted, out)
