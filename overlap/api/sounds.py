"""Sounds given as samples, files or folders."""

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.audio.clips import decode_content
from overlap.audio.decode import clip_from_samples
from overlap.catalog import list_clips
from overlap.catalog.read_ahead import read_ahead
from overlap.columns.search import natural_order
from overlap.config import AudioFormat, FeatureConfig
from overlap.errors import DataError, UserError
from overlap.io.location import Location
from overlap.prediction.batches import Batch, Decode, OnDecoded, batch_clips, clip_batches

Samples: TypeAlias = NDArray[np.floating] | NDArray[np.int16]
"""(samples,) of one clip or (clips, samples); int16, or floating with full scale 1.0."""
Path: TypeAlias = str | PathLike[str] | Location
"""Path or URL."""
SoundSource: TypeAlias = Samples | Path | Iterable[Samples] | Iterable[Path]
"""Samples, a file, a folder of files, or an iterable of samples or files."""


@dataclass(frozen=True, eq=False)
class Sounds:
    """A sequence of clips, decoded on demand."""

    names: pd.Index
    """(clips,): ids of files, or positions of samples."""
    open_as: Callable[[AudioFormat], Generator[Decode]]
    """Opens the clips for decoding to a format."""

    def __len__(self) -> int:
        return len(self.names)

    def batches(self, features: FeatureConfig, on_decoded: OnDecoded) -> Iterator[Batch]:
        """Yield decibels of the usable clips; see `overlap.prediction.batches.clip_batches`."""
        # Networks are compiled per shape: powers of two keep the number of shapes small.
        size = min(1 << (len(self) - 1).bit_length(), batch_clips(features, 1 << 30))
        with closing(self.open_as(features.clip_format)) as clips:
            yield from clip_batches(clips, size, features, on_decoded)


def open_sounds(sounds: SoundSource, sample_rate: int | None) -> Sounds:
    """Open samples, files or a folder as clips.

    Args:
        sounds: Samples, files or a folder.
        sample_rate: Rate of samples, Hz; None assumes that of the requested format.

    Raises:
        UserError: `sounds` has an unsupported type, shape or dtype.
        DataError: There are no sounds, or the file names are invalid.
    """
    if isinstance(sounds, (str, PathLike, Location)):
        return _from_location(Location.of(sounds))
    if isinstance(sounds, np.ndarray) and sounds.ndim == 1 and sounds.dtype.kind in "fi":
        return _from_samples([sounds], sample_rate)
    items = _as_list(sounds)
    if not items:
        raise DataError(
            "sounds is empty; give samples, or the path of a file or folder", code="no-sounds"
        )
    if all(isinstance(item, (str, PathLike, Location)) for item in items):
        return _from_files([Location.of(item) for item in items])
    return _from_samples(items, sample_rate)


def current_rate(sample_rate: int | None, rate_hz: int | None) -> int | None:
    """Return the rate that a caller gave under its current name or under its old one.

    Raises:
        UserError: Both are given.
    """
    if rate_hz is None:
        return sample_rate
    if sample_rate is not None:
        raise UserError(
            "rate_hz is the old name of sample_rate, and both are given; remove rate_hz",
            code="two-spellings",
            old="rate_hz",
            new="sample_rate",
        )
    warnings.warn("rate_hz is now sample_rate", DeprecationWarning, stacklevel=3)
    return rate_hz


def _as_list(sounds: object) -> list[Any]:
    try:
        return [*sounds]  # type: ignore[misc]
    except TypeError:
        raise UserError(
            f"sounds has type {type(sounds).__name__}; give samples, or paths of files or a folder",
            code="unsupported-sounds",
            type=type(sounds).__name__,
        ) from None


def _from_location(location: Location) -> Sounds:
    if location.is_folder():
        listing = list_clips(location)
        listing.problems.raise_if_fatal(str(location))
        listing.problems.warn(stacklevel=5)
        files = listing.files.iloc[natural_order([*listing.files["clip_id"]])]
        return _from_files([location / name for name in files["file"]])
    if not location.exists():
        raise DataError(
            f"{location}: no such file or folder; give an existing path",
            code="no-such-file",
            file=str(location),
        )
    return _from_files([location])


def _from_files(files: Sequence[Location]) -> Sounds:
    def open_as(wanted: AudioFormat) -> Generator[Decode]:
        for folder, group in groupby(files, key=lambda file: file.parent):
            with closing(read_ahead(folder, [file.name for file in group], wanted)) as contents:
                for content in contents:
                    yield partial(decode_content, content, wanted)

    names = [file.name.rpartition(".")[0] or file.name for file in files]
    return Sounds(pd.Index(names, name="id"), open_as)


def _from_samples(clips: Sequence[object], sample_rate: int | None) -> Sounds:
    arrays = [_checked_samples(clip, index) for index, clip in enumerate(clips)]

    def open_as(wanted: AudioFormat) -> Generator[Decode]:
        for samples in arrays:
            yield partial(clip_from_samples, samples, sample_rate or wanted.sample_rate, wanted)

    return Sounds(pd.RangeIndex(len(arrays), name="id"), open_as)


def _checked_samples(clip: object, index: int) -> NDArray[np.generic]:
    """Return the samples of one clip as an array.

    Raises:
        UserError: The shape or dtype is unsupported.
    """
    samples = np.asarray(clip)
    if samples.ndim != 1:
        raise UserError(
            f"clip {index}: has shape {samples.shape}; give samples as (samples,) or "
            "(clips, samples), one channel, or paths of files",
            code="unsupported-shape",
            clip=index,
            shape=samples.shape,
        )
    if samples.dtype.kind != "f" and samples.dtype != np.int16:
        raise UserError(
            f"clip {index}: has samples of {samples.dtype}; give int16, or floating with full "
            "scale 1.0",
            code="unsupported-dtype",
            clip=index,
            dtype=str(samples.dtype),
        )
    return samples
