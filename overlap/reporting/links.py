"""Links to the results of a workspace: to pages of `overlap view`, or to files."""

from dataclasses import dataclass
from urllib.parse import quote

from overlap.ensemble.registry import EnsembleRecord, folder_of, report_of, submission_of
from overlap.io.location import Location
from overlap.io.workspace_paths import REPORT_FILE, SUBMISSION_FILE


def link_to(place: Location) -> str:
    """Return an address as a link, in which blanks, `%`, `#` and `?` of names are escaped."""
    return quote(place.url, safe="/:@") if place.local is None else place.local.as_uri()


@dataclass(frozen=True)
class ResultLinks:
    """Links to what a run has published.

    Attributes:
        workspace: The workspace.
        view: Address of the workspace's web page, to which the links lead; None: they lead to
            files, which a browser may refuse to open.
    """

    workspace: Location
    view: str | None = None

    @property
    def overview(self) -> str:
        """The workspace."""
        return link_to(self.workspace) if self.view is None else f"{self.view.rstrip('/')}/"

    def ensemble(self, record: EnsembleRecord) -> str:
        """Return the link to an ensemble."""
        if self.view is None:
            return link_to(folder_of(self.workspace, record))
        return f"{self.overview}versions/{record.version}"

    def report(self, record: EnsembleRecord) -> str:
        """Return the link to the report of an ensemble."""
        if self.view is None:
            return link_to(report_of(self.workspace, record))
        return f"{self.ensemble(record)}/files/{REPORT_FILE}"

    def submission(self, record: EnsembleRecord) -> str | None:
        """Return the link to the predictions for the test clips; None if there are none."""
        file = submission_of(self.workspace, record)
        if not file.exists():
            return None
        if self.view is None:
            return link_to(file)
        return f"{self.ensemble(record)}/files/{SUBMISSION_FILE}"
