"""Named sets of values that fill in what a configuration omits."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

DEFAULT_PRESET: Final = "demo"

BASELINE: dict[str, Any] = {
    # Reproduces the known solution exactly; improvements are measured against it. Network,
    # optimiser and features are the defaults of the configuration models.
    "training": {"normalisation": "joint"},
    "validation": {"holdout": 0.0},
}

DEMO: dict[str, Any] = {
    # Takes minutes on a laptop without an accelerator: the same features, pooled 4x4 before a
    # network of four stages with three quarters of the filters.
    "network": {
        "stages": [
            {"kind": "plain", "filters": 32},
            {"kind": "plain", "filters": 64},
            {"kind": "plain", "filters": 128},
            {"kind": "bottleneck", "filters": 256},
        ],
        "width": 0.75,
        "input_pool": [4, 4],
        "dropout": 0.1,
    },
    "training": {
        "epochs": 8,
        "batch_size": 32,
        "learning_rate": 0.004,
        "schedule": "cosine",
        "warmup_epochs": 0.5,
    },
    "ensemble": {"members": 3},
}

FAST: dict[str, Any] = {
    # The best measured quality per pass over the clips: docs/experiments.md.
    "network": {"dropout": 0.05, "head": "auto"},
    "training": {
        "epochs": 40,
        "batch_size": 64,
        "whole_batches": True,
        "optimizer": "adamw",
        "learning_rate": 0.004,
        "schedule": "cosine",
        "warmup_epochs": 1.0,
        "weight_decay": 0.01,
        "keep": "best",
        "augment": {"shift_frames": 6},
    },
}


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two nested mappings; where both have a value, `above` wins.

    Examples:
        >>> merged({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}})
        {'a': {'x': 1, 'y': 3}}
    """
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        both = isinstance(under, Mapping) and isinstance(value, Mapping)
        result[key] = merged(under, value) if both else value  # type: ignore[arg-type]
    return result


WIDE: dict[str, Any] = merged(
    FAST,
    # Half of the resolution in time and frequency, and twice the filters: lower KL in the time of
    # `fast` where time is what limits a training (docs/experiments.md).
    {
        "network": {
            "input_pool": [2, 2],
            "stages": [
                {"kind": "plain", "filters": 64},
                {"kind": "plain", "filters": 128},
                {"kind": "plain", "filters": 256},
                {"kind": "bottleneck", "filters": 512},
                {"kind": "bottleneck", "filters": 1024},
            ],
        },
        "training": {"epochs": 70},
    },
)

PRESETS: Final = MappingProxyType({"demo": DEMO, "baseline": BASELINE, "fast": FAST, "wide": WIDE})
