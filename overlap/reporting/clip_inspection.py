"""Inspect one clip: its samples, features, label and prediction."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.audio.clips import load_clip
from overlap.catalog import Catalog, previous_catalog
from overlap.catalog.problems import printable
from overlap.config import FeatureConfig
from overlap.ensemble.registry import EnsembleRecord
from overlap.errors import AudioError, ChildError, DataError, MemberError, NotReadyError
from overlap.features import FeatureStore
from overlap.features.compute import compute_features
from overlap.io.location import Location
from overlap.metrics.divergence import kl
from overlap.prediction.jobs import jobs_for, members_of, read_chunk
from overlap.promotion.champion import find_ensemble
from overlap.reporting.clip_lookup import ResolvedClip, find_clip, row_of_sound
from overlap.system.child_process import run_child
from overlap.training.spec import MemberRecord


@dataclass(frozen=True)
class Prediction:
    """The prediction of an ensemble for a clip."""

    version: str
    """Version of the ensemble."""
    probabilities: Mapping[str, float]
    """Predicted probability of each word."""
    spread: float
    """Disagreement of the members, nats; see `overlap.metrics.disagreement`."""


@dataclass(frozen=True, eq=False)
class InspectedClip:
    """One clip with its features, label and prediction."""

    name: str
    """Its id."""
    file: str
    """Address of its file."""
    split: str | None
    """train or test; None if the clip is not in the data set."""
    config: FeatureConfig
    """Configuration of its features."""
    samples: NDArray[np.float32]
    """(samples,) float32, full scale 1.0: the input of the features; empty if the sound is not
    readable."""
    repairs: tuple[str, ...]
    """Repairs applied to the clip."""
    decibels: NDArray[np.float32]
    """(mel, frame, resolution) float32, relative to 1.0."""
    labels: Mapping[str, float] | None
    """Label: the true probability of each word; None if unknown."""
    prediction: Prediction | None
    """None without an ensemble."""
    no_prediction_reason: str
    """Why there is no prediction; empty if there is one."""

    @property
    def kl(self) -> float | None:
        """KL(label || prediction), nats; None if either is unknown."""
        if self.prediction is None or self.labels is None:
            return None
        probabilities = self.prediction.probabilities
        if {*probabilities} != {*self.labels}:
            return None
        predicted = [probabilities[word] for word in self.labels]
        return kl(np.array([[*self.labels.values()]]), np.array([predicted]))


@dataclass(frozen=True)
class _LoadedEnsemble:
    """An ensemble with its members and its workspace."""

    owner: Location
    record: EnsembleRecord
    members: list[MemberRecord]


def inspect_clip(name: str, workspace: Location, model: str | None = None) -> InspectedClip:
    """Load a clip, compute its features, and predict it if an ensemble exists.

    Args:
        name: Path or URL of a sound file, or an id in the workspace's catalogue.
        workspace: Provides ids, labels and the champion; may be missing if `name` is a path.
        model: `champion`, a version, or an ensemble's folder; None uses the champion if it exists.

    Raises:
        UserError: The clip or `model` does not exist.
        DataError: The clip is unusable.
        MemberError: The ensemble cannot be applied.
    """
    catalog = previous_catalog(workspace)
    resolved = find_clip(name, workspace, catalog)
    ensemble, reason = _load_ensemble(workspace, model)
    config = ensemble.members[0].spec.features if ensemble else _feature_config(workspace)
    try:
        clip = load_clip(resolved.file.parent, resolved.file.name, config.clip_format)
    except AudioError as error:
        file = printable(str(resolved.file))
        raise DataError(
            f"{file}: {error}", code="unusable-clip", file=file, reason=str(error)
        ) from None
    row = resolved.row
    if row is None and catalog is not None and catalog.wanted == config.clip_format:
        row = row_of_sound(clip, catalog)
    return InspectedClip(
        name=_clip_id(resolved, catalog),
        file=str(resolved.file),
        split=None if row is None or catalog is None else str(catalog.clips["split"].iloc[row]),
        config=config,
        samples=clip.samples,
        repairs=clip.repairs,
        decibels=compute_features(clip.samples[None], config)[0].astype(np.float32),
        labels=None if row is None or catalog is None else _labels(catalog, row),
        prediction=_predict(ensemble, resolved.file) if ensemble else None,
        no_prediction_reason=reason,
    )


def _clip_id(clip: ResolvedClip, catalog: Catalog | None) -> str:
    if clip.row is not None and catalog is not None:
        return printable(str(catalog.clips["clip_id"].iloc[clip.row]))
    return printable(clip.file.name.rpartition(".")[0] or clip.file.name)


def _load_ensemble(workspace: Location, model: str | None) -> tuple[_LoadedEnsemble | None, str]:
    """Return the ensemble, or None and the reason why there is none."""
    try:
        owner, record = find_ensemble(workspace, model or "champion")
    except NotReadyError as error:
        if model is not None:
            raise
        return None, str(error)
    return _LoadedEnsemble(owner, record, members_of(owner, record)), ""


def _feature_config(workspace: Location) -> FeatureConfig:
    """Return the configuration of the workspace's store, or the defaults without a store."""
    try:
        return FeatureStore.open(workspace).config
    except NotReadyError:
        return FeatureConfig()


def _labels(catalog: Catalog, row: int) -> Mapping[str, float] | None:
    label = catalog.labels[row]
    if np.isnan(label).any() or not len(label):
        return None
    return dict(zip(catalog.words, label.tolist(), strict=True))


def _predict(ensemble: _LoadedEnsemble, file: Location) -> Prediction:
    """Predict one file in a worker process, which releases its memory at its end."""
    record, clips = ensemble.record, pd.DataFrame({"file": [file.name], "version": [""]})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Location.of(temporary)
        (job,) = jobs_for(folder, ensemble.owner, record, ensemble.members, str(file.parent), clips)
        (folder / "job.json").write_record(job)
        try:
            run_child("overlap.prediction.worker", [str(folder / "job.json")], lambda _: None)
        except ChildError as error:
            raise MemberError(
                f"ensemble {record.version} cannot be applied: {error}",
                code="ensemble-unusable",
                version=record.version,
            ) from None
        found = read_chunk(job)
    if found is None or found.reason[0]:
        reason = "the worker wrote no prediction" if found is None else str(found.reason[0])
        raise MemberError(
            f"{file}: not predicted: {reason}",
            code="clip-not-predicted",
            file=str(file),
            reason=reason,
        )
    probabilities = dict(
        zip(record.words, found.probabilities[0].astype(float).tolist(), strict=True)
    )
    return Prediction(record.version, probabilities, float(found.disagreement[0]))
