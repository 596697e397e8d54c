import numpy as np
import pytest

from overlap.catalog import Catalog
from overlap.config import TrainingConfig
from overlap.errors import ConfigError
from overlap.features import FeatureStore
from overlap.training.feed import Batches, ChunkedSource, MemorySource, epoch_order, open_source
from overlap.training.memory import MemoryPlan, plan_memory

Ready = tuple[Catalog, FeatureStore]
SHAPE = (64, 101, 4)
CLIP = 2 * 64 * 101 * 4


@pytest.mark.parametrize("kept", [1, 2, 100])
def test_both_sources_give_the_stored_rows(ready: Ready, kept: int) -> None:
    catalog, store = ready
    everything = store.read_rows(0, len(catalog))
    rows = np.random.default_rng(0).permutation(len(catalog))[:50]
    assert np.array_equal(ChunkedSource(store, kept).take(rows), everything[rows])
    assert np.array_equal(MemorySource(store, np.sort(rows)).take(rows), everything[rows])


def test_the_plan_chooses_the_source(ready: Ready) -> None:
    _, store = ready
    rows = np.arange(10)
    assert isinstance(open_source(store, rows, MemoryPlan("memory", 0, 0)), MemorySource)
    assert isinstance(open_source(store, rows, MemoryPlan("stream", 0, 3)), ChunkedSource)


def test_what_fits_is_held_in_memory() -> None:
    free = 2 * 1000 * CLIP
    expected = MemoryPlan("memory", 1000 * CLIP, 0)
    assert plan_memory(SHAPE, 128, 1000, TrainingConfig(), free_bytes=free) == expected
    some = TrainingConfig(memory_gb=0.06)
    assert plan_memory(SHAPE, 128, 1000, some, free_bytes=0).mode == "memory"


def test_what_does_not_fit_is_streamed_within_the_limit() -> None:
    limited = TrainingConfig(memory_gb=1.0, shuffle_clips=5000)
    plan = plan_memory(SHAPE, 128, 100_000, limited)
    assert plan == MemoryPlan("stream", 2 * 39 * 128 * CLIP, 2 * 39)
    assert plan.bytes <= 1e9
    one_chunk = TrainingConfig(memory_gb=0.1, shuffle_clips=1)
    assert plan_memory(SHAPE, 128, 100_000, one_chunk).chunks == 2


def test_memory_that_is_too_little_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"take 1.7 GB, but training.memory_gb is 1 GB; lower"):
        plan_memory(SHAPE, 128, 100_000, TrainingConfig(memory_gb=1.0))
    with pytest.raises(ConfigError, match=r"half of the free memory is 1 GB"):
        plan_memory(SHAPE, 128, 100_000, TrainingConfig(), free_bytes=2 * 10**9)


def test_batches_hold_features_and_their_labels(ready: Ready) -> None:
    catalog, store = ready
    rows = np.array([7, 3, 99, 0, 50])
    batches = Batches(ChunkedSource(store, 4), rows, 2, catalog.labels)
    assert len(batches) == 3
    features = np.concatenate([batches[i][0] for i in range(3)])
    labels = np.concatenate([batches[i][1] for i in range(3)])
    assert np.array_equal(features, store.read_rows(0, 120)[rows])
    assert np.array_equal(labels, catalog.labels[rows].astype(np.float32))
    assert len(batches[2][0]) == 1
    assert len(Batches(ChunkedSource(store, 4), rows, 2)[0]) == 1


def test_streaming_reads_each_chunk_once_an_epoch(ready: Ready) -> None:
    catalog, store = ready
    plan = MemoryPlan("stream", 0, 6)
    order = epoch_order(np.arange(len(catalog)), 8, 24, (0, 0))
    read: list[int] = []

    class Counting(FeatureStore):
        def read_rows(self, start: int, stop: int):
            read.append(start)
            return super().read_rows(start, stop)

    store.__class__ = Counting
    batches = Batches(open_source(store, order, plan), order, 5, catalog.labels)
    for index in range(len(batches)):
        batches[index]
    assert sorted(read) == list(range(0, 120, 8))
