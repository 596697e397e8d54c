"""Drift from code counts, and the comparison of feature stores."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ks_2samp, wasserstein_distance

from overlap.catalog import Catalog
from overlap.config import ChecksConfig, FeatureConfig, RunConfig
from overlap.errors import NotReadyError, UserError
from overlap.features import FeatureStore
from overlap.features.code_counts import count_codes
from overlap.features.compare import compare, comparison_store, read_comparison_set
from overlap.features.drift import drift
from overlap.io.location import Location
from overlap.reporting.result_tables import drift_table
from overlap.training.spec import plan_members
from support.errors import raises
from support.run_steps import computed

Ready = tuple[Catalog, FeatureStore]


def counts(values: object) -> np.ndarray:
    """Return the counts of decibels, (1, 65536)."""
    clips = np.array(values, np.float16).reshape(-1, 1, 1, 1)
    return count_codes(clips, np.zeros(len(clips), int), 1)[0]


def test_measures_equal_those_of_the_values() -> None:
    random = np.random.default_rng(0)
    mine = random.normal(-30, 20, 3000).astype(np.float16)
    theirs = random.normal(-28, 15, 2000).astype(np.float16)
    (found,) = drift(counts(mine), counts(theirs), 40)
    x, y = mine.astype(np.float64), theirs.astype(np.float64)
    assert found.wasserstein_db == pytest.approx(wasserstein_distance(x, y), rel=1e-9)
    assert found.ks == pytest.approx(ks_2samp(x, y).statistic, rel=1e-9)
    assert found.mean_db == pytest.approx(x.mean() - y.mean(), rel=1e-9)
    assert found.std_db == pytest.approx(x.std() - y.std(), rel=1e-9)
    assert found.peak_db == x.max() - y.max()
    floor = y.max() - 40  # the reference's floor applies to both
    raised = np.maximum(x, floor), np.maximum(y, floor)
    expected = wasserstein_distance(*raised) / raised[1].std()
    assert found.network_shift == pytest.approx(expected, rel=1e-9)


def test_a_gain_shifts_distance_mean_and_peak_equally() -> None:
    values = np.arange(-60, -20)
    (found,) = drift(counts(values + 8), counts(values), 100)
    assert (found.wasserstein_db, found.mean_db, found.peak_db) == pytest.approx((8, 8, 8))
    assert found.std_db == pytest.approx(0, abs=1e-9)
    assert found.network_shift == pytest.approx(8 / values.std())


def test_values_below_the_floor_do_not_change_the_network_shift() -> None:
    """Digital silence at -100 dB and a quiet room at -90 dB are both clipped to the floor."""
    (found,) = drift(counts([0, -20, -100, -100]), counts([0, -20, -90, -90]), 80)
    assert found.wasserstein_db == pytest.approx(5)
    assert found.ks == pytest.approx(0.5)
    assert found.network_shift == 0


def test_both_zeros_are_one_value() -> None:
    (found,) = drift(counts([-0.0, -0.0, -10]), counts([0.0, 0.0, -10]), 80)
    assert found.ks == found.wasserstein_db == found.network_shift == 0


@pytest.mark.parametrize("empty", [0, 1])
def test_empty_sets_are_rejected(empty: int) -> None:
    pair = [counts([0, -10]), counts([0, -10])]
    pair[empty] = counts([])
    with pytest.raises(ValueError, match="no values"):
        drift(pair[0], pair[1], 80)


# --- stores ------------------------------------------------------------------------------------


def against(config: RunConfig, place: object, **other: object) -> RunConfig:
    """Return the configuration of a run in another workspace that is compared with `place`."""
    checks = ChecksConfig(compare_with=str(place))
    workspace = f"{config.workspace}-of-this-run"
    return config.model_copy(update={"checks": checks, "workspace": workspace, **other})


def test_a_store_against_itself_and_another(ready: Ready, config: RunConfig) -> None:
    store = ready[1]
    other = read_comparison_set(against(config, config.workspace))
    own = compare(store, None, 80)
    assert [(row.clips, row.reference, row.other) for row in own] == [("test", "train", None)] * 4
    assert [row.resolution for row in own] == [*config.features.resolutions]
    rows = compare(store, other, 80)
    assert rows[:4] == own
    assert [row.clips for row in rows] == ["test"] * 4 + ["train"] * 4 + ["test"] * 4
    assert {row.other for row in rows[4:]} == {config.workspace}
    assert {row.reference for row in rows[4:]} == {"train"}
    assert all(row.drift.wasserstein_db == row.drift.network_shift == 0 for row in rows[4:8])
    assert [row.drift for row in rows[8:]] == [row.drift for row in own]  # the same clips
    table = drift_table(rows)
    assert [row["compared"] for row in table[::4]] == [
        "test / train", "train / other", "test / other",
    ]  # fmt: skip
    assert table[0]["n_fft/win"] == "256/200"
    assert table[4]["W1"] == "0.00"


def test_a_set_without_test_clips_is_compared_only_with_others(
    ready: Ready, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = ready[1], read_comparison_set(against(config, config.workspace))
    without = store.histogram()
    without[1] = 0
    monkeypatch.setattr(store, "histogram", lambda: without)
    assert compare(store, None, 80) == ()
    assert {row.clips for row in compare(store, other, 80)} == {"train"}


def test_a_reference_without_training_clips_uses_its_test_clips(
    ready: Ready, config: RunConfig
) -> None:
    """The store of `overlap predict` contains only test clips."""
    store, other = ready[1], read_comparison_set(against(config, config.workspace))
    other.counts[0] = 0
    rows = compare(store, other, 80)[4:]
    assert {row.reference for row in rows} == {"test"}
    assert all(row.drift.ks == 0 for row in rows if row.clips == "test")


def test_the_address_of_the_store_is_accepted(ready: Ready, config: RunConfig) -> None:
    by_store = read_comparison_set(against(config, f"{config.workspace}/features.zarr/"))
    assert by_store.address == config.workspace
    assert np.array_equal(by_store.counts, ready[1].histogram())
    Path(config.workspace, "catalog.parquet").unlink()  # as if the store had been copied alone
    assert read_comparison_set(against(config, config.workspace)) is not None
    assert read_comparison_set(config) is None


def test_stores_that_cannot_be_compared(ready: Ready, config: RunConfig, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    for place in (missing, config.data):
        with raises(NotReadyError, "no-features", workspace=str(place)):
            comparison_store(against(config, place))
    for place in ("", "nonsense://x"):
        with pytest.raises(UserError):
            comparison_store(against(config, place))
    workspace = config.workspace
    other = against(config, workspace, features=FeatureConfig(hop_length=80))
    with raises(UserError, "other-features", workspace=workspace) as caught:
        comparison_store(other)
    assert config.features.difference(other.features) in str(caught.value)
    with raises(UserError, "compared-with-itself", workspace=workspace):
        comparison_store(against(config, workspace, workspace=workspace))
    FeatureStore.open(Location.of(workspace), read_only=False).mark_missing(3)
    with raises(NotReadyError, "features-incomplete", workspace=workspace, missing=1):
        comparison_store(against(config, workspace))


def test_a_store_without_clips_cannot_be_compared(config: RunConfig) -> None:
    FeatureStore.create(Location.of(config.workspace), config.features, config.store)
    with raises(NotReadyError, "no-clips", workspace=config.workspace):
        read_comparison_set(against(config, config.workspace))


def test_the_comparison_does_not_change_fingerprints_or_blocks(config: RunConfig) -> None:
    catalog, store = computed(config)
    compared = config.model_copy(update={"checks": ChecksConfig(compare_with="elsewhere")})
    names = [
        [spec.fingerprint for spec in plan_members(one, catalog, store)]
        for one in (config, compared)
    ]
    assert names[0] == names[1]
    assert computed(compared)[1].blocks(catalog) == store.blocks(catalog)
