"""Reads a workspace for the pages, with a short memory, and never fails as a whole.

A workspace may be empty, damaged in a part, or written by a newer release. Each page therefore asks
for parts, and a part that cannot be read is a sentence for the reader instead of an error page.
"""

import os
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pyarrow.parquet as pq

from overlap.catalog import Catalog, stored_rows
from overlap.catalog.problems import printable
from overlap.ensemble.registry import EnsembleRecord, list_ensembles, load_ensemble
from overlap.errors import NotReadyError, OverlapError
from overlap.features import FeatureStore
from overlap.features.compare import DriftRow, compare
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.promotion.champion import Aliases, read_aliases
from overlap.reporting.report_data import ReportData, load_report_data
from overlap.training.progress import EpochProgress, read_progress
from overlap.training.spec import MemberRecord, MemberSpec, load_record, load_spec
from overlap.view.clips.names import ClipNames
from overlap.view.clips.predicted import PredictedClips, read_predicted
from overlap.view.parts import Part, PartCache, read_part
from overlap.workspace.runs import RunRecord, read_runs

FRESH_SECONDS: Final = 2.0
"""How long a part that was read is shown again."""
COSTLY_SECONDS: Final = 120.0
"""The same for parts that take long to read: drift and disk use."""
RUNS_SHOWN: Final = 20
REASONS_SHOWN: Final = 8
REPORTS_KEPT: Final = 4
CLIPS_KEPT: Final = 3
"""Versions whose predictions of single clips are kept in memory, those that were shown last."""


@dataclass(frozen=True)
class Clips:
    """The clips of a workspace."""

    data: str
    words: tuple[str, ...]
    counts: dict[str, int]
    """Number of clips by split and state."""
    reasons: tuple[tuple[str, int], ...]
    """Most frequent reasons of unusable clips, with their number."""


@dataclass(frozen=True)
class DiskUse:
    """Bytes on the disk by top-level entry of the workspace."""

    entries: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(size for _, size in self.entries)


@dataclass(frozen=True)
class MemberState:
    """A member's folder."""

    fingerprint: str
    spec: MemberSpec | None
    record: MemberRecord | None
    """None while the member is not complete."""
    epochs: tuple[EpochProgress, ...]
    """Finished epochs, from the progress file; without one, from the record."""
    problem: str = ""

    @property
    def planned(self) -> int:
        """Number of epochs of the training."""
        return self.spec.training.epochs if self.spec else 0

    @property
    def touched(self) -> datetime | None:
        """When the last epoch ended; None if unknown."""
        return self.epochs[-1].time if self.epochs else None

    @property
    def seconds_left(self) -> float | None:
        """Expected time in training epochs that remain, s."""
        if self.record or not self.epochs or not self.epochs[-1].seconds:
            return None
        last = self.epochs[-1]
        return (last.epochs - last.epoch) * last.seconds / last.epoch


