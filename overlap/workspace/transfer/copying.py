"""Copies a workspace, while a run may work on it, to a folder or URL.

The done markers are read first. Then everything else is copied, and the markers are read again.
A marker that is the same as before was true the whole time, because a run removes a marker before
it changes what the marker promises; so what was copied between is what it promises. Only such
markers are written into the copy. A block of features whose marker changed is missing in the copy,
and the next run computes it. If a marker of a member or an ensemble changed, to which others
refer, the changed files are copied again.

The copy never looks complete before it is: its markers, and last its catalogue, are written after
everything that was copied has been read back and compared.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from overlap.errors import CorruptError, UserError
from overlap.io.listing import Entry
from overlap.io.location import Location
from overlap.io.locks import run_lock
from overlap.workspace.transfer.files import (
    BLOCK_KEYS,
    LAST,
    content,
    in_reading_order,
    is_marker,
)
from overlap.workspace.transfer.journal import CopiedFile, Journal
from overlap.workspace.transfer.places import check_source, opened_target

PASSES = 5
"""Attempts to copy everything while no member or ensemble changes."""
THREADS = 8
"""Files that are copied at once."""
OnProgress = Callable[[int, int], None]
"""Receives the number of files that are done, and of all files of the pass."""


@dataclass(frozen=True)
class CopyReport:
    """The result of a copy."""

    source: str
    target: str
    files: int
    """Files of the copy."""
    bytes: int
    """Their size."""
    reused: int
    """Files that an interrupted copy had copied already."""
    blocks_left_out: int
    """Blocks of features that a run was computing: they are missing in the copy."""


def copy_workspace(
    source: Location, target: Location, on_progress: OnProgress = lambda _done, _all: None
) -> CopyReport:
    """Copy a workspace; an interrupted copy of it at the target is resumed.

    Args:
        source: The workspace. A run may work on it.
        target: The copy: absent, an empty folder, or an interrupted copy of the same workspace.
        on_progress: Receives the progress.

    Raises:
        UserError: see `check_source` and `opened_target`; or members and ensembles change all the
            time (`workspace-changing`).
        WorkspaceLockedError: another process writes the target.
        CorruptError: the target returns other bytes than were written (`copy-differs`).
        StorageError: a file cannot be read or written.
    """
    check_source(source)
    target, journal = opened_target(source, target)
    with run_lock(target):
        copy = _Copy(source, target, journal, on_progress)
        markers = copy.until_consistent()
        copy.compare()
        copy.finish(markers)
    return CopyReport(
        source=str(source),
        target=str(target),
        files=len(journal.files),
        bytes=sum(file.size for file in journal.files.values()),
        reused=copy.reused,
        blocks_left_out=copy.blocks_left_out,
    )


class _Copy:
    """A copy in progress.

    Attributes:
        reused: Files that needed no copy in the first pass.
        blocks_left_out: Blocks whose markers changed in the last pass.
    """

    def __init__(
        self, source: Location, target: Location, journal: Journal, on_progress: OnProgress
    ) -> None:
        self._source, self._target, self._journal = source, target, journal
        self._on_progress = on_progress
        self.reused, self.blocks_left_out = 0, 0

    def until_consistent(self) -> Mapping[str, bytes]:
        """Copy all files but the markers; return the markers that were true the whole time."""
        for number in range(PASSES):
            before = self._read(in_reading_order(content(self._source)))
            self._copy_files(first=not number)
            after = self._read(before)
            changed = {path for path, data in before.items() if after.get(path) != data}
            blocks = {path for path in changed if BLOCK_KEYS.fullmatch(path)}
            if changed == blocks:
                self.blocks_left_out = len(blocks)
                return {path: data for path, data in before.items() if path not in changed}
        raise UserError(
            f"{self._source}: its members and ensembles change faster than they are copied; repeat "
            "the command when the run has ended, or has reached its next stage",
            code="workspace-changing",
            workspace=str(self._source),
        )

    def compare(self) -> None:
        """Read back everything that was copied, and compare it with what was read.

        Raises:
            CorruptError: a file differs; the journal forgets it.
        """
        paths = sorted(self._journal.files)
        with ThreadPoolExecutor(THREADS) as pool:
            intact = pool.map(self._is_intact, paths)
            differing = [path for path, same in zip(paths, intact, strict=True) if not same]
        if differing:
            for path in differing:
                del self._journal.files[path]
            self._journal.write()
            raise CorruptError(
                f"{self._target}: {len(differing)} files differ from what was written, such as "
                f"{differing[0]}; repeat the command, which copies them again",
                code="copy-differs",
                target=str(self._target),
                files=differing,
            )

    def finish(self, markers: Mapping[str, bytes]) -> None:
        """Write the markers and the files that come last, and close the journal."""
        last = self._read(LAST)
        self._remove_others({*self._journal.files, *markers, *last})
        for path in (*reversed(in_reading_order(markers)), *reversed(LAST)):
            data = markers.get(path, last.get(path))
            if data is not None:
                self._write(path, data, version="")
                if not self._is_intact(path):
                    raise CorruptError(
                        f"{self._target / path}: differs from what was written; repeat the command",
                        code="copy-differs",
                        target=str(self._target),
                        files=[path],
                    )
        self._journal.close()

    def _copy_files(self, *, first: bool) -> None:
        files = {
            path: entry
            for path, entry in content(self._source).items()
            if not is_marker(path) and path not in LAST
        }
        known = self._journal.files
        wanted = [
            path
            for path, entry in files.items()
            if path not in known or known[path].version != entry.version
        ]
        if first:
            self.reused = len(files) - len(wanted)
        self._forget([path for path in known if path not in files])
        with ThreadPoolExecutor(THREADS) as pool:
            copies = pool.map(lambda path: self._copied(path, files[path]), wanted)
            for done, (path, copied) in enumerate(zip(wanted, copies, strict=True), 1):
                if copied is None:
                    self._forget([path] if path in known else [])
                else:
                    self._journal.add(path, copied)
                self._on_progress(done, len(wanted))
        self._journal.write()

    def _copied(self, path: str, entry: Entry) -> CopiedFile | None:
        """Copy a file; None if a run has removed it."""
        try:
            data = (self._source / path).read_bytes()
        except FileNotFoundError:
            return None
        (self._target / path).write_bytes(data)
        return _about(data, entry.version)

    def _write(self, path: str, data: bytes, version: str) -> None:
        (self._target / path).write_bytes(data)
        self._journal.files[path] = _about(data, version)

    def _read(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Read files of the source in this order; absent ones are left out."""
        found = {}
        for path in paths:
            try:
                found[path] = (self._source / path).read_bytes()
            except FileNotFoundError:
                continue
        return found

    def _forget(self, paths: Iterable[str]) -> None:
        for path in paths:
            del self._journal.files[path]

    def _remove_others(self, wanted: set[str]) -> None:
        """Remove files of an interrupted copy that are not part of this one."""
        for path in content(self._target):
            if path not in wanted:
                (self._target / path).remove()

    def _is_intact(self, path: str) -> bool:
        try:
            data = (self._target / path).read_bytes()
        except FileNotFoundError:
            return False
        return hashlib.sha256(data).hexdigest() == self._journal.files[path].sha256


def _about(data: bytes, version: str) -> CopiedFile:
    return CopiedFile(version=version, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
