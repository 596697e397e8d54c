"""What `import overlap` offers, as far as no network is needed: names, sounds, features, scores."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import overlap
from overlap.catalog.inspection import load_clip
from overlap.errors import DataError, UserError
from overlap.features.compute import compute_features
from overlap.io.location import Location

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


def test_import_loads_nothing_and_features_need_no_backend() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED.format(heavy=HEAVY)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[] []"


def test_every_name_is_there_and_says_what_it_is() -> None:
    assert {*overlap.__all__} <= {*dir(overlap)}
    for name in overlap.__all__:
        assert len(getattr(overlap, name).__doc__) > 40
    with pytest.raises(AttributeError, match="'overlap' has no attribute 'nothing'"):
        _ = overlap.nothing
    for name in ("extract_features", "load_ensemble", "score"):
        assert "Examples:" in getattr(overlap, name).__doc__


def test_samples_files_and_folders_give_the_features_of_a_run(
    data: Path, spoken: np.ndarray
) -> None:
    config = overlap.FeatureConfig()
    files = sorted((data / "train").iterdir())[:24]
    expected = compute_features(spoken, config)
    for given in (spoken, spoken.astype(np.float64), [*spoken], files, [str(f) for f in files],
                  pd.Series([str(f) for f in files]),
                  (spoken * 2**15).astype(np.int16)):  # fmt: skip
        assert np.array_equal(overlap.extract_features(given), expected)
    assert np.array_equal(overlap.extract_features(spoken[5]), expected[5:6])
    assert np.array_equal(overlap.extract_features(files[5]), expected[5:6])
    assert np.array_equal(overlap.extract_features(data / "train")[:24], expected)
    turned = files[::-1]
    assert np.array_equal(overlap.extract_features(turned), expected[::-1])


def test_files_of_several_folders_keep_their_order(data: Path) -> None:
    train, test = (sorted((data / part).iterdir())[:3] for part in ("train", "test"))
    mixed = [train[0], test[0], train[1], train[2], test[2]]
    found = overlap.extract_features(mixed)
    for file, values in zip(mixed, found, strict=True):
        assert np.array_equal(values, overlap.extract_features(file)[0])


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100])
def test_samples_of_another_rate_and_length_are_repaired_as_files_are(
    tmp_path: Path, rate_hz: int
) -> None:
    random = np.random.default_rng(rate_hz)
    for seconds in (0.7, 1.0, 1.6):
        codes = random.integers(-9000, 9000, int(rate_hz * seconds)).astype(np.int16)
        soundfile.write(tmp_path / "one.wav", codes, rate_hz)
        expected = overlap.extract_features(tmp_path / "one.wav")
        assert np.array_equal(overlap.extract_features(codes, rate_hz=rate_hz), expected)
        again = overlap.extract_features(codes / 2**15, rate_hz=rate_hz)
        assert np.array_equal(again, expected)


def test_other_features(spoken: np.ndarray, data: Path) -> None:
    config = overlap.FeatureConfig(rate_hz=8000, mels=32, hop=100, clip_seconds=0.5)
    found = overlap.extract_features(spoken[:2], config, rate_hz=16000)
    assert found.shape == (2, *config.shape)
    file = "train/train_000001.wav"
    clip = load_clip(Location.of(data), file, config.clip_format)
    assert np.array_equal(found[1:], compute_features(clip.samples[None], config))


@pytest.mark.parametrize(
    ("sounds", "said"),
    [
        ("missing.wav", "missing.wav: there is no such file or folder"),
        ([], "no sounds were given"),
        (7, "sounds are int; give samples, or the path"),
        (np.zeros((2, 3, 4)), r"clip 0: has shape \(3, 4\); give samples as"),
        (np.zeros(16000, np.int32), "clip 0: its samples are int32; give int16"),
        (np.zeros((2, 16000), np.int64), "clip 0: its samples are int64; give int16, or float"),
        ([np.ones(9), "a.wav"], r"clip 1: has shape \(\)"),
        ([0.5, 0.25], r"clip 0: has shape \(\)"),
    ],
)
def test_what_is_no_sound(sounds: object, said: str) -> None:
    with pytest.raises(UserError, match=said):
        overlap.extract_features(sounds)


def test_sounds_that_cannot_be_used_are_all_named(spoken: np.ndarray, tmp_path: Path) -> None:
    bad = [np.zeros(16000), np.full(16000, np.nan), np.ones(0), np.full(16000, 99.0)]
    with pytest.raises(DataError) as caught:
        overlap.extract_features([spoken[0], *bad])
    said = str(caught.value)
    assert "4 problems" in said
    for line in ("1: silent", "2: not finite", "3: empty", "4: too loud (peak 99"):
        assert line in said
    (tmp_path / "a.wav").write_bytes(b"no sound")
    with pytest.raises(DataError, match=r"(?s)a: unreadable.*b: cannot be opened"):
        overlap.extract_features([tmp_path / "a.wav", tmp_path / "b.wav"])
    with pytest.raises(DataError, match="contains no clips"):
        overlap.extract_features(Path(tmp_path / "empty").mkdir() or tmp_path / "empty")


# --- scores ----------------------------------------------------------------------------------

LABELS = pd.DataFrame({"id": ["a", "b", "c"], "x": [0.5, 1, 0], "y": [0.5, 0, 1]})
SAID = pd.DataFrame(
    {"y": [0.25, 0.5], "x": [0.75, 0.5], "spread": [0.1, 0.2]},
    index=pd.Index(["b", "a"], name="id"),
)


def test_a_score_is_that_of_the_definition() -> None:
    found = overlap.score(LABELS, SAID)
    assert found.clips == 2
    assert found.kl == pytest.approx(np.log(1 / 0.75) / 2, rel=1e-12)
    assert found.per_word == pytest.approx({"x": np.log(1 / 0.75) / 2, "y": 0})
    trivial = overlap.score(LABELS, SAID, LABELS)
    assert trivial.trivial_kl == pytest.approx(np.log(2) / 2)
    assert found == overlap.score(LABELS.set_index("id"), SAID.reset_index())


def test_tables_and_their_files_give_one_score(tmp_path: Path) -> None:
    LABELS.to_csv(tmp_path / "labels.csv", index=False)
    SAID.to_csv(tmp_path / "said.csv")
    found = overlap.score(tmp_path / "labels.csv", str(tmp_path / "said.csv"))
    assert found == overlap.score(LABELS, SAID)


def test_labels_may_name_clips_by_their_numbers() -> None:
    numbered = LABELS.assign(id=[1, 2, 3])
    said = SAID.set_axis(["clip_000002", "clip_000001"])
    assert overlap.score(numbered, said) == overlap.score(LABELS, SAID)


def nan_row(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(x=[np.nan, 0.5])


@pytest.mark.parametrize(
    ("labels", "said", "message"),
    [
        (LABELS, nan_row(SAID), "predictions has rows with a cell that is not a number: b"),
        (LABELS, SAID.assign(x=0.9), "predictions has rows that do not sum to 1: b, a"),
        (LABELS.assign(x=-1), SAID, "labels has rows with a negative cell"),
        (LABELS.assign(x="much"), SAID, "labels has rows with a cell that is not a number"),
        (LABELS.rename(columns={"y": "z"}), SAID, "have different words: y, z"),
        (LABELS[:1], SAID, "predictions have ids without a label: b"),
        (pd.concat([LABELS, LABELS[:1]]), SAID, "labels has duplicate ids: a"),
        (LABELS.assign(id=[" a", "b", "c"]), pd.concat([SAID, SAID]), "duplicate ids: b, a"),
        (LABELS[:0], SAID, "labels: has no rows"),
        (LABELS[["id"]], SAID, "labels: has no column for a word"),
        ("no.csv", SAID, r"no\.csv: there is no such file"),
    ],
)
def test_what_cannot_be_scored(labels, said: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        overlap.score(labels, said)


def test_one_prediction_has_one_label() -> None:
    twice = pd.DataFrame({"id": ["clip_7", "7"], "x": [0.5, 0.5], "y": [0.5, 0.5]})
    said = pd.DataFrame({"x": [0.5], "y": [0.5]}, index=["clip_7"])
    with pytest.raises(DataError, match="several labels match the same prediction: clip_7"):
        overlap.score(twice, said)
