"""Catalogues without sound files, and ensembles of which it is known what they say."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from overlap.catalog import Catalog
from overlap.catalog.rows import OK
from overlap.config import AudioFormat
from overlap.ensemble.exposure import TrainingExposure, naming
from overlap.ensemble.registry import EnsembleRecord, folder_of, read_predictions
from overlap.io.location import Location
from overlap.io.workspace_paths import PREDICTIONS_FILE
from overlap.metrics.divergence import kl
from support.pooled_predictions import softened, tempered
from support.run_steps import publish_record, published

WORDS = ("a", "b", "c", "d")


def digest(sound: object) -> str:
    """32 hexadecimal digits for a sound that nobody hears."""
    return hashlib.blake2b(str(sound).encode(), digest_size=16).hexdigest()


def catalog_of(sounds: Sequence[object], groups: Sequence[str] | None = None) -> Catalog:
    """A catalogue of training clips; equal sounds have equal digests, and each clip its label."""
    count = len(sounds)
    text = {
        "clip_id": [f"clip_{i}" for i in range(count)],
        "table_id": [f"clip_{i}" for i in range(count)],
        "split": ["train"] * count,
        "file": [f"train/clip_{i}.wav" for i in range(count)],
        "version": ["1"] * count,
        "digest": [digest(sound) for sound in sounds],
        "repairs": [""] * count,
        "state": [OK] * count,
        "reason": [""] * count,
        "group": [*(groups or [""] * count)],
    }
    clips = pd.DataFrame({name: pd.Series(values, dtype="str") for name, values in text.items()})
    clips["clipped"], clips["position"] = False, -1
    labels = np.empty((count, len(WORDS)))
    for row, sound in enumerate(sounds):
        labels[row] = softened(1, len(WORDS), int(digest(sound)[:8], 16))
    return Catalog("D", AudioFormat(16000, 16000), WORDS, clips, labels)


def knowing(catalog: Catalog, fold: Sequence[int], folds: int = 1) -> TrainingExposure:
    """What an ensemble knows whose clips are of these folds."""
    audio = catalog.clips["digest"].to_numpy(object).astype(np.bytes_)
    group = catalog.clips["group"].to_numpy(np.str_)
    return TrainingExposure(audio, np.array(fold, np.int64), group, folds)


def says(labels: np.ndarray, error: float, seed: int = 0) -> np.ndarray:
    """The labels with an error: the larger, the worse."""
    noise = np.random.default_rng(seed).standard_normal(labels.shape)
    return tempered(labels * np.exp(error * noise), 1)


def publish_knowing(
    workspace: Location,
    version: str,
    catalog: Catalog,
    knowledge: TrainingExposure,
    held_out: np.ndarray,
    words: tuple[str, ...] = WORDS,
) -> EnsembleRecord:
    """Publish an ensemble that holds out what its knowledge says, without any member."""
    held = knowledge.fold >= 0
    score = kl(catalog.labels[held], held_out) if held.any() else None
    record = published(version, "".join(words))
    record = record.model_copy(
        update={
            "kl": score,
            "held_out_key": catalog.key(np.flatnonzero(held), labels=True),
        }
    )
    return _publish_saying(
        workspace,
        record,
        knowledge.arrays(naming(catalog))
        | {"held_out_rows": np.flatnonzero(held), "held_out": held_out},
    )


def without_names(workspace: Location, record: EnsembleRecord) -> EnsembleRecord:
    """Make a published ensemble one of before clips were named."""
    arrays = read_predictions(workspace, record)
    old = {name: arrays[name] for name in ("held_out_rows", "held_out")}
    return _publish_saying(workspace, record, old)


def _publish_saying(
    workspace: Location, record: EnsembleRecord, arrays: dict[str, np.ndarray]
) -> EnsembleRecord:
    file = folder_of(workspace, record) / PREDICTIONS_FILE
    file.write_arrays(arrays)
    record = record.model_copy(update={"files": {PREDICTIONS_FILE: str(file.digest())}})
    publish_record(workspace, record)
    return record


def relabelled(catalog: Catalog, seed: int) -> Catalog:
    """The same clips with other labels."""
    return replace(catalog, labels=softened(len(catalog), 4, seed))
