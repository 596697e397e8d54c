"""Published ensembles in this process: load the networks once and predict."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from overlap.api.sounds import Path, SoundSource, current_rate, open_sounds
from overlap.catalog.problems import Problems
from overlap.config import FeatureConfig
from overlap.ensemble.registry import EnsembleRecord
from overlap.io.formatting import counted
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.metrics.disagreement import spread_column
from overlap.prediction.jobs import members_of
from overlap.promotion.champion import find_ensemble
from overlap.training.inference.store import Predictor, stored_network, unusable_reason
from overlap.training.spec import MemberRecord


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
    return Ensemble(record, members[0].spec.features, tuple(_networks(owner, members)))


def _networks(owner: Location, members: Sequence[MemberRecord]) -> Sequence[Predictor]:
    """Open the inference graphs of all members, or load all networks with Keras."""
    if unusable_reason() is None:
        folders = [WorkspacePaths(owner).member(one.fingerprint).folder for one in members]
        graphs = [stored_network(*one) for one in zip(folders, members, strict=True)]
        opened = [graph for graph in graphs if graph is not None]
        if len(opened) == len(members):
            return opened
    from overlap.training.saved import load_networks

    return load_networks(owner, members)


def _warn_unusable(names: list[object], reasons: np.ndarray) -> None:
    unusable = [f"{name} ({reason})" for name, reason in zip(names, reasons, strict=True) if reason]
    if unusable:
        problems = Problems()
        fault = f"{len(unusable)} of {counted(len(names), 'sound')} are unusable"
        problems.add(fault, unusable, code="unusable-clips")
        warnings.warn(str(problems.found[0]), stacklevel=3)
