"""What stands in files, as bytes: JSON, records with a seal, arrays. What is damaged is said.

A record is JSON with one field more, `seal`: XXH3-128 of all others in canonical form. A flipped
bit on a disk may leave valid JSON with another number in it; the seal does not fit that. It guards
against damage, not against a person: who changes a record by hand removes the field.
"""

import io
import json
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from xxhash import xxh3_128_hexdigest

from overlap.errors import CorruptError

Model = TypeVar("Model", bound=BaseModel)

SEAL: Final = "seal"


def json_bytes(content: object) -> bytes:
    """JSON, indented and with a final newline."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def from_json(data: bytes, where: str) -> Any:  # noqa: ANN401  JSON is whatever was written
    """The content of JSON.

    Args:
        data: The file's content.
        where: Its address, for the message.

    Raises:
        CorruptError: it is not JSON.
    """
    try:
        return json.loads(data)
    except ValueError as error:
        raise CorruptError(f"{where}: is damaged: no JSON ({error})") from None


def record_bytes(record: BaseModel) -> bytes:
    """A record with its seal."""
    content = record.model_dump(mode="json")
    return json_bytes(content | {SEAL: _seal(content)})


def from_record(data: bytes, kind: type[Model], where: str) -> Model:
    """A record; one without a seal (of an earlier version, or written by hand) is taken as it is.

    Args:
        data: The file's content.
        kind: What it holds.
        where: Its address, for the message.

    Raises:
        CorruptError: it is not JSON, not of this kind, or its seal does not fit.
    """
    content = from_json(data, where)
    seal = content.pop(SEAL, None) if isinstance(content, dict) else None
    if seal is not None and seal != _seal(content):
        raise CorruptError(
            f"{where}: is damaged: its content does not fit its seal (one that a person changed "
            f"goes without the field {SEAL!r})"
        )
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise CorruptError(f"{where}: is damaged: {field}: {first['msg']}") from None


def _seal(content: object) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return xxh3_128_hexdigest(canonical.encode())


def array_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays as npz, which has a checksum of each."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def from_arrays(data: bytes, where: str) -> dict[str, NDArray[Any]]:
    """The arrays of npz; never runs code from it.

    Args:
        data: The file's content.
        where: Its address, for the message.

    Raises:
        CorruptError: it is no npz, a checksum does not fit, or it holds Python objects.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as saved:
            return {name: saved[name] for name in saved.files}
    except (
        OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error,
        RuntimeError,  # a flag for encryption, or for a compression that zipfile does not know
    ) as error:  # fmt: skip
        raise CorruptError(f"{where}: is damaged: {error}") from None


class Documents(ABC):
    """A file whose content can be read and replaced as a whole, as JSON, a record or arrays."""

    @abstractmethod
    def read_bytes(self) -> bytes:
        """The whole file."""

    @abstractmethod
    def write_bytes(self, data: bytes) -> None:
        """Replace the file as a whole."""

    def read_json(self) -> Any:  # noqa: ANN401  JSON is whatever was written
        """The file's content, parsed.

        Raises:
            CorruptError: it is not JSON.
        """
        return from_json(self.read_bytes(), str(self))

    def write_json(self, content: object) -> None:
        """Replace the file by this content, indented and with a final newline."""
        self.write_bytes(json_bytes(content))

    def read_record(self, kind: type[Model]) -> Model:
        """What `write_record` wrote, as a pydantic model.

        Raises:
            CorruptError: it is not what was written.
        """
        return from_record(self.read_bytes(), kind, str(self))

    def write_record(self, record: BaseModel) -> None:
        """Replace the file by a record, with its seal."""
        self.write_bytes(record_bytes(record))

    def read_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of an npz file; never runs code from it.

        Raises:
            CorruptError: it is not what was written.
        """
        return from_arrays(self.read_bytes(), str(self))

    def write_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Replace the file by these arrays, as npz."""
        self.write_bytes(array_bytes(arrays))
