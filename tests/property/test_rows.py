"""Ranges of any size, over row groups of any size, equal slices of the whole catalogue."""

from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from overlap.catalog import Catalog, stored_rows
from overlap.catalog.rows import FEATURE_COLUMNS, OK, QUARANTINED, REMOVED, write_rows
from overlap.config import AudioFormat, FeatureConfig
from overlap.features.store.blocks import split_blocks
from overlap.io.location import Location
from overlap.io.workspace_paths import CATALOG_FILE

ABOUT = {"data": "/data", "rate_hz": "16000", "samples": "16000"}


def frame_of(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "clip_id": [f"clip_{number}" for number in range(rows)],
            "split": random.choice(["train", "test"], rows),
            "digest": random.choice(["", "0f", "é"], rows),
            "state": random.choice([OK, QUARANTINED, REMOVED], rows),
            "file": [f"train/{number}.wav" for number in range(rows)],
            "reason": "not needed",
        }
    )


def saved(folder: Path, frame: pd.DataFrame, groups: list[int]) -> Location:
    """Write a catalogue whose row groups cycle through these sizes; return its workspace."""
    pieces, start = [], 0
    while start < len(frame):
        size = groups[len(pieces) % len(groups)]
        pieces.append(frame.iloc[start : start + size])
        start += size
    write_rows(Location.of(folder) / CATALOG_FILE, pieces, ABOUT)
    return Location.of(folder)


CASES = {
    "rows": st.integers(1, 120),
    "groups": st.lists(st.integers(1, 40), min_size=1, max_size=4),
    "size": st.integers(1, 50),
    "seed": st.integers(0, 99),
}


@settings(max_examples=60)
@given(**CASES)
def test_ranges_equal_slices(
    tmp_path: Path, rows: int, groups: list[int], size: int, seed: int
) -> None:
    frame = frame_of(rows, seed)
    expected = frame[[*FEATURE_COLUMNS]]
    with stored_rows(saved(tmp_path, frame, groups)) as stored:
        assert len(stored) == rows
        parts = [part.reset_index(drop=True) for part in stored.parts(size)]
        assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1)
        assert pd.concat(parts, ignore_index=True).equals(expected)
        first, last = sorted(np.random.default_rng(seed).choice(rows + 1, 2, replace=False))
        part = stored.part(first, last).reset_index(drop=True)
        assert part.equals(expected.iloc[first:last].reset_index(drop=True))


@settings(max_examples=60)
@given(**CASES)
def test_blocks_are_equal_from_file_and_memory(
    tmp_path: Path, rows: int, groups: list[int], size: int, seed: int
) -> None:
    frame, config = frame_of(rows, seed), FeatureConfig()
    wanted = AudioFormat(16000, 16000)
    catalog = Catalog("/data", wanted, (), frame, np.empty((rows, 0)))
    with stored_rows(saved(tmp_path, frame, groups)) as stored:
        blocks = list(split_blocks(stored, size, config))
        assert blocks == list(split_blocks(catalog, size, config))
        assert stored.counts() == catalog.counts()
    assert sum(block.clips for block in blocks) == (frame["state"] == OK).sum()
    # The rows of a block have the same key on their own: the key depends on nothing else.
    block = blocks[seed % len(blocks)]
    alone = frame.iloc[block.start : block.stop].reset_index(drop=True)
    (again,) = split_blocks(Catalog("", wanted, (), alone, np.empty((len(alone), 0))), size, config)
    assert again.key == block.key
