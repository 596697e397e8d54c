"""Sounds as a person has them at hand: samples, files or a folder of files."""

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

from overlap.audio.decode import clip_from_samples
from overlap.catalog import list_clips
from overlap.catalog.catalog import natural_order
from overlap.catalog.inspection import decode_content, read_ahead
from overlap.config import AudioFormat, FeatureConfig
from overlap.errors import DataError, UserError
from overlap.io.location import Location
from overlap.prediction.batches import Batch, Decode, OnDecoded, batch_clips, clip_batches

Samples: TypeAlias = NDArray[np.floating] | NDArray[np.int16]
"""(samples,) of one clip or (clips, samples); int16, or floating with full scale 1.0."""
Path: TypeAlias = str | PathLike[str] | Location
"""Path or URL."""
Given: TypeAlias = Samples | Path | Iterable[Samples] | Iterable[Path]
"""Samples, a file, a folder of files, or many of the first two."""


@dataclass(frozen=True, eq=False)
class Sounds:
    """Any number of clips, not read yet."""

    names: pd.Index
    """(clips,): ids of files, numbers of samples."""
    opened: Callable[[AudioFormat], Generator[Decode]]
    """The clips, for those who want them of a format."""

    def __len__(self) -> int:
        return len(self.names)

    def batches(self, features: FeatureConfig, heard: OnDecoded) -> Iterator[Batch]:
        """Decibels of the usable clips; see `overlap.prediction.batches.clip_batches`."""
        # A network is compiled once per shape: few shapes, however many clips are asked about.
        size = min(1 << (len(self) - 1).bit_length(), batch_clips(features, 1 << 30))
        with closing(self.opened(features.clip_format)) as clips:
            yield from clip_batches(clips, size, features, heard)


def gathered(sounds: Given, rate_hz: int | None) -> Sounds:
    """What was given, as clips.

    Args:
        sounds: Samples, files or a folder.
        rate_hz: Rate of samples; None: the one that is wanted of them.

    Raises:
        UserError: it is none of these.
        DataError: nothing is there, or the names of the files do not fit.
    """
    if isinstance(sounds, (str, PathLike, Location)):
        return _of_place(Location.of(sounds))
    if isinstance(sounds, np.ndarray) and sounds.ndim == 1 and sounds.dtype.kind in "fi":
        return _of_samples([sounds], rate_hz)
    many = _all_of(sounds)
    if not many:
        raise DataError("no sounds were given")
    if all(isinstance(one, (str, PathLike, Location)) for one in many):
        return _of_files([Location.of(one) for one in many])
    return _of_samples(many, rate_hz)


def _all_of(sounds: object) -> list[Any]:
    try:
        return [*sounds]  # type: ignore[misc]
    except TypeError:
        raise UserError(
            f"sounds are {type(sounds).__name__}; give samples, or the path of a file or folder"
        ) from None


def _of_place(place: Location) -> Sounds:
    if place.is_folder():
        listing = list_clips(place)
        listing.problems.raise_if_fatal(str(place))
        files = listing.files.iloc[natural_order([*listing.files["clip_id"]])]
        return _of_files([place / name for name in files["file"]])
    if not place.exists():
        raise DataError(f"{place}: there is no such file or folder")
    return _of_files([place])


def _of_files(files: Sequence[Location]) -> Sounds:
    def opened(wanted: AudioFormat) -> Generator[Decode]:
        for folder, some in groupby(files, key=lambda file: file.parent):
            with closing(read_ahead(folder, [file.name for file in some], wanted)) as contents:
                for content in contents:
                    yield partial(decode_content, content, wanted)

    names = [file.name.rpartition(".")[0] or file.name for file in files]
    return Sounds(pd.Index(names, name="id"), opened)


def _of_samples(clips: Sequence[object], rate_hz: int | None) -> Sounds:
    arrays = [_checked(clip, place) for place, clip in enumerate(clips)]

    def opened(wanted: AudioFormat) -> Generator[Decode]:
        for samples in arrays:
            yield partial(clip_from_samples, samples, rate_hz or wanted.rate_hz, wanted)

    return Sounds(pd.RangeIndex(len(arrays), name="id"), opened)


def _checked(clip: object, place: int) -> NDArray[np.generic]:
    """The samples of one clip.

    Raises:
        UserError: they are none.
    """
    samples = np.asarray(clip)
    if samples.ndim != 1:
        raise UserError(
            f"clip {place}: has shape {samples.shape}; give samples as (samples,) or "
            "(clips, samples), one channel, or paths of files"
        )
    if samples.dtype.kind != "f" and samples.dtype != np.int16:
        raise UserError(
            f"clip {place}: its samples are {samples.dtype}; give int16, or floating with full "
            "scale 1.0"
        )
    return samples
