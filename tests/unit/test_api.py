"""The interface of `import overlap` that needs no network: names, sounds, features, scores."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import overlap
from overlap.audio.clips import load_clip
from overlap.ensemble.score_tables import score_tables
from overlap.errors import DataError, UserError
from overlap.features.compute import compute_features
from overlap.io.location import Location
from support.errors import raises

HEAVY = ("numpy", "pandas", "keras", "tensorflow", "numba", "zarr")
IMPORTED = """
import sys, overlap
first = [name for name in {heavy} if name in sys.modules]
import numpy as np
overlap.extract_features(np.ones(16000, np.float32) / 10)
overlap.load_ensemble, overlap.Ensemble, overlap.score
then = [n for n in ("keras", "tensorflow", "prefect", "dask", "distributed") if n in sys.modules]
print(first, then)
"""


def test_import_is_lazy_and_features_need_no_keras() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED.format(heavy=HEAVY)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[] []"


def test_every_name_exists_and_is_documented() -> None:
    assert {*overlap.__all__} <= {*dir(overlap)}
    for name in overlap.__all__:
        assert len(getattr(overlap, name).__doc__) > 40
    with pytest.raises(AttributeError, match="'overlap' has no attribute 'nothing'"):
        _ = overlap.nothing
    for name in ("extract_features", "load_ensemble", "score"):
        assert "Examples:" in getattr(overlap, name).__doc__


def test_samples_files_and_folders_have_the_features_of_a_run(
    data: Path, spoken: np.ndarray
) -> None:
    config = overlap.FeatureConfig()
    files = sorted((data / "train").iterdir())[:24]
    expected = compute_features(spoken, config)
    for sounds in (spoken, spoken.astype(np.float64), [*spoken], files, [str(f) for f in files],
                  pd.Series([str(f) for f in files]),
                  (spoken * 2**15).astype(np.int16)):  # fmt: skip
        assert np.array_equal(overlap.extract_features(sounds), expected)
    assert np.array_equal(overlap.extract_features(spoken[5]), expected[5:6])
    assert np.array_equal(overlap.extract_features(files[5]), expected[5:6])
    assert np.array_equal(overlap.extract_features(data / "train")[:24], expected)
    assert np.array_equal(overlap.extract_features(files[::-1]), expected[::-1])


def test_files_of_several_folders_keep_their_order(data: Path) -> None:
    train, test = (sorted((data / part).iterdir())[:3] for part in ("train", "test"))
    mixed = [train[0], test[0], train[1], train[2], test[2]]
    found = overlap.extract_features(mixed)
    for file, values in zip(mixed, found, strict=True):
        assert np.array_equal(values, overlap.extract_features(file)[0])


@pytest.mark.parametrize("sample_rate", [8000, 22050, 44100])
def test_samples_are_resampled_and_trimmed_like_files(tmp_path: Path, sample_rate: int) -> None:
    random = np.random.default_rng(sample_rate)
    for seconds in (0.7, 1.0, 1.6):
        codes = random.integers(-9000, 9000, int(sample_rate * seconds)).astype(np.int16)
        soundfile.write(tmp_path / "one.wav", codes, sample_rate)
        expected = overlap.extract_features(tmp_path / "one.wav")
        assert np.array_equal(overlap.extract_features(codes, sample_rate=sample_rate), expected)
        again = overlap.extract_features(codes / 2**15, sample_rate=sample_rate)
        assert np.array_equal(again, expected)


def test_other_configurations(spoken: np.ndarray, data: Path) -> None:
    config = overlap.FeatureConfig(sample_rate=8000, n_mels=32, hop_length=100, clip_seconds=0.5)
    found = overlap.extract_features(spoken[:2], config, sample_rate=16000)
    assert found.shape == (2, *config.shape)
    file = "train/train_000001.wav"
    clip = load_clip(Location.of(data), file, config.clip_format)
    assert np.array_equal(found[1:], compute_features(clip.samples[None], config))


@pytest.mark.parametrize(
    ("sounds", "code", "fields"),
    [
        ("missing.wav", "no-such-file", {}),
        ([], "no-sounds", {}),
        (7, "unsupported-sounds", {"type": "int"}),
        (np.zeros((2, 3, 4)), "unsupported-shape", {"clip": 0, "shape": (3, 4)}),
        (np.zeros(16000, np.int32), "unsupported-dtype", {"clip": 0, "dtype": "int32"}),
        (np.zeros((2, 16000), np.int64), "unsupported-dtype", {"clip": 0, "dtype": "int64"}),
        ([np.ones(9), "a.wav"], "unsupported-shape", {"clip": 1, "shape": ()}),
        ([0.5, 0.25], "unsupported-shape", {"clip": 0, "shape": ()}),
    ],
)
def test_unsupported_sounds_are_rejected(sounds: object, code: str, fields: dict) -> None:
    with raises(UserError, code, **fields):
        overlap.extract_features(sounds)


def test_all_unusable_sounds_are_reported(spoken: np.ndarray, tmp_path: Path) -> None:
    bad = [np.zeros(16000), np.full(16000, np.nan), np.ones(0), np.full(16000, 99.0)]
    codes = ("silent", "not-finite", "no-samples", "too-loud")
    faults = tuple((code, 0) for code in codes)
    with raises(DataError, "invalid-data", problems=faults) as caught:
        overlap.extract_features([spoken[0], *bad])
    assert re.findall(r"^  - (\d):", str(caught.value), re.MULTILINE) == ["1", "2", "3", "4"]
    (tmp_path / "a.wav").write_bytes(b"no sound")
    faults = (("unreadable", 0), ("not-opened", 0))
    with raises(DataError, "invalid-data", problems=faults):
        overlap.extract_features([tmp_path / "a.wav", tmp_path / "b.wav"])
    with raises(DataError, "no-clips"):
        overlap.extract_features(Path(tmp_path / "empty").mkdir() or tmp_path / "empty")


# --- scores ----------------------------------------------------------------------------------

LABELS = pd.DataFrame({"id": ["a", "b", "c"], "x": [0.5, 1, 0], "y": [0.5, 0, 1]})
PREDICTIONS = pd.DataFrame(
    {"y": [0.25, 0.5], "x": [0.75, 0.5], "spread": [0.1, 0.2]},
    index=pd.Index(["b", "a"], name="id"),
)


def test_the_score_matches_its_definition() -> None:
    found = overlap.score(LABELS, PREDICTIONS)
    assert found.clips == 2
    assert found.kl == pytest.approx(np.log(1 / 0.75) / 2, rel=1e-12)
    assert found.per_word == pytest.approx({"x": np.log(1 / 0.75) / 2, "y": 0})
    trivial = overlap.score(LABELS, PREDICTIONS, LABELS)
    assert trivial.trivial_kl == pytest.approx(np.log(2) / 2)
    assert found == overlap.score(LABELS.set_index("id"), PREDICTIONS.reset_index())


def test_groups_widen_the_interval_as_in_the_command(tmp_path: Path) -> None:
    ids = [f"c{number:03d}" for number in range(200)]
    kind = np.arange(200) // 10 % 2  # the clips of a group are equally hard
    labels = pd.DataFrame({"id": ids, "x": 1.0, "y": 0.0})
    predictions = pd.DataFrame({"id": ids, "x": 0.5 + 0.4 * kind, "y": 0.5 - 0.4 * kind})
    groups = {name: f"g{number // 10}" for number, name in enumerate(ids)}
    single, grouped = overlap.score(labels, predictions), overlap.score(
        labels, predictions, groups=groups
    )  # fmt: skip
    assert grouped.kl == single.kl
    assert grouped.high - grouped.low > 2 * (single.high - single.low)
    labels.to_csv(tmp_path / "labels.csv", index=False)
    predictions.to_csv(tmp_path / "predictions.csv", index=False)
    pd.DataFrame(groups.items(), columns=["id", "group"]).to_csv(
        tmp_path / "groups.csv", index=False
    )
    assert grouped == score_tables(str(tmp_path / "labels.csv"), str(tmp_path / "predictions.csv"))


def test_tables_and_csv_files_have_the_same_score(tmp_path: Path) -> None:
    LABELS.to_csv(tmp_path / "labels.csv", index=False)
    PREDICTIONS.to_csv(tmp_path / "predictions.csv")
    found = overlap.score(tmp_path / "labels.csv", str(tmp_path / "predictions.csv"))
    assert found == overlap.score(LABELS, PREDICTIONS)


def test_labels_may_identify_clips_by_number() -> None:
    numbered = LABELS.assign(id=[1, 2, 3])
    predictions = PREDICTIONS.set_axis(["clip_000002", "clip_000001"])
    assert overlap.score(numbered, predictions) == overlap.score(LABELS, PREDICTIONS)


def nan_row(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(x=[np.nan, 0.5])


@pytest.mark.parametrize(
    ("labels", "predictions", "code", "table", "cases"),
    [
        (LABELS, nan_row(PREDICTIONS), "not-a-number", "predictions", ("b",)),
        (
            LABELS, PREDICTIONS.assign(x=0.9),
            "row-sum", "predictions", ("b (sum 1.15)", "a (sum 1.4)"),
        ),
        (LABELS.assign(x=-1), PREDICTIONS, "negative", "labels", ("a", "b", "c")),
        (LABELS.assign(x="much"), PREDICTIONS, "not-a-number", "labels", ("a", "b", "c")),
        (LABELS.rename(columns={"y": "z"}), PREDICTIONS, "different-words", "", ("y", "z")),
        (LABELS[:1], PREDICTIONS, "ids-without-label", "predictions", ("b",)),
        (pd.concat([LABELS, LABELS[:1]]), PREDICTIONS, "duplicate-ids", "labels", ("a",)),
        (
            LABELS.assign(id=[" a", "b", "c"]),
            pd.concat([PREDICTIONS, PREDICTIONS]),
            "duplicate-ids", "predictions", ("b", "a"),
        ),
    ],
)  # fmt: skip
def test_invalid_tables_are_rejected(
    labels, predictions: pd.DataFrame, code: str, table: str, cases: tuple[str, ...]
) -> None:
    with raises(DataError, "invalid-data", problems=((code, len(cases)),)) as caught:
        overlap.score(labels, predictions)
    assert re.search(rf"(?m){table}.*: {re.escape(', '.join(cases))}$", str(caught.value))


@pytest.mark.parametrize(
    ("labels", "code"),
    [(LABELS[:0], "empty-table"), (LABELS[["id"]], "empty-table"), ("no.csv", "no-such-file")],
)
def test_missing_tables_are_rejected(labels, code: str) -> None:
    with raises(DataError, code):
        overlap.score(labels, PREDICTIONS)


def test_predictions_with_several_labels_are_rejected() -> None:
    twice = pd.DataFrame({"id": ["clip_7", "7"], "x": [0.5, 0.5], "y": [0.5, 0.5]})
    predictions = pd.DataFrame({"x": [0.5], "y": [0.5]}, index=["clip_7"])
    faults = (("several-labels-per-id", 1),)
    with raises(DataError, "invalid-data", problems=faults):
        overlap.score(twice, predictions)