class WorkspaceReader:
    """The parts of one workspace.

    Args:
        location: The workspace; it may be empty.
        fresh_seconds: How long a part is shown again before it is read again.
    """

    def __init__(self, location: Location, fresh_seconds: float = FRESH_SECONDS) -> None:
        self.location, self.paths = location, WorkspacePaths(location)
        self._parts = PartCache(fresh_seconds)
        self._complete: dict[str, MemberState] = {}

    def exists(self) -> bool:
        """Return whether the folder exists now."""
        return read_part(self.location.is_folder).value or False

    def ensembles(self) -> Part[list[EnsembleRecord]]:
        """The published ensembles, oldest first; with a problem, those that can be read."""
        return self._parts.timed("ensembles", self._ensembles)

    def aliases(self) -> Part[Aliases]:
        """The champion and the history of decisions."""
        return self._parts.timed("aliases", lambda: read_aliases(self.location))

    def runs(self) -> Part[tuple[RunRecord, ...]]:
        """The latest runs, newest first."""
        return self._parts.timed("runs", lambda: read_runs(self.location, RUNS_SHOWN))

    def clips(self) -> Part[Clips]:
        """Numbers of clips and the problems of the data."""
        return self._parts.timed("clips", self._clips, COSTLY_SECONDS / 4)

    def drift(self) -> Part[tuple[DriftRow, ...]]:
        """Drift of the test clips from the training clips."""
        return self._parts.timed("drift", self._drift, COSTLY_SECONDS)

    def disk(self) -> Part[DiskUse]:
        """Disk use of the workspace."""
        return self._parts.timed("disk", self._disk, COSTLY_SECONDS)

    def members(self) -> Part[tuple[MemberState, ...]]:
        """All members, by seed and fold."""
        return self._parts.timed("members", self._members)

    def report(self, record: EnsembleRecord) -> Part[ReportData]:
        """Everything that the report of a version shows."""

        def read() -> ReportData:
            return load_report_data(self.location, record)

        return self._parts.timed(
            "report", read, COSTLY_SECONDS, name=record.version, most=REPORTS_KEPT
        )

    def clip_names(self) -> Part[ClipNames]:
        """The catalogue; read again when its file has changed."""
        stamp = self._parts.timed("catalog stamp", self._catalog_stamp).value

        def read() -> ClipNames:
            return ClipNames(Catalog.load(self.location), stamp)

        return self._parts.stamped("catalog", read, stamp)

    def predicted_clips(self, record: EnsembleRecord) -> Part[PredictedClips]:
        """The held-out and test clips of a version; read again when a file has changed."""
        names = self.clip_names()
        if names.value is None:
            return Part(None, names.problem, names.missing)
        catalog = names.value.catalog

        def read() -> PredictedClips:
            return read_predicted(self.location, record, catalog)

        stamp = (names.value.stamp, record.files, record.pooled)
        return self._parts.stamped("predicted", read, stamp, name=record.version, most=CLIPS_KEPT)

    def store(self) -> Part[FeatureStore]:
        """The feature store."""
        return self._parts.timed("store", lambda: FeatureStore.open(self.location))

    def _catalog_stamp(self) -> str | None:
        """Changes with the file of the catalogue; None without one."""
        if not self.location.is_folder():
            return None
        name = self.paths.catalog.name
        return next((file.version for file in self.location.files() if file.name == name), None)

    def _ensembles(self) -> list[EnsembleRecord]:
        try:
            return list_ensembles(self.location)
        except (OverlapError, OSError):
            found = []
            for version in self.paths.ensembles.folders():
                part = read_part(lambda v=version: load_ensemble(self.paths.ensemble(v).record))  # type: ignore[misc]
                if part.value is not None:
                    found.append(part.value)
            if not found:
                raise
            return found

    def _clips(self) -> Clips:
        with stored_rows(self.location) as rows:
            data, words, counts = rows.data, rows.words, rows.counts()
        reasons: Counter[str] = Counter()
        if counts.get("quarantined") and self.paths.quarantine.exists():
            with self.paths.quarantine.reading() as file:
                column = pq.read_table(file, columns=["reason"])["reason"]
                reasons.update(str(reason) for reason in column.to_pylist())
        common = tuple((printable(name), n) for name, n in reasons.most_common(REASONS_SHOWN))
        return Clips(data, words, counts, common)

    def _drift(self) -> tuple[DriftRow, ...]:
        records = self.ensembles().value or []
        config: dict[str, Any] = records[-1].config if records else {}
        top_db = float(config.get("training", {}).get("top_db", 80.0))
        return compare(FeatureStore.open(self.location), None, top_db)

    def _disk(self) -> DiskUse:
        root = self.location.local
        if root is None:
            raise NotReadyError(
                f"{self.location}: the size of an object store is not measured", code="not-local"
            )
        with os.scandir(root) as found:
            entries = [(entry.name, _bytes_below(entry)) for entry in found]
        largest = sorted(((n, size) for n, size in entries if size), key=lambda one: -one[1])
        return DiskUse(tuple(largest))

    def _members(self) -> tuple[MemberState, ...]:
        found = [self._member(name) for name in self.paths.members.folders()]
        return tuple(sorted(found, key=_order))

    def _member(self, name: str) -> MemberState:
        folder = self.paths.member(name).folder
        known = self._complete.get(name)
        if known is not None and self.paths.member(name).record.exists():
            return known
        record = read_part(lambda: load_record(folder))
        if record.value is not None:
            state = MemberState(name, record.value.spec, record.value, read_progress(folder))
            self._complete[name] = state
            return state
        spec = read_part(lambda: load_spec(folder))
        problem = record.problem or spec.problem
        return MemberState(name, spec.value, None, read_progress(folder), problem)


def _order(member: MemberState) -> tuple[int, int, str]:
    spec = member.spec
    return (spec.seed if spec else 0, spec.fold if spec else 0, member.fingerprint)


def _bytes_below(entry: "os.DirEntry[str]") -> int:
    try:
        if not entry.is_dir(follow_symlinks=False):
            return entry.stat(follow_symlinks=False).st_size
        with os.scandir(entry.path) as found:
            return sum(_bytes_below(below) for below in found)
    except OSError:
        return 0  # removed meanwhile, or not readable
