"""A published ensemble in this process: its networks, loaded once, and what it predicts."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from overlap.api.sounds import Given, Path, gathered
from overlap.catalog.problems import Problems
from overlap.config import FeatureConfig
from overlap.ensemble.registry import EnsembleRecord
from overlap.io.location import Location
from overlap.metrics.disagreement import spread_column
from overlap.prediction.jobs import members_of
from overlap.promotion.champion import find_ensemble

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble:
    """A published ensemble, ready to predict; `load_ensemble` makes one."""

    record: EnsembleRecord
    """All that is known of it: its scores, its configuration, its members."""
    features: FeatureConfig
    """What its networks hear."""
    networks: "tuple[keras.Model, ...]"
    """Its members' networks, from decibels to probabilities."""

    @property
    def version(self) -> str:
        """Its version in the workspace."""
        return self.record.version

    @property
    def words(self) -> tuple[str, ...]:
        """The words, in the order of every prediction."""
        return self.record.words

    def predict(self, sounds: Given, *, rate_hz: int | None = None) -> pd.DataFrame:
        """Which words are in some sounds: the same numbers as `overlap predict` gives.

        Args:
            sounds: As of `overlap.extract_features`.
            rate_hz: Rate of samples; None: the one that the ensemble learned from.

        Returns:
            A row per sound, by its id: the file's name without its ending, or, of samples, their
            number. One column per word, float64, which sum to 1, and `spread`: how far the members
            are apart, nats. A sound that cannot be used has a row of NaN, and a warning says why.

        Raises:
            DataError: nothing is there.
            UserError: `sounds` are none.

        Examples:
            The likeliest word of each sound::

                table = ensemble.predict("clips")
                table[[*ensemble.words]].idxmax(axis=1)
        """
        from overlap.prediction.worker import predict_batches

        clips = gathered(sounds, rate_hz)
        found = predict_batches(
            lambda heard: clips.batches(self.features, heard),
            (len(clips), len(self.words)), self.networks, self.record.fitted, lambda _: None,
        )  # fmt: skip
        _warn_of([*clips.names], found.reason)
        table = pd.DataFrame(found.shares.astype(np.float64), clips.names, [*self.words])
        return table.assign(**{spread_column(self.words): found.spread.astype(np.float64)})

    def __repr__(self) -> str:
        kl = "nothing held out" if self.record.kl is None else f"held-out KL {self.record.kl:.4f}"
        size = f"{len(self.networks)} members, {len(self.words)} words"
        return f"<Ensemble {self.version}: {size}, {kl}>"


def load_ensemble(workspace: Path = "workspace", version: str = "champion") -> Ensemble:
    """Load a published ensemble.

    Args:
        workspace: Folder or URL that holds the results of `overlap run`.
        version: `champion`, a version that `overlap models list` names, or an ensemble's folder.

    Raises:
        NotReadyError: there is none; the message says what there is.
        MemberError: members of it are no longer there.
        CorruptError: what is stored is not what was written.

    Examples:
        The champion of the workspace in this folder::

            ensemble = overlap.load_ensemble("workspace")
            table = ensemble.predict("clips")
    """
    owner, record = find_ensemble(Location.of(workspace), version)
    members = members_of(owner, record)
    from overlap.training.saved import load_networks

    return Ensemble(record, members[0].spec.features, tuple(load_networks(owner, members)))


def _warn_of(names: list[object], reasons: np.ndarray) -> None:
    bad = [f"{name} ({why})" for name, why in zip(names, reasons, strict=True) if why]
    if bad:
        problems = Problems()
        problems.add(f"{len(bad)} of {len(names)} sounds are unusable", bad, code="unusable-clips")
        warnings.warn(str(problems.found[0]), stacklevel=3)
