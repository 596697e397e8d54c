"""The comparison of training from the disk with training from memory."""

import pytest

from overlap.bench.training.streaming import _row, bench_streaming
from overlap.errors import UserError
from support.errors import raises


def epoch(seconds: float, cpu_seconds: float, *, read: float = 0, peak: float = 1) -> dict:
    return {
        "clips": 100, "steps": 4, "seconds": seconds, "cpu_seconds": cpu_seconds, "faults": 0,
        "waited": seconds / 10, "bytes_read": read, "peak_bytes": peak,
    }  # fmt: skip


def test_a_store_that_two_windows_hold_is_refused() -> None:
    with raises(UserError, "nothing-streamed", clips=64, shuffle_clips=32):
        bench_streaming("demo", 64, 6, 32, 1)


def test_ratios_are_paired_by_rounds() -> None:
    held = (epoch(1, 2), epoch(2, 4), epoch(4, 8))
    streamed = (
        epoch(2, 4, read=10, peak=7), epoch(4, 4, read=30, peak=9), epoch(4, 8, read=20, peak=8),
    )  # fmt: skip
    row = _row("stream", streamed, held)
    assert row.clips_per_second == 25
    assert row.ratio == 0.5  # the median of 0.5, 0.5 and 1
    assert row.cpu_ratio == 1  # the median of 0.5, 1 and 1
    assert row.cpu_ms_per_clip == 40
    assert row.waiting == pytest.approx(0.1)
    assert (row.read_bytes, row.peak_bytes) == (20, 9)
