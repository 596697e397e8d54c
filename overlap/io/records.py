"""Serialises JSON, records with a checksum, and arrays; corruption raises `CorruptError`.

A record is a JSON object: the fields of a `Record`, and three fields about the file:

    format      version of the shape; absent in files of overlap 0.1.0, which means 1
    written_by  version of overlap that wrote the file; absent in files of overlap 0.1.0
    seal        XXH3-128 of all other fields in canonical form

A flipped bit on a disk may leave valid JSON with another number in it; the checksum detects that.
It guards against damage, not against tampering: to edit a record by hand, remove the field `seal`.

Unknown fields are ignored, so that a later release can add fields. A release that changes the
meaning of a field raises the format; `NewerFormatError` then tells an older release that the file
is not damaged.
"""

import io
import json
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from xxhash import xxh3_128_hexdigest

import overlap
from overlap.errors import CorruptError, NewerFormatError

if (
    TYPE_CHECKING
):  # imported on use: the configuration, and so `overlap --help`, imports this module
    from numpy.typing import NDArray

SEAL: Final = "seal"
FORMAT: Final = "format"
WRITTEN_BY: Final = "written_by"
STORED: Final = object()
"""Validation context of everything that is read from a file of a workspace: sections of the
configuration then ignore unknown keys."""
CURRENT_FORMAT: Final = 1
"""Format version of a record class that does not set its own, and of files without one."""


class Record(BaseModel):
    """Base of everything that is stored in a file as a record.

    Format version and checksum belong to the file: they are no fields of the model, so that
    fingerprints and comparisons depend on the content alone.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    current_format: ClassVar[int] = CURRENT_FORMAT
    """The highest format version that this class reads, and the one it writes."""


Model = TypeVar("Model", bound=Record)


def json_bytes(content: object) -> bytes:
    """Return JSON, indented and with a final newline."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def from_json(data: bytes, where: str) -> Any:  # noqa: ANN401  JSON is whatever was written
    """Parse JSON.

    Args:
        data: The file's content.
        where: Its address, for the message.

    Raises:
        CorruptError: The content is not JSON.
    """
    try:
        return json.loads(data)
    except ValueError as error:
        raise CorruptError(
            f"{where}: is damaged: it is not JSON ({error})", code="not-json", path=where
        ) from None


def record_bytes(record: Record) -> bytes:
    """Return a record with its format version, the version of overlap, and a checksum."""
    about = {FORMAT: record.current_format, WRITTEN_BY: overlap.__version__}
    content = record.model_dump(mode="json") | about
    return json_bytes(content | {SEAL: _checksum(content)})


def from_record(data: bytes, kind: type[Model], where: str) -> Model:
    """Parse a record and compare it with its checksum.

    A record without a checksum, from an early release or edited by hand, is accepted.

    Args:
        data: The file's content.
        kind: The class of the record.
        where: Its address, for the message.

    Raises:
        NewerFormatError: A later release wrote the record in a format unknown to this one.
        CorruptError: The content is not JSON, is not such a record, or differs from its checksum.
    """
    content = from_json(data, where)
    if not isinstance(content, dict):
        raise CorruptError(
            f"{where}: is damaged: it is not a JSON object", code="not-a-record", path=where
        )
    check_format(content.get(FORMAT), kind.current_format, where, content.get(WRITTEN_BY))
    stored = content.pop(SEAL, None)
    if stored is not None and stored != _checksum(content):
        raise CorruptError(
            f"{where}: is damaged: its content does not match its checksum (to edit a record by "
            f"hand, remove the field {SEAL!r})",
            code="checksum-mismatch",
            path=where,
        )
    try:
        return kind.model_validate(content, context=STORED)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise CorruptError(
            f"{where}: is damaged: {field}: {first['msg']}",
            code="not-a-record",
            path=where,
            field=field,
        ) from None


