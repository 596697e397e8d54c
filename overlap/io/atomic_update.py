"""One small file that several processes change: read, changed and written as one step.

A reader needs none of this: `Location.write_bytes` replaces a file as a whole. But of two writers
that read the same content the second would undo what the first wrote. On a local disk they wait
for each other by a lock; on S3 a write names the content that it replaces, and is made anew where
that is no longer there. Other stores have no such guard: there, one command at a time.
"""

import errno
import fcntl
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from overlap.errors import CorruptError
from overlap.io.location import Location
from overlap.io.records import Record, record_bytes
from overlap.io.storage_errors import storage_errors

Model = TypeVar("Model", bound=Record)
Result = TypeVar("Result")

TRIES = 20
"""How often a write on S3 is made anew before it is given up."""
REFUSED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
"""What S3 answers where another writer was faster."""
UNKNOWN = ("NotImplemented", "501")
"""What a store answers that speaks S3 but knows no conditional writes."""


def update(
    location: Location, kind: type[Model], change: Callable[[Model], tuple[Model, Result]]
) -> Result:
    """Change the content of a file.

    Args:
        location: The file; where nothing is there yet, its content is `kind()`.
        kind: What it holds.
        change: Gives the new content for the old one, and the answer of the whole. It may be
            called several times. What it raises ends the whole, and nothing is written.

    Raises:
        CorruptError: the file is damaged, or others change it again and again.
    """
    location.check_writable()
    if location.local is not None:
        with storage_errors(location), _locked(location.local):
            return _changed(location, kind, change, location.write_bytes)
    filesystem, path = fsspec.core.url_to_fs(location.url)
    if "s3" not in filesystem.protocol:
        return _changed(location, kind, change, location.write_bytes)
    for attempt in range(TRIES):
        write = partial(filesystem.pipe_file, path, **_as_it_is(filesystem, path))
        try:
            return _changed(location, kind, change, write)
        except OSError as error:
            if _code(error) in UNKNOWN:
                break
            if _code(error) not in REFUSED:
                raise
        time.sleep(random.uniform(0, 0.05 * (attempt + 1)))  # noqa: S311  only to step aside
    else:
        raise CorruptError(f"{location}: others change it again and again; try once more")
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


def _as_it_is(filesystem: Any, path: str) -> dict[str, str]:  # noqa: ANN401  fsspec has no types
    """The condition that the file is still what it is now; asked before its content is read."""
    filesystem.invalidate_cache()
    try:
        return {"IfMatch": filesystem.info(path)["ETag"]}
    except FileNotFoundError:
        return {"IfNoneMatch": "*"}


def _code(error: OSError) -> str:
    """What S3 said, below the error that s3fs makes of it."""
    said = getattr(error.__cause__, "response", {})
    return str(said.get("Error", {}).get("Code", ""))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone, among all processes that see this disk; a network disk may have no locks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise
        yield
