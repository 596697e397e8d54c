"""What a run still has to do, told from its files."""

from dataclasses import dataclass

from overlap.catalog import Catalog, Listing, build_catalog, previous_catalog
from overlap.catalog.build import named_clips
from overlap.catalog.rows import REMOVED
from overlap.config import RunConfig
from overlap.errors import UserError
from overlap.features import FeatureStore
from overlap.storage import Location
from overlap.training.spec import complete_record, plan_members


@dataclass(frozen=True)
class Pending:
    """Work that is left."""

    clips: int
    """Clips that are new or changed since the catalogue was made."""
    blocks: int
    """Blocks of features to compute; while clips are new, an estimate from above."""
    blocks_in_all: int
    """Blocks of the finished store."""
    block_rows: int
    """Rows of the blocks to compute."""
    members: int
    """Members to train, or to apply to new test clips."""

    @property
    def features(self) -> bool:
        """Whether features have to be computed."""
        return bool(self.clips or self.blocks)

    @property
    def anything(self) -> bool:
        """Whether a run would compute anything; if not, it needs no cluster."""
        return bool(self.features or self.members)


def pending_work(config: RunConfig, listing: Listing) -> Pending:
    """Compare data, configuration and workspace.

    Raises:
        DataError: something is wrong with the tables, as far as it shows without decoding.
        UserError: the workspace is no folder, cannot be written, or holds features of another
            configuration.
    """
    workspace = Location.of(config.workspace)
    workspace.check_writable()
    if workspace.exists() and not workspace.is_folder():
        raise UserError(f"{workspace}: is a file; a workspace is a folder, name another")
    before, wanted = previous_catalog(workspace), config.features.clip_format
    store = FeatureStore.find(workspace, config.features)
    clips, members = len(listing.files), config.ensemble.members
    block_clips = store.block_clips if store else config.store.block_clips
    blocks = -(-clips // block_clips)
    if before is None or before.wanted != wanted:
        return Pending(clips, blocks, blocks, clips, members)
    changed = _changed(listing, before)
    if changed:
        touched = min(blocks, changed)
        return Pending(changed, touched, blocks, min(clips, touched * block_clips), members)
    # No file changed, so hardly any is decoded; labels and template may have changed.
    catalog = build_catalog(listing, wanted, config.checks, before).catalog
    if store is None:
        return Pending(0, blocks, blocks, clips, members)
    missing = store.missing(catalog)
    if missing:
        rows = sum(block.stop - block.start for block in missing)
        return Pending(0, len(missing), blocks, rows, members)
    specs = plan_members(config, catalog, store)
    done = sum(complete_record(workspace, spec, catalog) is not None for spec in specs)
    return Pending(0, 0, blocks, 0, members - done)


def _changed(listing: Listing, before: Catalog) -> int:
    """Clips that are new, changed or gone; all of them when the data is another folder."""
    clips = named_clips(listing)
    now = set(zip(clips["file"], clips["version"], strict=True))
    if before.data != str(listing.data):
        return len(now)
    there = before.clips[before.clips["state"] != REMOVED]
    return len(now ^ set(zip(there["file"], there["version"], strict=True)))
