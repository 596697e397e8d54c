"""Verification of a workspace: stored files are compared with their digests."""

from dataclasses import dataclass

import numpy as np

from overlap.catalog import Catalog
from overlap.ensemble import registry
from overlap.errors import CorruptError, NewerFormatError, OverlapError
from overlap.features import Block, FeatureStore, block_job
from overlap.features.code_counts import count_codes
from overlap.features.extract import block_digest, compute_block
from overlap.features.store.layout import SPLITS
from overlap.io.location import Location
from overlap.io.workspace_paths import PREDICTIONS_FILE, WorkspacePaths
from overlap.promotion.champion import champion
from overlap.training.spec import MemberRecord, keep_newer_member, load_record, test_key
from overlap.tuning.studies import study_faults
from overlap.workspace.costs import Costs
from overlap.workspace.workspace import Workspace


@dataclass(frozen=True)
class Fault:
    """A difference between the workspace and what was written.

    The fields after the first name what `repair` marks as missing, so that the next run makes it
    again. An ensemble needs no mark: the next run publishes it again.
    """

    what: str
    """Description, with the remedy."""
    block: int | None = None
    """Block to compute again."""
    clips_of_block: int | None = None
    """Block whose clips must be inspected again."""
    columns: bool = False
    """Whether to write the store's columns again."""
    member: str | None = None
    """Fingerprint of the member to train again."""


@dataclass(frozen=True)
class Verification:
    """The result of a verification."""

    blocks: int
    """Blocks whose stored values were compared with their digests."""
    blocks_recomputed: int
    """Blocks that were recomputed from the sound files."""
    members: int
    ensembles: int
    faults: tuple[Fault, ...]
    newer: tuple[str, ...] = ()
    """Records that a later release wrote, a sentence each: neither compared nor repaired."""


def verify_workspace(workspace: Location, recompute: int | None = 1, seed: int = 0) -> Verification:
    """Compare stored files with their digests, and some blocks with their sound files.

    Args:
        workspace: The workspace.
        recompute: Number of blocks to recompute; None: all.
        seed: Seed of the choice of blocks.

    Raises:
        NotReadyError: the workspace has no catalogue or no store.
    """
    catalog, store = Catalog.load(workspace), FeatureStore.open(workspace)
    missing = {block.index for block in store.missing(catalog)}
    done = [block for block in store.blocks(catalog) if block.index not in missing]
    count = len(done) if recompute is None else min(recompute, len(done))
    drawn = np.random.default_rng(seed).permutation(len(done))[:count]
    chosen = {done[index].index for index in drawn}
    faults = []
    if missing:
        faults.append(Fault(f"features: {len(missing)} blocks are missing; run `overlap features`"))
    if not store.matches_catalog(catalog):
        faults.append(Fault("features: the columns differ from the catalogue", columns=True))
    for block in done:
        faults += _block_faults(workspace, catalog, store, block, again=block.index in chosen)
    members: dict[str, MemberRecord] = {}
    tests = test_key(catalog)
    newer, unread = _Newer(), set[str]()
    paths = WorkspacePaths(workspace)
    for name in paths.members.folders():
        folder = paths.member(name).folder
        before = len(newer.found)
        with newer:
            keep_newer_member(folder)
            try:
                record = load_record(folder)
            except CorruptError as error:
                faults.append(Fault(str(error), member=name))
                continue
            if record is not None:
                members[name] = record
                faults += _member_faults(workspace, record, tests)
        if len(newer.found) > before:
            unread.add(name)
    ensembles = paths.ensembles.folders()
    for version in ensembles:
        with newer:
            faults += _ensemble_faults(workspace, version, members, unread)
    with newer:
        faults += [Fault(line) for line in study_faults(workspace)]
    with newer:
        paths.costs.keep_newer(Costs)
    with newer:
        current = champion(workspace)
        if current is not None and current not in ensembles:
            faults.append(Fault(f"champion {current} no longer exists; promote another version"))
    return Verification(
        blocks=len(done),
        blocks_recomputed=len(chosen),
        members=len(members),
        ensembles=len(ensembles),
        faults=tuple(faults),
        newer=tuple(newer.found),
    )


