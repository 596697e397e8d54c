"""Names and addresses of the files of a study; nothing here reads or writes one.

These names are part of the on-disk format of a workspace. Little is imported, because
`overlap status` lists the studies.
"""

from dataclasses import dataclass
from typing import Final

from overlap.io.location import Location
from overlap.io.workspace_paths import REPORT_FILE, WorkspacePaths

STUDY_FILE: Final = "study.json"
JOURNAL_FILE: Final = "journal.log"
JUDGEMENT_FILE: Final = "judgement.json"
BEST_FILE: Final = "best.toml"


@dataclass(frozen=True)
class StudyPaths:
    """The files of one study of `overlap tune`.

    Attributes:
        folder: The study's folder.
    """

    folder: Location

    @classmethod
    def of(cls, workspace: Location, study: str) -> "StudyPaths":
        """The files of a study of a workspace."""
        return cls(WorkspacePaths(workspace).studies / study)

    @property
    def workspace(self) -> Location:
        """The workspace that contains the study."""
        return self.folder.parent.parent

    @property
    def record(self) -> Location:
        """The definition of the study, written first."""
        return self.folder / STUDY_FILE

    @property
    def journal(self) -> Location:
        """Optuna's journal: the trials."""
        return self.folder / JOURNAL_FILE

    @property
    def judgement(self) -> Location:
        """The comparison of the best settings with those that the study began with."""
        return self.folder / JUDGEMENT_FILE

    @property
    def best(self) -> Location:
        """The best settings as a configuration file."""
        return self.folder / BEST_FILE

    @property
    def report(self) -> Location:
        """The HTML report."""
        return self.folder / REPORT_FILE


def list_studies(workspace: Location) -> list[str]:
    """Return the ids of the studies of a workspace."""
    return WorkspacePaths(workspace).studies.folders()
