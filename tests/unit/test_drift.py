from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ks_2samp, wasserstein_distance

from overlap.catalog import Catalog
from overlap.config import ChecksConfig, FeatureConfig, RunConfig
from overlap.errors import NotReadyError, UserError
from overlap.features import FeatureStore
from overlap.features.compare import compare, find_other, read_other
from overlap.features.drift import drift
from overlap.features.statistics import count_codes
from overlap.io.location import Location
from overlap.reporting.tables import drift_table
from overlap.training.spec import plan_members
from support.run_steps import computed

Ready = tuple[Catalog, FeatureStore]


def counts(values: object) -> np.ndarray:
    """(1, 65536): counts of some decibels."""
    clips = np.array(values, np.float16).reshape(-1, 1, 1, 1)
    return count_codes(clips, np.zeros(len(clips), int), 1)[0]


def test_the_figures_are_those_of_the_values() -> None:
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
    floor = y.max() - 40  # the reference's, for both
    raised = np.maximum(x, floor), np.maximum(y, floor)
    expected = wasserstein_distance(*raised) / raised[1].std()
    assert found.network_shift == pytest.approx(expected, rel=1e-9)


def test_a_gain_moves_everything_by_itself() -> None:
    values = np.arange(-60, -20)
    (found,) = drift(counts(values + 8), counts(values), 100)
    assert (found.wasserstein_db, found.mean_db, found.peak_db) == pytest.approx((8, 8, 8))
    assert found.std_db == pytest.approx(0, abs=1e-9)
    assert found.network_shift == pytest.approx(8 / values.std())


def test_what_no_network_hears_does_not_shift_it() -> None:
    """Digital silence at -100 dB against a quiet room at -90: both are on the floor."""
    (found,) = drift(counts([0, -20, -100, -100]), counts([0, -20, -90, -90]), 80)
    assert found.wasserstein_db == pytest.approx(5)
    assert found.ks == pytest.approx(0.5)
    assert found.network_shift == 0


def test_two_codes_of_zero_are_one_value() -> None:
    (found,) = drift(counts([-0.0, -0.0, -10]), counts([0.0, 0.0, -10]), 80)
    assert found.ks == found.wasserstein_db == found.network_shift == 0


@pytest.mark.parametrize("empty", [0, 1])
def test_nothing_cannot_be_compared(empty: int) -> None:
    pair = [counts([0, -10]), counts([0, -10])]
    pair[empty] = counts([])
    with pytest.raises(ValueError, match="no values"):
        drift(pair[0], pair[1], 80)


# --- stores ------------------------------------------------------------------------------------


def against(config: RunConfig, place: object, **other: object) -> RunConfig:
    """A run in another workspace that is compared with a place."""
    checks = ChecksConfig(compare_with=str(place))
    workspace = f"{config.workspace}-of-this-run"
    return config.model_copy(update={"checks": checks, "workspace": workspace, **other})


def test_a_store_against_itself_and_another(ready: Ready, config: RunConfig) -> None:
    store = ready[1]
    other = read_other(against(config, config.workspace))
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


def test_a_set_without_test_clips_has_nothing_to_compare_by_itself(
    ready: Ready, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = ready[1], read_other(against(config, config.workspace))
    without = store.histogram()
    without[1] = 0
    monkeypatch.setattr(store, "histogram", lambda: without)
    assert compare(store, None, 80) == ()
    assert {row.clips for row in compare(store, other, 80)} == {"train"}


def test_clips_without_labels_are_compared_too(ready: Ready, config: RunConfig) -> None:
    """What `overlap predict` leaves has test clips only: they stand for the other set."""
    store, other = ready[1], read_other(against(config, config.workspace))
    other.counts[0] = 0
    rows = compare(store, other, 80)[4:]
    assert {row.reference for row in rows} == {"test"}
    assert all(row.drift.ks == 0 for row in rows if row.clips == "test")


def test_the_address_of_the_store_will_do(ready: Ready, config: RunConfig) -> None:
    by_store = read_other(against(config, f"{config.workspace}/features.zarr/"))
    assert by_store.address == config.workspace
    assert np.array_equal(by_store.counts, ready[1].histogram())
    Path(config.workspace, "catalog.parquet").unlink()  # as when the store alone was copied
    assert read_other(against(config, config.workspace)) is not None
    assert read_other(config) is None


def test_what_cannot_be_compared(ready: Ready, config: RunConfig, tmp_path: Path) -> None:
    def said(kind: type[UserError], run: RunConfig) -> str:
        with pytest.raises(kind) as caught:
            find_other(run)
        return str(caught.value)

    missing = tmp_path / "missing"
    assert f"{missing}: no features there" in said(NotReadyError, against(config, missing))
    assert "no features there" in said(NotReadyError, against(config, config.data))
    assert "address is empty" in said(UserError, against(config, ""))
    assert "cannot be opened here" in said(UserError, against(config, "nonsense://x"))
    other = against(config, config.workspace, features=FeatureConfig(hop_length=80))
    assert "hop_length 160 stored, 80 requested" in said(UserError, other)
    itself = against(config, config.workspace, workspace=config.workspace)
    assert "compared with itself" in said(UserError, itself)
    FeatureStore.open(Location.of(config.workspace), read_only=False).mark_missing(3)
    incomplete = said(NotReadyError, against(config, config.workspace))
    assert "1 blocks of features are missing" in incomplete


def test_a_store_of_no_clips(config: RunConfig) -> None:
    FeatureStore.create(Location.of(config.workspace), config.features, config.store)
    with pytest.raises(NotReadyError, match="of no clips"):
        read_other(against(config, config.workspace))


def test_what_is_compared_names_nothing_that_is_stored(config: RunConfig) -> None:
    catalog, store = computed(config)
    compared = config.model_copy(update={"checks": ChecksConfig(compare_with="elsewhere")})
    names = [
        [spec.fingerprint for spec in plan_members(one, catalog, store)]
        for one in (config, compared)
    ]
    assert names[0] == names[1]
    assert computed(compared)[1].blocks(catalog) == store.blocks(catalog)
