"""The work that a run still has to do, determined from the workspace's files."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog, Listing, build_catalog
from overlap.catalog.build import matched_clips
from overlap.catalog.catalog import matching_rows
from overlap.catalog.rows import REMOVED
from overlap.columns.search import equal_at
from overlap.config import RunConfig
from overlap.ensemble.members import load_members
from overlap.ensemble.publish import ensemble_name
from overlap.ensemble.registry import published as find_published
from overlap.promotion.champion import is_settled
from overlap.workspace.workspace import Workspace


@dataclass(frozen=True)
class Pending:
    """Pending work of a run."""

    clips: int
    """Clips that are new or changed since the catalogue was written."""
    blocks: int
    """Blocks of features to compute; an upper bound, as changed files may hold the same sound."""
    blocks_in_all: int
    """Blocks of the complete store."""
    block_rows: int
    """Rows in the blocks to compute."""
    members: int
    """Members to train, or to apply to new test clips; early stopping may reduce them."""
    published: str | None = None
    """Version of the ensemble that the run would publish; None if it is not published yet, or if
    the champion has not been decided since."""

    @property
    def features(self) -> bool:
        """Whether features must be computed."""
        return bool(self.clips or self.blocks)

    @property
    def anything(self) -> bool:
        """Whether a run would compute anything; otherwise it needs no cluster."""
        return bool(self.features or self.members)


def pending_work(config: RunConfig, listing: Listing) -> Pending:
    """Compare data, configuration and workspace.

    Raises:
        DataError: the tables are invalid, as far as this is visible without decoding.
        UserError: the workspace is not a folder, is read-only, or contains features of another
            configuration.
    """
    workspace = Workspace.of(config.workspace)
    place = workspace.location
    workspace.check_usable()
    before, wanted = workspace.find_catalog(), config.features.clip_format
    store = workspace.find_store(config.features)
    clips, members = len(listing.files), config.ensemble.members
    block_clips = store.block_clips if store else config.store.block_clips
    blocks = -(-clips // block_clips)
    if before is None or (before.wanted, before.data) != (wanted, str(listing.data)):
        return Pending(clips, blocks, blocks, clips, members)
    change = _change(listing, before)
    if change.clips:
        blocks = -(-change.rows // block_clips)
        block_rows = np.minimum(block_clips, change.rows - block_clips * np.arange(blocks))
        touched = np.unique(change.touched // block_clips)
        if store is None:
            touched = np.arange(blocks)
        else:
            unfinished = [block.index for block in store.missing(before)]
            touched = np.union1d(touched, unfinished).astype(np.int64)
        return Pending(change.clips, len(touched), blocks, int(block_rows[touched].sum()), members)
    # No file changed, so few are decoded; labels and template may have changed.
    catalog = build_catalog(listing, wanted, config.checks, before).catalog
    if store is None:
        return Pending(0, blocks, blocks, clips, members)
    missing = store.missing(catalog)
    if missing:
        rows = sum(block.stop - block.start for block in missing)
        return Pending(0, len(missing), blocks, rows, members)
    found = load_members(place, config, catalog, store)
    published = None
    if found.sufficient:
        there = find_published(place, ensemble_name(config, catalog, found, found.complete))
        published = there.version if there and is_settled(place, there.version) else None
    return Pending(0, 0, blocks, 0, len(found.pending), published)


@dataclass(frozen=True, eq=False)
class _Change:
    """Difference between a catalogue and the current data."""

    clips: int
    """Clips that are new, changed or removed."""
    rows: int
    """Rows of the next catalogue; no row is ever dropped."""
    touched: NDArray[np.int64]
    """Rows whose content will change."""


def _change(listing: Listing, before: Catalog) -> _Change:
    now = matched_clips(listing)
    row = matching_rows(now, before.clips)
    known = row >= 0
    gone = (before.clips["state"] != REMOVED).to_numpy(np.bool_, copy=True)
    gone[row[known]] = False
    changed = row[known & ~equal_at(now["version"], before.clips["version"], row)]
    old = np.union1d(np.flatnonzero(gone), changed)
    new = int((~known).sum())
    rows = len(before) + new
    return _Change(
        clips=new + len(old),
        rows=rows,
        touched=np.concatenate([old, np.arange(len(before), rows)]),
    )
