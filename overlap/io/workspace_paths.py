"""Names and addresses of the files of a workspace; nothing here reads or writes one.

    catalog.parquet                  which clip is in which row, and its labels
    quarantine.parquet               the unusable clips, for reading
    features.zarr/                   the feature store
    costs.json                       time and energy of the stages before the training
    members/<fingerprint>/           one folder per member: `MemberPaths`
    ensembles/<version>/             one folder per ensemble: `EnsemblePaths`
    champion.json                    the champion and the history of decisions
    predictions/<fingerprint>/       results of prediction jobs, one file each, and `used`
    runs/<id>.json                   one record per run, for readers only
    tune/<id>/                       one folder per study: overlap.tuning.paths
    withdrawn.json                   clips that are kept out of every run
    .copy.json                       journal of a copy, while this workspace is an incomplete one
    .moved.json                      where this workspace was moved, while it is being removed
    .run.lock                        the run lock, while a run holds it
    .seen-<token>                    a probe, while a cluster is open

These names are part of the on-disk format: changing one makes existing workspaces unreadable.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from overlap.io.location import Location

CATALOG_FILE: Final = "catalog.parquet"
QUARANTINE_FILE: Final = "quarantine.parquet"
FEATURES_FOLDER: Final = "features.zarr"
COSTS_FILE: Final = "costs.json"
CHAMPION_FILE: Final = "champion.json"
WITHDRAWN_FILE: Final = "withdrawn.json"
COPY_FILE: Final = ".copy.json"
MOVED_FILE: Final = ".moved.json"
LOCK_FILE: Final = ".run.lock"
PROBE_PREFIX: Final = ".seen-"
MEMBERS_FOLDER: Final = "members"
ENSEMBLES_FOLDER: Final = "ensembles"
PREDICTIONS_FOLDER: Final = "predictions"
RUNS_FOLDER: Final = "runs"
STUDIES_FOLDER: Final = "tune"

SPEC_FILE: Final = "spec.json"
MEMBER_FILE: Final = "member.json"
MODEL_FILE: Final = "model.keras"
CHECKPOINT_FILE: Final = "checkpoint.npz"
FAILURES_FILE: Final = "failures.json"
LOG_FILE: Final = "log.txt"
PLACEMENTS_FOLDER: Final = "placements"
GRAPH_FILE: Final = "inference.onnx"
GRAPH_RECORD_FILE: Final = "inference.json"
PROGRESS_FILE: Final = "progress.jsonl"

ENSEMBLE_FILE: Final = "ensemble.json"
SUBMISSION_FILE: Final = "submission.csv"
REPORT_FILE: Final = "report.html"
REMOVED_FILE: Final = "removed.json"

PREDICTIONS_FILE: Final = "predictions.npz"
"""In the folder of a member and in that of an ensemble."""


@dataclass(frozen=True)
class MemberPaths:
    """The files of one member.

    Attributes:
        folder: The member's folder.
    """

    folder: Location

    @property
    def spec(self) -> Location:
        """The specification, written before the training starts."""
        return self.folder / SPEC_FILE

    @property
    def record(self) -> Location:
        """The record, written last: its presence means that the member is complete."""
        return self.folder / MEMBER_FILE

    @property
    def model(self) -> Location:
        """The trained network."""
        return self.folder / MODEL_FILE

    @property
    def predictions(self) -> Location:
        """Predictions for the test clips and the held-out clips."""
        return self.folder / PREDICTIONS_FILE

    @property
    def checkpoint(self) -> Location:
        """State of an unfinished training."""
        return self.folder / CHECKPOINT_FILE

    @property
    def failures(self) -> Location:
        """Seeds that diverged, while the training is unfinished."""
        return self.folder / FAILURES_FILE

    @property
    def log(self) -> Location:
        """Output of the training process."""
        return self.folder / LOG_FILE

    @property
    def placements(self) -> Location:
        """Folder with one file per training process."""
        return self.folder / PLACEMENTS_FOLDER

    @property
    def graph(self) -> Location:
        """The network as an inference graph; may be absent."""
        return self.folder / GRAPH_FILE

    @property
    def graph_record(self) -> Location:
        """What the inference graph was made from, written after it."""
        return self.folder / GRAPH_RECORD_FILE

    @property
    def progress(self) -> Location:
        """A line per finished epoch, for readers only; may be absent."""
        return self.folder / PROGRESS_FILE


@dataclass(frozen=True)
class EnsemblePaths:
    """The files of one ensemble.

    Attributes:
        folder: The ensemble's folder, named by its version.

    Examples:
        >>> EnsemblePaths.of_record(Location("/w/ensembles/v1/ensemble.json")).workspace.url
        '/w'
    """

    folder: Location

    @classmethod
    def of_record(cls, record: Location) -> "EnsemblePaths":
        """The files of the ensemble with a record."""
        return cls(record.parent)

    @property
    def workspace(self) -> Location:
        """The workspace that contains the ensemble."""
        return self.folder.parent.parent

    @property
    def record(self) -> Location:
        """The record, written last: its presence means that the ensemble is published."""
        return self.folder / ENSEMBLE_FILE

    @property
    def submission(self) -> Location:
        """The table of test predictions; absent where there are no test clips."""
        return self.folder / SUBMISSION_FILE

    @property
    def predictions(self) -> Location:
        """Pooled predictions and the training exposure."""
        return self.folder / PREDICTIONS_FILE

    @property
    def report(self) -> Location:
        """The HTML report."""
        return self.folder / REPORT_FILE

    @property
    def removed(self) -> Location:
        """Marker of a removal that has begun."""
        return self.folder / REMOVED_FILE


@dataclass(frozen=True)
class WorkspacePaths:
    """The files and folders of one workspace.

    Attributes:
        root: The workspace.

    Examples:
        >>> paths = WorkspacePaths(Location("s3://bucket/w"))
        >>> paths.catalog.url, paths.ensemble("v1").report.url
        ('s3://bucket/w/catalog.parquet', 's3://bucket/w/ensembles/v1/report.html')
    """

    root: Location

    @classmethod
    def of_features(cls, store: Location) -> "WorkspacePaths":
        """The workspace that contains a feature store."""
        return cls(store.parent)

    @property
    def catalog(self) -> Location:
        """The catalogue."""
        return self.root / CATALOG_FILE

    @property
    def quarantine(self) -> Location:
        """The unusable clips with their reasons."""
        return self.root / QUARANTINE_FILE

    @property
    def features(self) -> Location:
        """The feature store, a folder."""
        return self.root / FEATURES_FOLDER

    @property
    def costs(self) -> Location:
        """Time and energy of the stages before the training."""
        return self.root / COSTS_FILE

    @property
    def champion(self) -> Location:
        """The champion and the history of decisions."""
        return self.root / CHAMPION_FILE

    @property
    def withdrawn(self) -> Location:
        """The clips and groups that are kept out of every run."""
        return self.root / WITHDRAWN_FILE

    @property
    def copy(self) -> Location:
        """Journal of a copy that is incomplete."""
        return self.root / COPY_FILE

    @property
    def moved(self) -> Location:
        """Marker of a workspace that was moved and is being removed."""
        return self.root / MOVED_FILE

    @property
    def members(self) -> Location:
        """Folder of the members."""
        return self.root / MEMBERS_FOLDER

    @property
    def ensembles(self) -> Location:
        """Folder of the ensembles."""
        return self.root / ENSEMBLES_FOLDER

    @property
    def predictions(self) -> Location:
        """Folder with the results of prediction jobs."""
        return self.root / PREDICTIONS_FOLDER

    @property
    def runs(self) -> Location:
        """Folder with a record per run."""
        return self.root / RUNS_FOLDER

    @property
    def studies(self) -> Location:
        """Folder with a folder per study."""
        return self.root / STUDIES_FOLDER

    @property
    def run_lock(self) -> Path | None:
        """The lock file; None on an object store, which has no file locks."""
        return self.root.local / LOCK_FILE if self.root.local is not None else None

    def member(self, fingerprint: str) -> MemberPaths:
        """The files of a member."""
        return MemberPaths(self.members / fingerprint)

    def ensemble(self, version: str) -> EnsemblePaths:
        """The files of an ensemble."""
        return EnsemblePaths(self.ensembles / version)

    def probe(self, token: str) -> Location:
        """A file by which workers show that they see this workspace."""
        return self.root / f"{PROBE_PREFIX}{token}"
