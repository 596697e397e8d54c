"""What the stages before the training took: kept in the workspace, for the report.

A member has a record of its own with what it took; features belong to all of them.
"""

from pydantic import Field

from overlap.config import FeatureConfig, Section, fingerprint
from overlap.errors import CorruptError
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths


class StageCost(Section):
    """What a stage took, in all runs that had something to do in it."""

    clips: int
    """Clips that it worked on."""
    seconds: float
    """Wall time."""
    joules: float | None = None
    """Energy of the machines' processors, whatever else they did; None where one does not tell."""

    def plus(self, other: "StageCost") -> "StageCost":
        """Both together."""
        known = self.joules is not None and other.joules is not None
        return StageCost(
            clips=self.clips + other.clips,
            seconds=self.seconds + other.seconds,
            joules=(self.joules or 0.0) + (other.joules or 0.0) if known else None,
        )


class Costs(Section):
    """What `costs.json` holds."""

    features: str = ""
    """Fingerprint of the feature configuration that it was for."""
    stages: dict[str, StageCost] = Field(default_factory=dict)
    """By name of the stage."""


def read_costs(workspace: Location, features: FeatureConfig) -> dict[str, StageCost]:
    """What was paid for these features, by stage; nothing where it is not known."""
    location = WorkspacePaths(workspace).costs
    try:
        costs = location.read_record(Costs) if location.exists() else Costs()
    except CorruptError:  # nothing is computed from it
        return {}
    return dict(costs.stages) if costs.features == fingerprint(features) else {}


def add_cost(workspace: Location, features: FeatureConfig, stage: str, cost: StageCost) -> None:
    """Note what a stage took now."""
    before = read_costs(workspace, features)
    total = before[stage].plus(cost) if stage in before else cost
    costs = Costs(features=fingerprint(features), stages={**before, stage: total})
    WorkspacePaths(workspace).costs.write_record(costs)
