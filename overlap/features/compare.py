"""Drift between the clips of feature stores: which are compared, and what must hold before."""

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
class OtherSet:
    """Another data set, as far as a comparison needs it."""

    address: str
    """Its workspace."""
    counts: NDArray[np.int64]
    """(split, resolution, 65536) int64: how often each float16 code occurs."""


@dataclass(frozen=True)
class DriftRow:
    """How far the clips of one split are from other clips, at one resolution."""

    clips: str
    """Split of the clips: train or test."""
    reference: str
    """Split that they are compared with."""
    other: str | None
    """Workspace of the split that they are compared with; None: their own."""
    resolution: Resolution
    """The spectrogram."""
    drift: Drift
    """How far they are."""


def find_other(config: RunConfig) -> FeatureStore | None:
    """The store that a run is to be compared with; None: there is none to compare with.

    Cheap, so that a wrong address is said before a run does anything. A features.zarr that was
    copied away from its workspace, and so from its catalogue, is taken as complete.

    Raises:
        NotReadyError: no features are there, or not all of them.
        UserError: it is the run's own workspace, or its features are of another configuration.
    """
    if config.checks.compare_with is None:
        return None
    place = Location.of(config.checks.compare_with)
    in_store = place.name == FEATURES_FOLDER
    workspace = WorkspacePaths.of_features(place).root if in_store else place
    if workspace == Location.of(config.workspace):
        raise UserError(f"{place}: cannot be compared with itself; name another workspace")
    try:
        store = FeatureStore.open(workspace)
    except NotReadyError:
        raise NotReadyError(
            f"{place}: no features there to compare with; name the workspace of another data set, "
            "for which `overlap features` or `overlap run` has been run"
        ) from None
    if store.config != config.features:
        raise UserError(
            f"{place}: holds features of another configuration, which cannot be compared "
            f"({store.config.difference(config.features)})"
        )
    catalog = previous_catalog(workspace)
    missing = 0 if catalog is None else len(store.missing(catalog))
    if missing:
        raise NotReadyError(
            f"{place}: {missing} blocks of features are missing there; `overlap features` with "
            "its data and workspace computes them"
        )
    return store


def read_other(config: RunConfig) -> OtherSet | None:
    """Read what a run is to be compared with, before another run can change it.

    Raises:
        UserError: as `find_other`.
        NotReadyError: as `find_other`, or it holds no clips.
    """
    store = find_other(config)
    if store is None:
        return None
    workspace, counts = WorkspacePaths.of_features(store.location).root, store.histogram()
    if not counts.any():
        raise NotReadyError(f"{workspace}: the features there are of no clips")
    return OtherSet(workspace.url, counts)


def compare(store: FeatureStore, other: OtherSet | None, top_db: float) -> tuple[DriftRow, ...]:
    """How far the test clips of a store are from its training clips, and both from another set.

    What others are compared with is always what a network learns from: training clips, or, in a
    set that has none, its test clips.

    Args:
        store: Complete features.
        other: Another data set with features of the same configuration.
        top_db: The floor of what a network hears is this far below the peak of the reference.

    Returns:
        Test against train first, then each split against the other set's; one per resolution.
        Splits without clips are left out.
    """
    counts = dict(zip(SPLITS, store.histogram(), strict=True))
    pairs: list[tuple[str, str, str | None, NDArray[np.int64]]] = [
        ("test", "train", None, counts["train"])
    ]
    if other is not None:
        theirs = dict(zip(SPLITS, other.counts, strict=True))
        learned = "train" if theirs["train"].any() else "test"
        pairs.extend((split, learned, other.address, theirs[learned]) for split in SPLITS)
    return tuple(
        DriftRow(clips, reference, where, resolution, found)
        for clips, reference, where, there in pairs
        if counts[clips].any() and there.any()
        for resolution, found in zip(
            store.config.resolutions, drift(counts[clips], there, top_db), strict=True
        )
    )
