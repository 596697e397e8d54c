"""Errors of disks and object stores, converted to `StorageError`."""

from collections.abc import Iterator
from contextlib import contextmanager

from overlap.errors import RESUME_HINT, OverlapError, StorageError

ELSEWHERE = ("botocore.", "aiobotocore.", "aiohttp.", "s3fs.", "gcsfs.", "adlfs.")
"""Modules of object stores, whose errors are not always `OSError`."""


@contextmanager
def storage_errors(what: object) -> Iterator[None]:
    """Convert errors of the storage within the block to `StorageError`.

    `FileNotFoundError` passes, because an absent file is an answer and not a failure.

    Args:
        what: Address that is read or written.

    Raises:
        StorageError: the address cannot be read or written; field `path`.
    """
    try:
        yield
    except (FileNotFoundError, OverlapError):
        raise
    except Exception as error:
        if not is_of_storage(error):
            raise
        raise StorageError(f"{what}: {describe(error)}; {RESUME_HINT}", path=str(what)) from error


def is_of_storage(error: BaseException) -> bool:
    """Return whether an error comes from a disk or an object store."""
    return isinstance(error, OSError) or type(error).__module__.startswith(ELSEWHERE)


def describe(error: BaseException) -> str:
    """Return the message of a storage error, without the address that it repeats."""
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return str(error) or type(error).__name__
