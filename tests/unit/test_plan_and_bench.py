"""What a plan promises, what is pending, and what a benchmark measures."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.cli.commands.workspace import _total
from overlap.bench import features as bench
from overlap.catalog import Catalog, list_data
from overlap.config import FeatureConfig, RunConfig, StoreConfig
from overlap.errors import DataError, UserError
from overlap.features import FeatureStore
from overlap.features.memory import feature_worker_bytes
from overlap.io.location import Location
from overlap.training.spec import plan_members
from overlap.workspace import throughput
from overlap.workspace.pending import Pending, pending_work
from overlap.workspace.plan import plan_run
from support.errors import raises
from support.run_steps import catalogue

Ready = tuple[Catalog, FeatureStore]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "SECONDS", 0.1)


def pending(config: RunConfig) -> Pending:
    return pending_work(config, list_data(config.data))


def test_everything_is_pending_at_first(config: RunConfig) -> None:
    assert pending(config) == Pending(120, 8, blocks_in_all=8, block_rows=120, members=2)
    catalogue(config)
    assert pending(config) == Pending(0, 8, blocks_in_all=8, block_rows=120, members=2)


def test_members_are_pending_when_features_are_there(ready: Ready, config: RunConfig) -> None:
    assert pending(config) == Pending(0, 0, blocks_in_all=8, block_rows=0, members=2)
    assert not pending(config).features
    assert pending(config).anything


@pytest.mark.extended
def test_a_plan_follows_the_cut_of_the_store(ready: Ready, config: RunConfig) -> None:
    FeatureStore.open(Location.of(config.workspace), read_only=False).mark_missing(7)
    whole = config.model_copy(update={"store": StoreConfig()})  # one block, where there are 8
    assert pending(whole) == Pending(0, 1, blocks_in_all=8, block_rows=8, members=2)
    plan = plan_run(whole, 1)
    assert (plan.blocks_to_compute, plan.blocks) == (1, 8)
    assert plan.bytes_to_write * 15 == plan.feature_bytes


@pytest.mark.extended
def test_the_time_of_all_of_it(ready: Ready, config: RunConfig) -> None:
    plan = plan_run(config, 1)
    assert _total(plan, "") == "known after the first member"
    known = replace(plan, feature_seconds=5.0, member_seconds=60.0)
    assert _total(replace(known, members_at_once=1), "at most ") == "at most 2 min 05 s"
    assert _total(replace(known, members_at_once=2), "") == "1 min 05 s"
    assert _total(replace(plan, feature_seconds=5.0, members_to_train=0), "") == "5.0 s"


def test_what_a_workspace_cannot_hold_is_refused(ready: Ready, config: RunConfig) -> None:
    other = config.model_copy(update={"features": FeatureConfig(clip_seconds=0.9)})
    with raises(UserError, "other-features"):
        pending(other)
    file = config.model_copy(update={"workspace": f"{config.workspace}/catalog.parquet"})
    with raises(UserError, "workspace-is-file", workspace=file.workspace):
        pending(file)


def test_a_changed_clip_is_pending(ready: Ready, config: RunConfig, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(config.data, tmp_path / "copy"))
    moved = config.model_copy(update={"data": str(folder)})
    assert pending(moved).clips == 120  # another folder: all must be looked at
    catalogue(moved)
    assert pending(moved).clips == 0  # but hold the same sound
    assert pending(moved).blocks == 0
    (folder / "train" / "train_000000.wav").write_bytes(b"another")
    assert (pending(moved).clips, pending(moved).blocks) == (1, 1)
    shutil.copy(folder / "train" / "train_000001.wav", folder / "train" / "unnamed.wav")
    assert pending(moved).clips == 1
    (folder / "test" / "test_000019.wav").unlink()
    assert (pending(moved).clips, pending(moved).blocks) == (2, 2)


def test_changed_labels_make_members_pending(
    ready: Ready, config: RunConfig, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(config.data, tmp_path / "copy"))
    moved = config.model_copy(update={"data": str(folder)})
    catalog = catalogue(moved)
    before = plan_members(moved, catalog, ready[1])
    table = pd.read_csv(folder / "train_answer.csv")
    table.iloc[0, 1:] = np.roll(table.iloc[0, 1:], 1)
    table.to_csv(folder / "train_answer.csv", index=False)
    after = plan_members(moved, catalogue(moved), ready[1])
    assert {s.fingerprint for s in before}.isdisjoint(s.fingerprint for s in after)
    table.iloc[0, 1] = 7
    table.to_csv(folder / "train_answer.csv", index=False)
    with raises(DataError, "invalid-data", problems=(("row-sum", 1),)):
        pending(moved)


def test_appended_clips_touch_the_last_blocks(
    ready: Ready, config: RunConfig, tmp_path: Path
) -> None:
    """1 % more clips cost 1 %, not all blocks: 120 clips in blocks of 16, and five more."""
    folder = Path(shutil.copytree(config.data, tmp_path / "copy"))
    moved = config.model_copy(update={"data": str(folder)})
    catalogue(moved)
    table = pd.read_csv(folder / "train_answer.csv")
    for index in range(5):
        table.loc[len(table)] = [f"new_{index}", *table.iloc[index, 1:]]
        shutil.copy(folder / "train" / f"train_00000{index}.wav", folder / f"train/new_{index}.wav")
    table.to_csv(folder / "train_answer.csv", index=False)
    assert pending(moved) == Pending(5, 1, blocks_in_all=8, block_rows=13, members=2)


@pytest.mark.extended
def test_a_plan_measures_what_is_stored(config: RunConfig) -> None:
    packed = config.model_copy(update={"store": StoreConfig(compression="zstd")})
    plain, small = plan_run(config, 1), plan_run(packed, 1)
    assert 0.3 * plain.feature_bytes < small.feature_bytes < 0.9 * plain.feature_bytes
    assert plain.way == "kernel"


@pytest.mark.extended
def test_a_plan_over_clips_that_cannot_be_used(config: RunConfig, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(config.data, tmp_path / "copy"))
    for file in folder.rglob("*.wav"):
        file.write_bytes(b"no sound")
    with raises(DataError, "invalid-data") as caught:
        plan_run(config.model_copy(update={"data": str(folder)}), 1)
    assert "training clip" in str(caught.value)


@pytest.mark.extended
def test_a_plan_adds_up(config: RunConfig) -> None:
    plan = plan_run(config, cpu_workers=4)
    assert (plan.blocks, plan.blocks_to_compute) == (8, 8)
    assert plan.bytes_to_write == plan.feature_bytes == 120 * 2 * 64 * 101 * 4
    assert plan.feature_seconds > 120 / (4 * plan.clips_per_core_second)
    # The look at a cluster computes what is measured here.
    asked = feature_worker_bytes(config.features, config.store, threads=1)
    assert 0.5 * asked < plan.worker_bytes < 1.5 * asked
    assert plan.feed.bytes == 100 * 2 * 64 * 101 * 4
    assert not Path(config.workspace).exists()


def test_members_are_seeds_times_folds(ready: Ready, config: RunConfig) -> None:
    folded = RunConfig.model_validate(
        config.model_dump() | {"validation": {"holdout": 0, "folds": 2}, "ensemble": {"members": 4}}
    )
    specs = plan_members(folded, *ready)
    assert [(spec.seed, spec.fold) for spec in specs] == [(0, 0), (1, 1), (2, 0), (3, 1)]
    assert len({spec.fingerprint for spec in specs}) == 4


def test_the_bench_measures_every_implementation() -> None:
    config = FeatureConfig()
    sound = bench.speech_like(8, config)
    assert sound.shape == (8, 16000)
    assert np.abs(sound).max() < 1
    rows = {row.name: row for row in bench.bench_features(sound, config, rounds=1)}
    assert rows.keys() >= bench.IMPLEMENTATIONS.keys() | {"tf.signal", "numpy, scipy.fft"}
    assert rows[bench.REFERENCE].ratio == 1
    assert rows[bench.REFERENCE].max_error_db == 0
    assert all(row.clips_per_cpu_second > 0 for row in rows.values())
    for name in ("batched", "kernel"):
        assert 0 < rows[name].max_error_db < 0.04
        assert 0 < rows[f"{name} (float32 out)"].max_error_db < 0.002


def test_the_bench_takes_recordings(words: Path, tmp_path: Path) -> None:
    assert bench.load_some(words, 10, FeatureConfig()).shape == (10, 16000)
    with raises(DataError, "no-sound-files", folder=str(tmp_path)):
        bench.load_some(tmp_path, 10, FeatureConfig())
