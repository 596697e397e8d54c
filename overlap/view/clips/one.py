"""The page of one clip: sound, picture, prediction against the label, and the members."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException

from overlap.catalog.problems import printable
from overlap.catalog.rows import QUARANTINED
from overlap.config import FeatureConfig
from overlap.metrics.divergence import kl_per_cell
from overlap.view.clips.listing import find_version, known
from overlap.view.clips.names import ClipNames
from overlap.view.clips.predicted import NO_WORD, PredictedClips
from overlap.view.clips.query import clip_path
from overlap.view.clips.sound import read_sound
from overlap.view.parts import Part, read_part
from overlap.view.pictures import picture_of, picture_of_features
from overlap.view.reader import WorkspaceReader


@dataclass(frozen=True)
class WordRow:
    """A word of a prediction."""

    word: str
    probability: float
    share: float | None
    """True probability; None if it is unknown."""
    kl: float | None
    """Its term of the KL, nats."""


@dataclass(frozen=True)
class MemberRow:
    """A member's prediction of the clip."""

    fingerprint: str
    seed: int
    fold: int
    word: str
    """Its most probable word."""
    divergence: float
    """KL(member || version), nats."""


@dataclass(frozen=True)
class ClipPrediction:
    """The prediction of a version for a clip that it was not trained on."""

    words: tuple[WordRow, ...]
    """Most probable words first."""
    kl: float | None
    disagreement: float | None
    members: tuple[MemberRow, ...]
    """Members that predicted it, the largest divergence first."""


@dataclass(frozen=True)
class FoundClip:
    """A clip of the catalogue."""

    names: ClipNames
    row: int

    @property
    def name(self) -> str:
        """Its id."""
        return str(self.names.ids[self.row])

    def column(self, name: str) -> str:
        """Return a text of the catalogue."""
        return str(self.names.catalog.clips[name].iloc[self.row])


def find_clip(reader: WorkspaceReader, name: str, split: str) -> list[FoundClip]:
    """Return the clips of the catalogue with an id: at most one, or one of each split.

    Args:
        reader: The workspace.
        name: The id.
        split: train or test; anything else: both.

    Raises:
        HTTPException: There is no such clip, or the catalogue cannot be read (404).
    """
    part = reader.clip_names()
    names = part.value
    if names is None:
        raise HTTPException(404, part.problem)
    found = [FoundClip(names, int(row)) for row in names.rows_of(name)]
    if split in ("train", "test"):
        found = [one for one in found if one.column("split") == split]
    if not found:
        raise HTTPException(404, f"There is no clip {printable(name)}.")
    return found


def clip_page(reader: WorkspaceReader, clip: FoundClip, params: QueryParams) -> dict[str, Any]:
    """Return what the template of a clip needs.

    Args:
        reader: The workspace.
        clip: The clip.
        params: The query of the address.
    """
    record, _, why_not = find_version(reader, params.get("version", ""))
    part = reader.predicted_clips(record) if record else None
    clips = part.value if part else None
    index = clips.index_of(clip.row) if clips else None
    split, unusable = clip.column("split"), clip.column("state") == QUARANTINED
    sound = None if unusable else read_sound(clip.names.catalog, clip.row)
    version = record.version if record else ""
    wanted = clip.names.catalog.wanted
    return {
        "name": printable(clip.name),
        "file": printable(clip.column("file")),
        "data": printable(clip.names.catalog.data),
        "group": printable(clip.column("group")) if clip.column("group") else "",
        "repairs": clip.column("repairs").split(),
        "seconds": f"{wanted.samples / wanted.sample_rate:.3g}",
        "kind": kind_of(split, unusable=unusable, held_out=index is not None),
        "reason": printable(clip.column("reason"), 1000) if unusable else "",
        "sound": sound,
        "sound_path": clip_path(clip.name, split, part="sound"),
        "picture_path": clip_path(clip.name, split, part="picture")
        if sound and (sound.clip or features_of(reader, clip.row).value is not None)
        else "",
        "record": record,
        "why_not": why_not,
        "clips": part,
        "prediction": prediction_of(clips, index) if clips and index is not None else None,
        "list_path": f"/clips?version={version}" if params.get("version") else "/clips",
    }


def kind_of(split: str, *, unusable: bool, held_out: bool) -> str:
    """Return the kind of a clip, as a badge shows it.

    Examples:
        >>> kind_of("train", unusable=False, held_out=True)
        'held-out'
    """
    if unusable:
        return "quarantined"
    if split == "test":
        return "test"
    return "held-out" if held_out else "training"


def prediction_of(clips: PredictedClips, index: int) -> ClipPrediction:
    """Return the prediction of a version for one of its clips."""
    pooled = clips.pooled[index].astype(np.float64)
    labels = cells = None
    if not clips.is_test[index]:
        labels = clips.labels[index].astype(np.float64)
        cells = kl_per_cell(labels[None], pooled[None])[0]
    words = tuple(
        WordRow(
            clips.words[n],
            float(pooled[n]),
            None if labels is None else float(labels[n]),
            None if cells is None else float(cells[n]),
        )
        for n in np.argsort(-pooled, kind="stable")
    )
    members = [
        MemberRow(one.fingerprint, one.seed, one.fold, clips.words[word], float(divergence))
        for one, word, divergence in zip(
            clips.members, clips.member_word[:, index], clips.divergence[:, index], strict=True
        )
        if word != NO_WORD
    ]
    return ClipPrediction(
        words,
        known(clips.kl[index]),
        known(clips.disagreement[index]),
        tuple(sorted(members, key=lambda one: -one.divergence)),
    )


def features_of(reader: WorkspaceReader, row: int) -> Part[NDArray[np.float16]]:
    """The stored features of a row, (mel, frame, resolution) decibels."""
    store = reader.store()
    if store.value is None:
        return Part(None, store.problem, store.missing)
    opened = store.value
    return read_part(lambda: opened.read_rows(row, row + 1)[0])


def drawing_of(reader: WorkspaceReader, clip: FoundClip) -> Callable[[], bytes]:
    """Return a function that draws a clip as PNG: from its sound, or else from the store.

    Raises:
        HTTPException: Neither is readable (404).
    """
    store, name = reader.store().value, printable(clip.name)
    config = store.config if store else FeatureConfig()
    sound = read_sound(clip.names.catalog, clip.row, config.clip_format)
    if sound.clip is not None:
        return partial(picture_of, sound.clip, config, name)
    features = features_of(reader, clip.row).value
    if features is None:
        raise HTTPException(404, f"The sound is not readable: {sound.problem}.")
    return partial(picture_of_features, features, config, name)
