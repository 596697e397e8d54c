"""Configuration of the ensemble: the number of members and the method of pooling."""

from typing import Literal

from pydantic import Field

from overlap.config.base import ConfigModel

Pooling = Literal["mean", "power", "greedy", "temperature", "auto"]
"""Method of combining the members' predictions."""


class EnsembleConfig(ConfigModel):
    """Members of the ensemble and their pooling."""

    members: int = Field(15, ge=1, le=1000, description="Networks to train and average.")
    min_members: int | None = Field(
        None,
        ge=1,
        description="Smallest number of members that suffices when others fail; none: all.",
    )
    pool: Pooling = Field(
        "mean",
        description="How the members' predictions are combined. auto: the simplest method that "
        "nested cross-validation on held-out clips cannot distinguish from the best.",
    )
    stop_when_gain_below: float | None = Field(
        None,
        gt=0,
        description="Stop training members when the next is expected to lower the held-out KL by "
        "less than this, nats; none: train all.",
    )

    @property
    def one_by_one(self) -> bool:
        """Whether each member waits for the results of those before it."""
        return self.stop_when_gain_below is not None

    @property
    def at_once(self) -> int:
        """Members that can train at the same time."""
        return 1 if self.one_by_one else self.members
