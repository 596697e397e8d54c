"""The record of a finished training of the benchmark; it is written last."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.config import fingerprint
from overlap.io.location import Location
from overlap.io.records import Record


class TrainingResult(Record):
    """A finished training, with what the table needs."""

    data_set: str
    recipe: str
    passes: int
    seed: int
    member: str
    """Fingerprint of the member's specification."""
    cpu_seconds: float
    """Processor time of the passes, s: their number times the mean after the first, which also
    compiles, and what follows the last."""
    seconds: float
    """Elapsed time of the passes, s, measured in the same way."""
    parameters: int
    """Number of weights of the network; 0 if the training diverged."""
    failure: str = ""
    """Why the training diverged; empty if it did not."""
    predictions_digest: str = ""
    """SHA-256 of the file of predictions."""


@dataclass(frozen=True)
class TrainingJob:
    """One training of the benchmark, as its process receives it."""

    root: str
    """Folder of the benchmark."""
    data_set: str
    set_folder: str
    recipe: str
    settings: tuple[str, ...]
    passes: int
    width: float
    seed: int

    @property
    def name(self) -> str:
        """Name of the job's folder: it changes with everything that changes the result."""
        content = {k: v for k, v in asdict(self).items() if k not in ("root", "set_folder")}
        return fingerprint(content, Location.of(self.set_folder).name)

    @property
    def folder(self) -> Location:
        """Folder of the checkpoint, the predictions and the record."""
        return Location.of(self.root) / "trainings" / self.name

    @property
    def record(self) -> Location:
        """File of the record."""
        return self.folder / "training.json"

    @property
    def predictions(self) -> Location:
        """File of the predictions of the scored clips."""
        return self.folder / "scored.npz"

    def finished(self) -> TrainingResult | None:
        """Return the record of the training; None while it is incomplete."""
        return self.record.read_record(TrainingResult) if self.record.exists() else None

    def probabilities(self, result: TrainingResult) -> NDArray[np.float64]:
        """Return the (clips, words) predictions of the scored clips.

        Raises:
            CorruptError: The file is missing or damaged.
        """
        self.predictions.read_verified(result.predictions_digest)
        found: NDArray[np.float64] = self.predictions.read_arrays()["probabilities"]
        return found
