"""The run configuration: one model per section, with the unit and the bounds of every field.

The command line, the form in the Prefect UI, the schedule and the documentation are generated from
these models. They are frozen and refuse unknown keys. A preset (`overlap.config.presets`) supplies
the values that the caller omits.
"""

from overlap.config.base import ConfigModel, LaterField, fingerprint, hashed_form, later_fields
from overlap.config.cluster import AdaptiveConfig, ClusterConfig
from overlap.config.ensemble import EnsembleConfig, Pooling
from overlap.config.features import (
    AudioFormat,
    ChecksConfig,
    FeatureConfig,
    Resolution,
    StoreConfig,
)
from overlap.config.promotion import PromotionConfig
from overlap.config.run import RunConfig
from overlap.config.training import (
    AugmentConfig,
    NetworkConfig,
    Stage,
    TrainingConfig,
    ValidationConfig,
)

__all__ = [
    "AdaptiveConfig",
    "AudioFormat",
    "AugmentConfig",
    "ChecksConfig",
    "ClusterConfig",
    "ConfigModel",
    "EnsembleConfig",
    "FeatureConfig",
    "LaterField",
    "NetworkConfig",
    "Pooling",
    "PromotionConfig",
    "Resolution",
    "RunConfig",
    "Stage",
    "StoreConfig",
    "TrainingConfig",
    "ValidationConfig",
    "fingerprint",
    "hashed_form",
    "later_fields",
]
