"""The journal of a copy: what the target contains already, so that a copy can be resumed.

Its file in the target is written first and removed last: while it exists, the target is an
incomplete copy, and no run works on it.
"""

import time
from dataclasses import dataclass, field

from pydantic import Field

from overlap.io.location import Location
from overlap.io.records import Record
from overlap.io.workspace_paths import WorkspacePaths

WRITE_SECONDS = 10.0
"""Time between writes of the journal; what was copied since the last one is copied again."""


class CopiedFile(Record):
    """A file that the target contains."""

    version: str
    """Version of the source when it was listed (`overlap.io.listing.Entry`)."""
    sha256: str
    """Digest of the copied content, hexadecimal."""
    size: int
    """Bytes."""


class JournalRecord(Record):
    """The content of the journal's file."""

    source: str
    """Address of the workspace that is copied."""
    files: dict[str, CopiedFile] = Field(default_factory=dict)
    """What the target contains, by path."""


@dataclass
class Journal:
    """The journal of a copy in progress.

    Attributes:
        target: The copy.
        source: Address of the workspace.
        files: What the target contains, by path.
    """

    target: Location
    source: str
    files: dict[str, CopiedFile] = field(default_factory=dict)
    written: float = 0.0

    def write(self) -> None:
        """Write the file.

        Raises:
            StorageError: it cannot be written.
        """
        record = JournalRecord(source=self.source, files=dict(sorted(self.files.items())))
        WorkspacePaths(self.target).copy.write_record(record)
        self.written = time.monotonic()

    def add(self, path: str, file: CopiedFile) -> None:
        """Note a copied file; writes the journal every `WRITE_SECONDS`."""
        self.files[path] = file
        if time.monotonic() - self.written > WRITE_SECONDS:
            self.write()

    def close(self) -> None:
        """Remove the file: the copy is complete."""
        WorkspacePaths(self.target).copy.remove()


def find_journal(target: Location) -> JournalRecord | None:
    """Return the journal of an incomplete copy; None where there is none.

    A damaged journal knows no files, so everything is copied again.
    """
    file = WorkspacePaths(target).copy
    return file.read_record(JournalRecord) if file.exists() else None
