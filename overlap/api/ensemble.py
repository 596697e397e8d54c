"""Published ensembles in this process: load the networks once and predict."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from overlap.api.sounds import Path, SoundSource, current_rate, open_sounds
from overlap.catalog.problems import Problems
from overlap.config import FeatureConfig
from overlap.ensemble.registry import EnsembleRecord
from overlap.io.formatting import counted
from overlap.io.location import Location
from overlap.metrics.disagreement import spread_column
from overlap.prediction.jobs import members_of
from overlap.prediction.networks import open_networks
from overlap.promotion.champion import find_ensemble
from overlap.training.inference.store import Predictor

if TYPE_CHECKING:
    from overlap.recordings.prediction import WindowPredictor


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble:
    """A published ensemble, ready to predict; created by `load_ensemble`."""

    record: EnsembleRecord
    """Record of the ensemble: scores, configuration and members."""
    features: FeatureConfig
    """Configuration of the features that its networks take."""
    networks: tuple[Predictor, ...]
    """Networks of the members, from decibels to probabilities: their inference graphs, or networks
    of Keras where a member has no graph and on an accelerator."""

    @property
    def version(self) -> str:
        """Version in the workspace."""
        return self.record.version

    @property
    def words(self) -> tuple[str, ...]:
        """The words, in the order of the predictions."""
        return self.record.words

    def predict(
        self, sounds: SoundSource, *, sample_rate: int | None = None, rate_hz: int | None = None
    ) -> pd.DataFrame:
        """Predict the words in sounds, with the same results as `overlap predict`.

        Args:
            sounds: Samples or files, as in `overlap.extract_features`.
            sample_rate: Rate of samples, Hz; None assumes that of the ensemble's features.
            rate_hz: Deprecated name of `sample_rate`.

        Returns:
            One row per sound. The index contains the file names without suffix, or the positions
            of samples. The columns are the words, float64, which sum to 1, and `spread`, the
            disagreement of the members in nats. An unusable sound has a row of NaN and causes a
            warning that states the reason.

        Raises:
            DataError: There are no sounds.
            UserError: `sounds` has an unsupported type.

        Examples:
            The most probable word of each sound::

                table = ensemble.predict("clips")
                table[[*ensemble.words]].idxmax(axis=1)
        """
        from overlap.prediction.worker import predict_batches

        clips = open_sounds(sounds, current_rate(sample_rate, rate_hz))
        found = predict_batches(
            lambda on_decoded: clips.batches(self.features, on_decoded),
            (len(clips), len(self.words)), self.networks, self.record.fitted, lambda _: None,
        )  # fmt: skip
        _warn_unusable([*clips.names], found.reason)
        table = pd.DataFrame(found.probabilities.astype(np.float64), clips.names, [*self.words])
        return table.assign(**{spread_column(self.words): found.disagreement.astype(np.float64)})

    def predict_recording(
        self, recording: Path, *, hop_seconds: float | None = None
    ) -> pd.DataFrame:
        """Predict a recording of any length in overlapping windows, as `--recordings` does.

        The recording is read as a stream: only some windows are in memory, and the result.

        Args:
            recording: Path or URL of a sound file.
            hop_seconds: Time from the start of a window to that of the next, s; None: half a
                window. Windows have the length of the ensemble's clips; the last one ends with
                the recording.

        Returns:
            One row per window with the columns `start_s` and `end_s`, the words, float64, and
            `spread`, the disagreement of the members in nats. An unusable window, such as a silent
            one, has NaN. A recording that is incomplete causes a warning.

        Raises:
            AudioError: The recording cannot be read.
            ConfigError: The hop is not possible.

        Examples:
            The probability that each word is anywhere in a recording, and the best window::

                table = ensemble.predict_recording("field.flac", hop_seconds=0.25)
                table[[*ensemble.words]].max()
                table.loc[table["yes"].idxmax(), "start_s"]
        """
        from overlap.recordings.frame import predict_to_frame

        return predict_to_frame(Location.of(recording), self.window_predictor, hop_seconds)

    @property
    def window_predictor(self) -> "WindowPredictor":
        """What predicts the windows of recordings with this ensemble."""
        from overlap.recordings.prediction import WindowPredictor

        return WindowPredictor(self.features, self.networks, self.record.fitted, self.words)

    def __repr__(self) -> str:
        kl = "no held-out clips" if self.record.kl is None else f"held-out KL {self.record.kl:.4f}"
        size = f"{counted(len(self.networks), 'member')}, {counted(len(self.words), 'word')}"
        return f"<Ensemble {self.version}: {size}, {kl}>"


def load_ensemble(workspace: Path = "workspace", version: str = "champion") -> Ensemble:
    """Load a published ensemble.

    Args:
        workspace: Folder or URL that holds the results of `overlap run`.
        version: `champion`, a version that `overlap models list` names, or an ensemble's folder.

    Raises:
        NotReadyError: The ensemble does not exist; the message lists the available ones.
        MemberError: Members of the ensemble no longer exist.
        CorruptError: A stored file is damaged.

    Examples:
        The champion of the workspace in this folder::

            ensemble = overlap.load_ensemble("workspace")
            table = ensemble.predict("clips")
    """
    owner, record = find_ensemble(Location.of(workspace), version)
    members = members_of(owner, record)
    return Ensemble(record, members[0].spec.features, tuple(open_networks(owner, members)))


def _warn_unusable(names: list[object], reasons: np.ndarray) -> None:
    unusable = [f"{name} ({reason})" for name, reason in zip(names, reasons, strict=True) if reason]
    if unusable:
        problems = Problems()
        fault = f"{len(unusable)} of {counted(len(names), 'sound')} are unusable"
        problems.add(fault, unusable, code="unusable-clips")
        warnings.warn(str(problems.found[0]), stacklevel=3)
