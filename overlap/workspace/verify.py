"""Whether what a workspace holds is what was written there."""

from dataclasses import dataclass

import numpy as np

from overlap.catalog import Catalog
from overlap.ensemble import registry
from overlap.errors import CorruptError, OverlapError
from overlap.features import Block, FeatureStore, block_job
from overlap.features.extract import block_digest, compute_block
from overlap.features.statistics import count_codes
from overlap.features.store.layout import SPLITS
from overlap.io.location import Location
from overlap.io.workspace_paths import PREDICTIONS_FILE, WorkspacePaths
from overlap.promotion.champion import champion
from overlap.training.spec import MemberRecord, load_record, test_key


@dataclass(frozen=True)
class Fault:
    """One thing that is not what was written.

    What the fields after the first name is made again by the next run, once `repair` has marked
    it; an ensemble is published again by the next run as it is.
    """

    what: str
    """What is wrong, and what to do about it."""
    block: int | None = None
    """The block that must be computed again."""
    clips_of_block: int | None = None
    """The block whose clips must be looked at again."""
    columns: bool = False
    """Whether the store's columns must be written again."""
    member: str | None = None
    """The member that must be trained again."""


@dataclass(frozen=True)
class Verification:
    """What was looked at and what is wrong."""

    blocks: int
    """Blocks whose stored values were compared with their digest."""
    blocks_recomputed: int
    """Blocks that were computed again from the sound files."""
    members: int
    ensembles: int
    faults: tuple[Fault, ...]


def verify_workspace(workspace: Location, recompute: int | None = 1, seed: int = 0) -> Verification:
    """Compare what is stored with its digests, and some blocks with their sound files.

    Args:
        workspace: The workspace.
        recompute: Blocks to compute again, drawn by `seed`; None: all.
        seed: Draws the blocks.

    Raises:
        NotReadyError: there is no catalogue or no store.
    """
    catalog, store = Catalog.load(workspace), FeatureStore.open(workspace)
    missing = {block.index for block in store.missing(catalog)}
    done = [block for block in store.blocks(catalog) if block.index not in missing]
    count = len(done) if recompute is None else min(recompute, len(done))
    drawn = np.random.default_rng(seed).permutation(len(done))[:count]
    chosen = {done[index].index for index in drawn}
    faults = []
    if missing:
        faults.append(Fault(f"features: {len(missing)} blocks are missing; `overlap features`"))
    if not store.matches_catalog(catalog):
        faults.append(Fault("features: the columns are not those of the catalogue", columns=True))
    for block in done:
        faults += _block_faults(workspace, catalog, store, block, again=block.index in chosen)
    members: dict[str, MemberRecord] = {}
    tests = test_key(catalog)
    paths = WorkspacePaths(workspace)
    for name in paths.members.folders():
        try:
            record = load_record(paths.member(name).folder)
        except CorruptError as error:
            faults.append(Fault(str(error), member=name))
            continue
        if record is not None:
            members[name] = record
            faults += _member_faults(workspace, record, tests)
    ensembles = paths.ensembles.folders()
    for version in ensembles:
        faults += _ensemble_faults(workspace, version, members)
    current = champion(workspace)
    if current is not None and current not in ensembles:
        faults.append(Fault(f"champion {current} is not there; promote another"))
    return Verification(len(done), len(chosen), len(members), len(ensembles), tuple(faults))


def repair(workspace: Location, faults: tuple[Fault, ...]) -> int:
    """Mark what is damaged as missing, so that the next run makes it again.

    Returns:
        How many faults were dealt with.
    """
    catalog, store = Catalog.load(workspace), FeatureStore.open(workspace, read_only=False)
    blocks = store.blocks(catalog)
    unsure = [blocks[f.clips_of_block] for f in faults if f.clips_of_block is not None]
    if unsure:
        rows = [row for block in unsure for row in range(block.start, block.stop)]
        catalog.invalidated(np.array(rows)).save(workspace)
    marked = len(unsure)
    for fault in faults:
        if fault.block is not None:
            store.mark_missing(fault.block)
            marked += 1
        if fault.columns:
            store.sync(catalog)
            marked += 1
        if fault.member is not None:
            WorkspacePaths(workspace).member(fault.member).folder.remove()
            marked += 1
    return marked


def _block_faults(
    workspace: Location, catalog: Catalog, store: FeatureStore, block: Block, *, again: bool
) -> list[Fault]:
    where = f"features: block {block.index} (rows {block.start} to {block.stop - 1})"
    digest = store.stored_digest(block)
    try:
        stored = store.read_rows(block.start, block.stop)
        counted = store.stored_histogram(block)
    except CorruptError as error:
        return [Fault(f"{where}: {error}", block=block.index)]
    if block_digest(stored) != digest:
        return [Fault(f"{where}: is not what was written", block=block.index)]
    job = block_job(workspace, catalog, block)
    counts = count_codes(stored, np.array(job.splits), len(SPLITS))
    if not np.array_equal(counts, counted):
        return [Fault(f"{where}: its counts are not those of its values", block=block.index)]
    if again:
        try:
            _, computed = compute_block(job, store)
        except OverlapError as error:
            return [Fault(f"{where}: {error}", clips_of_block=block.index)]
        if computed != digest:
            what = f"{where}: its sound files give other features on this machine"
            return [Fault(what, block=block.index)]
    return []


def _member_faults(workspace: Location, member: MemberRecord, tests: str) -> list[Fault]:
    folder, files = WorkspacePaths(workspace).member(member.fingerprint).folder, {**member.files}
    if member.test_key != tests:  # it predicts anew, and writes the record last
        del files[PREDICTIONS_FILE]
    wrong = folder.changed(files)
    what = f"member {member.fingerprint}: {wrong} is not what was written"
    return [Fault(what, member=member.fingerprint)] if wrong else []


def _ensemble_faults(
    workspace: Location, version: str, members: dict[str, MemberRecord]
) -> list[Fault]:
    paths, where = WorkspacePaths(workspace), f"ensemble {version}"
    stored = paths.ensemble(version)
    if not stored.record.exists():
        return []  # it was never published
    try:
        ensemble = registry.load_ensemble(stored.record)
    except CorruptError as error:
        return [Fault(str(error))]
    wrong = stored.folder.changed(ensemble.files)
    if wrong:
        return [Fault(f"{where}: {wrong} is not what was written; {registry.AGAIN}")]
    if not set(ensemble.members) <= set(members):
        return [Fault(f"{where}: some of its members are no longer there; it cannot predict")]
    parts = [members[name].files[PREDICTIONS_FILE] for name in ensemble.members]
    if parts == [*ensemble.pooled]:  # else they were trained, or applied to other clips, since
        tests = [paths.member(name).predictions.read_arrays()["test"] for name in ensemble.members]
        saved = stored.predictions.read_arrays()["test"]
        # Logarithms may differ in the last bit between kinds of processor.
        if not np.allclose(ensemble.fitted(np.stack(tests)), saved, rtol=0, atol=1e-12):
            what = f"{where}: is not what its members give; remove it, and {registry.AGAIN}"
            return [Fault(what)]
    return []
