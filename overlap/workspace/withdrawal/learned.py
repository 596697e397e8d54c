"""Which versions learned from clips, and by which of their members."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog
from overlap.ensemble.exposure import LEARNED, UNKNOWN, TrainingExposure, digest_scheme
from overlap.ensemble.registry import EnsembleRecord, list_ensembles
from overlap.errors import CorruptError
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.training.spec import load_record, load_spec, training_key

Learned = Literal["yes", "scored", "no", "unknown"]
"""Whether a version learned from a clip: its members trained on one (`yes`); they only predicted
them as held-out clips, by which epochs and the pool may have been chosen (`scored`); neither
(`no`); or the version, of an early release, does not say (`unknown`)."""


@dataclass(frozen=True)
class VersionExposure:
    """What a version learned from some clips."""

    version: str
    learned: Learned
    clips: int
    """Number of the clips that it learned from, or was scored on."""
    members: tuple[str, ...]
    """Fingerprints of its members that trained on one of the clips."""


def exposures(
    workspace: Location, catalog: Catalog, audio: NDArray[np.bytes_]
) -> tuple[VersionExposure, ...]:
    """Return what every published version learned from clips.

    Args:
        workspace: The workspace.
        catalog: Its catalogue.
        audio: (clips,) digests of training clips.
    """
    scheme = digest_scheme(catalog)
    return tuple(_exposure(workspace, r, scheme, audio) for r in list_ensembles(workspace))


def unlisted_members(workspace: Location, catalog: Catalog) -> tuple[str, ...]:
    """Return members of no version that train, or trained, on the clips of the catalogue."""
    paths, key = WorkspacePaths(workspace), training_key(catalog)
    listed = {name for record in list_ensembles(workspace) for name in record.members}
    found = []
    for name in sorted({*paths.members.folders()} - listed):
        folder = paths.member(name).folder
        try:
            record = load_record(folder)
            spec = record.spec if record else load_spec(folder)
        except CorruptError:
            continue
        if spec is not None and spec.training_key == key:
            found.append(name)
    return tuple(found)


def _exposure(
    workspace: Location, record: EnsembleRecord, scheme: str, audio: NDArray[np.bytes_]
) -> VersionExposure:
    location = WorkspacePaths(workspace).ensemble(record.version).predictions
    try:
        stored = TrainingExposure.from_arrays(location.read_arrays(), scheme)
    except (OSError, CorruptError):
        stored = None
    if stored is None:
        return VersionExposure(record.version, "unknown", 0, record.members)
    fold = stored.fold_of(audio)
    present = fold != UNKNOWN
    if not present.any():
        return VersionExposure(record.version, "no", 0, ())
    if (fold[present] == LEARNED).any():
        members = record.members
    elif stored.folds == 1:
        return VersionExposure(record.version, "scored", int(present.sum()), ())
    else:
        members = tuple(
            name
            for name in record.members
            if (fold[present] != _fold_of_member(workspace, name)).any()
        )
    return VersionExposure(record.version, "yes", int(present.sum()), members)


def _fold_of_member(workspace: Location, name: str) -> int | None:
    """Return the fold that a member leaves out; None if it is unknown."""
    try:
        record = load_record(WorkspacePaths(workspace).member(name).folder)
    except CorruptError:
        return None
    return None if record is None else record.spec.fold
