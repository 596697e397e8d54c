"""What a report tells, read from the files of a workspace."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog
from overlap.config import FeatureConfig, ValidationConfig
from overlap.ensemble.held_out import gather_held_out
from overlap.ensemble.registry import EnsembleRecord, list_ensembles
from overlap.ensemble.registry import read_predictions as read_ensemble
from overlap.errors import NotReadyError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.metrics.disagreement import disagreement
from overlap.metrics.divergence import kl_per_clip
from overlap.promotion.champion import Promotion, read_aliases
from overlap.training.spec import MEMBERS, MemberRecord, load_record
from overlap.training.spec import read_predictions as read_member
from overlap.workspace.costs import StageCost, read_costs


@dataclass(frozen=True, eq=False)
class HeldOutClips:
    """The held-out clips of an ensemble, and what it says of them."""

    rows: NDArray[np.int64]
    """(clips,) rows of the catalogue."""
    labels: NDArray[np.float64]
    """(clips, words) float64."""
    pooled: NDArray[np.float64]
    """(clips, words) float64: the ensemble's prediction, by cross-validation where the pool is
    fitted to these clips."""
    disagreement: NDArray[np.float64]
    """(clips,) float64: of the members, nats; see `overlap.metrics.disagreement`."""

    @cached_property
    def kl(self) -> NDArray[np.float64]:
        """(clips,) float64: KL of each clip, nats."""
        return kl_per_clip(self.labels, self.pooled)


@dataclass(frozen=True, eq=False)
class ReportData:
    """All that is known of a published ensemble."""

    record: EnsembleRecord
    members: tuple[MemberRecord, ...]
    """Those of its members that are still there."""
    champion: str | None
    """Version of the champion."""
    promotion: Promotion | None
    """What became of this version; None where nothing was decided."""
    champion_member: MemberRecord | None
    """A member of the champion, or of the one whose place this version took."""
    catalog: Catalog
    """The clips as they are now."""
    store: FeatureStore | None
    """Their features, where they are complete."""
    costs: dict[str, StageCost]
    """What the stages before the training took, as far as it is known."""
    held_out: HeldOutClips | None
    """None where nothing was held out, or where the clips are others now."""

    @property
    def missing(self) -> str:
        """Why there is nothing about single clips; empty where there is."""
        if self.held_out is not None:
            return ""
        if self.record.held_out_key is None:
            return "No clips were held out, so nothing can be said of single clips."
        return (
            "The data or the members changed since this ensemble was made, so nothing is said "
            "of single clips."
        )


def gather_facts(workspace: Location, record: EnsembleRecord) -> ReportData:
    """Read all that is known of an ensemble.

    Raises:
        NotReadyError: the workspace has no catalogue.
        CorruptError: a file of it cannot be read.
    """
    catalog, aliases = Catalog.load(workspace), read_aliases(workspace)
    members = _members(workspace, record)
    promotion = aliases.decision(record.version)
    before = (promotion.instead_of or _dueled(promotion)) if promotion else None
    return ReportData(
        record=record,
        members=members,
        champion=aliases.version,
        promotion=promotion,
        champion_member=_first_member(workspace, before or aliases.version, record),
        catalog=catalog,
        store=_store(workspace, catalog),
        costs=_costs(workspace, record),
        held_out=_held_out(workspace, record, catalog, members),
    )


def _dueled(promotion: Promotion) -> str | None:
    return promotion.duel.champion if promotion.duel else None


def _members(workspace: Location, record: EnsembleRecord) -> tuple[MemberRecord, ...]:
    found = (load_record(workspace / MEMBERS / name) for name in record.members)
    return tuple(member for member in found if member is not None)


def _first_member(
    workspace: Location, version: str | None, record: EnsembleRecord
) -> MemberRecord | None:
    """The first member of another version that is still there."""
    if version in (None, record.version):
        return None
    others = [other for other in list_ensembles(workspace) if other.version == version]
    return next(iter(_members(workspace, others[0])), None) if others else None


def _costs(workspace: Location, record: EnsembleRecord) -> dict[str, StageCost]:
    return read_costs(workspace, FeatureConfig.model_validate(record.config["features"]))


def _store(workspace: Location, catalog: Catalog) -> FeatureStore | None:
    try:
        store = FeatureStore.open(workspace)
    except NotReadyError:
        return None
    return None if store.missing(catalog) else store


def _held_out(
    workspace: Location, record: EnsembleRecord, catalog: Catalog, members: Sequence[MemberRecord]
) -> HeldOutClips | None:
    if record.held_out_key is None or len(members) < len(record.members):
        return None
    own = read_ensemble(workspace, record)
    rows, pooled = own["held_out_rows"], own["held_out"]
    same_words = catalog.words == record.words
    if not same_words or rows.max(initial=-1) >= len(catalog):
        return None
    if catalog.key(rows, labels=True) != record.held_out_key:
        return None
    parts = []
    for member in members:
        saved = read_member(workspace / MEMBERS / member.fingerprint, member)
        parts.append((member.spec.fold, saved["held_out_rows"], saved["held_out"]))
    validation = ValidationConfig.model_validate(record.config["validation"])
    together = gather_held_out(catalog, validation, parts)
    if together is None or not np.array_equal(together.rows, rows):
        return None
    return HeldOutClips(rows, together.labels, pooled, disagreement(together.rounds, pooled))
