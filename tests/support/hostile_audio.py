"""Bad sound files, bad names of sound files, and what must come of each."""

import io
import os
import unicodedata
from pathlib import Path

import numpy as np
import soundfile

from support.hostile_cases import (
    CODES,
    DATA,
    LEFT_OUT,
    QUARANTINED,
    RATE,
    REFUSED,
    REPAIRED,
    TONE,
    USED,
    Case,
    chunk,
    encoded,
    form,
    holds,
    links_to,
    long_wav,
    riff,
    wav,
)

PLAIN = wav()
FLOAT = {"subtype": "FLOAT"}
MP3 = {"format": "MP3", "subtype": "MPEG_LAYER_III"}
OGG = {"format": "OGG", "subtype": "VORBIS"}
UNKNOWN = "unreadable (Format not recognised)"
NO_FILE = "names of clips that are no files are left out"


def bomb(rate: int, channels: int, seconds: int) -> bytes:
    """FLAC: a second of tone, then silence, which takes hardly a byte."""
    file, tone = io.BytesIO(), np.repeat(TONE[:, None], channels, 1)
    with soundfile.SoundFile(file, "w", rate, channels, format="FLAC", subtype="PCM_16") as out:
        out.write(tone)
        quiet = np.zeros((1 << 20, channels), np.int16)
        for _ in range(seconds * rate // len(quiet)):
            out.write(quiet)
    return file.getvalue()


def hour_of_mp3() -> bytes:
    """Frames of MP3 stand for themselves: any number of them is a file."""
    frames = encoded(np.tile(TONE, 4), **MP3)
    return frames[frames.index(b"\xff\xf3", 10) :] * 900


def with_nan(at: int) -> np.ndarray:
    samples = TONE.copy()
    samples[at] = np.nan
    return samples


def lying_mp3() -> bytes:
    content = bytearray(encoded(TONE[: RATE // 2], **MP3))
    frames = content.index(b"Xing") + 8
    content[frames : frames + 4] = (10**6).to_bytes(4, "big")
    return bytes(content)


def two_of_one_id(path: Path) -> None:
    for suffix in (".wav", ".flac"):
        path.with_suffix(suffix).write_bytes(PLAIN)


HEADERS = [
    Case("wav whose sizes were never filled in", holds(wav(size=0xFFFFFFFF)), USED),
    Case("wav that says 2 GB", holds(wav(size=0x7FFFFFFF)), USED),
    Case("wav that says 0 bytes of samples", holds(wav(size=0)), QUARANTINED, "empty"),
    Case("wav that says 100 bytes of samples", holds(wav(size=100)), REPAIRED, "padded"),
    Case("wav cut off in its header", holds(PLAIN[:20]), QUARANTINED, "unreadable ("),
    Case("wav cut off behind its header", holds(PLAIN[:44]), QUARANTINED, "empty"),
    Case("wav cut off in its samples", holds(PLAIN[:16045]), REPAIRED, "padded"),
    Case("wav without a format", holds(riff(chunk(b"data", DATA))), QUARANTINED, "unreadable ("),
    Case("wav without samples", holds(riff(form())), QUARANTINED,
         "unreadable (Error in WAV file. No 'data' chunk marker)"),
    Case("wav of rate 0", holds(wav(rate=0)), QUARANTINED, "unreadable ("),
    Case("wav of rate 1 Hz", holds(wav(rate=1)), QUARANTINED, "its header says a rate of 1 Hz"),
    Case("wav of rate 2,147,483,647 Hz", holds(wav(rate=2**31 - 1)), QUARANTINED,
         "its header says a rate of 2147483647 Hz"),
    Case("wav of rate 4,294,967,295 Hz", holds(wav(rate=2**32 - 1)), QUARANTINED, "unreadable ("),
    Case("wav of 0 channels", holds(wav(channels=0)), QUARANTINED,
         "unreadable (Channel count is zero)"),
    Case("wav of 32 channels", holds(wav(np.repeat(CODES, 32).tobytes(), channels=32)), REPAIRED,
         "downmixed"),
    Case("wav of 1,000 channels", holds(encoded(np.full((RATE, 1000), 0.1), subtype="PCM_U8")),
         QUARANTINED, "its header says 1000 channels at 16000 Hz"),
    Case("wav of 65,535 channels", holds(wav(channels=65535)), QUARANTINED,
         "unreadable (Too many channels specified)"),
    Case("wav of 0 bits", holds(wav(bits=0)), QUARANTINED, "unreadable ("),
    Case("wav of an unknown codec", holds(wav(codec=0x7777)), QUARANTINED, "unreadable ("),
    Case("wav with 200 kB of junk before its samples",
         holds(riff(form(), chunk(b"junk", bytes(200_000)), chunk(b"data", DATA))), USED),
    Case("MP3 whose header says ten hours", holds(lying_mp3()), REPAIRED, "padded"),
]  # fmt: skip

CONTENTS = [
    Case("8 bits", holds(encoded(TONE, subtype="PCM_U8")), USED),
    Case("24 bits", holds(encoded(TONE, subtype="PCM_24")), USED),
    Case("32 bits", holds(encoded(TONE, subtype="PCM_32")), USED),
    Case("64-bit floats", holds(encoded(TONE, subtype="DOUBLE")), USED),
    Case("a-law", holds(encoded(TONE, subtype="ALAW")), USED),
    Case("mu-law", holds(encoded(TONE, subtype="ULAW")), USED),
    Case("ADPCM", holds(encoded(TONE, subtype="IMA_ADPCM")), REPAIRED, "trimmed"),
    Case("GSM 6.10 at 8 kHz", holds(encoded(TONE[::2], 8000, subtype="GSM610")), REPAIRED,
         "resampled trimmed"),
    Case("FLAC named .wav", holds(encoded(TONE, format="FLAC")), USED),
    Case("MP3 named .wav", holds(encoded(TONE, **MP3)), USED),
    Case("Ogg Vorbis named .wav", holds(encoded(TONE, **OGG)), USED),
    Case("Opus named .wav", holds(encoded(TONE, format="OGG", subtype="OPUS")), USED),
    Case("AIFF named .wav", holds(encoded(TONE, format="AIFF")), USED),
    Case("wav named .mp3", holds(PLAIN), USED, file="wav-named.mp3"),
    Case("FLAC cut off", holds(encoded(TONE, format="FLAC")[:3000]), QUARANTINED, "unreadable ("),
    Case("Ogg cut off", holds(encoded(TONE, **OGG)[:3000]), QUARANTINED, "unreadable ("),
    Case("MP3 cut off", holds(encoded(TONE, **MP3)[:300]), QUARANTINED, "unreadable ("),
    Case("one sample that is NaN", holds(encoded(with_nan(7), **FLOAT)), QUARANTINED, "not finite"),
    Case("NaN behind the clip", holds(encoded(np.r_[TONE, TONE, np.nan], **FLOAT)), REPAIRED,
         "trimmed"),
    Case("infinity", holds(encoded(np.r_[TONE[1:], np.inf], **FLOAT)), QUARANTINED, "not finite"),
    Case("floats of 1e300", holds(encoded(np.full(RATE, 1e300), subtype="DOUBLE")), QUARANTINED,
         "not finite"),
    Case("integers written as floats", holds(encoded(32768 * TONE, **FLOAT)), QUARANTINED,
         "too loud (reaches"),
    Case("floats of 1e-30", holds(encoded(TONE * 1e-30, **FLOAT)), USED),
    Case("a constant", holds(encoded(np.full(RATE, 0.5))), USED),
    Case("all samples at full scale", holds(encoded(np.sign(TONE + 1e-9))), USED),
    Case("silence", holds(encoded(np.zeros(RATE))), QUARANTINED, "silent"),
    Case("1 sample", holds(encoded(TONE[10:11])), REPAIRED, "padded"),
    Case("0 samples", holds(encoded(TONE[:0])), QUARANTINED, "empty"),
    Case("0 bytes", holds(b""), QUARANTINED, UNKNOWN),
    Case("1 byte", holds(b"R"), QUARANTINED, UNKNOWN),
    Case("text", holds("This is no sound.\n" * 99), QUARANTINED, UNKNOWN),
    Case("a page that says 404", holds("<html><body>404</body></html>"), QUARANTINED, UNKNOWN),
    Case("a picture", holds(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9), QUARANTINED, UNKNOWN),
    Case("random bytes", holds(np.random.default_rng(1).bytes(32044)), QUARANTINED, "unreadable ("),
    Case("samples without a header", holds(DATA), QUARANTINED, UNKNOWN),
    Case("zeros", holds(bytes(32044)), QUARANTINED, UNKNOWN),
    Case("4 kHz", holds(encoded(TONE[:4000], 4000)), REPAIRED, "resampled"),
    Case("384 kHz", holds(encoded(np.repeat(TONE, 24), 384000)), REPAIRED, "resampled"),
    Case("ten minutes of wav", long_wav(600), REPAIRED, "trimmed"),
    Case("ten hours of wav", long_wav(36000), QUARANTINED,
         "too large (1.15 GB; a file for 1 s may have 30.3 MB)"),
    Case("an hour in 190 kB of FLAC", holds(bomb(RATE, 1, 3600)), REPAIRED, "trimmed"),
    Case("8 channels at 655 kHz in 50 kB of FLAC", holds(bomb(655350, 8, 4)), REPAIRED,
         "downmixed resampled trimmed"),
    Case("an hour of MP3", holds(hour_of_mp3()), REPAIRED, "trimmed"),
]  # fmt: skip

GOOD = holds(PLAIN)
NAMES = [
    Case("a name with spaces", GOOD, USED, file="a name.wav"),
    Case("a name that begins and ends with a space", GOOD, USED, file=" around .wav"),
    Case("a name with a line end", GOOD, USED, file="two\nlines.wav"),
    Case("a name with commas and quotes", GOOD, USED, file='a,"b",\'c\'.wav'),
    Case("a name that clears the terminal", GOOD, USED, file="\x1b[2J\x1b[Hclear.wav"),
    Case("a name of a terminal's markup", GOOD, USED, file="[red]:x:.wav"),
    Case("a name that begins with a minus", GOOD, USED, file="-0Gj8-vB_q4.wav"),
    Case("a name with `..`", GOOD, USED, file="a..b...wav"),
    Case("a name with `..\\..`", GOOD, USED, file="..\\..\\x.wav".lstrip(".")),
    Case("a name with `*`, `?` and `[`", GOOD, USED, file="b*?[1].wav"),
    Case("a name with `::` and `%2F`", GOOD, USED, file="zip::c%2Fd.wav"),
    Case("a name of 255 bytes", GOOD, USED, file="n" * 251 + ".wav"),
    Case("a name with two endings", GOOD, USED, file="e.tar.wav"),
    Case("an ending in capitals", GOOD, USED, file="f.WAV"),
    Case("a name in Korean, with its letters taken apart (macOS)", GOOD, USED,
         file=unicodedata.normalize("NFD", "한국어.wav")),
    Case("a name that is a number of 200 digits", GOOD, USED, file="1" * 200 + ".wav"),
    Case("a link to a file outside of the data", links_to("../outside.wav"), USED, file="out.wav"),
]  # fmt: skip

NO_FILES = [
    Case("a folder named x.wav", Path.mkdir, LEFT_OUT, NO_FILE, file="folder.wav"),
    Case("a link that leads to itself", links_to("loop.wav"), LEFT_OUT, NO_FILE, file="loop.wav"),
    Case("a link that leads nowhere", links_to("gone"), LEFT_OUT, NO_FILE, file="gone.wav"),
    Case("a pipe named x.wav", os.mkfifo, LEFT_OUT, NO_FILE, file="pipe.wav"),
    Case("a link to /dev/zero", links_to("/dev/zero"), LEFT_OUT, NO_FILE, file="zero.wav"),
    Case("a link to the folder itself", links_to("."), LEFT_OUT, NO_FILE, file="self.wav"),
]  # fmt: skip

NOT_LISTED = [
    Case("a name that is no UTF-8 (CP949)", GOOD, REFUSED, "names are not UTF-8",
         file=os.fsdecode("한국어".encode("cp949")) + ".wav"),
    Case("a name that is a formula", GOOD, REFUSED,
         "names would be run as formulas by a spreadsheet", file="=HYPERLINK(1).wav"),
    Case("two files with one id", two_of_one_id, REFUSED, "several files have one id",
         file="x.wav"),
]  # fmt: skip

IN_ONE_FOLDER = [*HEADERS, *CONTENTS, *NAMES]
AUDIO = [*IN_ONE_FOLDER, *NO_FILES, *NOT_LISTED]
