"""Costs of the stages before the training, kept in the workspace for the report.

The costs of a training are in the member's record; those of the features belong to all members.
"""

from contextlib import suppress

from pydantic import Field

from overlap.config import FeatureConfig, fingerprint
from overlap.errors import CorruptError, NewerFormatError
from overlap.io.location import Location
from overlap.io.records import Record
from overlap.io.workspace_paths import WorkspacePaths


class StageCost(Record):
    """Cost of a stage, summed over all runs that had work in it."""

    clips: int
    """Clips that it processed."""
    seconds: float
    """Wall time, seconds."""
    joules: float | None = None
    """Energy of the machines' processors, other processes included; None if any is not measured."""

    def plus(self, other: "StageCost") -> "StageCost":
        """Return the sum of both."""
        known = self.joules is not None and other.joules is not None
        return StageCost(
            clips=self.clips + other.clips,
            seconds=self.seconds + other.seconds,
            joules=(self.joules or 0.0) + (other.joules or 0.0) if known else None,
        )


class Costs(Record):
    """Content of `costs.json`."""

    features: str = ""
    """Fingerprint of the feature configuration that the costs belong to."""
    stages: dict[str, StageCost] = Field(default_factory=dict)
    """Costs by stage."""


def read_costs(workspace: Location, features: FeatureConfig) -> dict[str, StageCost]:
    """Read the costs of these features by stage; empty where they are not known."""
    location = WorkspacePaths(workspace).costs
    try:
        costs = location.read_record(Costs) if location.exists() else Costs()
    except (CorruptError, NewerFormatError):  # costs are informative only
        return {}
    return dict(costs.stages) if costs.features == fingerprint(features) else {}


def add_cost(workspace: Location, features: FeatureConfig, stage: str, cost: StageCost) -> None:
    """Add the cost of a stage to the stored costs; a record in a newer format is kept as it is."""
    before = read_costs(workspace, features)
    total = before[stage].plus(cost) if stage in before else cost
    costs = Costs(features=fingerprint(features), stages={**before, stage: total})
    with suppress(NewerFormatError):
        WorkspacePaths(workspace).costs.write_record(costs)
