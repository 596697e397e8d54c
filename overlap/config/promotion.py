"""The configuration of the champion: when a new ensemble takes its place, and what is kept."""

from typing import Literal

from pydantic import Field

from overlap.config.base import ConfigModel


class PromotionConfig(ConfigModel):
    """When a newly published ensemble becomes champion, and how many versions are kept."""

    rule: Literal["better", "always", "never"] = Field(
        "better",
        description="better: where it scores better than the champion on clips that neither has "
        "seen, and the interval of the difference excludes zero; never: a person promotes.",
    )
    confidence: float = Field(
        0.95, ge=0.5, le=0.99, description="Of the bootstrap interval of the difference."
    )
    min_gain: float = Field(
        0.0, ge=0, description="Least difference of the KL that is worth a promotion, nats."
    )
    min_clips: int = Field(
        50, ge=2, description="Clips that neither has seen, below which nothing is promoted."
    )
    keep_versions: int | None = Field(
        None,
        ge=1,
        description="A run ends with the removal of older versions: the champion, so many "
        "champions before it and so many newest versions stay; none: a run removes nothing.",
    )
