"""A folder of labelled sound in a format of its own, and the clips that a format reads from it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final, Literal, Protocol, cast, get_args

from overlap.audio.decode import is_audio
from overlap.audio.foreign_formats import is_foreign
from overlap.audio.unused_files import is_ignored
from overlap.audio.windows import hop_error
from overlap.catalog.cell_text import CellTexts
from overlap.catalog.problems import Problems, printable
from overlap.catalog.rows import Split
from overlap.catalog.tables.columns import ColumnNames
from overlap.catalog.tables.text_tables import (
    JSON_SUFFIXES,
    TABLE_SUFFIXES,
    TextTable,
    read_text_table,
)
from overlap.errors import ConfigError, DataError
from overlap.io.location import Location

FormatName = Literal[
    "distribution", "multi-hot", "long", "one-label", "folders", "audiofolder", "lhotse", "segments"
]
"""Formats that `overlap import` reads."""
MIN_HOP_SECONDS: Final = 0.01
"""Least time from a window to the next, s."""
MAX_DEPTH: Final = 24
"""Levels of folders that are searched."""
MAX_FILES: Final = 20_000_000
"""Files that are listed; more are a mistake, such as the root of a disk."""
SPLITS: Final[Mapping[str, Split]] = {
    "train": "train", "training": "train", "validation": "train", "valid": "train",
    "val": "train", "dev": "train", "development": "train",
    "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
"""Split by its usual names. Validation clips become training clips: overlap holds out its own."""
HELD_OUT: Final = frozenset({"validation", "valid", "val", "dev", "development"})
"""Names of splits whose clips become training clips."""


@dataclass(frozen=True)
class ImportOptions:
    """What the user states about the source."""

    format: FormatName | None = None
    """The format; None: recognised."""
    table: str = ""
    """Path of the table of labels relative to the source; empty: found."""
    columns: ColumnNames = field(default_factory=ColumnNames)
    """Columns of the table."""
    separator: str = ""
    """Separator of several labels in a cell, or `none`; empty: found."""
    nested: bool = False
    """Whether files are also searched by name in subfolders."""
    suffixes: tuple[str, ...] = ()
    """Further suffixes of sound files, in lower case with the dot."""
    skip_missing: bool = False
    """Whether rows without a sound file are left out."""
    clip_seconds: float = 1.0
    """Length of the clips that are cut from recordings, s."""
    windows: bool = False
    """Whether a recording is cut into windows at equal distances instead of around its labels."""
    hop_seconds: float | None = None
    """Time from the start of a window to that of the next, s; None: half a clip."""
    background: str = ""
    """The word of windows that no label overlaps sufficiently; empty: they are left out."""

    def __post_init__(self) -> None:
        for option, value in (("hop_seconds", self.hop_seconds), ("background", self.background)):
            if value and not self.windows:
                raise ConfigError(
                    f"{option} applies to windows of recordings; add --windows, or leave it out",
                    code="needs-windows",
                    field=option,
                )
        hop = self.hop_seconds
        if hop is not None and not MIN_HOP_SECONDS <= hop <= self.clip_seconds:
            raise hop_error(hop, MIN_HOP_SECONDS, self.clip_seconds)


@dataclass(frozen=True, slots=True)
class SourceClip:
    """A clip of the source: a whole sound file, or a part of one."""

    file: str
    """Path relative to the folder of the sound."""
    split: Split
    """The split that it is imported into."""
    labels: Mapping[str, float]
    """Share of each word, > 0, normally with the sum 1; empty for a clip without labels."""
    group: str = ""
    """Speaker or recording; empty if unknown."""
    window: tuple[float, float] | None = None
    """Start and end of a part, s; None: the whole file."""


@dataclass(frozen=True)
class SourceData:
    """Everything that a format reads from a source."""

    clips: tuple[SourceClip, ...]
    """In the source's order."""
    words: tuple[str, ...]
    """The columns of the labels."""


@dataclass(frozen=True)
class SourceFolder:
    """The files of a source."""

    data: Location
    """Folder of the tables."""
    sound: Location
    """Folder of the sound files; often the same."""
    sounds: tuple[str, ...]
    """Paths of the sound files relative to `sound`, sorted."""
    foreign: tuple[str, ...]
    """Paths of sound files of formats that are not read."""
    tables: tuple[str, ...]
    """Paths of tables and JSON lines relative to `data`, sorted."""
    _read: dict[str, tuple[TextTable | None, Problems]] = field(default_factory=dict)

    def table(self, name: str, problems: Problems | None = None) -> TextTable | None:
        """Return a table with all of its cells, read once; None if it is unusable.

        Args:
            name: One of `tables`.
            problems: Receives the faults of the table; None: the caller only recognises formats.
        """
        if name not in self._read:
            found = Problems()
            texts = CellTexts(name)
            table = read_text_table(self.data / name, name, found, texts)
            texts.report(found)
            self._read[name] = table, found
        table, found = self._read[name]
        if problems is not None:
            problems.found += [one for one in found.found if one not in problems.found]
        return table

    def header(self, name: str) -> tuple[str, ...]:
        """Return the columns of a table; empty if it is unusable."""
        table = self.table(name)
        return table.columns if table else ()


