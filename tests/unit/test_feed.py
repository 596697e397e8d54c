"""The feed of a member: where features are kept, sources, the order of an epoch, batches."""

import numpy as np
import pytest

from overlap.catalog import Catalog, Partition
from overlap.config import TrainingConfig
from overlap.errors import ConfigError
from overlap.features import FeatureStore
from overlap.training.feed.batches import TrainingData
from overlap.training.feed.keras_input import keras_input
from overlap.training.feed.memory_plan import MemoryPlan, plan_memory
from overlap.training.feed.order import epoch_order
from overlap.training.feed.sources import ChunkedSource, MemorySource, open_source
from overlap.training.keras_import import keras
from support.errors import raises

Ready = tuple[Catalog, FeatureStore]
SHAPE = (64, 101, 4)
CLIP = 2 * 64 * 101 * 4


@pytest.mark.parametrize("window", [0, 1, 24, 1000])
def test_both_sources_return_the_stored_rows(ready: Ready, window: int) -> None:
    catalog, store = ready
    everything = store.read_rows(0, len(catalog))
    rows = np.random.default_rng(0).permutation(len(catalog))[:50]
    for source in (ChunkedSource(store, window), MemorySource(store, np.sort(rows))):
        parts = list(source.batches(rows, 7))
        assert [len(part) for part in parts] == [7] * 7 + [1]
        assert np.array_equal(np.concatenate(parts), everything[rows])


def test_the_plan_determines_the_source(ready: Ready) -> None:
    _, store = ready
    rows = np.arange(10)
    assert isinstance(open_source(store, rows, MemoryPlan("memory", 0)), MemorySource)
    assert isinstance(open_source(store, rows, MemoryPlan("stream", 0, 3)), ChunkedSource)


def test_features_that_fit_are_held_in_memory() -> None:
    free = 2 * 1000 * CLIP
    expected = MemoryPlan("memory", 1000 * CLIP)
    assert plan_memory(CLIP, 128, 1000, TrainingConfig(), free_bytes=free) == expected
    limited = TrainingConfig(memory_gb=0.06)
    assert plan_memory(CLIP, 128, 1000, limited, free_bytes=0).mode == "memory"


def test_features_that_fit_on_the_accelerator_are_held_there() -> None:
    expected = MemoryPlan("device", 1000 * CLIP)
    assert plan_memory(CLIP, 128, 1000, TrainingConfig(), 0, 4 * 1000 * CLIP) == expected
    assert plan_memory(CLIP, 128, 1000, TrainingConfig(), 10**9, 1000 * CLIP).mode == "memory"
    never = TrainingConfig(device_gb=0)
    assert plan_memory(CLIP, 128, 1000, never, 10**9, 10**12).mode == "memory"


def test_larger_features_are_streamed_within_the_limit() -> None:
    limited = TrainingConfig(memory_gb=1.0, shuffle_clips=5000)
    plan = plan_memory(CLIP, 128, 100_000, limited)
    assert plan == MemoryPlan("stream", 2 * 39 * 128 * CLIP, 39 * 128)
    assert plan.bytes <= 1e9
    one_chunk = TrainingConfig(memory_gb=0.1, shuffle_clips=1)
    assert plan_memory(CLIP, 128, 100_000, one_chunk).window_clips == 128


def test_too_little_memory_is_refused() -> None:
    needed = 2 * 64 * 128 * CLIP
    with raises(ConfigError, "memory-too-small", needed=needed, limit=500_000_000) as caught:
        plan_memory(CLIP, 128, 100_000, TrainingConfig(memory_gb=0.5))
    assert "847 MB" in str(caught.value)
    with raises(ConfigError, "memory-too-small", needed=needed, limit=500_000_000):
        plan_memory(CLIP, 128, 100_000, TrainingConfig(), free_bytes=10**9)


