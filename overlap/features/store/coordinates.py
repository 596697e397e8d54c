"""What stands along the axes of features, in the units of a person: for pictures, and in the store.

`xarray.open_zarr` gives the arrays of a store that are named here as coordinates. Nothing of the
service reads them: they are written when the rows of a store are, also into a store that was made
before there were any, and what is damaged or gone is written again. The axes of `mel` are called as
its coordinates, so that xarray finds a value by its frequency and time; in stores of before they
are called mel and frame, and stay so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import librosa
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec

from overlap.config import FeatureConfig
from overlap.features.store.damage import holds

ATTRIBUTE = "coordinates"
"""Of the group: the names of its coordinates between spaces, as the CF conventions have it."""
AXES = ("clip", "frequency", "time", "resolution")
"""Names of the axes of `mel`."""
BESIDE = ("clip_id", "split", "valid")
"""Arrays per clip that are coordinates too."""


@dataclass(frozen=True, eq=False)
class Coordinate:
    """What stands along one axis."""

    name: str
    """Name of the array."""
    dimension: str
    """The axis."""
    values: NDArray[Any]
    """(length of the axis,): float64, int64, or text as objects."""
    about: Mapping[str, str]
    """Attributes: long_name, and units where it has one."""


def mel_centres_hz(config: FeatureConfig) -> NDArray[np.float64]:
    """(mel,) float64: the frequency at the peak of each mel filter, Hz.

    Examples:
        >>> mel_centres_hz(FeatureConfig())[[0, -1]].round(1).tolist()
        [46.4, 7626.2]
    """
    top = config.sample_rate / 2 if config.fmax_hz is None else config.fmax_hz
    edges = librosa.mel_frequencies(n_mels=config.n_mels + 2, fmin=config.fmin_hz, fmax=top)
    centres: NDArray[np.float64] = edges[1:-1]
    return centres


def frame_times_s(config: FeatureConfig) -> NDArray[np.float64]:
    """(frame,) float64: the middle of each frame, seconds from the beginning of the clip.

    Examples:
        >>> frame_times_s(FeatureConfig())[[0, 1, -1]].tolist()
        [0.0, 0.01, 1.0]
    """
    times: NDArray[np.float64] = np.arange(config.frames) * config.hop_length / config.sample_rate
    return times


def coordinates_of(
    config: FeatureConfig, words: Sequence[str], axes: Sequence[str] = AXES
) -> list[Coordinate]:
    """The coordinates of a store.

    Args:
        config: Its features.
        words: The words of the data set, in the order of every prediction; may be none.
        axes: Names of the axes of `mel`.
    """
    _, bands, frames, resolutions = axes
    samples = {"units": "samples"}
    found = [
        Coordinate(
            "frequency", bands, mel_centres_hz(config),
            {"long_name": "centre of the mel band", "units": "Hz"},
        ),
        Coordinate(
            "time", frames, frame_times_s(config),
            {"long_name": "middle of the frame", "units": "s"},
        ),
        Coordinate(
            "n_fft", resolutions, np.array([one.n_fft for one in config.resolutions]),
            {"long_name": "length of the Fourier transform", **samples},
        ),
        Coordinate(
            "win_length", resolutions, np.array([one.win_length for one in config.resolutions]),
            {"long_name": "length of the window", **samples},
        ),
    ]  # fmt: skip
    if words:
        named = {"long_name": "word, in the order of every prediction"}
        found.append(Coordinate("word", "word", np.array(words, object), named))
    return found


def write_coordinates(
    group: zarr.Group, mel: zarr.Array[Any], config: FeatureConfig, words: Sequence[str]
) -> None:
    """Write the coordinates of a store that are not there, damaged, or others; else nothing.

    Args:
        group: The store, open for writing.
        mel: Its features; their axes are what coordinates are of.
        config: Its features.
        words: The words of the data set.
    """
    wanted = coordinates_of(config, words, _axes(mel))
    for one in wanted:
        if not _stands(group, one):
            _write(group, one)
    names = " ".join((*BESIDE, *(one.name for one in wanted)))
    if group.attrs.get(ATTRIBUTE) != names:
        group.attrs[ATTRIBUTE] = names


def coordinates_stand(
    group: zarr.Group, mel: zarr.Array[Any], config: FeatureConfig, words: Sequence[str]
) -> bool:
    """Whether the coordinates of a store are what they should be, if it was given any."""
    if ATTRIBUTE not in group.attrs:
        return True
    return all(_stands(group, one) for one in coordinates_of(config, words, _axes(mel)))


def _axes(mel: zarr.Array[Any]) -> Sequence[str]:
    return cast("Sequence[str]", mel.metadata.dimension_names)  # type: ignore[union-attr]


def _stands(group: zarr.Group, wanted: Coordinate) -> bool:
    try:
        array = group[wanted.name]
    except Exception:  # noqa: BLE001  damaged metadata can fail in any parser: it is written again
        return False
    return (
        isinstance(array, zarr.Array)
        and array.metadata.dimension_names == (wanted.dimension,)  # type: ignore[union-attr]
        and array.attrs.asdict() == wanted.about
        and holds(array, slice(None), wanted.values)
    )


def _write(group: zarr.Group, one: Coordinate) -> None:
    array = group.create_array(
        one.name,
        shape=one.values.shape,
        chunks=one.values.shape,
        dtype=str if one.values.dtype == object else one.values.dtype,
        compressors=(Crc32cCodec(),),
        dimension_names=(one.dimension,),
        attributes=dict(one.about),
        overwrite=True,
    )
    # Zeros are written too: a chunk that is gone must not read as them.
    array.with_config({"write_empty_chunks": True})[:] = one.values
