"""Where and when a member was trained: what a worker writes down of it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from overlap.io.location import Location
from overlap.io.records import Record
from overlap.io.workspace_paths import MemberPaths

GIVEN = "OVERLAP_PLACEMENT"
"""Environment variable: tells the process that trains where it is."""


class Placement(Record):
    """A worker, and the time in which it had a member."""

    worker: str
    """Address of the Dask worker."""
    name: str
    """Its name."""
    host: str
    """Its machine."""
    process: int
    """Its process on that machine."""
    resources: dict[str, float]
    """What it offers, such as {"GPU": 1}."""
    started: datetime
    """When it began, UTC."""
    ended: datetime | None = None
    """When it was done, UTC; None while it is not, and where it died."""
    fault: str | None = None
    """Why it gave the member up."""

    def environment(self) -> Mapping[str, str]:
        """Environment of a process that trains there."""
        return {GIVEN: self.model_dump_json()}


@contextmanager
def record_placement(folder: Location, placement: Placement) -> Iterator[None]:
    """Keep a record of the worker beside the member while it has it, and of the end."""
    begun = f"{placement.started:%Y%m%dT%H%M%S%f}"
    file = MemberPaths(folder).placements / f"{begun}-{placement.process}.json"
    file.write_record(placement)
    fault = None
    try:
        yield
    except BaseException as error:
        fault = str(error) or type(error).__name__
        raise
    finally:
        done = {"ended": datetime.now(UTC), "fault": fault}
        file.write_record(placement.model_copy(update=done))


def placement_here() -> Placement | None:
    """Inside a process that trains: where, until now; None outside of a cluster."""
    given = os.environ.get(GIVEN)
    if given is None:
        return None
    return Placement.model_validate_json(given).model_copy(update={"ended": datetime.now(UTC)})


def placement_files(folder: Location) -> list[Location]:
    """Return the records of the workers that had a member, in the order of their start."""
    kept = MemberPaths(folder).placements
    if not kept.is_folder():
        return []
    names = sorted(entry.name for entry in kept.files() if entry.name.endswith(".json"))
    return [kept / name for name in names]


def placements(folder: Location) -> list[Placement]:
    """Return every worker that had a member, in the order of their start."""
    return [file.read_record(Placement) for file in placement_files(folder)]
