"""Read-modify-write of one small file that several processes change.

Readers need no guard: `Location.write_bytes` replaces a file as a whole. But of two writers that
read the same content the second would undo the change of the first. On a local disk a lock keeps
writers apart. On S3 a write is conditional on the content that it replaces, and is repeated if
that has changed. Other stores offer neither: only one process at a time may update a file there.
"""

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

import fsspec

from overlap.errors import CorruptError
from overlap.io.location import Location
from overlap.io.locks import exclusive
from overlap.io.records import Record, record_bytes
from overlap.io.storage_errors import storage_errors

Model = TypeVar("Model", bound=Record)
Result = TypeVar("Result")

TRIES: Final = 20
"""Attempts of a conditional write on S3."""
CONFLICT: Final = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
"""Error codes of S3 when another writer was faster."""
UNSUPPORTED: Final = ("NotImplemented", "501")
"""Error codes of S3-compatible stores without conditional writes."""


def update(
    location: Location, kind: type[Model], change: Callable[[Model], tuple[Model, Result]]
) -> Result:
    """Change the content of a file, and return what `change` returns with it.

    Args:
        location: The file; if it does not exist, its content is `kind()`.
        kind: Model of the content.
        change: Returns the new content for the old one, and the result. It may be called several
            times. An exception ends the update, and nothing is written.

    Raises:
        CorruptError: the file is damaged (`corrupt`), or other writers changed it at every
            attempt (`contended`).
        StorageError: a local disk cannot be written.
    """
    location.check_writable()
    if location.local is not None:
        path = location.local
        with storage_errors(location):
            path.parent.mkdir(parents=True, exist_ok=True)
            with exclusive(path.with_name(f".{path.name}.lock")):
                return _changed(location, kind, change, location.write_bytes)
    filesystem, path = fsspec.core.url_to_fs(location.url)
    if "s3" not in filesystem.protocol:
        return _changed(location, kind, change, location.write_bytes)
    for attempt in range(TRIES):
        write = partial(filesystem.pipe_file, path, **_unchanged(filesystem, path))
        try:
            return _changed(location, kind, change, write)
        except OSError as error:
            if _code(error) in UNSUPPORTED:
                break
            if _code(error) not in CONFLICT:
                raise
        time.sleep(random.uniform(0, 0.05 * (attempt + 1)))  # noqa: S311  jitter, no secret
    else:
        raise CorruptError(
            f"{location}: other processes changed it during all {TRIES} attempts to update it; "
            "repeat the command",
            code="contended",
            path=str(location),
            attempts=TRIES,
        )
    return _changed(location, kind, change, location.write_bytes)


def _changed(
    location: Location,
    kind: type[Model],
    change: Callable[[Model], tuple[Model, Result]],
    write: Callable[[bytes], object],
) -> Result:
    before = location.read_record(kind) if location.exists() else kind()
    after, result = change(before)
    if after != before:
        write(record_bytes(after))
    return result


def _unchanged(filesystem: Any, path: str) -> dict[str, str]:  # noqa: ANN401  fsspec has no types
    """Return the condition that the file has not changed; to be called before it is read."""
    filesystem.invalidate_cache()
    try:
        return {"IfMatch": filesystem.info(path)["ETag"]}
    except FileNotFoundError:
        return {"IfNoneMatch": "*"}


def _code(error: OSError) -> str:
    """Return S3's error code, from below the error that s3fs makes of it."""
    response = getattr(error.__cause__, "response", {})
    return str(response.get("Error", {}).get("Code", ""))
