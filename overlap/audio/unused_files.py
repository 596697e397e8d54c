"""Names the files of a folder that are not used: foreign formats, subfolders, other kinds."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from overlap.audio.decode import is_audio
from overlap.audio.foreign_formats import CONVERSION, is_foreign
from overlap.io.location import Location

IGNORED: Final = frozenset({"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir"})
"""Names in lower case that systems create; they are no loss, like hidden files."""
MAX_FOLDERS: Final = 200
"""Subfolders that are searched: enough for a data set, and quick in a home folder."""
MAX_FILES: Final = 100_000
"""Files in subfolders that are counted."""
NAMED: Final = 5
"""Suffixes and subfolders that a message names."""


@dataclass
class UnusedFiles:
    """The files of a folder that are not used."""

    foreign: list[str] = field(default_factory=list)
    """Sound files of formats that are not read."""
    outside: list[str] = field(default_factory=list)
    """Sound files that are not in a folder of clips."""
    other: list[str] = field(default_factory=list)
    """Files that have no suffix of a sound file."""
    nested: Counter[str] = field(default_factory=Counter)
    """Number of sound files by subfolder."""

    @property
    def count(self) -> int:
        """Number of files."""
        return len([*self.foreign, *self.outside, *self.other]) + self.nested.total()

    @property
    def cases(self) -> list[str]:
        """The files by name, and subfolders with the number of their files."""
        folders = [f"{name}/ ({count})" for name, count in sorted(self.nested.items())]
        return [*sorted(self.foreign), *sorted(self.outside), *folders, *sorted(self.other)]

    def __str__(self) -> str:
        """Return a clause, or an empty text if everything is used."""
        parts = []
        if self.foreign:
            parts.append(
                f"{len(self.foreign)} of an unsupported format ({_suffixes(self.foreign)}; "
                f"{CONVERSION})"
            )
        if self.outside:
            parts.append(f"{len(self.outside)} outside the folders of clips")
        if self.nested:
            named = [f"{name}/" for name in sorted(self.nested)]
            parts.append(f"{self.nested.total()} in subfolders ({_first(named)})")
        if self.other:
            parts.append(f"{len(self.other)} that are no sound files ({_suffixes(self.other)})")
        verb = "file is" if self.count == 1 else "files are"
        return f"{self.count} {verb} not used: {', '.join(parts)}" if parts else ""


def unused_files(
    folder: Location,
    names: Iterable[str],
    others: Iterable[str],
    tables: Collection[str] = (),
    *,
    sounds_only: bool = False,
) -> UnusedFiles:
    """Find the files of a folder that are not used.

    Args:
        folder: The folder.
        names: The regular files directly in it that are not used.
        others: Everything else in it, of which the folders are searched.
        tables: Files that belong to a data set.
        sounds_only: Whether this is the top folder of a data set, whose clips are in folders below
            it: files without a suffix of a sound file are left out.
    """
    found = UnusedFiles()
    for name in names:
        if is_ignored(name):
            continue
        if is_foreign(name):
            found.foreign.append(name)
        elif sounds_only and is_audio(name):
            found.outside.append(name)
        elif not sounds_only and name not in tables:
            found.other.append(name)
    for name in others:
        if not is_ignored(name) and (count := sum(1 for _ in _sounds_below(folder / name))):
            found.nested[name] = count
    return found


def is_ignored(name: str) -> bool:
    """Return whether a file or folder is hidden, or is made by a system and not by the user."""
    return name.startswith(".") or name.lower() in IGNORED


def _sounds_below(folder: Location) -> Iterator[str]:
    """Yield the sound files of a folder and its subfolders, within limits."""
    waiting, searched, found = [folder], 0, 0
    while waiting and searched < MAX_FOLDERS and found < MAX_FILES:
        here = waiting.pop()
        if not here.is_folder() or (here.local is not None and here.local.is_symlink()):
            continue
        searched, others = searched + 1, list[str]()
        try:
            names = [entry.name for entry in here.files(others)]
        except OSError:  # not readable for this user
            continue
        for name in names:
            if is_audio(name) or is_foreign(name):
                found += 1
                yield name
        waiting += [here / name for name in others if not is_ignored(name)]


def _suffixes(names: Iterable[str]) -> str:
    counts = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in names)
    return _first([suffix for suffix, _ in counts.most_common()])


def _first(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
