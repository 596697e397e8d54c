"""What a disk or an object store fails with, in words for a person."""

from collections.abc import Iterator
from contextlib import contextmanager

from overlap.errors import RESUME_HINT, OverlapError, StorageError

ELSEWHERE = ("botocore.", "aiobotocore.", "aiohttp.", "s3fs.", "gcsfs.", "adlfs.")
"""Modules whose errors need not be `OSError`: those of object stores."""


@contextmanager
def storage_errors(what: object) -> Iterator[None]:
    """Around reading or writing: what fails there is the storage, not overlap.

    That nothing is there is an answer, not a failure: `FileNotFoundError` passes.

    Args:
        what: What is read or written: an address.

    Raises:
        StorageError: it cannot be read or written.
    """
    try:
        yield
    except (FileNotFoundError, OverlapError):
        raise
    except Exception as error:
        if not is_of_storage(error):
            raise
        raise StorageError(f"{what}: {describe(error)}; {RESUME_HINT}") from error


def is_of_storage(error: BaseException) -> bool:
    """Whether an error is one of a disk or an object store."""
    return isinstance(error, OSError) or type(error).__module__.startswith(ELSEWHERE)


def describe(error: BaseException) -> str:
    """What an error of a disk or an object store says, without the address that is known."""
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return str(error) or type(error).__name__