def check_format(found: object, newest: int, where: str, written_by: object = None) -> None:
    """Compare the format version of a file with the newest that this release reads.

    Args:
        found: The version in the file; None, as in files of overlap 0.1.0, means 1.
        newest: The highest version that can be read.
        where: Address of the file, for the message.
        written_by: Version of overlap that wrote the file; None: unknown.

    Raises:
        NewerFormatError: The file has a newer format.
        CorruptError: The version is not a positive whole number.
    """
    found = CURRENT_FORMAT if found is None else found
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise CorruptError(
            f"{where}: is damaged: format {found!r} is not a version",
            code="not-a-record",
            path=where,
            field=FORMAT,
        )
    if found > newest:
        writer = f"overlap {written_by}" if written_by else "a newer overlap"
        raise NewerFormatError(
            f"{where}: was written by {writer} (format {found}); this is overlap "
            f"{overlap.__version__}, which reads formats up to {newest}; use the newer release",
            path=where,
            written_by=written_by,
            format=found,
        )


def _checksum(content: object) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return xxh3_128_hexdigest(canonical.encode())


def array_bytes(arrays: "Mapping[str, NDArray[Any]]") -> bytes:
    """Return arrays as npz, which contains a checksum of each."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def from_arrays(data: bytes, where: str) -> "dict[str, NDArray[Any]]":
    """Parse the arrays of an npz file without running code from it.

    Args:
        data: The file's content.
        where: Its address, for the message.

    Raises:
        CorruptError: The content is not npz, differs from a checksum, or contains Python objects.
    """
    import numpy as np

    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as saved:
            return {name: saved[name] for name in saved.files}
    except (
        OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error,
        RuntimeError,  # a flag for encryption, or for a compression that zipfile does not know
    ) as error:  # fmt: skip
        raise CorruptError(f"{where}: is damaged: {error}", code="not-arrays", path=where) from None


class Documents(ABC):
    """A file that is read and replaced as a whole: JSON, a record or arrays."""

    @abstractmethod
    def read_bytes(self) -> bytes:
        """Return the content of the file."""

    @abstractmethod
    def write_bytes(self, data: bytes) -> None:
        """Replace the file as a whole."""

    def read_json(self) -> Any:  # noqa: ANN401  JSON is whatever was written
        """Return the file's content, parsed.

        Raises:
            CorruptError: The content is not JSON.
        """
        return from_json(self.read_bytes(), str(self))

    def write_json(self, content: object) -> None:
        """Replace the file by this content, indented and with a final newline."""
        self.write_bytes(json_bytes(content))

    def read_record(self, kind: type[Model]) -> Model:
        """Return the record that `write_record` wrote.

        Raises:
            NewerFormatError: A later release wrote it in a format unknown to this one.
            CorruptError: The file differs from what was written.
        """
        return from_record(self.read_bytes(), kind, str(self))

    def write_record(self, record: Record) -> None:
        """Replace the file by a record with its checksum.

        Raises:
            NewerFormatError: The file holds a record in a newer format, which is kept.
        """
        self.keep_newer(type(record))
        self.write_bytes(record_bytes(record))

    def keep_newer(self, kind: type[Record]) -> None:
        """Refuse to go on where the file holds a record in a newer format.

        A damaged or missing file is accepted.

        Raises:
            NewerFormatError: A later release wrote the file in a format unknown to this one.
        """
        try:
            content = self.read_json()
            found = content.get(FORMAT) if isinstance(content, dict) else None
            writer = content.get(WRITTEN_BY) if isinstance(content, dict) else None
            check_format(found, kind.current_format, str(self), writer)
        except (FileNotFoundError, CorruptError):
            return

    def read_arrays(self) -> "dict[str, NDArray[Any]]":
        """Return the arrays of an npz file without running code from it.

        Raises:
            CorruptError: The file differs from what was written.
        """
        return from_arrays(self.read_bytes(), str(self))

    def write_arrays(self, arrays: "Mapping[str, NDArray[Any]]") -> None:
        """Replace the file by these arrays, as npz."""
        self.write_bytes(array_bytes(arrays))
