"""What a member is: everything its training depends on, and the record it leaves."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from overlap.catalog import Catalog, equal_shares
from overlap.config import (
    FeatureConfig,
    NetworkConfig,
    RunConfig,
    TrainingConfig,
    ValidationConfig,
    fingerprint,
)
from overlap.errors import ConfigError, CorruptError, MemberError
from overlap.features import FeatureStore, Normalisation
from overlap.io.location import Location
from overlap.io.records import Record, from_arrays
from overlap.io.workspace_paths import MemberPaths, WorkspacePaths
from overlap.training.placement import Placement, placement_files

REMEDY = "`overlap verify --repair` lets the next run make the member again"


class MemberSpec(Record):
    """One member, before it is trained. Equal specifications give equal members."""

    seed: int
    """Seed of the initial weights, the dropout and the order of the clips."""
    fold: int
    """Index of the fold that it leaves out; 0 with a single hold-out."""
    features: FeatureConfig
    network: NetworkConfig
    training: TrainingConfig
    validation: ValidationConfig
    floor_db: tuple[float, ...]
    mean_db: tuple[float, ...]
    std_db: tuple[float, ...]
    words: tuple[str, ...]
    subset: int | None = None
    """Words per clip, where the head is one over sets of so many words; None: softmax."""
    chunk_clips: int
    """Rows per chunk of the store; the order of an epoch depends on it."""
    training_key: str
    """Names the training clips with their labels and groups."""

    @property
    def fingerprint(self) -> str:
        """Name of the member's folder."""
        # The seed has a field of its own; the others change no result.
        elsewhere = {"seed", "memory_gb", "device_gb", "steps_per_call"}
        how = self.training.model_dump(mode="json", exclude=elsewhere)
        return fingerprint(self.model_dump(mode="json", exclude={"training"}), how)

    @property
    def constants(self) -> Normalisation:
        """Floor, mean and std of its features."""
        return Normalisation(self.floor_db, self.mean_db, self.std_db)

    def folder(self, workspace: Location) -> Location:
        """Where the member is kept."""
        return WorkspacePaths(workspace).member(self.fingerprint).folder


class MemberRecord(Record):
    """What is known of a complete member; written last, so that its presence says complete."""

    fingerprint: str
    spec: MemberSpec
    test_key: str
    """Names the test clips that its predictions are for."""
    parameters: int
    """Weights of the network."""
    history: list[dict[str, float]]
    """Per epoch: loss, and held_out_kl where clips are held out."""
    held_out_kl: float | None
    """KL on its held-out clips, by the ensemble's scorer."""
    kept_epoch: int = 0
    """Epoch whose weights it has, from 1; 0: the last, in records of earlier versions."""
    seed: int | None = None
    """Seed that it was trained with: not its specification's where that one diverged."""
    failures: tuple[str, ...] = ()
    """What became of seeds that diverged."""
    clips: int
    """Clips that it learned from."""
    seconds: float
    """Time in training epochs, over all attempts."""
    clips_per_second: float
    """Clips times epochs by seconds."""
    host_wait_fraction: float = 0.0
    """Part of the seconds in which a batch was waited for."""
    energy_joules: float | None = None
    """Energy of the device in training epochs; None where it does not tell."""
    feed: str = "memory"
    """Where the features were: device, memory or stream."""
    placement: Placement | None = None
    """Where it was trained to its end; None in records of earlier versions, and outside of Dask."""
    device: str
    device_peak_mb: float | None = None
    """Largest memory used on the accelerator; None without one."""
    peak_memory_mb: float
    """Largest resident memory of its process."""
    software: dict[str, str]
    files: dict[str, str]
    """SHA-256 of each of its files."""

    def folder(self, workspace: Location) -> Location:
        """Return the member's folder; its name is the stored fingerprint.

        The fingerprint of `spec` differs where a later release wrote fields that this one ignores.
        """
        return WorkspacePaths(workspace).member(self.fingerprint).folder


def training_key(catalog: Catalog) -> str:
    """Names the usable training clips, with labels and groups."""
    return catalog.key(catalog.rows("train"), labels=True)


def test_key(catalog: Catalog) -> str:
    """Names the usable test clips and their rows."""
    rows = catalog.rows("test")
    return fingerprint(catalog.key(rows), rows.tolist())


def plan_members(config: RunConfig, catalog: Catalog, store: FeatureStore) -> list[MemberSpec]:
    """The members of an ensemble: seeds times folds.

    Member i leaves out fold i modulo the number of folds; its seed is `training.seed` + i.

    Raises:
        ConfigError: the network's head does not fit the labels.
    """
    constants = store.normalisation(config.training.normalisation, config.training.top_db)
    subset = None
    if config.network.head != "softmax":
        subset = equal_shares(catalog.labels[catalog.rows("train")])
        if subset is None and config.network.head == "subset":
            raise ConfigError(
                "network.head subset needs labels that are equal shares of the same number of "
                f"words in every clip; those of {catalog.data} are not. Use auto or softmax"
            )
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
    """The specification of a member that was begun; None where there is none.

    Raises:
        CorruptError: there is one, but it cannot be read.
    """
    location = MemberPaths(folder).spec
    return location.read_record(MemberSpec) if location.exists() else None


def load_record(folder: Location) -> MemberRecord | None:
    """Return the record of a member, or None while it is not complete.

    Raises:
        CorruptError: There is one, but it cannot be read.
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
        raise CorruptError(f"{error}; {REMEDY}") from None


def keep_newer_member(folder: Location) -> None:
    """Refuse to go on where a later release wrote a record of a member.

    Call this before the folder is removed.

    Raises:
        NewerFormatError: There is such a record.
    """
    MemberPaths(folder).spec.keep_newer(MemberSpec)
    MemberPaths(folder).record.keep_newer(MemberRecord)
    for file in placement_files(folder):
        file.keep_newer(Placement)


def records_of(workspace: Location, names: Sequence[str]) -> list[MemberRecord]:
    """The records of complete members.

    Raises:
        MemberError: some are not there.
        CorruptError: one cannot be read.
    """
    paths = WorkspacePaths(workspace)
    records = [load_record(paths.member(name).folder) for name in names]
    found = [record for record in records if record is not None]
    if len(found) < len(records):
        raise MemberError(f"{workspace}: {len(records) - len(found)} members are no longer there")
    return found


def read_kept(folder: Location, record: MemberRecord, name: str) -> bytes:
    """A file that a complete member keeps.

    Raises:
        CorruptError: it is gone, or not what was written.
    """
    try:
        return (folder / name).read_verified(record.files[name])
    except CorruptError as error:
        raise CorruptError(f"{error}; {REMEDY}") from None


def read_predictions(folder: Location, record: MemberRecord) -> dict[str, NDArray[Any]]:
    """test_rows and held_out_rows (clips,), test and held_out (clips, words) of a member.

    Raises:
        CorruptError: they are gone, or not what was written.
    """
    location = MemberPaths(folder).predictions
    return from_arrays(read_kept(folder, record, location.name), str(location))