def format_named(name: str) -> FormatName:
    """Return the format of this name.

    Raises:
        ConfigError: there is none (`unknown-format-name`).
    """
    known = get_args(FormatName)
    if name not in known:
        raise ConfigError(
            f"{printable(name)} is no format; choose one of {', '.join(known)}",
            code="unknown-format-name",
            format=name,
        )
    return cast("FormatName", name)


class Format(Protocol):
    """Reads one format."""

    name: FormatName
    """Name in options and settings."""
    title: str
    """What the format is, for messages."""

    def recognise(self, source: SourceFolder, options: ImportOptions) -> str | None:
        """Return why a source has this format, or None.

        Raises:
            DataError: the source has two readings.
        """
        ...

    def read(self, source: SourceFolder, options: ImportOptions, problems: Problems) -> SourceData:
        """Return the clips of a source.

        Args:
            source: The folder.
            options: What the user states.
            problems: Receives the faults, each with file, row and remedy.

        Raises:
            DataError: the source has two readings.
        """
        ...


def list_source(
    data: Location, sound: Location, options: ImportOptions, max_files: int = MAX_FILES
) -> SourceFolder:
    """List the files of a source with all of its subfolders; links are followed once.

    Args:
        data: Folder of the tables.
        sound: Folder of the sound files.
        options: What the user states.
        max_files: Largest number of files.

    Raises:
        DataError: it has too many files (`too-many-files`).
    """
    sounds, foreign, tables = list[str](), list[str](), list[str]()
    for path in _files_below(sound, max_files):
        name = PurePosixPath(path).name
        if is_audio(name) or name.lower().endswith(options.suffixes or ("\0",)):
            sounds.append(path)
        elif is_foreign(name):
            foreign.append(path)
        elif data == sound and _is_table(name):
            tables.append(path)
    if data != sound:
        tables = [
            path for path in _files_below(data, max_files) if _is_table(PurePosixPath(path).name)
        ]
    return SourceFolder(
        data, sound, tuple(sorted(sounds)), tuple(sorted(foreign)), tuple(sorted(tables))
    )


def _is_table(name: str) -> bool:
    return name.lower().endswith((*TABLE_SUFFIXES, *JSON_SUFFIXES))


def _files_below(folder: Location, max_files: int) -> Iterator[str]:
    """Yield the paths of all files of a folder, relative to it, without hidden ones."""
    seen, waiting, count = set[tuple[int, int]](), [("", 0)], 0
    while waiting:
        below, depth = waiting.pop()
        here = folder / below if below else folder
        if here.local is not None:
            stat = here.local.stat()
            if (stat.st_dev, stat.st_ino) in seen:  # a link to a folder above it
                continue
            seen.add((stat.st_dev, stat.st_ino))
        others = list[str]()
        for entry in here.files(others):
            if not is_ignored(entry.name):
                count += 1
                yield f"{below}/{entry.name}" if below else entry.name
        if count > max_files:
            raise DataError(
                f"{folder}: contains more than {max_files:,} files; name the folder of the data",
                code="too-many-files",
                folder=str(folder),
            )
        if depth < MAX_DEPTH:
            inner = sorted(name for name in others if not is_ignored(name))
            paths = [f"{below}/{name}" if below else name for name in inner]
            waiting += [(path, depth + 1) for path in paths if (folder / path).is_folder()]


def split_of_name(name: str) -> tuple[Split, str] | None:
    """Return the split that a file's or folder's name states, and the part that states it.

    Examples:
        >>> split_of_name("libri_supervisions_dev"), split_of_name("balanced_train_segments")
        (('train', 'dev'), ('train', 'train'))
        >>> split_of_name("metadata") is None, split_of_name("train_test") is None
        (True, True)
    """
    parts = re.split(r"[_\-. ]+", name.casefold())
    found = {part for part in parts if part in SPLITS}
    if len({SPLITS[part] for part in found}) != 1:
        return None
    part = min(found)
    return SPLITS[part], part
