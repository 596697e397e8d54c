"""The members that a run plans: which are complete and which are still to be trained."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog, partition
from overlap.config import RunConfig
from overlap.ensemble.held_out import combine_held_out
from overlap.ensemble.stopping import StoppingPoint, find_stopping_point
from overlap.errors import CorruptError, NotReadyError
from overlap.features import FeatureStore
from overlap.io.formatting import counted
from overlap.io.location import Location
from overlap.io.workspace_paths import MemberPaths
from overlap.training.spec import (
    REMEDY,
    MemberRecord,
    MemberSpec,
    load_record,
    plan_members,
    test_key,
)

MAX_LISTED = 10
"""Missing members that a message lists."""


@dataclass(frozen=True, eq=False)
class Members:
    """The members of a run, derived from the workspace alone.

    Every decision about members (which remain, which is trained next, which are pooled) uses this
    class, so that a run, the run after it and `overlap plan` agree.
    """

    specs: tuple[MemberSpec, ...]
    """The planned members; their numbers start at 1."""
    records: tuple[MemberRecord | None, ...]
    """The record of each complete member; None for the others."""
    trained: tuple[bool, ...]
    """Whether each member has its weights; it may lack predictions for new test clips."""
    stop: StoppingPoint | None
    """Set if the expected gain of another member is too small."""
    min_members: int | None
    """Number of members that suffices; None: all planned ones are required."""

    @property
    def complete(self) -> list[MemberRecord]:
        """Records of the complete members, in the order of the plan."""
        return [record for record in self.records if record is not None]

    @property
    def pending(self) -> list[tuple[int, MemberSpec]]:
        """Number and specification of each member that is still to be completed."""
        return [
            (number, spec)
            for number, (spec, record, trained) in enumerate(
                zip(self.specs, self.records, self.trained, strict=True), 1
            )
            if record is None and (trained or self.stop is None)
        ]

    @property
    def sufficient(self) -> bool:
        """Whether the complete members can be published as an ensemble.

        They must include a complete round: without one, no clip could be scored with folds.
        """
        if not self.pending:
            return True
        folds = self.specs[0].validation.folds or 1
        present = {record.spec.fold for record in self.complete}
        return self.min_members is not None and (
            len(self.complete) >= self.min_members and present == set(range(folds))
        )

    @property
    def shortfall(self) -> str | None:
        """Why fewer members than planned are complete; None if all are complete."""
        complete, planned = len(self.complete), len(self.specs)
        reasons = []
        if complete < planned and self.stop:
            reasons.append(
                f"training stopped after {self.stop.members}: the next member was expected to "
                f"lower the KL by only {self.stop.gain:.2g} nats (ensemble.stop_when_gain_below)"
            )
        if self.pending and self.min_members is not None:
            numbers = [str(number) for number, _ in self.pending]
            listed = ", ".join(numbers[:MAX_LISTED]) + (", …" if len(numbers) > MAX_LISTED else "")
            reasons.append(
                f"missing members: {listed}; {self.min_members} suffice (ensemble.min_members)"
            )
        return (
            f"{complete} of {counted(planned, 'member')}; {'; '.join(reasons)}" if reasons else None
        )


class MemberTracker:
    """Follows the members of a run while they are trained; reads every file of a member once.

    A decision about the next member needs the predictions of all members before it. Reading them
    for every decision would cost the square of the number of members.

    Args:
        workspace: The workspace.
        config: The run.
        catalog: The clips.
        store: The features, complete.

    Raises:
        CorruptError: A record of a member cannot be read.
    """

    def __init__(
        self, workspace: Location, config: RunConfig, catalog: Catalog, store: FeatureStore
    ) -> None:
        self._workspace, self._config, self._catalog = workspace, config, catalog
        self._specs = tuple(plan_members(config, catalog, store))
        self._folders = [spec.folder(workspace) for spec in self._specs]
        self._records = [load_record(folder) for folder in self._folders]
        self._tests = test_key(catalog)
        self._rows: dict[int, NDArray[np.int64]] = {}
        self._parts: list[tuple[int, NDArray[np.int64], NDArray[np.float64]]] = []
        self._searched = 0
        self._stop: StoppingPoint | None = None

    def reread(self, number: int) -> None:
        """Read the record of one member again, because its job has ended.

        Args:
            number: Its number in the plan, from 1.
        """
        self._records[number - 1] = load_record(self._folders[number - 1])

    def members(self) -> Members:
        """Return the state of the members as it was last read.

        Raises:
            CorruptError: The predictions of a member cannot be read.
        """
        tests = self._tests
        return Members(
            specs=self._specs,
            records=tuple(r if r and r.test_key == tests else None for r in self._records),
            trained=tuple(record is not None for record in self._records),
            stop=self._stopping_point(),
            min_members=self._config.ensemble.min_members,
        )

    def _stopping_point(self) -> StoppingPoint | None:
        min_gain, validation = self._config.ensemble.stop_when_gain_below, self._config.validation
        if min_gain is None or self._stop is not None:
            return self._stop
        self._read_leading_predictions()
        folds = [fold for fold, *_ in self._parts]
        rounds = min(folds.count(fold) for fold in range(validation.folds or 1))
        if rounds > self._searched:
            held_out = combine_held_out(self._catalog, validation, self._parts)
            if held_out is not None:
                self._stop = find_stopping_point(held_out, min_gain, self._searched)
            self._searched = rounds
        return self._stop

    def _read_leading_predictions(self) -> None:
        """Read the held-out predictions of the members before the first untrained one.

        Later members are left out, so that the stopping point does not depend on the order in
        which members finish, or on failures.
        """
        for index in range(len(self._parts), len(self._specs)):
            if self._records[index] is None:
                return
            fold = self._specs[index].fold
            location = MemberPaths(self._folders[index]).predictions
            try:  # without the record's digest: predictions are written before the record
                saved = location.read_arrays()
            except (OSError, CorruptError) as error:
                raise CorruptError(
                    f"{location}: the file cannot be read ({error}); {REMEDY}", path=str(location)
                ) from None
            if fold not in self._rows:
                held_out = partition(self._catalog, self._config.validation, fold).held_out
                self._rows[fold] = held_out
            if not np.array_equal(saved["held_out_rows"], self._rows[fold]):
                return  # the rows have moved: the member has to predict again first
            self._parts.append((fold, self._rows[fold], saved["held_out"]))


def load_members(
    workspace: Location, config: RunConfig, catalog: Catalog, store: FeatureStore
) -> Members:
    """Read the state of a run's members from the workspace.

    Args:
        workspace: The workspace.
        config: The run.
        catalog: The clips.
        store: The features, complete.

    Raises:
        CorruptError: A record or the predictions of a member cannot be read.
    """
    return MemberTracker(workspace, config, catalog, store).members()


def ready_members(workspace: Location, members: Members) -> list[MemberRecord]:
    """Return the records of the members to pool.

    Raises:
        NotReadyError: Members are missing, or their predictions are for other test clips (code
            `members-missing`).
    """
    if not members.sufficient:
        complete, planned = len(members.complete), len(members.specs)
        raise NotReadyError(
            f"{workspace}: only {complete} of {counted(planned, 'member')} are complete; "
            "run `overlap train` to train the others",
            code="members-missing", workspace=str(workspace), complete=complete, planned=planned,
        )  # fmt: skip
    return members.complete
