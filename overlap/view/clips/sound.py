"""The sound of a clip of the catalogue, as the features hear it, as a WAV file."""

import io
import re
from dataclasses import dataclass

import soundfile
from starlette.responses import Response

from overlap.audio.clips import digest, load_clip
from overlap.audio.decode import Clip
from overlap.catalog import Catalog
from overlap.config import AudioFormat
from overlap.errors import AudioError, OverlapError
from overlap.io.location import Location
from overlap.redaction import masked

MEDIA_TYPE = "audio/wav"


@dataclass(frozen=True, eq=False)
class Sound:
    """The sound of a clip, or why it is not readable."""

    clip: Clip | None
    problem: str = ""
    changed: bool = False
    """Whether the file has another sound than when the catalogue was made."""


def read_sound(catalog: Catalog, row: int, wanted: AudioFormat | None = None) -> Sound:
    """Read the sound of a row of the catalogue from the data set.

    Args:
        catalog: The clips.
        row: The row.
        wanted: Rate and length; None: those of the catalogue.
    """
    entry = catalog.clips.iloc[row]
    try:
        clip = load_clip(Location.of(catalog.data), str(entry["file"]), wanted or catalog.wanted)
    except AudioError as error:
        return Sound(None, masked(str(error)))
    except (OverlapError, OSError) as error:  # an address that this machine cannot open
        return Sound(None, masked(str(error)))
    recorded = str(entry["digest"])
    same_format = wanted in (None, catalog.wanted)
    # A version is empty where the digest is that of an earlier release.
    comparable = bool(recorded and str(entry["version"])) and same_format
    return Sound(clip, changed=comparable and digest(clip) != recorded)


def wav_of(clip: Clip, wanted: AudioFormat) -> bytes:
    """Return a clip as a 16-bit WAV file."""
    target = io.BytesIO()
    soundfile.write(target, clip.samples, wanted.sample_rate, format="WAV", subtype="PCM_16")
    return target.getvalue()


def sound_response(content: bytes, requested: str | None) -> Response:
    """Return a sound, or the part of it that a player requests (RFC 9110, one range).

    Args:
        content: The file.
        requested: The header `Range` of the request.
    """
    headers = {"accept-ranges": "bytes"}
    match = re.fullmatch(r"bytes=(\d{1,12})?-(\d{1,12})?", (requested or "").strip(), re.ASCII)
    if match is None or match[0] == "bytes=-":
        return Response(content, headers=headers, media_type=MEDIA_TYPE)
    size = len(content)
    if match[1] is None:
        start, stop = max(0, size - int(match[2])), size
    else:
        start = int(match[1])
        stop = size if match[2] is None else min(size, int(match[2]) + 1)
    if start >= stop:
        headers["content-range"] = f"bytes */{size}"
        return Response(status_code=416, headers=headers)
    headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    return Response(content[start:stop], 206, headers, MEDIA_TYPE)
