"""Damage of a feature store: how it is found, and in what words it is told."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, cast

import numpy as np
import zarr
from numpy.typing import NDArray

from overlap.config import fingerprint
from overlap.errors import CorruptError, OverlapError
from overlap.io.location import Location
from overlap.io.records import check_format
from overlap.io.storage_errors import storage_errors


class Located(Protocol):
    """What has an address."""

    @property
    def location(self) -> object:
        """The address."""


Owner = TypeVar("Owner", bound=Located)
Given = ParamSpec("Given")
Result = TypeVar("Result")

AGAIN: Final = "`overlap verify --repair` marks what is damaged, and the next run computes it again"
ANEW: Final = "remove the store, and the next run computes it anew"


@contextmanager
def corruption_errors(what: str, remedy: str = AGAIN) -> Iterator[None]:
    """Around the reading of something: whatever fails but the storage itself is damage.

    Args:
        what: What is read.
        remedy: What to do.

    Raises:
        CorruptError: it is damaged.
        StorageError: the storage fails.
    """
    try:
        with storage_errors(what):
            yield
    except (FileNotFoundError, OverlapError):
        raise
    except Exception as error:  # noqa: BLE001  it can fail in any codec or parser
        said = str(error) or type(error).__name__
        raise CorruptError(f"{what}: damaged ({said}); {remedy}") from None


def of_storage(
    method: Callable[Concatenate[Owner, Given], Result],
) -> Callable[Concatenate[Owner, Given], Result]:
    """A method of a store that writes: where the storage fails, it is named."""

    @wraps(method)
    def named(self: Owner, *given: Given.args, **more: Given.kwargs) -> Result:
        with storage_errors(self.location):
            return method(self, *given, **more)

    return cast("Callable[Concatenate[Owner, Given], Result]", named)


def stored_format(location: Location, newest: int) -> object:
    """Return the format version of a finished store, or None where there is no store.

    Args:
        location: The store.
        newest: The highest format version that can be read.

    Raises:
        NewerFormatError: A later release wrote the store in a format unknown to this one.
        CorruptError: Its metadata is damaged.
    """
    file = location / "zarr.json"
    if not file.exists():
        return None
    with corruption_errors(str(file), ANEW):
        about = file.read_json()["attributes"]
        found = about.get("format")
        if isinstance(found, int):
            check_format(found, newest, str(location), about.get("software", {}).get("overlap"))
        return found


def seal_of(attributes: Mapping[str, Any]) -> str:
    """Name of the attributes that a store depends on: a flipped bit may leave valid ones."""
    return fingerprint(attributes["features"], attributes["block_clips"])


def read_or_none(array: zarr.Array[Any], place: slice | int) -> NDArray[Any] | None:
    """What an array holds there; None where it is damaged."""
    try:
        return np.asarray(array[place])
    except (ValueError, RuntimeError):
        return None


def holds(array: zarr.Array[Any], place: slice, values: NDArray[Any]) -> bool:
    """Whether an array holds these values there; not, where it is damaged."""
    found = read_or_none(array, place)
    return found is not None and bool(np.array_equal(found, values))


def read_each(array: zarr.Array[Any], start: int, stop: int) -> NDArray[Any]:
    """Rows of an array whose chunks have one row each; zeros for what is damaged."""
    together = read_or_none(array, slice(start, stop))
    if together is not None:
        return together
    rows = [read_or_none(array, row) for row in range(start, min(stop, array.shape[0]))]
    nothing = np.zeros(array.shape[1:], array.dtype)
    return np.stack([nothing if row is None else row for row in rows])
