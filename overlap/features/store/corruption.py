"""Detect corruption of a feature store and report it as errors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from overlap.errors import CorruptError, OverlapError
from overlap.io.storage_errors import storage_errors
from overlap.io.zarr_import import zarr


class HasLocation(Protocol):
    """An object with an address."""

    @property
    def location(self) -> object:
        """The address."""


Owner = TypeVar("Owner", bound=HasLocation)
Params = ParamSpec("Params")
Result = TypeVar("Result")

REPAIR_HINT: Final = (
    "run `overlap verify --repair` to mark the damaged blocks; the next run recomputes them"
)
RECREATE_HINT: Final = "remove the store; the next run recreates it"


@contextmanager
def corruption_errors(item: str, remedy: str = REPAIR_HINT) -> Iterator[None]:
    """Report failures of a read, except those of the storage itself, as corruption.

    Args:
        item: The item that is read, for the message.
        remedy: Advice for the user, for the message.

    Raises:
        CorruptError: The item is damaged.
        StorageError: The storage fails.
    """
    try:
        with storage_errors(item):
            yield
    except (FileNotFoundError, OverlapError):
        raise
    except Exception as error:  # noqa: BLE001  any codec or parser can fail on damaged bytes
        reason = str(error) or type(error).__name__
        raise CorruptError(
            f"{item}: damaged ({reason}); {remedy}",
            code="corrupt-features",
            item=item,
            reason=reason,
        ) from None


def reports_storage_errors(
    method: Callable[Concatenate[Owner, Params], Result],
) -> Callable[Concatenate[Owner, Params], Result]:
    """Decorate a writing method of a store: storage failures name the store's address."""

    @wraps(method)
    def wrapper(self: Owner, *args: Params.args, **kwargs: Params.kwargs) -> Result:
        with storage_errors(self.location):
            return method(self, *args, **kwargs)

    return cast("Callable[Concatenate[Owner, Params], Result]", wrapper)


def read_or_none(array: zarr.Array[Any], selection: slice | int) -> NDArray[Any] | None:
    """Return the selected values of an array, or None if they are damaged."""
    try:
        return np.asarray(array[selection])
    except (ValueError, RuntimeError):
        return None


def contains(array: zarr.Array[Any], selection: slice, values: NDArray[Any]) -> bool:
    """Return whether the selection of an array equals the values; False if it is damaged."""
    stored = read_or_none(array, selection)
    return stored is not None and bool(np.array_equal(stored, values))


def read_rows_or_zeros(array: zarr.Array[Any], start: int, stop: int) -> NDArray[Any]:
    """Read rows of an array with one row per chunk; damaged rows read as zeros."""
    intact = read_or_none(array, slice(start, stop))
    if intact is not None:
        return intact
    rows = [read_or_none(array, row) for row in range(start, min(stop, array.shape[0]))]
    zeros = np.zeros(array.shape[1:], array.dtype)
    return np.stack([zeros if row is None else row for row in rows])
