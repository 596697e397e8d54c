"""The specification of a member (everything its training depends on) and its record."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray

from overlap.catalog.label_kinds import equal_shares
from overlap.config import (
    FeatureConfig,
    LaterField,
    NetworkConfig,
    RunConfig,
    TrainingConfig,
    ValidationConfig,
    fingerprint,
    hashed_form,
)
from overlap.errors import ConfigError, CorruptError, MemberError
from overlap.features.statistics import Normalisation
from overlap.features.store.store import FeatureStore
from overlap.io.formatting import counted
from overlap.io.location import Location
from overlap.io.records import Record, from_arrays
from overlap.io.workspace_paths import MemberPaths, WorkspacePaths
from overlap.training.distillation.lesson import Distillation
from overlap.training.placement import Placement, placement_files

if TYPE_CHECKING:  # imports pandas and Numba
    from overlap.catalog import Catalog, Partition

REMEDY = "`overlap verify --repair` removes the member, and the next run trains it again"
"""The remedy for a damaged member, as a clause."""


class MemberSpec(Record):
    """A planned member; equal specifications give equal members."""

    seed: int
    """Seed of the initial weights, of dropout and of the order of the clips."""
    fold: int
    """Index of the fold that the member leaves out; 0 with a hold-out."""
    features: FeatureConfig
    network: NetworkConfig
    training: TrainingConfig
    validation: ValidationConfig
    floor_db: tuple[float, ...]
    mean_db: tuple[float, ...]
    std_db: tuple[float, ...]
    words: tuple[str, ...]
    subset: int | None = None
    """Words per clip for the head over sets of words; None: softmax."""
    chunk_clips: int
    """Rows per chunk of the store; determines the order of an epoch."""
    training_key: str
    """Identifies the training clips with their labels and groups."""
    reserved: Annotated[int | None, LaterField(None)] = None
    """Index of a fold that the member neither trains on nor is scored on during the training: it
    belongs to a study (`overlap tune`). None: the member belongs to ensembles."""
    judged: Annotated[bool, LaterField(False)] = False
    """Whether the finished member predicts the reserved fold, instead of the one that scored its
    epochs: it is trained to judge a study."""
    distillation: Annotated[Distillation | None, LaterField(None)] = None
    """The ensemble that the member learns from; None: it learns from the labels alone."""

    @property
    def fingerprint(self) -> str:
        """Name of the member's folder."""
        # The seed has its own field; the others do not affect the result.
        excluded = {"seed", "memory_gb", "device_gb", "steps_per_call", "backend"}
        content = hashed_form(self)
        training = {k: v for k, v in content.pop("training").items() if k not in excluded}
        return fingerprint(content, training)

    @property
    def constants(self) -> Normalisation:
        """Floor, mean and standard deviation of the features."""
        return Normalisation(self.floor_db, self.mean_db, self.std_db)

    def partition(self, catalog: "Catalog") -> "Partition":
        """Return the rows that the member trains on, and those that score its epochs."""
        from overlap.catalog import partition

        return partition(catalog, self.validation, self.fold, self.reserved)

    def folder(self, workspace: Location) -> Location:
        """Return the folder of the member."""
        return WorkspacePaths(workspace).member(self.fingerprint).folder


class MemberRecord(Record):
    """The record of a member; its file is written last and marks the member as complete."""

    fingerprint: str
    spec: MemberSpec
    test_key: str
    """Identifies the test clips that the member has predicted."""
    parameters: int
    """Number of weights of the network."""
    history: list[dict[str, float]]
    """Per epoch: loss and, if clips are held out, held_out_kl, nats."""
    held_out_kl: float | None
    """KL on the member's held-out clips, nats; None without them."""
    kept_epoch: int = 0
    """Epoch whose weights were kept, counted from 1; 0 in older records, which kept the last."""
    seed: int | None = None
    """Seed of the training; differs from the specification if the first attempt diverged."""
    failures: tuple[str, ...] = ()
    """One line per attempt that diverged."""
    clips: int
    """Number of training clips."""
    seconds: float
    """Time in training epochs over all attempts, s."""
    clips_per_second: float
    """Clips times epochs, divided by the seconds."""
    host_wait_fraction: float = 0.0
    """Fraction of the seconds in which the device waited for a batch."""
    energy_joules: float | None = None
    """Energy used by the device in training epochs, J; None if it does not report it."""
    feed: str = "memory"
    """Where the features were kept: device, memory or stream."""
    placement: Placement | None = None
    """The worker that completed the training; None in older records and outside Dask."""
    backend: str = ""
    """Keras's backend; empty in older records."""
    device: str
    device_peak_mb: float | None = None
    """Peak memory use of the accelerator, MB; None without one."""
    peak_memory_mb: float
    """Peak resident memory of the process, MB."""
    software: dict[str, str]
    files: dict[str, str]
    """SHA-256 of each file of the member."""

    def folder(self, workspace: Location) -> Location:
        """Return the member's folder; its name is the stored fingerprint.

        The fingerprint of `spec` differs where a later release wrote fields that this one ignores.
        """
        return WorkspacePaths(workspace).member(self.fingerprint).folder


