"""Hostile audio files and file names with their expected outcomes."""

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
NO_FILE = "not-regular-files"


def bomb(rate: int, channels: int, seconds: int) -> bytes:
    """FLAC of one second of tone, then silence, which compresses to almost nothing."""
    file, tone = io.BytesIO(), np.repeat(TONE[:, None], channels, 1)
    with soundfile.SoundFile(file, "w", rate, channels, format="FLAC", subtype="PCM_16") as out:
        out.write(tone)
        quiet = np.zeros((1 << 20, channels), np.int16)
        for _ in range(seconds * rate // len(quiet)):
            out.write(quiet)
    return file.getvalue()


def hour_of_mp3() -> bytes:
    """MP3 frames are self-contained: any number of them is a valid file."""
    frames = encoded(np.tile(TONE, 4), **MP3)
    return frames[frames.index(b"\xff\xf3", 10) :] * 900


def with_nan(at: int) -> np.ndarray:
    samples = TONE.copy()
    samples[at] = np.nan
    return samples


def mp3_with_wrong_length() -> bytes:
    content = bytearray(encoded(TONE[: RATE // 2], **MP3))
    frames = content.index(b"Xing") + 8
    content[frames : frames + 4] = (10**6).to_bytes(4, "big")
    return bytes(content)


def two_files_of_one_id(path: Path) -> None:
    for suffix in (".wav", ".flac"):
        path.with_suffix(suffix).write_bytes(PLAIN)


HEADERS = [
    Case("WAV whose sizes were never set", holds(wav(size=0xFFFFFFFF)), USED),
    Case("WAV whose header claims 2 GB", holds(wav(size=0x7FFFFFFF)), USED),
    Case("WAV whose header claims 0 bytes of samples", holds(wav(size=0)), QUARANTINED,
         "no-samples"),
    Case("WAV whose header claims 100 bytes of samples", holds(wav(size=100)), REPAIRED, "padded"),
    Case("WAV truncated within its header", holds(PLAIN[:20]), QUARANTINED, "unreadable"),
    Case("WAV truncated after its header", holds(PLAIN[:44]), QUARANTINED, "no-samples"),
    Case("WAV truncated within its samples", holds(PLAIN[:16045]), REPAIRED, "padded"),
    Case("WAV without a format chunk", holds(riff(chunk(b"data", DATA))), QUARANTINED,
         "unreadable"),
    Case("WAV without a data chunk", holds(riff(form())), QUARANTINED, "unreadable"),
    Case("WAV of rate 0", holds(wav(rate=0)), QUARANTINED, "unreadable"),
    Case("WAV of rate 1 Hz", holds(wav(rate=1)), QUARANTINED, "implausible-rate", facts=("1 Hz",)),
    Case("WAV of rate 2,147,483,647 Hz", holds(wav(rate=2**31 - 1)), QUARANTINED,
         "implausible-rate", facts=("2147483647 Hz",)),
    Case("WAV of rate 4,294,967,295 Hz", holds(wav(rate=2**32 - 1)), QUARANTINED, "unreadable"),
    Case("WAV of 0 channels", holds(wav(channels=0)), QUARANTINED, "unreadable"),
    Case("WAV of 32 channels", holds(wav(np.repeat(CODES, 32).tobytes(), channels=32)), REPAIRED,
         "downmixed"),
    Case("WAV of 1,000 channels", holds(encoded(np.full((RATE, 1000), 0.1), subtype="PCM_U8")),
         QUARANTINED, "too-many-channels", facts=("1000", "16000 Hz")),
    Case("WAV of 65,535 channels", holds(wav(channels=65535)), QUARANTINED, "unreadable"),
    Case("WAV of 0 bits", holds(wav(bits=0)), QUARANTINED, "unreadable"),
    Case("WAV of an unknown codec", holds(wav(codec=0x7777)), QUARANTINED, "unreadable"),
    Case("WAV with 200 kB of junk before its samples",
         holds(riff(form(), chunk(b"junk", bytes(200_000)), chunk(b"data", DATA))), USED),
    Case("MP3 whose header claims ten hours", holds(mp3_with_wrong_length()), REPAIRED, "padded"),
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
    Case("WAV named .mp3", holds(PLAIN), USED, file="wav-named.mp3"),
    Case("truncated FLAC", holds(encoded(TONE, format="FLAC")[:3000]), QUARANTINED, "unreadable"),
    Case("truncated Ogg", holds(encoded(TONE, **OGG)[:3000]), QUARANTINED, "unreadable"),
    Case("truncated MP3", holds(encoded(TONE, **MP3)[:300]), QUARANTINED, "unreadable"),
    Case("one NaN sample", holds(encoded(with_nan(7), **FLOAT)), QUARANTINED, "not-finite"),
    Case("NaN after the clip", holds(encoded(np.r_[TONE, TONE, np.nan], **FLOAT)), REPAIRED,
         "trimmed"),
    Case("infinity", holds(encoded(np.r_[TONE[1:], np.inf], **FLOAT)), QUARANTINED, "not-finite"),
    Case("floats of 1e300", holds(encoded(np.full(RATE, 1e300), subtype="DOUBLE")), QUARANTINED,
         "not-finite"),
    Case("integers stored as floats", holds(encoded(32768 * TONE, **FLOAT)), QUARANTINED,
         "too-loud"),
    Case("floats of 1e-30", holds(encoded(TONE * 1e-30, **FLOAT)), USED),
    Case("a constant", holds(encoded(np.full(RATE, 0.5))), USED),
    Case("all samples at full scale", holds(encoded(np.sign(TONE + 1e-9))), USED),
    Case("silence", holds(encoded(np.zeros(RATE))), QUARANTINED, "silent"),
    Case("1 sample", holds(encoded(TONE[10:11])), REPAIRED, "padded"),
    Case("0 samples", holds(encoded(TONE[:0])), QUARANTINED, "no-samples"),
    Case("0 bytes", holds(b""), QUARANTINED, "unreadable"),
    Case("1 byte", holds(b"R"), QUARANTINED, "unreadable"),
    Case("text", holds("This is not audio.\n" * 99), QUARANTINED, "unreadable"),
    Case("an HTML page with error 404", holds("<html><body>404</body></html>"), QUARANTINED,
         "unreadable"),
    Case("a picture", holds(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9), QUARANTINED,
         "unreadable"),
    Case("random bytes", holds(np.random.default_rng(1).bytes(32044)), QUARANTINED, "unreadable"),
    Case("samples without a header", holds(DATA), QUARANTINED, "unreadable"),
    Case("zero bytes only", holds(bytes(32044)), QUARANTINED, "unreadable"),
    Case("4 kHz", holds(encoded(TONE[:4000], 4000)), REPAIRED, "resampled"),
    Case("384 kHz", holds(encoded(np.repeat(TONE, 24), 384000)), REPAIRED, "resampled"),
    Case("ten minutes of WAV", long_wav(600), REPAIRED, "trimmed"),
    Case("ten hours of WAV", long_wav(36000), QUARANTINED,
         "file-too-large", facts=("1.15 GB", "1 s", "30.3 MB")),
    Case("an hour in 190 kB of FLAC", holds(bomb(RATE, 1, 3600)), REPAIRED, "trimmed"),
    Case("8 channels at 655 kHz in 50 kB of FLAC", holds(bomb(655350, 8, 4)), REPAIRED,
         "downmixed resampled trimmed"),
    Case("an hour of MP3", holds(hour_of_mp3()), REPAIRED, "trimmed"),
]  # fmt: skip

GOOD = holds(PLAIN)
NAMES = [
    Case("a name with spaces", GOOD, USED, file="a name.wav"),
    Case("a name that begins and ends with a space", GOOD, USED, file=" around .wav"),
    Case("a name with a line break", GOOD, USED, file="two\nlines.wav"),
    Case("a name with commas and quotes", GOOD, USED, file='a,"b",\'c\'.wav'),
    Case("a name that clears the terminal", GOOD, USED, file="\x1b[2J\x1b[Hclear.wav"),
    Case("a name with terminal markup", GOOD, USED, file="[red]:x:.wav"),
    Case("a name that begins with a minus", GOOD, USED, file="-0Gj8-vB_q4.wav"),
    Case("a name with `..`", GOOD, USED, file="a..b...wav"),
    Case("a name with `..\\..`", GOOD, USED, file="..\\..\\x.wav".lstrip(".")),
    Case("a name with `*`, `?` and `[`", GOOD, USED, file="b*?[1].wav"),
    Case("a name with `::` and `%2F`", GOOD, USED, file="zip::c%2Fd.wav"),
    Case("a name of 255 bytes", GOOD, USED, file="n" * 251 + ".wav"),
    Case("a name with two suffixes", GOOD, USED, file="e.tar.wav"),
    Case("an upper-case suffix", GOOD, USED, file="f.WAV"),
    Case("a Korean name in decomposed Unicode (macOS)", GOOD, USED,
         file=unicodedata.normalize("NFD", "한국어.wav")),
    Case("a name that is a number of 200 digits", GOOD, USED, file="1" * 200 + ".wav"),
    Case("a link to a file outside of the data folder", links_to("../outside.wav"), USED,
         file="out.wav"),
]  # fmt: skip

NO_FILES = [
    Case("a folder named x.wav", Path.mkdir, LEFT_OUT, NO_FILE, file="folder.wav"),
    Case("a link to itself", links_to("loop.wav"), LEFT_OUT, NO_FILE, file="loop.wav"),
    Case("a broken link", links_to("gone"), LEFT_OUT, NO_FILE, file="gone.wav"),
    Case("a pipe named x.wav", os.mkfifo, LEFT_OUT, NO_FILE, file="pipe.wav"),
    Case("a link to /dev/zero", links_to("/dev/zero"), LEFT_OUT, NO_FILE, file="zero.wav"),
    Case("a link to the folder itself", links_to("."), LEFT_OUT, NO_FILE, file="self.wav"),
]  # fmt: skip

NOT_LISTED = [
    Case("a name that is not UTF-8 (CP949)", GOOD, REFUSED, "names-not-utf8",
         file=os.fsdecode("한국어".encode("cp949")) + ".wav"),
    Case("a name that is a formula", GOOD, REFUSED,
         "names-are-formulas", file="=HYPERLINK(1).wav"),
    Case("two files with the same id", two_files_of_one_id, REFUSED, "duplicate-file-ids",
         file="x.wav"),
]  # fmt: skip

IN_ONE_FOLDER = [*HEADERS, *CONTENTS, *NAMES]
AUDIO = [*IN_ONE_FOLDER, *NO_FILES, *NOT_LISTED]
