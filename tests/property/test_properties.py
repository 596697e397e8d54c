"""What must hold for every input, not only for the examples."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from overlap.catalog import Catalog, build_catalog, list_clips, partition
from overlap.catalog.id_matching import match_ids
from overlap.catalog.rows import OK
from overlap.config import (
    AudioFormat,
    ChecksConfig,
    FeatureConfig,
    RunConfig,
    StoreConfig,
    ValidationConfig,
)
from overlap.ensemble.pooling import pool_mean
from overlap.features import FeatureStore, block_job, extract_block
from overlap.features.code_counts import count_codes
from overlap.features.statistics import normalisation
from overlap.io.location import Location
from overlap.metrics.divergence import kl_per_clip
from overlap.training.feed.order import epoch_order

WANTED = AudioFormat(16000, 16000)


def catalog_of(groups: list[str]) -> Catalog:
    ids = [f"clip_{i}" for i in range(len(groups))]
    clips = pd.DataFrame({"clip_id": ids, "split": "train", "state": OK, "group": groups})
    return Catalog("", WANTED, ("a",), clips, np.ones((len(groups), 1)))


# --- features do not depend on how the work is cut ----------------------------------------------


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Features of the test clips, in one block, in the order of their ids."""
    return stored(data, tmp_path_factory.mktemp("one"), StoreConfig(), lambda blocks: blocks)


def stored(data: Path, workspace: Path, cut: StoreConfig, order, workers: int = 1) -> np.ndarray:
    place = Location.of(workspace)
    catalog = build_catalog(list_clips(data / "test"), WANTED, ChecksConfig()).catalog
    catalog.save(place)
    store = FeatureStore.create(place, FeatureConfig(), cut)
    store.sync(catalog)
    jobs = [block_job(place, catalog, block) for block in order(store.missing(catalog))]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(extract_block, jobs))
    assert store.missing(catalog) == []
    return store.read_rows(0, len(catalog))


@settings(max_examples=12)
@given(
    chunk=st.integers(1, 30),
    chunks=st.integers(1, 4),
    seed=st.integers(0, 9),
    workers=st.integers(1, 3),
)
def test_block_size_order_and_workers_change_no_bit(
    data: Path,
    expected: np.ndarray,
    tmp_path_factory: pytest.TempPathFactory,
    chunk: int,
    chunks: int,
    seed: int,
    workers: int,
) -> None:
    cut = StoreConfig(chunk_clips=chunk, block_clips=chunk * chunks)

    def order(blocks: list) -> list:
        shuffled = [blocks[i] for i in np.random.default_rng(seed).permutation(len(blocks))]
        return shuffled + shuffled[:1]  # and one of them twice, as after a worker's death

    found = stored(data, tmp_path_factory.mktemp("cut"), cut, order, workers)
    assert np.array_equal(found.view(np.uint16), expected.view(np.uint16))


@settings(max_examples=8)
@given(seed=st.integers(0, 1000))
def test_the_listing_order_changes_nothing(data: Path, seed: int) -> None:
    listing = list_clips(data / "test")
    shuffled = listing.files.sample(frac=1, random_state=seed)
    first = build_catalog(listing, WANTED, ChecksConfig()).catalog
    other = type(listing)(listing.data, shuffled, None, None, None)
    second = build_catalog(other, WANTED, ChecksConfig()).catalog
    assert second.clips.equals(first.clips)


@pytest.mark.extended
@given(rows=st.integers(1, 500), chunk=st.integers(1, 40), chunks=st.integers(1, 5))
def test_blocks_cover_every_row_once(rows: int, chunk: int, chunks: int) -> None:
    store = FeatureStore.__new__(FeatureStore)
    store.config, store.block_clips = FeatureConfig(), chunk * chunks
    columns = {"clip_id": "a", "split": "test", "digest": "", "state": OK, "file": "a.wav"}
    clips = pd.DataFrame(columns, range(rows))
    blocks = store.blocks(Catalog("", WANTED, (), clips, np.empty((rows, 0))))
    covered = [row for block in blocks for row in range(block.start, block.stop)]
    assert covered == list(range(rows))
    assert [block.index for block in blocks] == list(range(len(blocks)))
    assert all(block.start % chunk == 0 for block in blocks)


# --- rows are stable ----------------------------------------------------------------------------


@settings(max_examples=15)
@given(steps=st.lists(st.sets(st.integers(0, 19), min_size=1), min_size=2, max_size=5))
def test_a_clip_keeps_its_row(data: Path, steps: list[set[int]]) -> None:
    listing = list_clips(data / "test")
    previous, row_of = None, {}
    for present in steps:
        files = listing.files[listing.files["clip_id"].str[-2:].astype(int).isin(present)]
        now = type(listing)(listing.data, files, None, None, None)
        catalog = build_catalog(now, WANTED, ChecksConfig(), previous).catalog
        usable = [*catalog.clips["clip_id"][catalog.usable]]
        assert sorted(usable) == sorted(files["clip_id"])
        for row, clip in enumerate(catalog.clips["clip_id"]):
            assert row_of.setdefault(clip, row) == row
        assert len(set(row_of.values())) == len(row_of)
        previous = catalog


