"""Finds the sound file that a cell of a table names, and refuses paths that leave the folder."""

import posixpath
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from overlap.catalog.formats.source import ImportOptions, SourceFolder
from overlap.catalog.problems import Problems


@dataclass
class SoundPaths:
    """The sound files of a source by their names; collects the cells that name none."""

    source: SourceFolder
    options: ImportOptions
    table: str
    """Name of the table whose cells are resolved."""
    used: set[str] = field(default_factory=set)
    """Files that cells name."""
    _outside: list[str] = field(default_factory=list)
    _missing: list[str] = field(default_factory=list)
    _ambiguous: list[str] = field(default_factory=list)
    _foreign: list[str] = field(default_factory=list)
    _in_subfolders: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._base = posixpath.dirname(self.table) if self.source.data == self.source.sound else ""
        self._paths = {*self.source.sounds}
        self._by_stem, self._by_name = (
            defaultdict[str, list[str]](list),
            defaultdict[str, list[str]](list),
        )
        for path in self.source.sounds:
            self._by_stem[_without_suffix(path)].append(path)
            name = PurePosixPath(path).name
            self._by_name[name].append(path)
            self._by_name[_without_suffix(name)].append(path)
        folders = {posixpath.dirname(path) for path in self.source.sounds}
        self._only_folder = [*folders] if len(folders) == 1 else []
        self._foreign_names = {PurePosixPath(path).name for path in self.source.foreign}

    def resolve(self, place: str, cell: str) -> str | None:
        """Return the path of a file relative to the folder of the sound, or None.

        A cell may be a path relative to the table's folder or to the folder of the sound, with or
        without suffix; a path into the folder of the sound may be absolute. A bare name is also
        found in the only folder that has sound files, and with `nested` in any folder.

        Args:
            place: The row, for messages.
            cell: The cell.
        """
        for written in dict.fromkeys((cell, cell.replace("\\", "/"))):
            paths = self._relative(written)
            if not paths:
                self._outside.append(place)
                return None
            found = self._found(paths)
            if len(found) > 1:
                self._ambiguous.append(f"{place}: {' or '.join(found[:3])}")
                return None
            if found:
                self.used.add(found[0])
                return found[0]
        name = PurePosixPath(cell.replace("\\", "/")).name
        if name in self._foreign_names:
            self._foreign.append(place)
        elif self._by_name.get(name) and not self.options.nested:
            self._in_subfolders.append(f"{place}: {self._by_name[name][0]}")
        else:
            self._missing.append(place)
        return None

    def _relative(self, written: str) -> list[str]:
        """Return the paths relative to the folder of the sound; none if one leaves the folder."""
        root = str(self.source.sound).rstrip("/") + "/"
        if written.startswith(root):
            joined = [posixpath.normpath(written[len(root) :])]
        elif written.startswith("/") or re.match(r"[A-Za-z]:[/\\]|[a-z0-9+]+://", written):
            return []
        else:
            alone = self._only_folder if "/" not in written else []
            bases = [*dict.fromkeys((self._base, "", *alone))]
            joined = [posixpath.normpath(posixpath.join(base, written)) for base in bases]
        return [path for path in joined if path != ".." and not path.startswith("../")]

    def _found(self, paths: list[str]) -> list[str]:
        exact = [path for path in paths if path in self._paths]
        if exact:
            return exact
        stems = [found for path in paths for found in self._by_stem.get(path, ())]
        if stems or not self.options.nested:
            return stems
        return self._by_name.get(PurePosixPath(paths[0]).name, [])

    def report(self, problems: Problems) -> None:
        """Report the cells that name no file, or more than one."""
        table = self.table
        problems.add_cases(
            f"{table} names files outside {self.source.sound}; a table cannot refer to files "
            "elsewhere: correct the paths, or name the folder of the sound with --sound",
            self._outside,
            code="path-leaves-folder",
        )
        problems.add_cases(
            f"{table} has cells that may be one of several sound files; write the path with folder "
            "and suffix",
            self._ambiguous,
            code="ambiguous-files",
        )
        problems.add_cases(
            f"{table} names files that are in subfolders; find them by name with --nested, or name "
            "their folder with --sound",
            self._in_subfolders,
            code="files-in-subfolders",
        )
        problems.add_cases(
            f"{table} names sound files of a format that is not read; convert each with "
            "`ffmpeg -i FILE FILE.wav`",
            self._foreign,
            code="unsupported-format",
        )
        skip = self.options.skip_missing
        problems.add_cases(
            f"{table} names files that do not exist"
            + ("; these rows are left out" if skip else "; add them, or leave these rows out with "
               "--skip-missing"),
            self._missing,
            code="missing-files",
            fatal=not skip,
        )  # fmt: skip


def report_unlisted(source: SourceFolder, used: set[str], problems: Problems) -> None:
    """Report sound files that no table names."""
    problems.add_cases(
        "sound files that no table lists are not imported",
        [path for path in source.sounds if path not in used],
        code="unlisted-files",
        fatal=False,
    )


def _without_suffix(path: str) -> str:
    folder, name = posixpath.split(path)
    return posixpath.join(folder, name.rpartition(".")[0] or name)
