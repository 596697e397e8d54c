"""The run configuration: one model per section, with the unit and the bounds of every field.

The command line, the form in the Prefect UI, the schedule and the documentation are generated from
these models. They are frozen and refuse unknown keys. A preset (`overlap.config.presets`) supplies
the values that the caller omits.
"""

from typing import TYPE_CHECKING

from overlap.system.lazy_exports import lazy_exports

if TYPE_CHECKING:
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
    from overlap.config.notify import NotifyConfig
    from overlap.config.promotion import PromotionConfig
    from overlap.config.run import RunConfig
    from overlap.config.services import TrackingConfig
    from overlap.config.training import (
        AugmentConfig,
        NetworkConfig,
        Stage,
        TrainingConfig,
        ValidationConfig,
    )
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "base": (
                "ConfigModel",
                "LaterField",
                "fingerprint",
                "hashed_form",
                "later_fields",
            ),
            "cluster": (
                "AdaptiveConfig",
                "ClusterConfig",
            ),
            "ensemble": (
                "EnsembleConfig",
                "Pooling",
            ),
            "features": (
                "AudioFormat",
                "ChecksConfig",
                "FeatureConfig",
                "Resolution",
                "StoreConfig",
            ),
            "notify": ("NotifyConfig",),
            "promotion": ("PromotionConfig",),
            "run": ("RunConfig",),
            "services": ("TrackingConfig",),
            "training": (
                "AugmentConfig",
                "NetworkConfig",
                "Stage",
                "TrainingConfig",
                "ValidationConfig",
            ),
        },
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
    "NotifyConfig",
    "Pooling",
    "PromotionConfig",
    "Resolution",
    "RunConfig",
    "Stage",
    "StoreConfig",
    "TrackingConfig",
    "TrainingConfig",
    "ValidationConfig",
    "fingerprint",
    "hashed_form",
    "later_fields",
]
