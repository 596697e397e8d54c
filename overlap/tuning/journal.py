"""Optuna's journal of a study in its workspace: one JSON object per line.

Optuna's own file backend guards the file with a lock file that a killed process leaves behind, and
a line that was cut off by a kill makes the journal unreadable after the next line. Here the run
lock of the workspace keeps other drivers away, and a line that was cut off is removed. The format
is that of Optuna's backend, whose tools read the file. An object store cannot append, so there the
file is replaced as a whole; it has no run lock either, and one driver at a time must use a study.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from overlap.errors import CorruptError
from overlap.io.location import Location
from overlap.io.storage_errors import storage_errors
from overlap.tuning.journal_lines import complete_lines, entry


class WorkspaceJournal(BaseJournalBackend):
    """The journal of a study.

    Args:
        location: The file; it need not exist.

    Raises:
        CorruptError: The file is damaged (code `corrupt-journal`).
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        content = location.read_bytes() if location.exists() else b""
        self._lines = complete_lines(content)
        self._logs = parsed(self._lines, location)
        whole = b"".join(self._lines)
        if len(whole) < len(content):
            location.write_bytes(whole)

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the entries from a number on."""
        return list(self._logs[log_number_from:])

    def append_logs(self, logs: Sequence[Mapping[str, Any]]) -> None:
        """Append entries, and return when they are on the disk."""
        added = [json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs]
        self._lines += added
        self._logs += [json.loads(line) for line in added]
        if self._location.local is None:
            self._location.write_bytes(b"".join(self._lines))
            return
        with storage_errors(self._location):
            self._location.local.parent.mkdir(parents=True, exist_ok=True)
            with self._location.local.open("ab") as file:
                file.writelines(added)
                file.flush()
                os.fsync(file.fileno())


def parsed(lines: Sequence[bytes], location: Location) -> list[dict[str, Any]]:
    """Return the entries of a journal.

    Raises:
        CorruptError: A line is no entry (code `corrupt-journal`).
    """
    entries = []
    for number, line in enumerate(lines, 1):
        if (found := entry(line)) is None:
            raise CorruptError(
                f"{location}: is damaged: line {number} is no entry of a journal; restore the "
                "file, or remove the study with `overlap models prune --study`",
                code="corrupt-journal", path=str(location), line=number,
            )  # fmt: skip
        entries.append(found)
    return entries
