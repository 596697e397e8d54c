"""Recognises sound formats that libsndfile does not read, by suffix or by content."""

from pathlib import PurePosixPath
from typing import Final

FOREIGN_SUFFIXES: Final = frozenset(
    {".3g2", ".3gp", ".aac", ".ac3", ".adts", ".alac", ".amr", ".ape", ".asf", ".avi", ".awb"}
    | {".dsf", ".dts", ".eac3", ".flv", ".gsm", ".m4a", ".m4b", ".m4r", ".m4v", ".mka", ".mkv"}
    | {".mov", ".mp2", ".mp4", ".mpc", ".mpeg", ".mpg", ".oma", ".pcm", ".qcp", ".ra", ".raw"}
    | {".rm", ".shn", ".spx", ".tta", ".weba", ".webm", ".wma", ".wmv", ".wv"}
)
"""Suffixes of sound and video files, in lower case."""
CONVERSION: Final = "convert such a file with `ffmpeg -i FILE FILE.wav`"
"""The remedy, as a clause."""


def is_foreign(name: str) -> bool:
    """Return whether a file has the suffix of a format that is not read, and is not hidden."""
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in FOREIGN_SUFFIXES


def foreign_format(data: bytes) -> str | None:
    r"""Name the format of a file's content if it is not read; None for every other content.

    Examples:
        >>> foreign_format(b"\0\0\0 ftypM4A ")
        'MP4 or M4A'
    """
    if data[4:8] == b"ftyp":
        return "MP4 or M4A"
    starts = (
        (b"\x1aE\xdf\xa3", "WebM or Matroska"),
        (b"#!AMR", "AMR"),
        (b"0&\xb2u\x8ef\xcf\x11", "WMA or WMV"),
        (b"\xff\xf1", "AAC"),
        (b"\xff\xf9", "AAC"),
        (b"MAC ", "Monkey's Audio"),
        (b"wvpk", "WavPack"),
        (b".RMF", "RealMedia"),
        (b"FLV\x01", "Flash Video"),
    )
    return next((name for magic, name in starts if data.startswith(magic)), None)
