"""Clips by row: the file of a catalogue gives the same rows as the catalogue in memory."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from flows.cli.commands.workspace import RUNS, _missing_rows
from overlap.bench.scale import write_catalogue
from overlap.catalog import Catalog, stored_rows
from overlap.catalog import catalog as catalog_module
from overlap.catalog import rows as rows_module
from overlap.catalog.rows import FEATURE_COLUMNS, REMOVED, write_rows
from overlap.config import FeatureConfig, RunConfig, StoreConfig
from overlap.errors import CorruptError, NotReadyError
from overlap.features import FeatureStore, block_job, block_jobs
from overlap.io.location import Location
from overlap.io.workspace_paths import CATALOG_FILE
from overlap.workspace.status import read_status, runs
from support.errors import raises
from support.run_steps import computed

Ready = tuple[Catalog, FeatureStore]


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (catalog_module, rows_module):
        monkeypatch.setattr(module, "GROUP_ROWS", 50)


def test_a_catalogue_is_written_in_row_groups(
    ready: Ready, workspace: Location, small_groups: None
) -> None:
    catalog, _ = ready
    catalog.save(workspace)
    footer = pq.ParquetFile(f"{workspace}/catalog.parquet").metadata
    assert [footer.row_group(i).num_rows for i in range(footer.num_row_groups)] == [50, 50, 20]
    loaded = Catalog.load(workspace)
    assert loaded.clips.equals(catalog.clips)
    assert np.array_equal(loaded.labels, catalog.labels, equal_nan=True)
    with stored_rows(workspace) as rows:
        assert (rows.data, rows.wanted, rows.words) == (
            catalog.data,
            catalog.wanted,
            catalog.words,
        )
        assert rows.counts() == catalog.counts()


def test_the_store_accepts_memory_and_file_alike(ready: Ready, workspace: Location) -> None:
    catalog, store = ready
    with stored_rows(workspace) as rows:
        assert store.blocks(rows) == store.blocks(catalog)
        assert store.missing(rows) == []
        assert store.matches_catalog(rows)
        blocks = store.blocks(rows)[::-1]
        expected = [block_job(workspace, catalog, block) for block in blocks]
        assert list(block_jobs(workspace, rows, blocks)) == expected


def test_only_feature_columns_are_read_and_two_row_groups_cached(
    ready: Ready, workspace: Location, small_groups: None
) -> None:
    ready[0].save(workspace)
    with stored_rows(workspace) as rows:
        for part in rows.parts(7):
            assert [*part.columns] == [*FEATURE_COLUMNS]
            assert len(rows._cached) <= 2
            assert all(group.column_names == [*FEATURE_COLUMNS] for group in rows._cached.values())


def test_jobs_are_created_lazily(ready: Ready, workspace: Location) -> None:
    catalog, store = ready
    starts = []

    class Counting(Catalog):
        def part(self, start: int, stop: int) -> pd.DataFrame:
            starts.append(start)
            return super().part(start, stop)

    counting = Counting(catalog.data, catalog.wanted, catalog.words, catalog.clips, catalog.labels)
    jobs = block_jobs(workspace, counting, store.blocks(catalog))
    assert starts == []
    next(jobs)
    assert starts == [0]


def test_a_block_counts_its_usable_clips(ready: Ready) -> None:
    catalog, store = ready
    clips = catalog.clips.copy()
    clips.loc[17, "state"] = REMOVED
    counts = [block.clips for block in store.blocks(replace(catalog, clips=clips))]
    assert counts == [16, 15, 16, 16, 16, 16, 16, 8]


@pytest.mark.parametrize("column", ["clip_id", "split", "digest", "state"])
def test_the_key_of_a_block_depends_on_its_own_rows(ready: Ready, column: str) -> None:
    catalog, store = ready
    clips = catalog.clips.copy()
    clips.loc[20, column] = {"split": "test", "state": REMOVED}.get(column, "another")
    before, after = store.blocks(catalog), store.blocks(replace(catalog, clips=clips))
    assert [a.index for a, b in zip(after, before, strict=True) if a.key != b.key] == [1]


def test_the_status_lists_missing_blocks(ready: Ready, workspace: Location) -> None:
    store = FeatureStore.open(workspace, read_only=False)
    for index in (1, 2, 3, 7):
        store.mark_missing(index)
    status = read_status(workspace)
    assert (status.blocks, status.blocks_done) == (8, 4)
    assert status.blocks_missing == ((1, 3), (7, 7))
    assert status.clips_missing == 3 * 16 + 8


def test_without_a_store_no_block_is_counted(ready: Ready, workspace: Location) -> None:
    (workspace / "features.zarr").remove()
    status = read_status(workspace)
    assert (status.blocks, status.blocks_done, status.blocks_missing) == (0, 0, ())


def test_consecutive_numbers_are_joined_to_ranges() -> None:
    assert runs([]) == ()
    assert runs([4]) == ((4, 4),)
    assert runs([0, 1, 3, 5, 6, 7]) == ((0, 1), (3, 3), (5, 7))


def test_a_damaged_catalogue_is_refused(config: RunConfig, workspace: Location) -> None:
    with raises(NotReadyError, "no-catalog"), stored_rows(workspace):
        pass
    computed(config)
    file = Path(f"{workspace}/catalog.parquet")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with raises(CorruptError, "corrupt-catalog", path=str(file)), stored_rows(workspace):
        pass
    file.write_bytes(content[:4] + bytes(len(content) // 2) + content[4 + len(content) // 2 :])
    with (
        raises(CorruptError, "corrupt-catalog", path=str(file)),
        stored_rows(workspace) as rows,
    ):
        rows.part(0, 10)


@pytest.mark.extended
def test_a_flipped_bit_anywhere_in_a_catalogue_is_found(workspace: Location) -> None:
    """In pages, footer or digest: reading returns the rows that were written, or fails."""
    size = 60
    names = [f"clip_{i}" for i in range(size)]
    frame = pd.DataFrame({"clip_id": names, "label/up": np.linspace(0, 1, size)})
    about = {"data": "D", "rate_hz": "16000", "samples": "16000"}
    location = workspace / CATALOG_FILE
    write_rows(location, [frame], about)
    assert pd.read_parquet(str(location)).equals(frame)  # with any reader of Parquet
    content, refused = location.read_bytes(), 0
    for byte in range(len(content)):
        changed = bytearray(content)
        changed[byte] ^= 1 << byte % 8
        location.write_bytes(bytes(changed))
        try:
            with stored_rows(workspace) as rows:
                clips, labels = rows.read_all()
                assert clips.assign(**{"label/up": labels[:, 0]}).equals(frame)
                assert (rows.data, rows.words) == ("D", ("up",))
        except CorruptError:
            refused += 1
    assert refused > 0.9 * len(content)


def test_a_catalogue_without_a_digest_is_read(workspace: Location) -> None:
    """Earlier versions wrote none."""
    frame = pd.DataFrame({"clip_id": ["a"]})
    write_rows(workspace / CATALOG_FILE, [frame], {"data": "D", "rate_hz": "1", "samples": "1"})
    table = pq.read_table(str(workspace / CATALOG_FILE))
    pq.write_table(table, str(workspace / CATALOG_FILE))
    with stored_rows(workspace) as rows:
        assert rows.read_all()[0].equals(frame)


def test_a_catalogue_without_clips(workspace: Location) -> None:
    frame = pd.DataFrame({name: pd.Series([], dtype="str") for name in FEATURE_COLUMNS})
    about = {"data": "/data", "rate_hz": "16000", "samples": "16000"}
    write_rows(workspace / "catalog.parquet", [frame], about)
    with stored_rows(workspace) as rows:
        assert (len(rows), [*rows.parts(10)]) == (0, [])
        store = FeatureStore.create(workspace, FeatureConfig(), StoreConfig())
        store.sync(rows)
        assert store.missing(rows) == []


def test_the_synthetic_catalogue_of_the_benchmark_can_be_loaded(workspace: Location) -> None:
    write_catalogue(workspace, 70_000)
    catalog = Catalog.load(workspace)
    assert len(catalog) == 70_000
    assert catalog.counts() == {"train": 63_637, "test": 6_363, "quarantined": 0, "removed": 0}
    assert catalog.clips["file"][1234] == "train/clip_00001234.wav"
    assert catalog.clips["digest"].str.fullmatch("[0-9a-f]{32}").all()
    assert catalog.clips["digest"].is_unique
    assert np.isnan(catalog.labels[-1]).all()
    assert np.abs(catalog.labels[:63_637].sum(axis=1) - 1).max() < 1e-12


def test_the_status_table_abbreviates_many_missing_ranges() -> None:
    assert _missing_rows((), 0) == []
    assert _missing_rows(((3, 7), (12, 12)), 2600) == [
        ("blocks missing", "3-7, 12"),
        ("clips in them", "2600"),
    ]
    many = tuple((i, i) for i in range(0, 2 * RUNS + 6, 2))
    assert _missing_rows(many, 1)[0][1].endswith("38, and 3 more runs")


def test_a_foreign_table_is_not_accepted_as_a_catalogue(tmp_path: Path) -> None:
    pd.DataFrame({"clip_id": ["a"]}).to_parquet(tmp_path / CATALOG_FILE)
    with (
        raises(CorruptError, "foreign-catalog", path=str(tmp_path / CATALOG_FILE)),
        stored_rows(Location.of(tmp_path)),
    ):
        pass
