"""The studies of a workspace: their members, their damage, and their removal.

Nothing here needs Optuna. The members of a study belong to no ensemble, so pruning old versions
never removes them; they go with their study, on request.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from overlap.errors import CorruptError, NotReadyError, OverlapError
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.training.spec import keep_newer_member, load_spec
from overlap.tuning.definition import StudyRecord
from overlap.tuning.journal_lines import complete_lines, entry
from overlap.tuning.judgement import Judgement, read_judgement
from overlap.tuning.names import MEMBER
from overlap.tuning.paths import StudyPaths, list_studies


@dataclass(frozen=True)
class StudyRemoval:
    """What was removed with a study, or would be."""

    study: str
    members: tuple[str, ...]
    """Fingerprints of its members that no other study has, sorted."""


def members_of(paths: StudyPaths) -> set[str]:
    """Return the fingerprints of the members of a study, as far as its files can be read."""
    names: set[str] = set()
    if paths.journal.exists():
        names = {
            str(found["user_attr"][MEMBER])
            for line in complete_lines(paths.journal.read_bytes())
            if (found := entry(line)) is not None and MEMBER in found.get("user_attr", {})
        }
    try:
        judgement = read_judgement(paths.judgement)
    except CorruptError:
        judgement = None
    return names | {*(judgement.members if judgement else ())}


def remove_study(workspace: Location, study: str, *, dry_run: bool = False) -> StudyRemoval:
    """Remove a study with its members; the caller holds the run lock.

    The folder of the study goes last: an interrupted removal is completed by the next one.

    Args:
        workspace: The workspace.
        study: Its id.
        dry_run: Remove nothing; only return what would be removed.

    Raises:
        NotReadyError: There is no such study (code `no-study`).
        NewerFormatError: A later release wrote one of its files; nothing is removed.
    """
    paths, known = WorkspacePaths(workspace), list_studies(workspace)
    if study not in known:
        raise NotReadyError(
            f"{workspace}: has no study {study}; studies: {', '.join(known) or 'none'}",
            code="no-study", study=study, studies=tuple(known),
        )  # fmt: skip
    found = StudyPaths.of(workspace, study)
    found.record.keep_newer(StudyRecord)
    found.judgement.keep_newer(Judgement)
    others = {
        name
        for other in known
        if other != study
        for name in members_of(StudyPaths.of(workspace, other))
    }
    folders = [paths.member(name).folder for name in sorted(members_of(found) - others)]
    own = [folder for folder in folders if _belongs_to_a_study(folder)]
    for folder in own:
        keep_newer_member(folder)
    if not dry_run:
        for folder in own:
            paths.member(folder.name).record.remove()
            folder.remove()
        found.folder.remove()
    return StudyRemoval(study, tuple(folder.name for folder in own))


def study_faults(workspace: Location) -> Iterator[str]:
    """Yield what is damaged in the studies, a sentence each."""
    for study in list_studies(workspace):
        found = StudyPaths.of(workspace, study)
        remedy = (
            f"restore the file, or remove the study with `overlap models prune --study {study}`"
        )
        for location, kind in ((found.record, StudyRecord), (found.judgement, Judgement)):
            try:
                if location.exists():
                    location.read_record(kind)
            except CorruptError as error:
                yield f"study {study}: {error}; {remedy}"
        content = found.journal.read_bytes() if found.journal.exists() else b""
        if any(entry(line) is None for line in complete_lines(content)):
            yield f"study {study}: {found.journal}: is damaged; {remedy}"


def _belongs_to_a_study(folder: Location) -> bool:
    """Return whether a member exists and could belong to no ensemble."""
    if not folder.is_folder():
        return False
    try:
        spec = load_spec(folder)
    except OverlapError:
        return False
    # Without a specification the member is partly removed already.
    return spec is None or spec.reserved is not None
