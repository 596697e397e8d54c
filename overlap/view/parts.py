"""Parts of a workspace as pages show them: a value, or a sentence; kept for a while in memory."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import pyarrow as pa

from overlap.errors import NewerFormatError, NotReadyError, OverlapError
from overlap.redaction import masked

Value = TypeVar("Value")
Held = TypeVar("Held")


@dataclass(frozen=True)
class Part(Generic[Value]):
    """A part of a workspace, or why it cannot be shown."""

    value: Value | None
    problem: str = ""
    missing: bool = False
    """Whether it does not exist yet, which is no fault."""


def read_part(read: Callable[[], Value]) -> Part[Value]:
    """Read a part; an error becomes its problem."""
    try:
        return Part(read())
    except NotReadyError as error:
        return Part(None, masked(str(error)), missing=True)
    except NewerFormatError as error:
        return Part(None, f"written by a newer release: {masked(str(error))}")
    except (OverlapError, OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        return Part(None, masked(str(error)) or type(error).__name__)


class PartCache:
    """Parts that were read. Several requests for one part read it once.

    Args:
        fresh_seconds: How long a part is returned again before it is read again.
    """

    def __init__(self, fresh_seconds: float) -> None:
        self._fresh = fresh_seconds
        self._timed: dict[tuple[str, str], tuple[float, object]] = {}
        self._stamped: dict[tuple[str, str], tuple[object, object]] = {}
        self._lock = threading.Lock()
        self._locks: dict[object, threading.Lock] = {}

    def timed(
        self,
        kind: str,
        read: Callable[[], Value],
        seconds: float | None = None,
        *,
        name: str = "",
        most: int = 1,
    ) -> Part[Value]:
        """Return a part that is read again after some time.

        Args:
            kind: The kind of part.
            read: Reads it.
            seconds: The time, s; None: the usual one.
            name: Distinguishes parts of a kind.
            most: How many parts of the kind are kept: those that were read last.
        """
        key = (kind, name)
        with self._guard(key):
            known = self._timed.get(key)
            limit = self._fresh if seconds is None or not self._fresh else seconds
            if known is not None and time.monotonic() - known[0] < limit:
                return cast("Part[Value]", known[1])
            part = read_part(read)
            with self._lock:
                self._timed.pop(key, None)
                self._timed[key] = (time.monotonic(), part)
                _keep(self._timed, kind, most)
            return part

    def stamped(
        self, kind: str, read: Callable[[], Value], stamp: object, *, name: str = "", most: int = 1
    ) -> Part[Value]:
        """Return a part that is read again when its stamp has changed; after a fault, as `timed`.

        Args:
            kind: The kind of part.
            read: Reads it.
            stamp: Changes with the files of the part.
            name: Distinguishes parts of a kind.
            most: How many parts of the kind are kept: those that were returned last.
        """
        key = (kind, name)
        with self._guard(("stamped", *key)):
            with self._lock:
                known = self._stamped.pop(key, None)
            if known is not None and known[0] == stamp:
                part = cast("Part[Value]", known[1])
            else:
                part = self.timed(kind, read, name=name, most=most)
            if part.value is not None:
                with self._lock:
                    self._timed.pop(key, None)
                    self._stamped[key] = (stamp, part)
                    _keep(self._stamped, kind, most)
            return part

    def _guard(self, key: object) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(key, threading.Lock())


def _keep(parts: dict[tuple[str, str], Held], kind: str, most: int) -> None:
    """Remove all but the newest parts of a kind."""
    for old in [key for key in parts if key[0] == kind][:-most]:
        del parts[old]
