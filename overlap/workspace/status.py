"""The status of a workspace, read from its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from overlap.catalog.rows import ClipRows, stored_rows
from overlap.ensemble.registry import list_ensembles
from overlap.errors import CorruptError, NewerFormatError, NotReadyError
from overlap.features.store.blocks import Block
from overlap.features.store.store import FeatureStore
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.promotion.champion import champion
from overlap.training.spec import load_record, load_spec


@dataclass(frozen=True)
class MemberStatus:
    """Status of one member's folder."""

    fingerprint: str
    state: Literal["complete", "begun", "damaged", "newer"]
    seed: int | None
    """None if it cannot be read."""
    fold: int | None
    held_out_kl: float | None
    clips_per_second: float | None


@dataclass(frozen=True)
class Status:
    """Status of a workspace."""

    workspace: str
    data: str
    clips: dict[str, int]
    """Clips by split and state."""
    words: int
    blocks: int
    """Blocks of the feature store."""
    blocks_done: int
    blocks_missing: tuple[tuple[int, int], ...]
    """First and last number of each run of missing blocks."""
    clips_missing: int
    """Clips in the missing blocks."""
    members: tuple[MemberStatus, ...]
    """Members, without those of studies (`overlap tune`), of which many are stopped early."""
    ensembles: tuple[dict[str, Any], ...]
    """Version, members, KL and trivial KL of each published ensemble."""
    champion: str | None


def read_status(workspace: Location) -> Status:
    """Read the status of a workspace; nothing is modified.

    Raises:
        NotReadyError: the workspace has no catalogue.
    """
    with stored_rows(workspace) as rows:
        blocks, missing = _blocks(workspace, rows)
        data, clips, words = rows.data, rows.counts(), rows.words
    return Status(
        workspace=str(workspace),
        data=data,
        clips=clips,
        words=len(words),
        blocks=blocks,
        blocks_done=blocks - len(missing),
        blocks_missing=runs([block.index for block in missing]),
        clips_missing=sum(block.clips for block in missing),
        members=tuple(_members(workspace)),
        ensembles=tuple(
            {
                "version": record.version,
                "members": len(record.members),
                "kl": record.kl,
                "trivial_kl": record.trivial_kl,
            }
            for record in list_ensembles(workspace)
        ),
        champion=champion(workspace),
    )


def runs(numbers: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return the first and last of each run of consecutive numbers.

    Examples:
        >>> runs([3, 4, 5, 12])
        ((3, 5), (12, 12))
    """
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found)


def _blocks(workspace: Location, rows: ClipRows) -> tuple[int, list[Block]]:
    """Return the number of blocks, and the missing ones; none without a store."""
    try:
        store = FeatureStore.open(workspace)
    except NotReadyError:
        return 0, []
    return store.block_count(rows), store.missing(rows)


def _members(workspace: Location) -> list[MemberStatus]:
    paths = WorkspacePaths(workspace)
    read = (_member(paths.member(name).folder) for name in paths.members.folders())
    found = [member for member in read if member is not None]
    return sorted(found, key=lambda m: (m.seed or 0, m.fold or 0, m.fingerprint))


def _member(folder: Location) -> MemberStatus | None:
    """Return the status of a member; None if it belongs to a study."""
    try:
        record = load_record(folder)
        spec = record.spec if record else load_spec(folder)
    except NewerFormatError:
        return MemberStatus(folder.name, "newer", None, None, None, None)
    except CorruptError:
        return MemberStatus(folder.name, "damaged", None, None, None, None)
    if spec is not None and spec.reserved is not None:
        return None
    return MemberStatus(
        fingerprint=folder.name,
        state="complete" if record else "begun",
        seed=spec.seed if spec else None,
        fold=spec.fold if spec else None,
        held_out_kl=record.held_out_kl if record else None,
        clips_per_second=record.clips_per_second if record else None,
    )
