"""Cuts windows of the clip length out of recordings whose labels have times.

The windows are around the labels, or at equal distances over the whole recording, as
`overlap.recordings` cuts them for predictions.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import soundfile

from overlap.audio.windows import window_starts
from overlap.catalog.formats.folders import report_held_out
from overlap.catalog.formats.sound_paths import report_unlisted
from overlap.catalog.formats.source import (
    ImportOptions,
    SourceClip,
    SourceData,
    SourceFolder,
)
from overlap.catalog.problems import Problems
from overlap.catalog.rows import Split
from overlap.catalog.tables.long_form import report_unusable_words

SLACK_SECONDS: Final = 0.05
"""Largest difference of two times that rounding explains."""
SLACK: Final = 0.01
"""The same relative to the length of a recording."""
LEAST_OVERLAP: Final = 0.5
"""Part of a label's time, or of the window if that is shorter, that must be in a window."""


@dataclass(frozen=True, slots=True)
class TimedLabel:
    """Words that are heard in a part of a recording."""

    file: str
    """Path of the recording relative to the folder of the sound."""
    split: Split
    """Split of the recording."""
    words: tuple[str, ...]
    """Distinct words."""
    start: float
    """Start, s."""
    end: float
    """End, s."""
    place: str
    """The row, for messages."""
    group: str = ""
    """Speaker; empty if unknown."""


@dataclass
class LabelledParts:
    """What the lists or manifests of a source say about its recordings."""

    labels: list[TimedLabel] = field(default_factory=list)
    """The labelled parts."""
    used: set[str] = field(default_factory=set)
    """Paths of the sound files that are listed."""
    held_out: Counter[str] = field(default_factory=Counter)
    """Number of parts by the name of their validation split."""

    def cut(
        self, source: SourceFolder, title: str, options: ImportOptions, problems: Problems
    ) -> SourceData:
        """Return a clip for every window, and report what is not used or cannot be.

        Args:
            source: The folder.
            title: What lists the parts, for messages.
            options: Length of a clip, and which windows.
            problems: Receives the faults.
        """
        report_unlisted(source, self.used, problems)
        report_held_out(self.held_out, problems)
        clips = clips_of_windows(source, self.labels, options, problems)
        words = tuple(sorted({word for clip in clips for word in clip.labels}))
        report_unusable_words(title, words, problems)
        return SourceData(clips, words)


def windows(start: float, end: float, length: float, recording: float) -> Iterator[float]:
    """Yield the starts of the windows of a labelled part of a recording.

    A part that is shorter than a window is in its middle, as far as the recording allows. A longer
    one is covered by consecutive windows; a remainder of half a window or more has a further one,
    which ends with the part.

    Args:
        start: Start of the part, s.
        end: End of the part, s.
        length: Length of a window, s.
        recording: Length of the recording, s.

    Examples:
        >>> [*windows(2.0, 2.5, 1.0, 10.0)], [*windows(0.0, 0.5, 1.0, 10.0)]
        ([1.75], [0.0])
        >>> [*windows(1.0, 3.5, 1.0, 10.0)]
        [1.0, 2.0, 2.5]
    """
    if end - start <= length:
        yield max(0.0, min((start + end - length) / 2, recording - length))
        return
    whole = int((end - start) / length + 1e-9)
    for number in range(whole):
        yield start + number * length
    if end - start - whole * length >= length / 2:
        yield end - length


def clips_of_windows(
    source: SourceFolder, labels: Iterable[TimedLabel], options: ImportOptions, problems: Problems
) -> tuple[SourceClip, ...]:
    """Return a clip for every window of every recording, and report how clips were made.

    A recording that a label covers completely, and that is no longer than a clip, is used as it
    is. A window has the words of all labels that overlap it sufficiently, in equal shares.

    Args:
        source: The folder, whose recordings are opened for their lengths.
        labels: The labelled parts.
        options: Length of a clip, and which windows.
        problems: Receives parts that are not in their recordings.
    """
    by_file, length = defaultdict[str, list[TimedLabel]](list), options.clip_seconds
    for label in labels:
        by_file[label.file].append(label)
    clips, wrong, cut, unreadable = list[SourceClip](), list[str](), 0, list[str]()
    empty = 0
    for file, parts in by_file.items():
        recording = seconds_of(source, file)
        if recording is None:
            unreadable.append(f"{file} ({parts[0].place})")
            continue
        inside = [_as_cut_already(part, recording) for part in parts]
        wrong += [
            f"{part.place}: {part.start:g} to {part.end:g} s of {recording:g} s"
            for part, found in zip(parts, inside, strict=True)
            if found is None
        ]
        usable = [part for part in inside if part is not None]
        whole = [part for part in usable if _covers(part, recording)]
        if usable and len(whole) == len(usable) and recording <= length * (1 + SLACK):
            clips.append(_clip(usable, None))
            continue
        if options.windows:
            made = [*_every_window(usable, recording, options)] if usable else []
            found = [clip for clip in made if clip.labels]
            empty += len(made) - len(found)
        else:
            found = _around_labels(usable, recording, length)
        cut += len(found)
        clips += found
    _report_cut(cut, empty, wrong, unreadable, options, problems)
    return tuple(clips)


