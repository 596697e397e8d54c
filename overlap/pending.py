"""What a run still has to do, told from its files; no clip is decoded that was before."""

from dataclasses import dataclass

from overlap.catalog import Catalog, Listing, build_catalog, previous_catalog
from overlap.catalog.build import named_clips
from overlap.catalog.catalog import REMOVED
from overlap.config import RunConfig
from overlap.errors import NotReadyError
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
    """
    workspace = Location.of(config.workspace)
    before = previous_catalog(workspace)
    blocks = -(-len(listing.files) // config.store.block_clips)
    members = config.ensemble.members
    if before is None:
        return Pending(len(listing.files), blocks, members)
    changed = _changed(listing, before)
    if changed:
        return Pending(changed, min(blocks, changed), members)
    # No file changed, so this decodes none; labels and template may have changed.
    wanted = config.features.clip_format
    catalog = build_catalog(listing, wanted, config.checks, before).catalog
    try:
        store = FeatureStore.open(workspace)
    except NotReadyError:
        return Pending(0, blocks, members)
    missing = len(store.missing(catalog))
    if missing or store.config != config.features:
        return Pending(0, missing, members)
    specs = plan_members(config, catalog, store)
    done = sum(complete_record(workspace, spec, catalog) is not None for spec in specs)
    return Pending(0, 0, members - done)


def _changed(listing: Listing, before: Catalog) -> int:
    """Clips that are new, changed or gone; all of them when the data is another folder."""
    clips = named_clips(listing)
    now = set(zip(clips["file"], clips["version"], strict=True))
    if before.data != str(listing.data):
        return len(now)
    there = before.clips[before.clips["state"] != REMOVED]
    return len(now ^ set(zip(there["file"], there["version"], strict=True)))
