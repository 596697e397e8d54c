"""The feature store: values, statistics, done markers, resumption and other formats."""

import hashlib
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

from overlap.catalog import Catalog
from overlap.config import FeatureConfig, RunConfig, StoreConfig
from overlap.errors import DataError, NewerFormatError, NotReadyError, UserError
from overlap.features import FeatureStore, block_job, extract_block
from overlap.features.code_counts import count_codes
from overlap.features.compute import compute_features
from overlap.features.extract import block_digest, compute_block
from overlap.features.store import metadata
from overlap.io.location import Location
from support.errors import raises
from support.run_steps import catalogue, computed

Ready = tuple[Catalog, FeatureStore]


def test_stored_values_equal_the_computed_ones(ready: Ready, spoken: np.ndarray) -> None:
    catalog, store = ready
    assert catalog.clips["clip_id"][23] == "train_000023"
    expected = compute_features(spoken, store.config)
    assert np.array_equal(store.read_rows(0, 24), expected)
    assert store.missing(catalog) == []


def test_zarr_and_xarray_read_the_store(ready: Ready, config: RunConfig) -> None:
    catalog, store = ready
    path = f"{config.workspace}/features.zarr"
    group = zarr.open_group(path, mode="r")
    assert group["mel"].dtype == np.float16
    assert group["mel"].shape == (120, 64, 101, 4)
    opened = xarray.open_zarr(path, consolidated=False)
    assert opened["mel"].dims == ("clip", "frequency", "time", "resolution")
    assert opened["clip_id"].values.tolist() == catalog.clips["clip_id"].tolist()
    assert opened["split"].values.tolist() == [0] * 100 + [1] * 20
    assert opened["valid"].values.all()
    assert FeatureConfig.from_stored(opened.attrs["features"]) == store.config
    assert opened.attrs["software"]["numpy"] == np.__version__


def test_blocks_are_whole_chunks(ready: Ready) -> None:
    catalog, store = ready
    blocks = store.blocks(catalog)
    assert [(b.start, b.stop) for b in blocks] == [(i, min(i + 16, 120)) for i in range(0, 120, 16)]
    with pytest.raises(ValueError, match="row 4 .* chunk of 8"):
        store.write_rows(4, np.zeros((8, *store.config.shape), np.float16))


def test_the_histogram_counts_the_stored_values(ready: Ready) -> None:
    catalog, store = ready
    splits = (catalog.clips["split"] == "test").to_numpy(int)
    assert np.array_equal(store.histogram(), count_codes(store.read_rows(0, 120), splits, 2))


@pytest.mark.extended
def test_normalised_features_equal_a_direct_computation(ready: Ready) -> None:
    """Mode `joint` equals librosa in float64 on all clips together."""
    import librosa

    catalog, store = ready
    folder = Location.of(catalog.data)
    from overlap.audio.clips import load_clip

    clips = np.stack([load_clip(folder, f, catalog.wanted).samples for f in catalog.clips["file"]])
    found = store.normalisation("joint", 80)
    for index, resolution in enumerate(store.config.resolutions):
        power = np.stack(
            [
                librosa.feature.melspectrogram(
                    y=clip, sr=16000, n_fft=resolution.n_fft, hop_length=160,
                    win_length=resolution.win_length, n_mels=64,
                )
                for clip in clips
            ]
        )  # fmt: skip
        decibels = librosa.power_to_db(power.astype(np.float64), ref=np.max, top_db=80)
        expected = (decibels - decibels.mean()) / decibels.std()
        stored = store.read_rows(0, 120)[..., index].astype(np.float64)
        clipped = np.maximum(stored, found.floor_db[index])
        ours = (clipped - found.mean_db[index]) / found.std_db[index]
        assert np.abs(ours - expected).max() < 0.003


def test_mode_train_excludes_the_test_clips(ready: Ready) -> None:
    _, store = ready
    train, joint = store.normalisation("train", 80), store.normalisation("joint", 80)
    values = store.read_rows(0, 100)[..., 0].astype(np.float64)
    assert train.floor_db[0] == values.max() - 80
    assert train.mean_db[0] == pytest.approx(
        np.maximum(values, train.floor_db[0]).mean(), rel=1e-12
    )
    assert train != joint


def test_an_unchanged_data_set_writes_nothing(ready: Ready, config: RunConfig) -> None:
    catalog, store = ready
    before = {f: f.stat().st_mtime_ns for f in Path(config.workspace).rglob("*") if f.is_file()}
    again, store = computed(config)
    store.sync(again)
    changed = [
        f
        for f in Path(config.workspace).rglob("*")
        if f.is_file() and f.stat().st_mtime_ns != before.get(f) and "features.zarr" in f.parts
    ]
    assert changed == []


def test_rewriting_a_block_gives_the_same_bytes(ready: Ready, config: RunConfig) -> None:
    catalog, store = ready

    def content() -> dict[str, str]:
        files = Path(config.workspace, "features.zarr").rglob("*")
        return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file()}

    before = content()
    extract_block(block_job(Location.of(config.workspace), catalog, store.blocks(catalog)[2]))
    assert content() == before


