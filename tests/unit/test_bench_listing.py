"""The comparison of listing with a bare loop."""

from pathlib import Path

import pytest

from overlap.bench import listing
from overlap.bench.listing import OURS, bench_listing
from overlap.errors import BenchError, UserError
from support.errors import raises


def test_both_ways_are_measured_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing.tempfile, "tempdir", str(tmp_path))
    bare, ours = bench_listing(300, rounds=3)
    assert (bare.name, bare.ratio, bare.cpu_ratio) == ("os.scandir and stat", 1, 1)
    assert ours.name == OURS
    assert 0 < ours.ratio < 1
    assert 300 < ours.files_per_second < bare.files_per_second
    assert [*tmp_path.iterdir()] == []


def test_a_way_that_misses_files_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_listed", lambda _place: 299)
    with raises(BenchError, "benchmark-failed", way=OURS, found=299):
        bench_listing(300, rounds=1)


def test_an_address_that_is_not_on_s3_is_refused(tmp_path: Path) -> None:
    with raises(UserError, "not-s3", address=str(tmp_path)):
        bench_listing(300, 1, str(tmp_path))
