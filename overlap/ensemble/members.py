"""The members that a run plans, how far they are, and which of them are still wanted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from overlap.catalog import Catalog, partition
from overlap.config import RunConfig
from overlap.ensemble.held_out import HeldOut, gather_held_out
from overlap.ensemble.stopping import Stop, find_stop
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

NAMED = 10
"""Missing members that a message names."""


@dataclass(frozen=True, eq=False)
class Members:
    """The members of a run, read from the workspace alone.

    Everything that decides about members (what is left to do, what is trained next, what is
    pooled) asks this, so that a run, the run after it and `overlap plan` agree.
    """

    specs: tuple[MemberSpec, ...]
    """The planned members; their numbers are counted from 1."""
    records: tuple[MemberRecord | None, ...]
    """The record of each one that is complete."""
    trained: tuple[bool, ...]
    """Whether each has its weights; it may lack predictions for new test clips."""
    stop: Stop | None
    """Set where another member is expected to bring too little."""
    least: int | None
    """How many are enough; None: all that are wanted."""

    @property
    def complete(self) -> list[MemberRecord]:
        """The records of the complete members, in the order of the plan."""
        return [record for record in self.records if record is not None]

    @property
    def wanted(self) -> list[tuple[int, MemberSpec]]:
        """Number and specification of each member that is still to be made complete."""
        return [
            (number, spec)
            for number, (spec, record, trained) in enumerate(
                zip(self.specs, self.records, self.trained, strict=True), 1
            )
            if record is None and (trained or self.stop is None)
        ]

    @property
    def enough(self) -> bool:
        """Whether the ensemble can be made of the complete ones.

        A complete round is among them: with folds, without one no clip could be scored.
        """
        if not self.wanted:
            return True
        folds = self.specs[0].validation.folds or 1
        found = {record.spec.fold for record in self.complete}
        return self.least is not None and (
            len(self.complete) >= self.least and found == set(range(folds))
        )

    @property
    def fewer(self) -> str | None:
        """Why the complete ones are fewer than planned; None where they are not."""
        there, planned = len(self.complete), len(self.specs)
        reasons = []
        if there < planned and self.stop:
            reasons.append(
                f"after {self.stop.members} the next was expected to lower the KL by "
                f"{self.stop.gain:.2g} only (ensemble.stop_when_gain_below)"
            )
        if self.wanted and self.least is not None:
            numbers = [str(number) for number, _ in self.wanted]
            named = ", ".join(numbers[:NAMED]) + (", …" if len(numbers) > NAMED else "")
            reasons.append(
                f"member {named} is missing, and {self.least} are enough (ensemble.min_members)"
            )
        return f"{there} of {planned} members: {'; '.join(reasons)}" if reasons else None


def look_at_members(
    workspace: Location, config: RunConfig, catalog: Catalog, store: FeatureStore
) -> Members:
    """How far the members of a run are.

    Args:
        workspace: The workspace.
        config: The run.
        catalog: The clips.
        store: The features, complete.

    Raises:
        CorruptError: a record cannot be read.
    """
    specs = plan_members(config, catalog, store)
    found = [load_record(spec.folder(workspace)) for spec in specs]
    trained = [record is not None for record in found]
    least_gain = config.ensemble.stop_when_gain_below
    tests, stop = test_key(catalog), None
    if least_gain is not None:
        held_out = _first_trained(workspace, config, catalog, specs, trained)
        stop = find_stop(held_out, least_gain) if held_out else None
    return Members(
        specs=tuple(specs),
        records=tuple(r if r is not None and r.test_key == tests else None for r in found),
        trained=tuple(trained),
        stop=stop,
        least=config.ensemble.min_members,
    )


def ready_members(workspace: Location, members: Members) -> list[MemberRecord]:
    """The records of the members to pool.

    Raises:
        NotReadyError: more are wanted, or their predictions are for other test clips.
    """
    if not members.enough:
        raise NotReadyError(
            f"{workspace}: {len(members.complete)} of {len(members.specs)} members are complete; "
            "`overlap train` makes the others"
        )
    return members.complete


def _first_trained(
    workspace: Location,
    config: RunConfig,
    catalog: Catalog,
    specs: Sequence[MemberSpec],
    trained: Sequence[bool],
) -> HeldOut | None:
    """Held-out predictions of the members before the first that is not trained.

    Only those: members that end in another order, or that failed, must not change what the
    members before them say.
    """
    count = trained.index(False) if False in trained else len(trained)
    parts = []
    for spec in specs[:count]:
        location = MemberPaths(spec.folder(workspace)).predictions
        try:  # not by the record's digest: predictions are written before the record is
            saved = location.read_arrays()
        except (OSError, CorruptError) as error:
            raise CorruptError(f"{location}: cannot be read ({error}); {REMEDY}") from None
        rows = partition(catalog, config.validation, spec.fold).held_out
        if not np.array_equal(saved["held_out_rows"], rows):
            break  # the rows moved since: it has to predict again first
        parts.append((spec.fold, rows, saved["held_out"]))
    return gather_held_out(catalog, config.validation, parts)