# --- statistics, order of an epoch, folds, pooling ---------------------------------------------


@given(
    values=hnp.arrays(
        np.float16,
        st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3)),
        elements=st.floats(-100, 60, width=16),
    ),
    top_db=st.floats(1, 120),
)
def test_statistics_from_counts_are_exact(values: np.ndarray, top_db: float) -> None:
    counts = count_codes(values, np.zeros(len(values), int), 1)[0]
    flat = values.astype(np.float64).reshape(-1, values.shape[-1])
    clipped = np.maximum(flat, flat.max(axis=0) - top_db)
    if (clipped.std(axis=0) < 1e-9).any():
        return
    found = normalisation(counts, top_db)
    assert np.allclose(found.floor_db, flat.max(axis=0) - top_db, rtol=0, atol=0)
    assert np.allclose(found.mean_db, clipped.mean(axis=0), rtol=1e-12, atol=1e-12)
    assert np.allclose(found.std_db, clipped.std(axis=0), rtol=1e-9, atol=1e-12)


@given(
    rows=st.sets(st.integers(0, 400), min_size=1),
    chunk=st.integers(1, 50),
    window=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_an_epoch_visits_every_row_once(rows: set[int], chunk: int, window: int, seed: int) -> None:
    chosen = np.array(sorted(rows))
    order = epoch_order(chosen, chunk, window * chunk, (seed, 0))
    assert sorted(order) == sorted(rows)
    assert np.array_equal(order, epoch_order(chosen, chunk, window * chunk, (seed, 0)))
    # The chunks of a window are done with before the next window begins.
    last = {c: i for i, c in enumerate(order // chunk)}
    first = {c: i for i, c in reversed([*enumerate(order // chunk)])}
    at_once = [sum(first[c] <= i <= last[c] for c in first) for i in range(len(order))]
    assert max(at_once) <= window


@given(
    sizes=st.lists(st.integers(1, 30), min_size=2, max_size=20),
    folds=st.integers(0, 5),
    holdout=st.floats(0.01, 0.5),
    seed=st.integers(0, 99),
)
def test_members_never_see_the_groups_they_are_scored_on(
    sizes: list[int], folds: int, holdout: float, seed: int
) -> None:
    if folds == 1 or folds > len(sizes):
        return
    groups = [f"g{index}" for index, size in enumerate(sizes) for _ in range(size)]
    validation = ValidationConfig(holdout=0 if folds else holdout, folds=folds, seed=seed)
    parts = [partition(catalog_of(groups), validation, fold) for fold in range(folds or 1)]
    for part in parts:
        assert sorted([*part.train, *part.held_out]) == list(range(len(groups)))
        assert {groups[r] for r in part.train}.isdisjoint(groups[r] for r in part.held_out)
        assert len(part.train) > 0
    if folds:
        assert sorted(np.concatenate([p.held_out for p in parts])) == list(range(len(groups)))


@given(
    members=hnp.arrays(
        np.float64, st.tuples(st.integers(1, 6), st.integers(1, 8), st.just(4)),
        elements=st.floats(1e-6, 1),
    ),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_pooling_ignores_the_order_and_keeps_the_sum(members: np.ndarray, seed: int) -> None:
    members /= members.sum(axis=-1, keepdims=True)
    pooled = pool_mean(members)
    shuffled = members[np.random.default_rng(seed).permutation(len(members))]
    assert np.array_equal(pool_mean(shuffled), pooled)
    assert np.abs(pooled.sum(axis=1) - 1).max() < 1e-12
    assert (pooled >= members.min(axis=0) - 1e-15).all()
    assert (pooled <= members.max(axis=0) + 1e-15).all()


@given(
    p=hnp.arrays(np.float64, (5, 4), elements=st.floats(0.001, 1)),
    q=hnp.arrays(np.float64, (5, 4), elements=st.floats(0.001, 1)),
)
def test_kl_is_never_negative(p: np.ndarray, q: np.ndarray) -> None:
    p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
    assert (kl_per_clip(p, q) > -1e-12).all()
    assert np.abs(kl_per_clip(p, p)).max() < 1e-12


@given(st.sets(st.text("abc_0123456789", min_size=1, max_size=8), min_size=1, max_size=20))
def test_every_stem_is_found_by_itself(stems: set[str]) -> None:
    names = sorted(stems)
    assert match_ids(names, names).tolist() == list(range(len(names)))


@given(st.integers(1, 40), st.integers(0, 8))
def test_any_members_make_whole_rounds_or_an_error(members: int, folds: int) -> None:
    def configure() -> RunConfig:
        return RunConfig(
            data="D",
            ensemble={"members": members},
            validation={"holdout": 0, "folds": folds},
        )

    if folds == 1 or (folds and members % folds):
        with pytest.raises(ValueError, match=r"whole number of rounds|one fold"):
            configure()
    else:
        assert configure().ensemble.members == members
