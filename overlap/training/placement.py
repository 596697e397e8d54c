"""Records of the workers on which a member was trained."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from overlap.io.location import Location
from overlap.io.records import Record
from overlap.io.workspace_paths import MemberPaths

PLACEMENT_ENV = "OVERLAP_PLACEMENT"
"""Environment variable that passes the placement to the training process."""


class Placement(Record):
    """A worker, and the time during which it trained a member."""

    worker: str
    """Address of the Dask worker."""
    name: str
    """Name of the worker."""
    host: str
    """Host of the worker."""
    process: int
    """Process id of the worker on that host."""
    resources: dict[str, float]
    """Resources of the worker, such as {"GPU": 1}."""
    started: datetime
    """Start of the training, UTC."""
    ended: datetime | None = None
    """End of the training, UTC; None while it runs, and if the worker died."""
    fault: str | None = None
    """Why the worker failed to train the member; None if it did not fail."""

    def environment(self) -> Mapping[str, str]:
        """Return the environment variables of a process that trains on this worker."""
        return {PLACEMENT_ENV: self.model_dump_json()}


@contextmanager
def record_placement(folder: Location, placement: Placement) -> Iterator[None]:
    """Write the placement to the member's folder at the start, and again at the end."""
    started = f"{placement.started:%Y%m%dT%H%M%S%f}"
    file = MemberPaths(folder).placements / f"{started}-{placement.process}.json"
    file.write_record(placement)
    fault = None
    try:
        yield
    except BaseException as error:
        fault = str(error) or type(error).__name__
        raise
    finally:
        outcome = {"ended": datetime.now(UTC), "fault": fault}
        file.write_record(placement.model_copy(update=outcome))


def placement_here() -> Placement | None:
    """Return the placement of this process, ended now; None outside a cluster."""
    value = os.environ.get(PLACEMENT_ENV)
    if value is None:
        return None
    return Placement.model_validate_json(value).model_copy(update={"ended": datetime.now(UTC)})


def placement_files(folder: Location) -> list[Location]:
    """Return the files of a member's placements, in the order of their start."""
    records = MemberPaths(folder).placements
    if not records.is_folder():
        return []
    names = sorted(entry.name for entry in records.files() if entry.name.endswith(".json"))
    return [records / name for name in names]


def placements(folder: Location) -> list[Placement]:
    """Return the placements of a member, in the order of their start."""
    return [file.read_record(Placement) for file in placement_files(folder)]
