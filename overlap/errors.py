"""One hierarchy of errors; each is also the fitting builtin, so that callers can catch either.

`UserError` and what derives from it is a mistake of the person who started the work: the
command line prints it without a traceback and exits with 2. Everything else means that the
work itself failed (exit code 1). No message holds a secret.
"""

from typing import Final

from overlap.redaction import masked

GOES_ON: Final = "what is complete is kept, and a new run goes on from there"
"""How every message about work that ended too early closes."""


class OverlapError(Exception):
    """Base of every error that overlap raises on purpose."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(masked(arg) if isinstance(arg, str) else arg for arg in args))


class UserError(OverlapError, ValueError):
    """Something that the person who started the work can put right."""


class ConfigError(UserError):
    """The configuration names something unknown or out of bounds."""


class DataError(UserError):
    """The data breaks the data contract; the message lists every problem found."""


class NotReadyError(UserError, LookupError):
    """What was asked for needs an earlier stage, or does not exist in this workspace."""


class WorkspaceLockedError(UserError, TimeoutError):
    """Another run works on the workspace."""


class ClusterError(UserError, ConnectionError):
    """The Dask cluster does not answer, or cannot do the work."""


class ClusterLostError(OverlapError, ConnectionError):
    """The Dask cluster, or what does the work in it, went away during the work."""


class UnfitWorkerError(OverlapError, RuntimeError):
    """A worker that joined during the work cannot do it.

    Attributes:
        address: The worker.
        fault: Why.
    """

    def __init__(self, address: str, fault: str) -> None:
        super().__init__(address, fault)
        self.address, self.fault = address, masked(fault)

    def __str__(self) -> str:
        return f"{self.address}: {self.fault}"


class AudioError(OverlapError, ValueError):
    """A clip cannot be used; the message is the reason written into the quarantine."""


class CorruptError(OverlapError, RuntimeError):
    """Something stored in the workspace is not what was written there."""


class StorageError(OverlapError, OSError):
    """A disk or an object store cannot be read or written."""


class ChildError(OverlapError, RuntimeError):
    """A process that was started for a part of the work failed."""


class MemberError(OverlapError, RuntimeError):
    """The process that trains or applies a member failed."""


class DivergedError(MemberError):
    """A training learns nothing more, and never will: another seed may."""


class BenchError(OverlapError, RuntimeError):
    """What a benchmark measures failed."""
