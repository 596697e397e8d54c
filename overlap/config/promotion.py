"""Configuration of the promotion of ensembles and of the retention of versions."""

from typing import Annotated, Literal

from pydantic import Field

from overlap.config.base import ConfigModel, LaterField


class PromotionConfig(ConfigModel):
    """Rule by which a new ensemble becomes champion, and number of versions to keep."""

    rule: Literal["better", "always", "never"] = Field(
        "better",
        description="better: promote an ensemble that scores better than the champion on clips "
        "unseen by both, if the interval of the difference excludes zero; always: promote whatever "
        "this comparison says; never: promote by hand.",
    )
    better_than_trivial: Annotated[
        Literal["if-measured", "required", "ignored"], LaterField("ignored")
    ] = Field(
        "if-measured",
        description="Promote an ensemble only if the interval of its gain over the trivial "
        "prediction, the mean training label, excludes zero. if-measured: an ensemble without "
        "held-out clips, which cannot be measured, is promoted; required: it is not promoted; "
        "ignored: promote without this condition.",
    )
    confidence: float = Field(
        0.95,
        ge=0.5,
        le=0.99,
        description="Confidence of the bootstrap intervals of both conditions.",
    )
    min_gain: float = Field(
        0.0, ge=0, description="Least difference of the KL that justifies a promotion, nats."
    )
    min_clips: int = Field(
        50,
        ge=2,
        description="Least clips unseen by both; with fewer, nothing is promoted.",
    )
    keep_versions: int | None = Field(
        None,
        ge=1,
        description="A run finally removes older versions, except the champion, this many earlier "
        "champions, and this many newest versions; none: a run removes nothing.",
    )
