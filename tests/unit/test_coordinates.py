"""Coordinates of a store: values in xarray, older stores without them, and damage."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pytest
import xarray
import zarr

from overlap.catalog import Catalog
from overlap.config import FeatureConfig, RunConfig
from overlap.errors import CorruptError
from overlap.features import FeatureStore
from overlap.features.reference import mel_filters, reference_features
from overlap.features.store.coordinates import frame_times_s, mel_centres_hz
from overlap.io.location import Location
from overlap.workspace.verify import repair, verify_workspace
from support.errors import raises
from support.run_steps import computed

Ready = tuple[Catalog, FeatureStore]
OTHER = FeatureConfig(n_mels=40, hop_length=200, fmin_hz=300, fmax_hz=4000)
EARLIER = ["clip", "mel", "frame", "resolution"]
NAMES = ("frequency", "time", "n_fft", "win_length", "word")


def opened(config: RunConfig) -> xarray.Dataset:
    return xarray.open_zarr(f"{config.workspace}/features.zarr", consolidated=False)


def files_of(workspace: str) -> dict[Path, tuple[int, bytes]]:
    found = (file for file in Path(workspace, "features.zarr").rglob("*") if file.is_file())
    return {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in found}


@pytest.mark.parametrize("config", [FeatureConfig(), OTHER], ids=["default", "other"])
def test_centres_are_at_the_peaks_of_the_filters(config: FeatureConfig) -> None:
    fine = config.resolutions[-1]
    peaks = mel_filters(config, fine).argmax(axis=1) * config.sample_rate / fine.n_fft
    step = config.sample_rate / fine.n_fft
    assert np.abs(mel_centres_hz(config) - peaks).max() <= step / 2 + 1e-9
    assert mel_centres_hz(config).shape == (config.n_mels,)


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("lowest", [0.0, 50.5, 1200.0])
@pytest.mark.parametrize("highest", [None, 3333.3])
@pytest.mark.parametrize("bands", [20, 64, 128])
def test_centres_equal_those_of_librosa(
    rate: int, lowest: float, highest: float | None, bands: int
) -> None:
    config = FeatureConfig(sample_rate=rate, n_mels=bands, fmin_hz=lowest, fmax_hz=highest)
    edges = librosa.mel_frequencies(n_mels=bands + 2, fmin=lowest, fmax=highest or rate / 2)
    # Bit for bit: a store whose coordinates differ from these is written again.
    assert np.array_equal(mel_centres_hz(config), edges[1:-1])


def test_a_click_is_loudest_in_the_frame_at_its_time() -> None:
    clip = np.zeros((1, OTHER.clip_samples), np.float32)
    clip[0, 7000] = 1.0
    loudness = reference_features(clip, OTHER)[0, :, :, 0].sum(axis=0)
    times = frame_times_s(OTHER)
    assert times.shape == (OTHER.frames,)
    assert times[loudness.argmax()] == 7000 / 16000
    assert np.array_equal(
        times, librosa.times_like(loudness, sr=16000, hop_length=OTHER.hop_length)
    )


def test_xarray_finds_all_coordinates(ready: Ready, config: RunConfig) -> None:
    catalog, store = ready
    found = opened(config)
    assert {*found.coords} == {*NAMES, "clip_id", "split", "valid"}
    assert [*found.data_vars] == ["mel"]
    assert {name: found[name].dims for name in NAMES} == {
        "frequency": ("frequency",), "time": ("time",), "n_fft": ("resolution",),
        "win_length": ("resolution",), "word": ("word",),
    }  # fmt: skip
    assert np.array_equal(found["frequency"], mel_centres_hz(store.config))
    assert np.array_equal(found["time"], frame_times_s(store.config))
    assert found["n_fft"].values.tolist() == [256, 512, 1024, 2048]
    assert tuple(found["word"].values) == catalog.words
    units = {name: found[name].attrs.get("units") for name in NAMES}
    assert units == {"frequency": "Hz", "time": "s", "n_fft": "samples", "win_length": "samples",
                     "word": None}  # fmt: skip
    # Selection by frequency and time returns the stored value.
    clip = found["mel"].set_xindex("clip_id").sel(clip_id="train_000007")
    one = clip.sel(frequency=1000, time=0.504, method="nearest")
    band = np.abs(mel_centres_hz(store.config) - 1000).argmin()
    assert np.array_equal(one.values, store.read_rows(7, 8)[0, band, 50])


def test_every_array_names_its_axes(ready: Ready, config: RunConfig) -> None:
    group = zarr.open_group(f"{config.workspace}/features.zarr", mode="r")
    arrays = [item for _, item in group.members(max_depth=None) if isinstance(item, zarr.Array)]
    assert len(arrays) == 12
    for array in arrays:
        assert len(array.metadata.dimension_names) == array.ndim
        assert all(array.metadata.dimension_names)


def make_earlier(config: RunConfig) -> None:
    """Turn a store into one written before coordinates existed."""
    folder = Path(config.workspace, "features.zarr")
    group = zarr.open_group(folder, mode="r+")
    del group.attrs["coordinates"]
    for name in NAMES:
        shutil.rmtree(folder / name)
    about = json.loads((folder / "mel" / "zarr.json").read_text())
    about["dimension_names"] = EARLIER
    (folder / "mel" / "zarr.json").write_text(json.dumps(about))


def test_an_older_store_is_readable_and_the_next_sync_adds_coordinates(
    ready: Ready, config: RunConfig
) -> None:
    catalog, store = ready
    values = store.read_rows(0, len(catalog))
    make_earlier(config)
    place = Location.of(config.workspace)
    earlier = FeatureStore.open(place)
    assert earlier.missing(catalog) == []
    assert np.array_equal(earlier.read_rows(0, len(catalog)), values)
    assert verify_workspace(place, 0).faults == ()
    again, store = computed(config)
    found = opened(config)
    assert {*NAMES} <= {*found.coords}
    assert [*found["mel"].dims] == EARLIER
    assert found["frequency"].dims == ("mel",)
    assert np.array_equal(found["time"], frame_times_s(store.config))
    assert store.missing(again) == []
    before = files_of(config.workspace)
    store.sync(again)
    assert files_of(config.workspace) == before


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("what", ["values", "metadata", "lost", "other"])
def test_damage_is_found_and_repaired(
    ready: Ready, config: RunConfig, name: str, what: str
) -> None:
    catalog, _ = ready
    folder = Path(config.workspace, "features.zarr", name)
    values = opened(config)[name].values.copy()
    if what == "lost":
        shutil.rmtree(folder)
    elif what == "metadata":
        (folder / "zarr.json").write_text("{")
    elif what == "values":
        (chunk,) = (file for file in (folder / "c").iterdir())
        chunk.write_bytes(bytes([chunk.read_bytes()[0] ^ 1]) + chunk.read_bytes()[1:])
    else:
        array = zarr.open_array(folder, mode="r+")
        array[0] = "nothing" if name == "word" else 12345
    place = Location.of(config.workspace)
    faults = verify_workspace(place, 0).faults
    assert [fault.columns for fault in faults] == [True]
    assert repair(place, faults) == 1
    assert verify_workspace(place, 0).faults == ()
    assert np.array_equal(opened(config)[name].values, values)


def test_changed_words_replace_the_stored_ones(ready: Ready, config: RunConfig) -> None:
    catalog, store = ready
    fewer = replace(catalog, words=catalog.words[:4])
    store = FeatureStore.open(Location.of(config.workspace), read_only=False)
    store.sync(fewer)
    assert tuple(opened(config)["word"].values) == catalog.words[:4]


def test_damaged_metadata_of_the_features_is_reported(ready: Ready, config: RunConfig) -> None:
    catalog, _ = ready
    Path(config.workspace, "features.zarr", "mel", "zarr.json").write_text("{")
    item = f"{config.workspace}/features.zarr/mel"
    with raises(CorruptError, "corrupt-features", item=item):
        FeatureStore.open(Location.of(config.workspace)).matches_catalog(catalog)
