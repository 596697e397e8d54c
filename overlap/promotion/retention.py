"""Removes old versions, in an order in which an interruption leaves nothing half valid.

The champion, the latest champions that `rollback` can reach and the newest versions stay. A member
is removed only if a removed version lists it, no kept version does, and it was trained on other
clips than the current ones: a run over the current clips may be training or reusing any other
member.

A partly removed version is never mistaken for a complete one. First, `champion.json` lists the
leaving versions, so that none of them can be promoted. Then, for each version, a marker with the
names of its members is written and the record is deleted, which unpublishes the version. The next
removal completes an interrupted one.
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
    """Marker in the folder of an unpublished version; lists the members of the version."""

    members: tuple[str, ...]


@dataclass(frozen=True)
class PruneResult:
    """The versions and members that were removed, or would be."""

    versions: tuple[str, ...]
    """Removed versions, sorted."""
    members: tuple[str, ...]
    """Fingerprints of the removed members, sorted."""
    kept: tuple[str, ...]
    """Versions that stay, oldest first."""


def kept_versions(records: Sequence[EnsembleRecord], aliases: Aliases, keep: int) -> set[str]:
    """Return the versions that stay.

    Args:
        records: The published ensembles, oldest first.
        aliases: The champion and its predecessors.
        keep: Number of earlier champions, and of newest versions, to keep; at least 1.
    """
    published = [record.version for record in records if record.version not in aliases.leaving]
    earlier = [v for v in dict.fromkeys(reversed(aliases.earlier)) if v in published]
    champion = {v for v in published if v == aliases.version}
    return champion | {*earlier[:keep], *published[-keep:]}


def prune(
    workspace: Location, keep: int, *, dry_run: bool = False, catalog: Catalog | None = None
) -> PruneResult:
    """Remove old versions and the members that only they need.

    Args:
        workspace: The workspace; it has a catalogue.
        keep: See `kept_versions`.
        dry_run: Remove nothing; only return what would be removed.
        catalog: The catalogue of the workspace; None: read it.

    Raises:
        NotReadyError: There is no catalogue.
        CorruptError: A record cannot be read, so that the members it needs are unknown.
        NewerFormatError: A later release wrote a record of an ensemble; nothing is removed.
    """
    catalog = Catalog.load(workspace) if catalog is None else catalog
    key, records = training_key(catalog), list_ensembles(workspace)
    interrupted = _interrupted_removals(workspace)

    def change(aliases: Aliases) -> tuple[Aliases, set[str]]:
        kept = kept_versions(records, aliases, keep)
        surplus = [record.version for record in records if record.version not in kept]
        leaving = tuple(dict.fromkeys((*aliases.leaving, *surplus)))
        return aliases.model_copy(update={"leaving": leaving}), kept

    if dry_run:
        _, kept = change(read_aliases(workspace))
    else:
        kept = update(WorkspacePaths(workspace).champion, Aliases, change)
    markers = interrupted | {
        record.version: RemovalMarker(members=record.members)
        for record in records
        if record.version not in kept
    }
    needed = {name for record in records if record.version in kept for name in record.members}
    candidates = {name for marker in markers.values() for name in marker.members} - needed
    paths = WorkspacePaths(workspace)
    members = [n for n in sorted(candidates) if _is_obsolete(paths.member(n).folder, key)]
    if not dry_run:
        _remove(workspace, markers, members)
    return PruneResult(
        versions=tuple(sorted(markers)),
        members=tuple(members),
        kept=tuple(r.version for r in records if r.version in kept),
    )


def _interrupted_removals(workspace: Location) -> dict[str, RemovalMarker]:
    """Read the markers of the versions whose removal was interrupted."""
    paths = WorkspacePaths(workspace)
    markers = {version: paths.ensemble(version).removed for version in paths.ensembles.folders()}
    return {
        version: marker.read_record(RemovalMarker)
        for version, marker in markers.items()
        if marker.exists()
    }


def _is_obsolete(folder: Location, key: str) -> bool:
    """Return whether a member exists and was trained on other clips than the current ones.

    Args:
        folder: Folder of a member that no kept version needs.
        key: Key of the current training clips.
    """
    if not folder.is_folder():
        return False
    try:
        keep_newer_member(folder)
        record = load_record(folder)
        spec = record.spec if record else load_spec(folder)
    except (CorruptError, NewerFormatError):
        return False  # `overlap verify` reports it
    # Without a specification the member is partly removed already.
    return spec is None or spec.training_key != key


def _remove(
    workspace: Location, markers: Mapping[str, RemovalMarker], members: Sequence[str]
) -> None:
    paths = WorkspacePaths(workspace)
    for version, marker in markers.items():
        paths.ensemble(version).removed.write_record(marker)
        paths.ensemble(version).record.remove()
    for name in members:
        paths.member(name).record.remove()
        paths.member(name).folder.remove()
    for version in markers:
        ensemble = paths.ensemble(version)
        marked = ensemble.removed.name
        for file in [entry.name for entry in ensemble.folder.files() if entry.name != marked]:
            (ensemble.folder / file).remove()
        ensemble.folder.remove()
    remaining = {*paths.ensembles.folders()}

    def change(aliases: Aliases) -> tuple[Aliases, None]:
        leaving = tuple(version for version in aliases.leaving if version in remaining)
        return aliases.model_copy(update={"leaving": leaving}), None

    update(WorkspacePaths(workspace).champion, Aliases, change)
