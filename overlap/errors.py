"""The errors that overlap raises: one hierarchy, each with a stable code and fields.

Every class below `OverlapError` also derives from the matching builtin exception. `UserError` and
its subclasses are mistakes of the user: the command line prints the message without a traceback and
exits with code 2. Everything else means that the work failed (exit code 1). No message and no
field contains a secret.

The code and the fields are for programs and tests; the message is for the reader and may change
in any release:

    >>> error = NotReadyError("W: there is no champion", code="no-champion", workspace="W")
    >>> error.code, error.fields
    ('no-champion', {'workspace': 'W'})
"""

from typing import Any, ClassVar, Final

from overlap.redaction import masked

RESUME_HINT: Final = "completed work is kept, and a new run resumes from it"
"""The last clause of every message about work that ended early."""


class OverlapError(Exception):
    """Base of every error that overlap raises on purpose.

    Args:
        *args: The message.
        code: Identifies the fault more closely than the class does; kebab-case, stable across
            releases.
        **fields: Facts of the fault, such as the path or the limit that was exceeded.
    """

    default_code: ClassVar[str] = "failed"
    """The code where none is given."""

    def __init__(self, *args: object, code: str | None = None, **fields: object) -> None:
        super().__init__(*map(_masked, args))
        self.code = code or self.default_code
        self.fields = {name: _masked(value) for name, value in fields.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        # Code and fields are keyword arguments, which BaseException does not pickle.
        return _restored, (type(self), self.args, self.code, self.fields)


def _restored(
    kind: type[OverlapError], args: tuple[object, ...], code: str, fields: dict[str, object]
) -> OverlapError:
    return kind(*args, code=code, **fields)


def _masked(value: object) -> object:
    return masked(value) if isinstance(value, str) else value


class UserError(OverlapError, ValueError):
    """A mistake that the user can correct."""

    default_code = "invalid-request"


class ConfigError(UserError):
    """The configuration contains an unknown key or a value out of bounds."""

    default_code = "invalid-configuration"


class DataError(UserError):
    """The data breaks the data contract; the message lists every problem."""

    default_code = "invalid-data"


class NotReadyError(UserError, LookupError):
    """The request needs an earlier stage, or names something that this workspace lacks."""

    default_code = "not-ready"


class WorkspaceLockedError(UserError, TimeoutError):
    """Another run holds the workspace's lock."""

    default_code = "workspace-locked"


class ClusterError(UserError, ConnectionError):
    """The Dask cluster does not answer, or cannot do the work."""

    default_code = "cluster-unfit"


class ClusterLostError(OverlapError, ConnectionError):
    """The Dask cluster, or its workers, disappeared during the work."""

    default_code = "cluster-lost"


class UnfitWorkerError(OverlapError, RuntimeError):
    """A worker that joined during the work cannot do it.

    Attributes:
        address: Address of the worker.
        fault: Why it is unfit.
    """

    default_code = "worker-unfit"

    def __init__(
        self, address: str, fault: str, *, code: str | None = None, **fields: object
    ) -> None:
        super().__init__(address, fault, code=code, **fields)
        self.address, self.fault = address, masked(fault)

    def __str__(self) -> str:
        return f"{self.address}: {self.fault}"


class AudioError(OverlapError, ValueError):
    """A clip is unusable; the message is the reason recorded in the quarantine."""

    default_code = "unusable-clip"


class CorruptError(OverlapError, RuntimeError):
    """A stored file differs from what was written."""

    default_code = "corrupt"


class NewerFormatError(OverlapError, RuntimeError):
    """A newer version of overlap wrote a record that this version cannot read.

    It is not damage: nothing repairs, replaces or removes such a record.
    """

    default_code = "newer-format"


class StorageError(OverlapError, OSError):
    """A disk or an object store cannot be read or written."""

    default_code = "storage"


class ChildError(OverlapError, RuntimeError):
    """A worker process failed."""

    default_code = "worker-process-failed"


class MemberError(OverlapError, RuntimeError):
    """Training or applying a member failed."""

    default_code = "member-failed"


class DivergedError(MemberError):
    """A training diverged for good; another seed may succeed."""

    default_code = "diverged"


class BenchError(OverlapError, RuntimeError):
    """A benchmarked process failed."""

    default_code = "benchmark-failed"
