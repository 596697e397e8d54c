"""The configuration of a whole run: its sections, and the preset that fills what is not given."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, Field, ValidationInfo, model_validator

from overlap.config.base import Address, ConfigModel, LaterField
from overlap.config.cluster import ClusterConfig
from overlap.config.ensemble import EnsembleConfig
from overlap.config.features import ChecksConfig, FeatureConfig, StoreConfig
from overlap.config.form import DefaultsBySection, defaults_by_section, without_defaults
from overlap.config.notify import NotifyConfig
from overlap.config.old_spellings import current_values, warn_of_old_spellings
from overlap.config.presets import DEFAULT_PRESET, PRESETS, merged
from overlap.config.promotion import PromotionConfig
from overlap.config.services import TrackingConfig, ViewConfig
from overlap.config.training import NetworkConfig, TrainingConfig, ValidationConfig
from overlap.io.records import STORED
from overlap.io.urls import name_of
from overlap.redaction import secret_keys

SECRET_SETTINGS = frozenset({"notify.webhook"})
"""Settings that contain a secret and are masked wherever a configuration is stored or shown."""


NOTIFY: Final = {
    "webhook": None, "format": "slack", "drift_above": 0.2, "unusable_above": 0.0,
}  # fmt: skip
TRACKING: Final = {"mlflow": False, "experiment": "overlap", "models": True}
VIEW: Final = {"url": None}
"""Sections that came after 0.1.0, as they were when they were introduced."""


class RunConfig(ConfigModel):
    """Everything that a run depends on, apart from the code."""

    data: Address = Field(
        min_length=1, description="Folder or URL with train/, train_answer.csv, test/, …"
    )
    workspace: Address = Field(
        "workspace", min_length=1, description="Folder or URL that holds all results."
    )
    preset: Literal["demo", "baseline", "fast", "wide"] = Field(
        DEFAULT_PRESET,
        description="Supplies every value that is not given. demo: minutes on a processor; "
        "baseline: the known solution; fast: lower KL in a fifth of its epochs; wide: lower KL "
        "than fast where time limits a training, by half the resolution and twice the filters.",
    )
    # The form and the reference show the sections in this order: what a user changes first, first.
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    ensemble: EnsembleConfig = Field(default_factory=EnsembleConfig)
    validation: ValidationConfig = Field(default_factory=ValidationConfig)
    promotion: PromotionConfig = Field(default_factory=PromotionConfig)
    notify: Annotated[NotifyConfig, LaterField(NOTIFY)] = Field(default_factory=NotifyConfig)
    tracking: Annotated[TrackingConfig, LaterField(TRACKING)] = Field(
        default_factory=TrackingConfig
    )
    view: Annotated[ViewConfig, LaterField(VIEW)] = Field(default_factory=ViewConfig)
    checks: ChecksConfig = Field(default_factory=ChecksConfig)
    network: NetworkConfig = Field(default_factory=NetworkConfig)
    features: FeatureConfig = Field(default_factory=FeatureConfig)
    store: StoreConfig = Field(default_factory=StoreConfig)
    cluster: ClusterConfig = Field(default_factory=ClusterConfig)

    @property
    def data_name(self) -> str:
        """Name of the data set: the last part of its address."""
        return name_of(self.data.rstrip("/")) or self.data

    @model_validator(mode="before")
    @classmethod
    def _no_secrets(cls, values: Any) -> Any:  # noqa: ANN401  any input
        if isinstance(values, Mapping) and (found := secret_keys(values, SECRET_SETTINGS)):
            raise ValueError(
                f"{', '.join(found)}: this is a password or key, but the configuration is stored "
                "with every run and displayed; set it in the environment of the processes that "
                "need it instead"
            )
        return values

    @model_validator(mode="before")
    @classmethod
    def _preset_below(cls, values: Any, info: ValidationInfo) -> Any:  # noqa: ANN401  any input
        if not isinstance(values, Mapping):
            return values
        given: dict[str, Any] = {
            name: value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value
            for name, value in values.items()
        }
        if (
            info.context is not STORED
        ):  # otherwise a preset's current name would win over an old one
            given, renamed = current_values(given)
            warn_of_old_spellings(renamed)
        preset = given.get("preset", DEFAULT_PRESET)
        known = isinstance(preset, str) and preset in PRESETS
        return merged(PRESETS[preset], given) if known else given

    @model_validator(mode="after")
    def _network_fits(self) -> Self:
        mels, frames, _ = self.features.shape
        pool_mel, pool_frame = self.network.input_pool
        halvings = 2 ** len(self.network.stages)
        if mels // pool_mel < halvings or frames // pool_frame < halvings:
            raise ValueError(
                f"network: {len(self.network.stages)} stages halve {mels} mel bands and {frames} "
                f"frames (after input_pool {pool_mel}x{pool_frame}) to nothing; use fewer stages"
            )
        return self

    @model_validator(mode="after")
    def _whole_rounds(self) -> Self:
        folds, members = self.validation.folds, self.ensemble.members
        if folds and members % folds:
            raise ValueError(
                f"ensemble.members {members} is not a whole number of rounds of "
                f"validation.folds {folds}"
            )
        least = self.ensemble.min_members
        if least is not None and least > members:
            raise ValueError(
                f"ensemble.min_members {least} is more than ensemble.members {members}"
            )
        if least is not None and least < folds:
            raise ValueError(
                f"ensemble.min_members {least} is less than one round of validation.folds {folds}"
            )
        return self

    @model_validator(mode="after")
    def _something_is_held_out(self) -> Self:
        if self.validation.folds or self.validation.holdout:
            return self
        missing = "needs held-out clips; set validation.holdout or validation.folds"
        if self.ensemble.pool not in ("mean", "auto"):
            raise ValueError(f"ensemble.pool {self.ensemble.pool} {missing}")
        if self.ensemble.one_by_one:
            raise ValueError(f"ensemble.stop_when_gain_below is a held-out KL and {missing}")
        return self


@cache
def defaults_by_preset() -> DefaultsBySection:
    """Return, by class of section and by field, the value under each preset, as JSON."""
    return defaults_by_section(
        (preset, RunConfig.model_validate({"data": "DATA", "preset": preset})) for preset in PRESETS
    )


def _as_form(model: type[BaseModel], schema: Mapping[str, Any]) -> dict[str, Any]:
    return without_defaults(model, schema, defaults_by_preset())


ConfigModel.form_hook = staticmethod(_as_form)