def training_key(catalog: "Catalog") -> str:
    """Return a key that identifies the usable training clips with labels and groups."""
    return catalog.key(catalog.rows("train"), labels=True)


def test_key(catalog: "Catalog") -> str:
    """Return a key that identifies the usable test clips and their rows."""
    return rows_key(catalog, catalog.rows("test"))


def rows_key(catalog: "Catalog", rows: NDArray[np.int64]) -> str:
    """Return a key that identifies clips and their rows; see `test_key`."""
    return fingerprint(catalog.key(rows), rows.tolist())


def plan_members(config: RunConfig, catalog: "Catalog", store: FeatureStore) -> list[MemberSpec]:
    """Return the specifications of an ensemble's members.

    Member i leaves out fold i modulo the number of folds; its seed is `training.seed` + i.

    Raises:
        ConfigError: The head of the network does not fit the labels (code `head-unfit`).
    """
    constants = store.normalisation(config.training.normalisation, config.training.top_db)
    subset = None
    if config.network.head != "softmax":
        subset = equal_shares(catalog.labels[catalog.rows("train")])
        if subset is None and config.network.head == "subset":
            raise ConfigError(
                "network.head=subset requires labels with equal shares of the same number of words "
                f"in every clip, but the labels of {catalog.data} differ; use auto or softmax",
                code="head-unfit", head="subset", data=catalog.data,
            )  # fmt: skip
    shared: dict[str, Any] = {
        "features": store.config,
        "network": config.network,
        "training": config.training,
        "validation": config.validation,
        "floor_db": constants.floor_db,
        "mean_db": constants.mean_db,
        "std_db": constants.std_db,
        "words": catalog.words,
        "subset": subset,
        "chunk_clips": store.chunk_clips(),
        "training_key": training_key(catalog),
    }
    folds = config.validation.folds or 1
    return [
        MemberSpec(seed=config.training.seed + index, fold=index % folds, **shared)
        for index in range(config.ensemble.members)
    ]


def load_spec(folder: Location) -> MemberSpec | None:
    """Read the specification of a member; None if it does not exist.

    Raises:
        CorruptError: The file is damaged.
    """
    location = MemberPaths(folder).spec
    return location.read_record(MemberSpec) if location.exists() else None


def load_record(folder: Location) -> MemberRecord | None:
    """Read the record of a member; None while the member is incomplete.

    Raises:
        CorruptError: The file is damaged.
        NewerFormatError: A later release wrote the record, or the specification of a member
            that is not complete: the member must be neither trained nor removed.
    """
    location = MemberPaths(folder).record
    if not location.exists():
        MemberPaths(folder).spec.keep_newer(MemberSpec)
        return None
    try:
        return location.read_record(MemberRecord)
    except CorruptError as error:
        MemberPaths(folder).spec.keep_newer(MemberSpec)
        raise CorruptError(f"{error}; {REMEDY}", code=error.code, path=str(location)) from None


def keep_newer_member(folder: Location) -> None:
    """Raise an error if a later release wrote a record of a member.

    Call this before the folder is removed.

    Raises:
        NewerFormatError: There is such a record.
    """
    MemberPaths(folder).spec.keep_newer(MemberSpec)
    MemberPaths(folder).record.keep_newer(MemberRecord)
    for file in placement_files(folder):
        file.keep_newer(Placement)


def records_of(workspace: Location, names: Sequence[str]) -> list[MemberRecord]:
    """Return the records of complete members.

    Raises:
        MemberError: Some members do not exist (code `members-missing`).
        CorruptError: A record cannot be read.
    """
    paths = WorkspacePaths(workspace)
    records = [load_record(paths.member(name).folder) for name in names]
    found = [record for record in records if record is not None]
    if len(found) < len(records):
        missing = len(records) - len(found)
        raise MemberError(
            f"{workspace}: removed since: {counted(missing, 'member')}",
            code="members-missing", missing=missing,
        )  # fmt: skip
    return found


def written_digest(location: Location) -> str:
    """Return the SHA-256 of a file that a member has just written, for its record.

    Raises:
        CorruptError: The file does not exist (code `missing-file`); the member is not complete.
    """
    digest = location.digest()
    if digest is None:
        raise CorruptError(
            f"{location}: disappeared after it was written; check who removes files there, and "
            "run again",
            code="missing-file", path=str(location),
        )  # fmt: skip
    return digest


def read_member_file(folder: Location, record: MemberRecord, name: str) -> bytes:
    """Read a file of a complete member and verify its digest.

    Raises:
        CorruptError: The file is missing or damaged.
    """
    location = folder / name
    try:
        return location.read_verified(record.files[name])
    except CorruptError as error:
        raise CorruptError(f"{error}; {REMEDY}", code=error.code, path=str(location)) from None


def read_predictions(folder: Location, record: MemberRecord) -> dict[str, NDArray[Any]]:
    """Read the predictions of a member.

    Returns:
        `test_rows` and `held_out_rows`, (clips,); `test` and `held_out`, (clips, words).

    Raises:
        CorruptError: The file is missing or damaged.
    """
    location = MemberPaths(folder).predictions
    return from_arrays(read_member_file(folder, record, location.name), str(location))
