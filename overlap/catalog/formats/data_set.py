"""Writes an imported data set: links to the sound files or copies of them, and its tables."""

import csv
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import soundfile

from overlap.audio.decode import is_audio
from overlap.catalog.formats.source import SourceClip
from overlap.catalog.problems import Problems
from overlap.io.location import Location

SOURCES: Final = "sources.csv"
"""Table of the ids with the files that they come from."""
SUFFIX_OF: Final = {
    "AIFF": ".aiff", "AU": ".au", "CAF": ".caf", "FLAC": ".flac", "MPEG": ".mp3", "MP3": ".mp3",
    "OGG": ".ogg", "RF64": ".rf64", "VOC": ".voc", "W64": ".w64", "WAV": ".wav", "WAVEX": ".wav",
    "NIST": ".sph",
}  # fmt: skip
"""Suffix by libsndfile's name of a format."""
PCM16: Final = "PCM_16"
OnProgress = Callable[[int, int], None]
"""Receives the numbers of written and of all clips."""


@dataclass(frozen=True)
class ImportedClip:
    """A clip of the new data set."""

    id: str
    """Its id."""
    clip: SourceClip
    """Where it comes from."""


def write_clips(
    folder: Path,
    sound: Location,
    clips: Sequence[ImportedClip],
    problems: Problems,
    on_progress: OnProgress,
    *,
    copy: bool,
) -> None:
    """Write a link to, or a copy of, each sound file, and each window as a new file.

    Args:
        folder: The new data set.
        sound: Folder of the sound files.
        clips: The clips.
        problems: Receives files that cannot be read.
        on_progress: Receives the progress.
        copy: Whether files are copied; links need a folder on a local disk.
    """
    unreadable, done = list[str](), 0
    for split in sorted({one.clip.split for one in clips}):
        (folder / split).mkdir()
    by_recording = defaultdict[str, list[ImportedClip]](list)
    for one in clips:
        if one.clip.window is not None:
            by_recording[one.clip.file].append(one)
            continue
        target = folder / one.clip.split / one.id
        suffix = _suffix(sound, one.clip.file)
        if suffix is None:
            unreadable.append(one.clip.file)
        else:
            _place(sound / one.clip.file, target.with_name(target.name + suffix), copy=copy)
        done += 1
        on_progress(done, len(clips))
    for file, cuts in by_recording.items():
        _cut(sound / file, folder, cuts)
        done += len(cuts)
        on_progress(done, len(clips))
    problems.add_cases(
        "files with the given suffixes are not sound that is read; convert them with "
        "`ffmpeg -i FILE FILE.wav`",
        unreadable,
        code="unreadable-sound",
    )


def _suffix(sound: Location, file: str) -> str | None:
    """Return the suffix of a file's name, or of its content if the name has none that is known."""
    if is_audio(PurePosixPath(file).name):
        return PurePosixPath(file).suffix
    try:
        with (sound / file).reading() as opened, soundfile.SoundFile(opened) as found:
            return SUFFIX_OF.get(found.format)
    except (OSError, RuntimeError):
        return None


def _place(source: Location, target: Path, *, copy: bool) -> None:
    if not copy and source.local is not None:
        target.symlink_to(source.local)
    elif source.local is not None:
        shutil.copyfile(source.local, target)
    else:
        target.write_bytes(source.read_bytes())


def _cut(source: Location, folder: Path, cuts: Iterable[ImportedClip]) -> None:
    with source.reading() as opened, soundfile.SoundFile(opened) as sound:
        rate, integer = sound.samplerate, sound.subtype == PCM16
        for one in cuts:
            start, end = one.clip.window or (0.0, 0.0)
            sound.seek(min(sound.frames, round(start * rate)))
            samples = sound.read(round((end - start) * rate), "int16" if integer else "float32")
            file = folder / one.clip.split / f"{one.id}.wav"
            soundfile.write(file, samples, rate, PCM16 if integer else "FLOAT", format="WAV")


def write_table(file: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV table in UTF-8."""
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def label_rows(clips: Iterable[ImportedClip], words: Sequence[str]) -> Iterable[list[object]]:
    """Yield id and shares of clips; each share is written with all its digits."""
    for one in clips:
        shares = one.clip.labels
        yield [one.id, *(repr(shares[word]) if word in shares else 0 for word in words)]


def exchange(made: Path, target: Path, aside: Path) -> None:
    """Move a complete folder to its address, where an earlier import or nothing is.

    Args:
        made: The new folder.
        target: Its address.
        aside: A free name for the earlier one, which is removed.
    """
    if target.is_dir() and any(target.iterdir()):
        target.rename(aside)
        made.rename(target)
        shutil.rmtree(aside)
    else:
        made.rename(target)