def test_a_changed_clip_makes_only_its_block_missing(config: RunConfig, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(config.data, tmp_path / "copy"))
    config = config.model_copy(update={"data": str(folder)})
    catalog, store = computed(config)
    (folder / "train" / "train_000020.wav").write_bytes(
        (folder / "train" / "train_000021.wav").read_bytes()
    )
    changed = catalogue(config, catalog)
    store.sync(changed)
    assert [block.index for block in store.missing(changed)] == [1]
    extract_block(block_job(Location.of(config.workspace), changed, store.missing(changed)[0]))
    rows = store.read_rows(20, 22)
    assert np.array_equal(rows[0], rows[1])
    splits = (changed.clips["split"] == "test").to_numpy(int)
    assert np.array_equal(store.histogram(), count_codes(store.read_rows(0, 120), splits, 2))


def test_the_row_of_a_quarantined_clip_is_zero(config: RunConfig, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(config.data, tmp_path / "copy"))
    (folder / "train" / "train_000020.wav").write_bytes(b"no sound")
    config = config.model_copy(update={"data": str(folder)})
    catalog, store = computed(config)
    assert not store.read_rows(20, 21).any()
    assert store.histogram()[0].sum() == 99 * 64 * 101 * 4
    assert not zarr.open_group(f"{config.workspace}/features.zarr", mode="r")["valid"][20]


def test_an_interrupted_block_is_missing(ready: Ready, config: RunConfig) -> None:
    catalog, store = ready
    block = store.blocks(catalog)[3]
    changed = replace(block, key="0" * 31 + "1")
    FeatureStore.open(Location.of(config.workspace), read_only=False).invalidate_if_stale(changed)
    assert store.missing(catalog) == [block]


def test_files_that_change_during_a_run_are_detected(config: RunConfig, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(config.data, tmp_path / "copy"))
    config = config.model_copy(update={"data": str(folder)})
    catalog, workspace = catalogue(config), Location.of(config.workspace)
    store = FeatureStore.create(workspace, config.features, config.store)
    store.sync(catalog)
    (folder / "train" / "train_000000.wav").write_bytes(
        (folder / "train" / "train_000001.wav").read_bytes()
    )
    (folder / "train" / "train_000016.wav").unlink()
    blocks = store.blocks(catalog)
    with raises(DataError, "clip-changed", file=f"{folder}/train/train_000000.wav"):
        extract_block(block_job(workspace, catalog, blocks[0]))
    with raises(DataError, "clip-unreadable", file=f"{folder}/train/train_000016.wav"):
        extract_block(block_job(workspace, catalog, blocks[1]))
    assert len(store.missing(catalog)) == len(blocks)


def test_features_of_another_configuration_are_not_overwritten(
    ready: Ready, config: RunConfig
) -> None:
    workspace = Location.of(config.workspace)
    other = FeatureConfig(hop_length=80)
    with raises(UserError, "other-features", store=f"{workspace}/features.zarr") as caught:
        FeatureStore.create(workspace, other, config.store)
    assert config.features.difference(other) in str(caught.value)
    again = FeatureStore.create(workspace, config.features, StoreConfig())
    assert (again.block_clips, again.chunk_clips()) == (16, 8)


def test_an_incompletely_created_store_is_recreated(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Location.of(config.workspace)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(metadata, "create_arrays", killed)
        with pytest.raises(KeyboardInterrupt):
            FeatureStore.create(workspace, config.features, config.store)
    with pytest.raises(NotReadyError):
        FeatureStore.open(workspace)
    catalog, store = computed(config)
    assert store.missing(catalog) == []


def test_a_workspace_without_features(workspace: Location) -> None:
    with raises(NotReadyError, "no-features", workspace=str(workspace)):
        FeatureStore.open(workspace)


def test_another_format_version_is_rejected(ready: Ready, config: RunConfig) -> None:
    zarr.open_group(f"{config.workspace}/features.zarr", mode="r+").attrs["format"] = 99
    with raises(NewerFormatError, "newer-format", format=99):
        FeatureStore.open(Location.of(config.workspace))


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compression_does_not_change_values(ready: Ready, config: RunConfig, codec: str) -> None:
    _, plain = ready
    other = config.model_copy(
        update={
            "workspace": config.workspace + codec,
            "store": config.store.model_copy(update={"compression": codec}),
        }
    )
    _, packed = computed(other)
    assert np.array_equal(packed.read_rows(0, 120), plain.read_rows(0, 120))


def test_the_stored_digest_matches_the_stored_block(ready: Ready, config: RunConfig) -> None:
    catalog, store = ready
    block = store.blocks(catalog)[7]
    assert block_digest(store.read_rows(block.start, block.stop)) == store.stored_digest(block)
    job = block_job(Location.of(config.workspace), catalog, block)
    values, digest = compute_block(job, store)
    assert digest == store.stored_digest(block)
    assert len(values) == 8


FLAT = """
import sys
import psutil
from overlap.catalog import stored_rows
from overlap.features import FeatureStore, block_jobs, extract_block
from overlap.io.location import Location

workspace = Location(sys.argv[1])
with stored_rows(workspace) as rows:
    jobs = [*block_jobs(workspace, rows, FeatureStore.open(workspace).blocks(rows))]
process, seen = psutil.Process(), []
for number in range(200):
    extract_block(jobs[number % len(jobs)])
    seen.append(process.memory_info().rss)
print(max(seen[20:60]), max(seen[160:]))
"""


@pytest.mark.extended
def test_memory_is_flat_over_200_blocks(ready: Ready, config: RunConfig) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FLAT, config.workspace], capture_output=True, text=True, check=True
    )
    early, late = map(int, done.stdout.split())
    assert late - early < 4e6, f"{early / 1e6:.1f} MB early, {late / 1e6:.1f} MB late"
