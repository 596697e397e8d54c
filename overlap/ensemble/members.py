"""The members that a run plans: which are complete and which are still to be trained."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from overlap.catalog import Catalog, partition
from overlap.config import RunConfig
from overlap.ensemble.held_out import HeldOutPredictions, combine_held_out
from overlap.ensemble.stopping import StoppingPoint, find_stopping_point
from overlap.errors import CorruptError, NotReadyError
from overlap.features import FeatureStore
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
        return f"{complete} of {planned} members; {'; '.join(reasons)}" if reasons else None


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
    specs = plan_members(config, catalog, store)
    records = [load_record(spec.folder(workspace)) for spec in specs]
    trained = [record is not None for record in records]
    min_gain = config.ensemble.stop_when_gain_below
    tests, stop = test_key(catalog), None
    if min_gain is not None:
        held_out = _leading_predictions(workspace, config, catalog, specs, trained)
        stop = find_stopping_point(held_out, min_gain) if held_out else None
    return Members(
        specs=tuple(specs),
        records=tuple(r if r is not None and r.test_key == tests else None for r in records),
        trained=tuple(trained),
        stop=stop,
        min_members=config.ensemble.min_members,
    )


def ready_members(workspace: Location, members: Members) -> list[MemberRecord]:
    """Return the records of the members to pool.

    Raises:
        NotReadyError: Members are missing, or their predictions are for other test clips (code
            `members-missing`).
    """
    if not members.sufficient:
        complete, planned = len(members.complete), len(members.specs)
        raise NotReadyError(
            f"{workspace}: only {complete} of {planned} members are complete; "
            "run `overlap train` to train the others",
            code="members-missing", workspace=str(workspace), complete=complete, planned=planned,
        )  # fmt: skip
    return members.complete


def _leading_predictions(
    workspace: Location,
    config: RunConfig,
    catalog: Catalog,
    specs: Sequence[MemberSpec],
    trained: Sequence[bool],
) -> HeldOutPredictions | None:
    """Return the held-out predictions of the members before the first untrained one.

    Later members are left out, so that the stopping point does not depend on the order in which
    members finish, or on failures.
    """
    count = trained.index(False) if False in trained else len(trained)
    parts = []
    for spec in specs[:count]:
        location = MemberPaths(spec.folder(workspace)).predictions
        try:  # without the record's digest: predictions are written before the record
            saved = location.read_arrays()
        except (OSError, CorruptError) as error:
            raise CorruptError(
                f"{location}: the file cannot be read ({error}); {REMEDY}", path=str(location)
            ) from None
        rows = partition(catalog, config.validation, spec.fold).held_out
        if not np.array_equal(saved["held_out_rows"], rows):
            break  # the rows have moved: the member has to predict again first
        parts.append((spec.fold, rows, saved["held_out"]))
    return combine_held_out(catalog, config.validation, parts)
