"""Removing old versions: which, and in what order, so that no half of one is ever taken for whole.

Kept are the champion, the last champions before it that `rollback` can reach, and the newest
versions. Of the members only those are removed that a removed version names, that no kept one
names, and that learned from other clips than those of today: a run with any configuration over
today's clips may be making the others, or may take them as they are.

First `champion.json` says which versions are leaving, so that none of them is promoted meanwhile.
Then, for each, the names of its members are written beside its record, and the record goes: from
there on it is not published. A removal that was interrupted is finished by the next one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from overlap.catalog import Catalog
from overlap.ensemble.registry import ENSEMBLES, RECORD_FILE, EnsembleRecord, list_ensembles
from overlap.errors import CorruptError, NewerFormatError
from overlap.io.atomic_update import update
from overlap.io.location import Location
from overlap.io.records import Record
from overlap.promotion.champion import CHAMPION_FILE, Aliases, read_aliases
from overlap.training.spec import (
    MEMBERS,
    keep_newer_member,
    load_record,
    load_spec,
    training_key,
)
from overlap.training.spec import RECORD_FILE as MEMBER_FILE

LEFT_FILE = "removed.json"
"""In the folder of a version that is no longer published: which members it named."""


class RemovalMarker(Record):
    """What is left of a version."""

    members: tuple[str, ...]


@dataclass(frozen=True)
class Pruned:
    """What was removed, or would be."""

    versions: tuple[str, ...]
    members: tuple[str, ...]
    """Fingerprints."""
    kept: tuple[str, ...]
    """Versions that stay, oldest first."""


def kept_versions(records: Sequence[EnsembleRecord], aliases: Aliases, keep: int) -> set[str]:
    """The versions that stay.

    Args:
        records: What is published, oldest first.
        aliases: Who is champion, and who was.
        keep: How many champions before it, and how many newest versions; at least 1.
    """
    there = [record.version for record in records if record.version not in aliases.leaving]
    before = [version for version in dict.fromkeys(reversed(aliases.earlier)) if version in there]
    return {v for v in there if v == aliases.version} | {*before[:keep], *there[-keep:]}


def prune(workspace: Location, keep: int, *, dry_run: bool = False) -> Pruned:
    """Remove what need not stay.

    Args:
        workspace: The workspace; it has a catalogue.
        keep: See `kept_versions`.
        dry_run: Only tell what would be removed.

    Raises:
        NotReadyError: there is no catalogue.
        CorruptError: a record cannot be read, so that its members are unknown.
        NewerFormatError: a later release wrote a record of an ensemble; nothing is removed.
    """
    key, records = training_key(Catalog.load(workspace)), list_ensembles(workspace)
    interrupted = _left_over(workspace)

    def change(aliases: Aliases) -> tuple[Aliases, set[str]]:
        kept = kept_versions(records, aliases, keep)
        going = [record.version for record in records if record.version not in kept]
        leaving = tuple(dict.fromkeys((*aliases.leaving, *going)))
        return aliases.model_copy(update={"leaving": leaving}), kept

    if dry_run:
        _, kept = change(read_aliases(workspace))
    else:
        kept = update(workspace / CHAMPION_FILE, Aliases, change)
    left = interrupted | {
        record.version: RemovalMarker(members=record.members)
        for record in records
        if record.version not in kept
    }
    needed = {name for record in records if record.version in kept for name in record.members}
    named = {name for one in left.values() for name in one.members}
    members = [name for name in sorted(named - needed) if _goes(workspace / MEMBERS / name, key)]
    if not dry_run:
        _remove(workspace, left, members)
    return Pruned(
        tuple(sorted(left)), tuple(members), tuple(r.version for r in records if r.version in kept)
    )


def _left_over(workspace: Location) -> dict[str, RemovalMarker]:
    """Versions whose removal was interrupted."""
    folders = [workspace / ENSEMBLES / name for name in (workspace / ENSEMBLES).folders()]
    return {
        f.name: (f / LEFT_FILE).read_record(RemovalMarker)
        for f in folders
        if (f / LEFT_FILE).exists()
    }


def _goes(folder: Location, key: str) -> bool:
    """Whether a member that no kept version names is there and learned from other clips."""
    if not folder.is_folder():
        return False
    try:
        keep_newer_member(folder)
        record = load_record(folder)
        spec = record.spec if record else load_spec(folder)
    except (CorruptError, NewerFormatError):
        return False  # `overlap verify` reports it
    return spec is None or spec.training_key != key  # without one: half of it is removed already


def _remove(workspace: Location, left: Mapping[str, RemovalMarker], members: Sequence[str]) -> None:
    for version, what in left.items():
        folder = workspace / ENSEMBLES / version
        (folder / LEFT_FILE).write_record(what)
        (folder / RECORD_FILE).remove()
    for name in members:
        (workspace / MEMBERS / name / MEMBER_FILE).remove()
        (workspace / MEMBERS / name).remove()
    for version in left:
        folder = workspace / ENSEMBLES / version
        for file in [entry.name for entry in folder.files() if entry.name != LEFT_FILE]:
            (folder / file).remove()
        folder.remove()
    there = {*(workspace / ENSEMBLES).folders()}

    def change(aliases: Aliases) -> tuple[Aliases, None]:
        leaving = tuple(version for version in aliases.leaving if version in there)
        return aliases.model_copy(update={"leaving": leaving}), None

    update(workspace / CHAMPION_FILE, Aliases, change)
