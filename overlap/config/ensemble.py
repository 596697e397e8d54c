"""The configuration of the ensemble: how many members, and how they are combined."""

from typing import Literal

from pydantic import Field

from overlap.config.base import ConfigModel

Pooling = Literal["mean", "power", "greedy", "temperature", "auto"]
"""How members are combined."""


class EnsembleConfig(ConfigModel):
    """The ensemble."""

    members: int = Field(15, ge=1, le=1000, description="Networks to train and average.")
    min_members: int | None = Field(
        None,
        ge=1,
        description="With how many members the ensemble goes on when others failed; none: all.",
    )
    pool: Pooling = Field(
        "mean",
        description="How the members' predictions are combined. auto: the simplest way that "
        "nested cross-validation on held-out clips cannot tell from the best.",
    )
    stop_when_gain_below: float | None = Field(
        None,
        gt=0,
        description="Train no more members once the next is expected to lower the held-out KL by "
        "less than this, nats; none: train all.",
    )
