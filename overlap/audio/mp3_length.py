"""Counts the frames of an MP3 file to learn its length.

libsndfile estimates the length of a file without a length header from its first bit rate, and reads
no further than the estimate. With a variable bit rate this may be a small part of the file.
"""

from typing import IO, Final

BUFFER_BYTES: Final = 1 << 20
"""Bytes that are read at once."""
HEADER_BYTES: Final = 4
KBITS_1: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
"""Bit rates of MPEG 1 layer III by their code, kbit/s; 0: not stated."""
KBITS_2: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
"""Bit rates of MPEG 2 and 2.5 layer III."""
RATES_HZ: Final = (44100, 48000, 32000)
"""Sampling rates of MPEG 1; those of MPEG 2 are a half, those of MPEG 2.5 a quarter."""
LAYER_3: Final = 1


def mp3_seconds(file: IO[bytes]) -> float:
    """Return the length of the sound in an MP3 file, s, without decoding it.

    Args:
        file: The file, positioned anywhere.
    """
    file.seek(0)
    data, at, seconds = b"", 0, 0.0
    while True:
        if at + HEADER_BYTES > len(data):
            rest = data[at:]
            file.seek(max(0, at - len(data)), 1)  # the frame may end beyond what was read
            more = file.read(BUFFER_BYTES)
            if not more:
                return seconds
            data, at = rest + more, 0
        elif (found := _frame(data[at : at + HEADER_BYTES])) is None:
            sync = data.find(b"\xff", at + 1)
            at = len(data) if sync < 0 else sync
        else:
            at += found[0]
            seconds += found[1]


def _frame(header: bytes) -> tuple[int, float] | None:
    """Return the size in bytes and the length in seconds of a frame; None for other bytes.

    Examples:
        >>> _frame(bytes.fromhex("fffb9064")), _frame(b"TAG ")
        ((417, 0.026122448979591838), None)
    """
    if header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bits, rate = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer != LAYER_3 or not 0 < bits < 15 or rate == 3:
        return None
    first = version == 3
    hertz = RATES_HZ[rate] // (1 if first else 2 if version == 2 else 4)
    samples = 1152 if first else 576
    kbits = (KBITS_1 if first else KBITS_2)[bits]
    return samples // 8 * 1000 * kbits // hertz + (header[2] >> 1 & 1), samples / hertz
