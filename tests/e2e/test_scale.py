"""The feature stage over many clips, in real processes, without their sound."""

import json
import subprocess
from typing import Any

import pytest

from overlap.config import StoreConfig
from support.processes import OVERLAP

BLOCK = StoreConfig().block_clips
SMALL, LARGE = 100_000, 500_000
"""Both have more row groups than are kept in memory at once, or as many."""

pytestmark = pytest.mark.nightly


def measured(clips: int) -> dict[str, Any]:
    command = [OVERLAP, "bench", "scale", "--clips", str(clips), "--workers", "2", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def small() -> dict[str, Any]:
    return measured(SMALL)


@pytest.fixture(scope="module")
def large() -> dict[str, Any]:
    return measured(LARGE)


def test_every_block_is_done(small: dict[str, Any]) -> None:
    assert small["clips"] == SMALL
    assert small["blocks"] == -(-SMALL // BLOCK)
    assert small["blocks_missing"] == 0


def test_large_columns_are_not_in_memory(large: dict[str, Any]) -> None:
    """370 MB were measured, and 700 MB with all columns of listing and catalogues in memory."""
    assert large["catalogue_unreclaimable_mb"] < 500


def test_the_driver_holds_next_to_nothing_per_clip(
    small: dict[str, Any], large: dict[str, Any]
) -> None:
    """A clip's row takes some 700 bytes as Python objects; Dask may keep some jobs for a while."""
    assert large["blocks_missing"] == 0

    def growth(phase: int) -> float:
        before, after = (report["phases"][phase]["peak_mb"] for report in (small, large))
        return (after - before) * 1e6 / (LARGE - SMALL)

    names = [phase["name"] for phase in large["phases"]]
    assert growth(names.index("find missing blocks")) < 100
    assert growth(names.index("the stage: all blocks")) < 500
    assert growth(names.index("status of the workspace")) < 500
