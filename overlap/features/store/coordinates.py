"""Coordinates of the feature axes in physical units, for pictures and for readers of the store.

`xarray.open_zarr` returns the arrays named here as coordinates. The service itself does not read
them. They are written with the rows of a store, also into older stores that lack them, and are
rewritten when damaged or missing. The axes of `mel` have the names of their coordinates, so that
xarray can select values by frequency and time. Older stores name these axes mel and frame, and
keep those names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from overlap.config import FeatureConfig
from overlap.features.mel_scale import mel_edges_hz
from overlap.features.store.corruption import contains
from overlap.io.zarr_import import zarr

ATTRIBUTE = "coordinates"
"""Attribute of the group: names of its coordinates, separated by spaces (CF conventions)."""
AXES = ("clip", "frequency", "time", "resolution")
"""Names of the axes of `mel`."""
CLIP_COORDINATES = ("clip_id", "split", "valid")
"""Arrays per clip that are coordinates too."""


@dataclass(frozen=True, eq=False)
class Coordinate:
    """A coordinate array along one axis."""

    name: str
    """Name of the array."""
    dimension: str
    """Name of the axis."""
    values: NDArray[Any]
    """(length of the axis,): float64, int64, or text as objects."""
    attributes: Mapping[str, str]
    """Zarr attributes: long_name, and units where applicable."""


def mel_centres_hz(config: FeatureConfig) -> NDArray[np.float64]:
    """Return the frequency at the peak of each mel filter, (mel,) float64, Hz.

    Examples:
        >>> mel_centres_hz(FeatureConfig())[[0, -1]].round(1).tolist()
        [46.4, 7626.2]
    """
    return mel_edges_hz(config)[1:-1]


def frame_times_s(config: FeatureConfig) -> NDArray[np.float64]:
    """Return the centre of each frame, (frame,) float64, seconds from the start of the clip.

    Examples:
        >>> frame_times_s(FeatureConfig())[[0, 1, -1]].tolist()
        [0.0, 0.01, 1.0]
    """
    times: NDArray[np.float64] = np.arange(config.frames) * config.hop_length / config.sample_rate
    return times


def coordinates_of(
    config: FeatureConfig, words: Sequence[str], axes: Sequence[str] = AXES
) -> list[Coordinate]:
    """Return the coordinates of a store.

    Args:
        config: Features of the store.
        words: The words of the data set, in the order of the predictions; may be empty.
        axes: Names of the axes of `mel`.
    """
    _, bands, frames, resolutions = axes
    samples = {"units": "samples"}
    coordinates = [
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
        attributes = {"long_name": "word, in the order of every prediction"}
        coordinates.append(Coordinate("word", "word", np.array(words, object), attributes))
    return coordinates


def write_coordinates(
    group: zarr.Group, mel: zarr.Array[Any], config: FeatureConfig, words: Sequence[str]
) -> None:
    """Write the coordinates of a store that are missing, damaged or different.

    Args:
        group: The store, open for writing.
        mel: The array whose axes the coordinates describe.
        config: Features of the store.
        words: The words of the data set.
    """
    expected = coordinates_of(config, words, _axes(mel))
    for coordinate in expected:
        if not _is_intact(group, coordinate):
            _write(group, coordinate)
    names = " ".join((*CLIP_COORDINATES, *(coordinate.name for coordinate in expected)))
    if group.attrs.get(ATTRIBUTE) != names:
        group.attrs[ATTRIBUTE] = names


def coordinates_intact(
    group: zarr.Group, mel: zarr.Array[Any], config: FeatureConfig, words: Sequence[str]
) -> bool:
    """Return whether the coordinates of a store are intact; True for a store without any."""
    if ATTRIBUTE not in group.attrs:
        return True
    expected = coordinates_of(config, words, _axes(mel))
    return all(_is_intact(group, coordinate) for coordinate in expected)


def _axes(mel: zarr.Array[Any]) -> Sequence[str]:
    return cast("Sequence[str]", mel.metadata.dimension_names)  # type: ignore[union-attr]


def _is_intact(group: zarr.Group, expected: Coordinate) -> bool:
    try:
        array = group[expected.name]
    except Exception:  # noqa: BLE001  any parser can fail on damaged metadata; it is rewritten
        return False
    return (
        isinstance(array, zarr.Array)
        and array.metadata.dimension_names == (expected.dimension,)  # type: ignore[union-attr]
        and array.attrs.asdict() == expected.attributes
        and contains(array, slice(None), expected.values)
    )


def _write(group: zarr.Group, coordinate: Coordinate) -> None:
    values = coordinate.values
    array = group.create_array(
        coordinate.name,
        shape=values.shape,
        chunks=values.shape,
        dtype=str if values.dtype == object else values.dtype,
        compressors=(zarr.codecs.Crc32cCodec(),),
        dimension_names=(coordinate.dimension,),
        attributes=dict(coordinate.attributes),
        overwrite=True,
    )
    # Chunks of zeros are written too, so that a lost chunk does not read as zeros.
    array.with_config({"write_empty_chunks": True})[:] = values