def _around_labels(
    parts: Sequence[TimedLabel], recording: float, length: float
) -> list[SourceClip]:
    starts = {
        round(at, 3) for part in parts for at in windows(part.start, part.end, length, recording)
    }
    return [_clip(_heard(parts, at, length), (at, at + length)) for at in sorted(starts)]


def _every_window(
    parts: Sequence[TimedLabel], recording: float, options: ImportOptions
) -> Iterator[SourceClip]:
    """Yield a clip for each window of a recording; without labels if it has no word.

    Windows overlap, so all of them are in one group: that of the speaker of the whole recording,
    or the recording.
    """
    length = options.clip_seconds
    hop = length / 2 if options.hop_seconds is None else options.hop_seconds
    milliseconds = (int(1000 * recording), round(1000 * length), max(1, round(1000 * hop)))
    speakers = {part.group for part in parts}
    group = min(speakers) if len(speakers) == 1 and "" not in speakers else parts[0].file
    without = {options.background: 1.0} if options.background else {}
    waiting = sorted(parts, key=lambda part: part.start, reverse=True)
    near: list[TimedLabel] = []
    for start in window_starts(*milliseconds):
        at = start / 1000
        while waiting and waiting[-1].start < at + length:
            near.append(waiting.pop())
        near = [part for part in near if part.end > at]
        heard, window = _heard(near, at, length), (at, at + length)
        words = _clip(heard, window).labels if heard else without
        yield SourceClip(parts[0].file, parts[0].split, words, group, window)


def _report_cut(
    cut: int,
    empty: int,
    wrong: Sequence[str],
    unreadable: Sequence[str],
    options: ImportOptions,
    problems: Problems,
) -> None:
    problems.add_cases(
        "recordings cannot be read; replace them or remove their rows", unreadable,
        code="unreadable-recordings",
    )  # fmt: skip
    problems.add_cases(
        "times are outside their recording; correct them, or remove the columns of the times if "
        "the files are cut already",
        wrong,
        code="times-outside-recording",
    )
    if cut:
        problems.add(
            f"{cut} clips of {options.clip_seconds:g} s are cut out of recordings (--clip-seconds) "
            "and written as new files",
            code="cut-clips",
            fatal=False,
        )
    if empty:
        problems.add(
            f"{empty} windows without a word are left out, because a row of labels sums to 1; "
            "--background WORD keeps them under a word of their own",
            code="windows-without-words",
            fatal=False,
        )


def seconds_of(source: SourceFolder, file: str) -> float | None:
    """Return the length of a sound file, s; None if it cannot be read."""
    try:
        with (source.sound / file).reading() as opened, soundfile.SoundFile(opened) as sound:
            return float(sound.frames / sound.samplerate)
    except (OSError, RuntimeError, ZeroDivisionError):
        return None


def _slack(recording: float) -> float:
    return max(SLACK_SECONDS, SLACK * recording)


def _as_cut_already(part: TimedLabel, recording: float) -> TimedLabel | None:
    """Return a part within its file; a file as long as the part is the part itself."""
    slack = _slack(recording)
    if part.end <= recording + slack:
        end = min(part.end, recording)
        return TimedLabel(
            part.file, part.split, part.words, part.start, end, part.place, part.group
        ) if end > part.start else None  # fmt: skip
    if abs(part.end - part.start - recording) <= slack:
        return TimedLabel(part.file, part.split, part.words, 0.0, recording, part.place, part.group)
    return None


def _covers(part: TimedLabel, recording: float) -> bool:
    slack = _slack(recording)
    return part.start <= slack and part.end >= recording - slack


def _heard(parts: Sequence[TimedLabel], start: float, length: float) -> list[TimedLabel]:
    """Return the parts that overlap a window sufficiently."""
    found = []
    for part in parts:
        overlap = min(part.end, start + length) - max(part.start, start)
        if overlap >= LEAST_OVERLAP * min(length, part.end - part.start) - 1e-3:
            found.append(part)
    return found


def _clip(parts: Sequence[TimedLabel], window: tuple[float, float] | None) -> SourceClip:
    words = [*dict.fromkeys(word for part in parts for word in part.words)]
    speakers = {part.group for part in parts if part.group}
    group = min(speakers) if len(speakers) == 1 else ""
    file, split = parts[0].file, parts[0].split
    if window is not None and not group:
        group = file  # windows of a recording are held out together
    return SourceClip(file, split, {word: 1 / len(words) for word in words}, group, window)
