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
from overlap.ensemble.registry import EnsembleRecord, list_ensembles
from overlap.errors import CorruptError, NewerFormatError
from overlap.io.atomic_update import update
from overlap.io.location import Location
from overlap.io.records import Record
from overlap.io.workspace_paths import WorkspacePaths
from overlap.promotion.champion import Aliases, read_aliases
from overlap.training.spec import keep_newer_member, load_record, load_spec, training_key


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


def prune(
    workspace: Location, keep: int, *, dry_run: bool = False, catalog: Catalog | None = None
) -> Pruned:
    """Remove what need not stay.

    Args:
        workspace: The workspace; it has a catalogue.
        keep: See `kept_versions`.
        dry_run: Only tell what would be removed.
        catalog: The catalogue of the workspace; None: it is read.

    Raises:
        NotReadyError: there is no catalogue.
        CorruptError: a record cannot be read, so that its members are unknown.
        NewerFormatError: a later release wrote a record of an ensemble; nothing is removed.
    """
    catalog = Catalog.load(workspace) if catalog is None else catalog
    key, records = training_key(catalog), list_ensembles(workspace)
    interrupted = _left_over(workspace)

    def change(aliases: Aliases) -> tuple[Aliases, set[str]]:
        kept = kept_versions(records, aliases, keep)
        going = [record.version for record in records if record.version not in kept]
        leaving = tuple(dict.fromkeys((*aliases.leaving, *going)))
        return aliases.model_copy(update={"leaving": leaving}), kept

    if dry_run:
        _, kept = change(read_aliases(workspace))
    else:
        kept = update(WorkspacePaths(workspace).champion, Aliases, change)
    left = interrupted | {
        record.version: RemovalMarker(members=record.members)
        for record in records
        if record.version not in kept
    }
    needed = {name for record in records if record.version in kept for name in record.members}
    named = {name for one in left.values() for name in one.members}
    paths = WorkspacePaths(workspace)
    members = [name for name in sorted(named - needed) if _goes(paths.member(name).folder, key)]
    if not dry_run:
        _remove(workspace, left, members)
    return Pruned(
        tuple(sorted(left)), tuple(members), tuple(r.version for r in records if r.version in kept)
    )


def _left_over(workspace: Location) -> dict[str, RemovalMarker]:
    """Versions whose removal was interrupted."""
    paths = WorkspacePaths(workspace)
    markers = {version: paths.ensemble(version).removed for version in paths.ensembles.folders()}
    return {
        version: marker.read_record(RemovalMarker)
        for version, marker in markers.items()
        if marker.exists()
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
    paths = WorkspacePaths(workspace)
    for version, what in left.items():
        paths.ensemble(version).removed.write_record(what)
        paths.ensemble(version).record.remove()
    for name in members:
        paths.member(name).record.remove()
        paths.member(name).folder.remove()
    for version in left:
        ensemble = paths.ensemble(version)
        others = [e.name for e in ensemble.folder.files() if e.name != ensemble.removed.name]
        for file in others:
            (ensemble.folder / file).remove()
        ensemble.folder.remove()
    there = {*paths.ensembles.folders()}

    def change(aliases: Aliases) -> tuple[Aliases, None]:
        leaving = tuple(version for version in aliases.leaving if version in there)
        return aliases.model_copy(update={"leaving": leaving}), None

    update(WorkspacePaths(workspace).champion, Aliases, change)