def data_of(ready: Ready, rows: np.ndarray, **training: object) -> TrainingData:
    catalog, store = ready
    return TrainingData(
        source=ChunkedSource(store, 16),
        labels=catalog.labels,
        partition=Partition(rows, rows[:0]),
        chunk_clips=store.chunk_clips(),
        training=TrainingConfig(**training),
        seed=5,
    )


def test_batches_contain_features_and_labels(ready: Ready) -> None:
    catalog, store = ready
    rows = np.arange(3, 90)
    data = data_of(ready, rows, batch_size=20)
    inputs = [batch for (batch,) in data.epoch(2)]
    order = epoch_order(rows, store.chunk_clips(), data.training.shuffle_clips, (5, 2))
    assert [len(batch["labels"]) for batch in inputs] == [20, 20, 20, 20, 7]
    assert (data.steps, data.clips) == (5, 87)
    decibels = np.concatenate([batch["decibels"] for batch in inputs])
    labels = np.concatenate([batch["labels"] for batch in inputs])
    assert np.array_equal(decibels, store.read_rows(0, 120)[order])
    assert np.array_equal(labels, catalog.labels[order].astype(np.float32))


def test_whole_batches_drop_the_incomplete_batch(ready: Ready) -> None:
    data = data_of(ready, np.arange(87), batch_size=20, whole_batches=True)
    assert (data.steps, data.clips) == (4, 80)
    assert [len(batch["labels"]) for (batch,) in data.epoch(0)] == [20] * 4
    few = data_of(ready, np.arange(7), batch_size=20, whole_batches=True)
    assert [len(batch["labels"]) for (batch,) in few.epoch(0)] == [7]


def test_batches_of_a_device_dataset_are_row_numbers(ready: Ready) -> None:
    rows = np.arange(10, 90, 2)
    data = data_of(ready, rows, batch_size=16)
    object.__setattr__(data, "on_device", True)
    indices = np.concatenate([batch["rows"] for (batch,) in data.epoch(0)])
    assert indices.dtype == np.int32
    assert np.array_equal(rows[indices], epoch_order(rows, 8, 8192, (5, 0)))


@pytest.mark.parametrize("size", [5, 16, 40])
def test_streaming_reads_each_chunk_once_and_holds_two_windows(ready: Ready, size: int) -> None:
    catalog, store = ready
    order = epoch_order(np.arange(len(catalog)), 8, 24, (0, 0))
    read: list[int] = []

    class Counting(FeatureStore):
        def read_rows(self, start: int, stop: int):
            read.append(start)
            return super().read_rows(start, stop)

    store.__class__ = Counting
    visited = 0
    for part in ChunkedSource(store, 24).batches(order, size):
        visited += len(part)
        done = {int(row) // 8 for row in order[:visited]} - {
            int(row) // 8 for row in order[visited:]
        }
        assert len(read) - len(done) <= 2 * 3 + -(-size // 8)
    assert sorted(read) == list(range(0, 120, 8))


def test_chunks_with_few_rows_are_read_evenly(ready: Ready) -> None:
    _, store = ready
    held: list[int] = []

    class Counting(FeatureStore):
        def read_rows(self, start: int, stop: int):
            held.append(start)
            return super().read_rows(start, stop)

    store.__class__ = Counting
    batches = ChunkedSource(store, 16).batches(np.arange(0, 120, 8), 1)
    for visited, _ in enumerate(batches, 1):
        assert len(held) - visited <= 2 + 1


def test_tensorflow_does_not_tune_the_input() -> None:
    # Its thread would delay the end of every pass, by up to the length of the pass.
    if keras.backend.backend() != "tensorflow":
        pytest.skip("input of TensorFlow")
    batches = iter([(np.zeros((2, 3), np.float32),), (np.ones((1, 3), np.float32),)])
    dataset = keras_input(batches)
    assert dataset.options().autotune.enabled is False
    assert [len(batch[0]) for batch in dataset] == [2, 1]