class _Newer:
    """Collects records in a newer format, which end a `with` block early.

    Attributes:
        found: A sentence for each.
    """

    def __init__(self) -> None:
        self.found: list[str] = []

    def __enter__(self) -> None:
        """Begin a block."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        """Note a newer format; every other error is raised."""
        if not isinstance(error, NewerFormatError):
            return False
        self.found.append(str(error))
        return True


def verify_and_repair(
    workspace: Workspace, recompute: int | None = 1, seed: int = 0
) -> tuple[Verification, int]:
    """Verify a workspace and mark damaged parts as missing, while no run works on it.

    What a run is writing looks damaged, so files are compared under the run lock, too.

    Args:
        workspace: The workspace.
        recompute: See `verify_workspace`.
        seed: See `verify_workspace`.

    Returns:
        The verification, and the number of faults that were marked.

    Raises:
        NotReadyError: the workspace has no catalogue or no store.
        WorkspaceLockedError: a run works on the workspace.
    """
    if not workspace.location.is_folder():
        Catalog.load(workspace.location)  # names what is missing, before the lock makes the folder
    with workspace.lock():
        result = verify_workspace(workspace.location, recompute, seed)
        return result, repair(workspace.location, result.faults) if result.faults else 0


def repair(workspace: Location, faults: tuple[Fault, ...]) -> int:
    """Mark damaged parts as missing, so that the next run makes them again.

    Returns:
        Number of faults that were marked.
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
            folder = WorkspacePaths(workspace).member(fault.member).folder
            keep_newer_member(folder)
            folder.remove()
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
        return [Fault(f"{where}: differs from what was written", block=block.index)]
    job = block_job(workspace, catalog, block)
    counts = count_codes(stored, np.array(job.splits), len(SPLITS))
    if not np.array_equal(counts, counted):
        return [Fault(f"{where}: its histogram does not match its values", block=block.index)]
    if again:
        try:
            _, computed = compute_block(job, store)
        except OverlapError as error:
            return [Fault(f"{where}: {error}", clips_of_block=block.index)]
        if computed != digest:
            what = f"{where}: its sound files give different features on this machine"
            return [Fault(what, block=block.index)]
    return []


def _member_faults(workspace: Location, member: MemberRecord, tests: str) -> list[Fault]:
    folder, files = WorkspacePaths(workspace).member(member.fingerprint).folder, {**member.files}
    if member.test_key != tests:  # it is predicting again, and writes the record last
        del files[PREDICTIONS_FILE]
    wrong = folder.changed(files)
    what = f"member {member.fingerprint}: {wrong} differs from what was written"
    return [Fault(what, member=member.fingerprint)] if wrong else []


def _ensemble_faults(
    workspace: Location, version: str, members: dict[str, MemberRecord], unread: set[str]
) -> list[Fault]:
    paths, where = WorkspacePaths(workspace), f"ensemble {version}"
    stored = paths.ensemble(version)
    if not stored.record.exists():
        return []  # not published
    try:
        ensemble = registry.load_ensemble(stored.record)
    except CorruptError as error:
        return [Fault(str(error))]
    wrong = stored.folder.changed(ensemble.files)
    if wrong:
        return [Fault(f"{where}: {wrong} differs from what was written; {registry.AGAIN}")]
    if not set(ensemble.members) <= {*members, *unread}:
        return [Fault(f"{where}: some of its members no longer exist, so that it cannot predict")]
    known = [members[name] for name in ensemble.members if name in members]
    # Otherwise a later release wrote some of the members, or they were trained or applied again.
    if [member.files[PREDICTIONS_FILE] for member in known] == [*ensemble.pooled]:
        tests = [paths.member(name).predictions.read_arrays()["test"] for name in ensemble.members]
        saved = stored.predictions.read_arrays()["test"]
        # Logarithms may differ in the last bit between processors.
        if not np.allclose(ensemble.fitted(np.stack(tests)), saved, rtol=0, atol=1e-12):
            differs = f"{where}: differs from the pooled predictions of its members"
            return [Fault(f"{differs}; remove it, and {registry.AGAIN}")]
    return []
