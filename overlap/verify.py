"""Whether what a workspace holds is what was written there."""

from dataclasses import dataclass

import numpy as np

from overlap.catalog import Catalog
from overlap.ensemble import registry
from overlap.ensemble.pooling import pool_mean
from overlap.ensemble.registry import EnsembleRecord
from overlap.errors import OverlapError
from overlap.features import Block, FeatureStore, block_job
from overlap.features.extract import block_digest, compute_block
from overlap.storage import Location
from overlap.training.spec import MEMBERS, PREDICTIONS_FILE, MemberRecord, load_record


@dataclass(frozen=True)
class Fault:
    """One thing that is not what was written."""

    what: str
    """What is wrong, and what to do about it."""
    block: int | None = None
    """The block that must be computed again."""
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
    for block in done:
        faults += _block_faults(workspace, catalog, store, block, again=block.index in chosen)
    names = (workspace / MEMBERS).folders()
    members = [r for r in (load_record(workspace / MEMBERS / name) for name in names) if r]
    for member in members:
        faults += _member_faults(workspace, member)
    ensembles = registry.list_ensembles(workspace)
    by_name = {member.fingerprint: member for member in members}
    for ensemble in ensembles:
        faults += _ensemble_faults(workspace, ensemble, by_name)
    champion = registry.champion(workspace)
    if champion is not None and champion not in {e.version for e in ensembles}:
        faults.append(Fault(f"champion {champion} is not there; promote another"))
    return Verification(len(done), len(chosen), len(members), len(ensembles), tuple(faults))


def repair(workspace: Location, faults: tuple[Fault, ...]) -> int:
    """Mark damaged blocks and members as missing, so that the next run makes them again.

    Returns:
        How many were marked.
    """
    store = FeatureStore.open(workspace, read_only=False)
    marked = 0
    for fault in faults:
        if fault.block is not None:
            store.mark_missing(fault.block)
            marked += 1
        if fault.member is not None:
            (workspace / MEMBERS / fault.member).remove()
            marked += 1
    return marked


def _block_faults(
    workspace: Location, catalog: Catalog, store: FeatureStore, block: Block, *, again: bool
) -> list[Fault]:
    where = f"features: block {block.index} (rows {block.start} to {block.stop - 1})"
    digest = store.stored_digest(block)
    try:
        stored = store.read_rows(block.start, block.stop)
    except Exception as error:  # noqa: BLE001  a damaged chunk can fail in any codec
        return [Fault(f"{where}: cannot be read ({error})", block=block.index)]
    if block_digest(stored) != digest:
        return [Fault(f"{where}: is not what was written", block=block.index)]
    if again:
        try:
            _, computed = compute_block(block_job(workspace, catalog, block), store)
        except OverlapError as error:
            return [Fault(f"{where}: {error}")]
        if computed != digest:
            what = f"{where}: its sound files give other features on this machine"
            return [Fault(what, block=block.index)]
    return []


def _member_faults(workspace: Location, member: MemberRecord) -> list[Fault]:
    folder = workspace / MEMBERS / member.fingerprint
    wrong = _changed(folder, member.files)
    what = f"member {member.fingerprint}: {wrong} is not what was written"
    return [Fault(what, member=member.fingerprint)] if wrong else []


def _ensemble_faults(
    workspace: Location, ensemble: EnsembleRecord, members: dict[str, MemberRecord]
) -> list[Fault]:
    folder = workspace / registry.ENSEMBLES / ensemble.version
    where = f"ensemble {ensemble.version}"
    wrong = _changed(folder, ensemble.files)
    if wrong:
        return [Fault(f"{where}: {wrong} is not what was written; publish it again")]
    if not set(ensemble.members) <= set(members):
        return [Fault(f"{where}: some of its members are no longer there; it cannot predict")]
    parts = [members[name] for name in ensemble.members]
    if all(part.test_key == ensemble.test_key for part in parts):
        tests = [
            (workspace / MEMBERS / name / PREDICTIONS_FILE).read_arrays()["test"]
            for name in ensemble.members
        ]
        saved = (folder / registry.PREDICTIONS_FILE).read_arrays()["test"]
        if not np.array_equal(pool_mean(np.stack(tests)), saved):
            return [Fault(f"{where}: is not the mean of its members; publish it again")]
    return []


def _changed(folder: Location, files: dict[str, str]) -> str:
    """Names of files that are gone or have another content."""
    return " and ".join(n for n, digest in files.items() if (folder / n).digest() != digest)
