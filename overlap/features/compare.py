"""Compare the clips of feature stores: preconditions and the drift between their splits."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import previous_catalog
from overlap.config import Resolution, RunConfig
from overlap.errors import NotReadyError, UserError
from overlap.features.drift import Drift, drift
from overlap.features.store.layout import SPLITS
from overlap.features.store.store import FeatureStore
from overlap.io.location import Location
from overlap.io.workspace_paths import FEATURES_FOLDER, WorkspacePaths


@dataclass(frozen=True, eq=False)
class ComparisonSet:
    """The decibels of another data set, for comparison."""

    address: str
    """URL of its workspace."""
    counts: NDArray[np.int64]
    """(split, resolution, 65536) int64: counts of the float16 codes."""


@dataclass(frozen=True)
class DriftRow:
    """Drift of the clips of one split from other clips, at one resolution."""

    clips: str
    """Split of the clips: train or test."""
    reference: str
    """Split of the reference."""
    other: str | None
    """Workspace of the reference; None: the same workspace."""
    resolution: Resolution
    """The resolution of the spectrogram."""
    drift: Drift
    """Drift of the clips from the reference."""


def comparison_store(config: RunConfig) -> FeatureStore | None:
    """Open the store set in `checks.compare_with`, or return None if the setting is unset.

    The check is cheap, so that a wrong address is reported before a run starts to work. A
    features.zarr that was copied without its workspace has no catalogue and counts as complete.

    Raises:
        NotReadyError: The features do not exist or are incomplete.
        UserError: The address is the run's own workspace, or its features have another
            configuration.
    """
    if config.checks.compare_with is None:
        return None
    place = Location.of(config.checks.compare_with)
    in_store = place.name == FEATURES_FOLDER
    workspace = WorkspacePaths.of_features(place).root if in_store else place
    if workspace == Location.of(config.workspace):
        raise UserError(
            f"{place}: a workspace cannot be compared with itself; set checks.compare_with to "
            "another workspace",
            code="compared-with-itself",
            workspace=str(place),
        )
    try:
        store = FeatureStore.open(workspace)
    except NotReadyError:
        raise NotReadyError(
            f"{place}: contains no features to compare with; set checks.compare_with to a "
            "workspace in which `overlap features` or `overlap run` has finished",
            code="no-features",
            workspace=str(workspace),
        ) from None
    if store.config != config.features:
        raise UserError(
            f"{place}: its features have another configuration and cannot be compared "
            f"({store.config.difference(config.features)})",
            code="other-features",
            workspace=str(workspace),
        )
    catalog = previous_catalog(workspace)
    missing = 0 if catalog is None else len(store.missing(catalog))
    if missing:
        raise NotReadyError(
            f"{place}: {missing} blocks of features are missing; run `overlap features` with its "
            "data and workspace to compute them",
            code="features-incomplete",
            workspace=str(workspace),
            missing=missing,
        )
    return store


def read_comparison_set(config: RunConfig) -> ComparisonSet | None:
    """Read the counts of the store set in `checks.compare_with`; None if the setting is unset.

    Reading them once, at the start of a run, keeps later changes by other runs out of the result.

    Raises:
        UserError: See `comparison_store`.
        NotReadyError: See `comparison_store`; or the store contains no clips.
    """
    store = comparison_store(config)
    if store is None:
        return None
    workspace, counts = WorkspacePaths.of_features(store.location).root, store.histogram()
    if not counts.any():
        raise NotReadyError(
            f"{workspace}: its feature store contains no clips; run `overlap features` first",
            code="no-clips",
            workspace=str(workspace),
        )
    return ComparisonSet(workspace.url, counts)


def largest_drift_db(store: FeatureStore, top_db: float) -> float | None:
    """Return the largest Wasserstein distance of test from training clips, dB; see `compare`.

    Returns:
        None if one of the splits has no clips.
    """
    distances = [row.drift.wasserstein_db for row in compare(store, None, top_db)]
    return max(distances, default=None)


def compare(
    store: FeatureStore, other: ComparisonSet | None, top_db: float
) -> tuple[DriftRow, ...]:
    """Compute the drift of test from training clips, and of both from another data set.

    The reference is the split from which a network learns: the training clips, or the test clips
    of a set without training clips.

    Args:
        store: Complete features.
        other: Another data set with features of the same configuration.
        top_db: A network's input is clipped this far below the peak of the reference.

    Returns:
        Test against train, then each split against the other set; one row per resolution.
        Splits without clips are omitted.
    """
    counts = dict(zip(SPLITS, store.histogram(), strict=True))
    pairs: list[tuple[str, str, str | None, NDArray[np.int64]]] = [
        ("test", "train", None, counts["train"])
    ]
    if other is not None:
        theirs = dict(zip(SPLITS, other.counts, strict=True))
        reference = "train" if theirs["train"].any() else "test"
        pairs.extend((split, reference, other.address, theirs[reference]) for split in SPLITS)
    return tuple(
        DriftRow(clips, reference, workspace, resolution, measured)
        for clips, reference, workspace, reference_counts in pairs
        if counts[clips].any() and reference_counts.any()
        for resolution, measured in zip(
            store.config.resolutions, drift(counts[clips], reference_counts, top_db), strict=True
        )
    )
