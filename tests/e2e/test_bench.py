"""The benchmark of the whole feature path, with real worker processes."""

import numpy as np
import pytest

from overlap.bench.end_to_end import bench_end_to_end
from overlap.bench.features import speech_like
from overlap.config import FeatureConfig, StoreConfig


@pytest.mark.slow
def test_the_bench_goes_from_files_to_the_store() -> None:
    config, store = FeatureConfig(), StoreConfig(chunk_clips=8, block_clips=16)
    sound = speech_like(5, config)
    one, two = bench_end_to_end(sound, config, store, files=64, rounds=1)
    assert (one.name, two.name) == ("1 worker", "2 workers")
    assert one.speedup == 1
    assert one.bytes_per_clip == pytest.approx(2 * np.prod(config.shape), rel=0.01)
    assert 0 < one.max_error_db < 0.04
    assert min(one.ratio, two.ratio, one.clips_per_second, two.clips_per_cpu_second) > 0
