"""The data of a report, read from the files of a workspace."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog
from overlap.config import FeatureConfig
from overlap.ensemble.held_out import held_out_disagreement, member_divergence
from overlap.ensemble.registry import EnsembleRecord, list_ensembles
from overlap.ensemble.registry import read_predictions as read_ensemble
from overlap.errors import NotReadyError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.metrics.divergence import kl_per_clip
from overlap.promotion.champion import Promotion
from overlap.training.spec import MemberRecord, load_record
from overlap.training.spec import read_predictions as read_member
from overlap.workspace.costs import StageCost, read_costs
from overlap.workspace.history import PublishedVersion, read_history
from overlap.workspace.workspace import Workspace


@dataclass(frozen=True, eq=False)
class HeldOutClips:
    """The held-out clips of an ensemble and its predictions for them."""

    rows: NDArray[np.int64]
    """(clips,) rows of the catalogue."""
    labels: NDArray[np.float64]
    """(clips, words) float64."""
    pooled: NDArray[np.float64]
    """(clips, words) float64: the ensemble's predictions; cross-validated if the pool is fitted
    to these clips."""
    disagreement: NDArray[np.float64]
    """(clips,) float64: disagreement of the members, nats; see `overlap.metrics.disagreement`."""

    @cached_property
    def kl(self) -> NDArray[np.float64]:
        """(clips,) float64: KL of each clip, nats."""
        return kl_per_clip(self.labels, self.pooled)


@dataclass(frozen=True, eq=False)
class ReportData:
    """The data of the report of a published ensemble."""

    record: EnsembleRecord
    members: tuple[MemberRecord, ...]
    """Its members that still exist."""
    champion: str | None
    """Version of the champion."""
    promotion: Promotion | None
    """The promotion decision for this version; None if there is none."""
    champion_member: MemberRecord | None
    """A member of the champion, or of the champion that this version replaced."""
    catalog: Catalog
    """The current catalogue."""
    store: FeatureStore | None
    """The feature store; None if it is incomplete."""
    costs: dict[str, StageCost]
    """Known costs of the stages before training."""
    history: tuple[PublishedVersion, ...]
    """All published versions, oldest first."""
    held_out: HeldOutClips | None
    """None without held-out clips, or if the clips or members changed since."""

    @property
    def missing(self) -> str:
        """Why the report has no sections about single clips; empty if it has."""
        if self.held_out is not None:
            return ""
        if self.record.held_out_key is None:
            return "No clips were held out, so there are no results for single clips."
        return (
            "The data or the members changed after this ensemble was created, so there are no "
            "results for single clips."
        )


def load_report_data(workspace: Location, record: EnsembleRecord) -> ReportData:
    """Read the data of an ensemble's report.

    Raises:
        NotReadyError: The workspace has no catalogue.
        CorruptError: A file of the workspace is damaged.
    """
    opened = Workspace.of(workspace)
    catalog, aliases = opened.catalog, opened.aliases()
    members = _members(workspace, record)
    promotion = aliases.decision(record.version)
    before = (promotion.instead_of or _compared_champion(promotion)) if promotion else None
    return ReportData(
        record=record,
        members=members,
        champion=aliases.version,
        promotion=promotion,
        champion_member=_first_member(workspace, before or aliases.version, record),
        catalog=catalog,
        store=_store(opened),
        costs=_costs(workspace, record),
        history=tuple(read_history(workspace)),
        held_out=_held_out(workspace, record, catalog, members),
    )


def _compared_champion(promotion: Promotion) -> str | None:
    return promotion.duel.champion if promotion.duel else None


def _members(workspace: Location, record: EnsembleRecord) -> tuple[MemberRecord, ...]:
    paths = WorkspacePaths(workspace)
    found = (load_record(paths.member(name).folder) for name in record.members)
    return tuple(member for member in found if member is not None)


def _first_member(
    workspace: Location, version: str | None, record: EnsembleRecord
) -> MemberRecord | None:
    """Return the first existing member of another version, or None."""
    if version in (None, record.version):
        return None
    others = [other for other in list_ensembles(workspace) if other.version == version]
    return next(iter(_members(workspace, others[0])), None) if others else None


def _costs(workspace: Location, record: EnsembleRecord) -> dict[str, StageCost]:
    return read_costs(workspace, FeatureConfig.from_stored(record.config["features"]))


def _store(workspace: Workspace) -> FeatureStore | None:
    try:
        store = workspace.store
    except NotReadyError:
        return None
    return None if store.missing(workspace.catalog) else store


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
    divergence, paths = [], WorkspacePaths(workspace)
    for member in members:
        saved = read_member(paths.member(member.fingerprint).folder, member)
        divergence.append(
            member_divergence(rows, pooled, saved["held_out_rows"], saved["held_out"])
        )
    folds = [member.spec.fold for member in members]
    spread = held_out_disagreement(np.array(divergence), folds, record.per_round)
    if np.isnan(spread).any():  # a member was trained again on other clips
        return None
    return HeldOutClips(rows, catalog.labels[rows], pooled, spread)
