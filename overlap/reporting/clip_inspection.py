"""All that is shown of one clip: its samples and features, what an ensemble says, what is true."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.catalog import Catalog, previous_catalog
from overlap.catalog.inspection import load_clip
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
from overlap.system.worker_process import run_child
from overlap.training.spec import MemberRecord


@dataclass(frozen=True)
class Prediction:
    """What an ensemble says of a clip."""

    version: str
    """The ensemble."""
    shares: Mapping[str, float]
    """Predicted share of each word."""
    spread: float
    """How far the members are apart, nats; see `overlap.metrics.disagreement`."""


@dataclass(frozen=True, eq=False)
class ShownClip:
    """One clip, ready to be drawn."""

    name: str
    """Its id."""
    file: str
    """Address of its file."""
    split: str | None
    """train or test; None: it is not in the data set."""
    config: FeatureConfig
    """Its features."""
    samples: NDArray[np.float32]
    """(samples,) float32, full scale 1.0: as the features hear it."""
    repairs: tuple[str, ...]
    """What was done to it."""
    decibels: NDArray[np.float32]
    """(mel, frame, resolution) float32, relative to 1.0."""
    labels: Mapping[str, float] | None
    """True share of each word; None: not known."""
    said: Prediction | None
    """None where there is no ensemble."""
    no_prediction_reason: str
    """Why there is none; else empty."""

    @property
    def kl(self) -> float | None:
        """KL(label || prediction), nats; None where either is not known."""
        if self.said is None or self.labels is None or {*self.said.shares} != {*self.labels}:
            return None
        predicted = [self.said.shares[word] for word in self.labels]
        return kl(np.array([[*self.labels.values()]]), np.array([predicted]))


@dataclass(frozen=True)
class _LoadedEnsemble:
    """An ensemble with the workspace that holds it."""

    owner: Location
    record: EnsembleRecord
    members: list[MemberRecord]


def inspect_clip(name: str, workspace: Location, model: str | None = None) -> ShownClip:
    """Gather what is shown of a clip.

    Args:
        name: Path or URL of a sound file, or an id of the workspace's catalogue.
        workspace: Knows ids, labels and the champion; need not be there for a path.
        model: `champion`, a version, or an ensemble's folder; None: the champion, if there is one.

    Raises:
        UserError: there is no such clip, or no such `model`.
        DataError: the clip cannot be used.
        MemberError: the ensemble cannot be applied.
    """
    catalog = previous_catalog(workspace)
    meant = find_clip(name, workspace, catalog)
    voice, why = _voice(workspace, model)
    config = voice.members[0].spec.features if voice else _features(workspace)
    try:
        clip = load_clip(meant.file.parent, meant.file.name, config.clip_format)
    except AudioError as error:
        raise DataError(f"{printable(str(meant.file))}: {error}") from None
    row = meant.row
    if row is None and catalog is not None and catalog.wanted == config.clip_format:
        row = row_of_sound(clip, catalog)
    return ShownClip(
        name=_name(meant, catalog),
        file=str(meant.file),
        split=None if row is None or catalog is None else str(catalog.clips["split"].iloc[row]),
        config=config,
        samples=clip.samples,
        repairs=clip.repairs,
        decibels=compute_features(clip.samples[None], config)[0].astype(np.float32),
        labels=None if row is None or catalog is None else _labels(catalog, row),
        said=_said(voice, meant.file) if voice else None,
        no_prediction_reason=why,
    )


def _name(meant: ResolvedClip, catalog: Catalog | None) -> str:
    if meant.row is not None and catalog is not None:
        return printable(str(catalog.clips["clip_id"].iloc[meant.row]))
    return printable(meant.file.name.rpartition(".")[0] or meant.file.name)


def _voice(workspace: Location, model: str | None) -> tuple[_LoadedEnsemble | None, str]:
    try:
        owner, record = find_ensemble(workspace, model or "champion")
    except NotReadyError as error:
        if model is not None:
            raise
        return None, str(error)
    return _LoadedEnsemble(owner, record, members_of(owner, record)), ""


def _features(workspace: Location) -> FeatureConfig:
    """Those of the workspace's store, else the defaults."""
    try:
        return FeatureStore.open(workspace).config
    except NotReadyError:
        return FeatureConfig()


def _labels(catalog: Catalog, row: int) -> Mapping[str, float] | None:
    label = catalog.labels[row]
    if np.isnan(label).any() or not len(label):
        return None
    return dict(zip(catalog.words, label.tolist(), strict=True))


def _said(voice: _LoadedEnsemble, file: Location) -> Prediction:
    """The prediction of one file, by the process that predicts many: it gives its memory back."""
    record, clips = voice.record, pd.DataFrame({"file": [file.name], "version": [""]})
    with tempfile.TemporaryDirectory() as near:
        folder = Location.of(near)
        (job,) = jobs_for(folder, voice.owner, record, voice.members, str(file.parent), clips)
        (folder / "job.json").write_record(job)
        try:
            run_child("overlap.prediction.worker", [str(folder / "job.json")], lambda _: None)
        except ChildError as error:
            raise MemberError(f"ensemble {record.version} cannot be applied: {error}") from None
        found = read_chunk(job)
    if found is None or found.reason[0]:
        why = "nothing was found" if found is None else found.reason[0]
        raise MemberError(f"{file}: was not predicted: {why}")
    shares = dict(zip(record.words, found.probabilities[0].astype(float).tolist(), strict=True))
    return Prediction(record.version, shares, float(found.disagreement[0]))
