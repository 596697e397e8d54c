"""Inspection of one clip: name resolution, label and prediction, picture and output file."""

import io
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import soundfile

from flows.cli.commands.show import check_openable, picture_target
from overlap.catalog import Catalog
from overlap.config import FeatureConfig, Resolution, RunConfig
from overlap.errors import DataError, NotReadyError, UserError
from overlap.features.compute import compute_features
from overlap.io.location import Location
from overlap.reporting.clip_inspection import InspectedClip, Prediction, inspect_clip
from overlap.reporting.clip_lookup import find_clip
from overlap.reporting.clip_picture import WORDS_SHOWN, draw_clip, frequency_ticks, words_shown
from overlap.reporting.plots.encoding import png
from overlap.reporting.plots.style import ENSEMBLE, MEMBER, TRIVIAL
from support.errors import raises
from support.untrained_members import Ready

NARROW = FeatureConfig(
    sample_rate=8000, n_mels=20, fmin_hz=1100, fmax_hz=1900,
    resolutions=(Resolution(n_fft=1024, win_length=800),),
)  # fmt: skip


def shown(
    samples: np.ndarray | None = None, config: FeatureConfig | None = None, **more: object
) -> InspectedClip:
    config = config or FeatureConfig()
    if samples is None:
        samples = np.random.default_rng(0).normal(size=config.clip_samples).astype(np.float32) / 9
    values = {
        "name": "clip", "file": "clip.wav", "split": None, "repairs": (), "labels": None,
        "prediction": None, "no_prediction_reason": "", "config": config, "samples": samples,
        "decibels": compute_features(samples[None], config)[0].astype(np.float32),
    }  # fmt: skip
    return InspectedClip(**(values | more))


# --- resolution of names ---------------------------------------------------------------------


def test_a_clip_is_found_by_path_id_or_relative_file(ready: Ready, config) -> None:
    (catalog, _), workspace = ready, Location.of(config.workspace)
    file = Location.of(config.data) / "train/train_000004.wav"
    for name in ("train_000004", "train/train_000004.wav"):
        resolved = find_clip(name, workspace, catalog)
        assert (resolved.file, resolved.row) == (file, 4)
    assert find_clip(str(file), workspace, catalog).row is None
    numbered = replace(catalog, clips=catalog.clips.assign(table_id=[str(n) for n in range(120)]))
    assert find_clip("7", workspace, numbered).row == 7


def test_a_file_takes_precedence_over_an_id(
    ready: Ready, config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (catalog, _), workspace = ready, Location.of(config.workspace)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train_000004").mkdir()
    assert find_clip("train_000004", workspace, catalog).row == 4
    (tmp_path / "train_000004").rmdir()
    (tmp_path / "train_000004").write_bytes(b"other")
    assert find_clip("train_000004", workspace, catalog).file == Location.of("train_000004")


def test_names_that_match_no_single_clip(ready: Ready, config, tmp_path: Path) -> None:
    (catalog, _), workspace = ready, Location.of(config.workspace)
    with raises(UserError, "no-such-clip", name="tset_000011", similar="test_000011"):
        find_clip("tset_000011", workspace, catalog)
    with raises(UserError, "no-such-clip", name="nobody", similar=None):
        find_clip("nobody", workspace, None)
    with raises(UserError, "clip-is-folder", name=str(tmp_path)):
        find_clip(str(tmp_path), workspace, catalog)
    twice = catalog.clips.assign(clip_id=["one", "one", *catalog.clips["clip_id"][2:]])
    with raises(UserError, "ambiguous-clip", name="one", clips=2):
        find_clip("one", workspace, replace(catalog, clips=twice))
    gone = catalog.clips.assign(state="removed")
    with raises(UserError, "no-such-clip", name="train_000004"):
        find_clip("train_000004", workspace, replace(catalog, clips=gone))


# --- label and prediction --------------------------------------------------------------------


def test_a_copy_of_a_clip_has_its_label(ready: Ready, config: RunConfig, tmp_path: Path) -> None:
    (catalog, store), workspace = ready, Location.of(config.workspace)
    by_id = inspect_clip("train_000004", workspace)
    copy = tmp_path / "other.wav"
    shutil.copy(f"{config.data}/train/train_000004.wav", copy)
    by_path = inspect_clip(str(copy), workspace)
    assert (by_id.name, by_path.name) == ("train_000004", "other")
    for found in (by_id, by_path):
        assert found.split == "train"
        assert [*found.labels] == [*catalog.words]
        assert [*found.labels.values()] == catalog.labels[4].tolist()
        assert np.array_equal(found.decibels, store.read_rows(4, 5)[0].astype(np.float32))
        assert found.prediction is None
        assert config.workspace in found.no_prediction_reason
        assert found.kl is None
    test = inspect_clip("test_000001", workspace)
    assert (test.split, test.labels) == ("test", None)
    samples, rate = soundfile.read(copy)
    soundfile.write(copy, samples * 0.5, rate)
    assert inspect_clip(str(copy), workspace).split is None


def test_without_a_workspace_a_file_has_no_label_and_no_prediction(
    data: Path, tmp_path: Path
) -> None:
    found = inspect_clip(str(data / "test" / "test_000001.wav"), Location.of(tmp_path / "none"))
    assert (found.labels, found.prediction, found.split) == (None, None, None)
    assert found.config == FeatureConfig()
    assert not (tmp_path / "none").exists()


def test_the_configuration_of_the_workspace_applies(config: RunConfig) -> None:
    from support.run_steps import computed

    computed(config.model_copy(update={"features": NARROW}))
    assert inspect_clip("train_000001", Location.of(config.workspace)).config == NARROW


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"no sound", "unreadable"), (b"", "unreadable"), (None, "silent")],
)
def test_unusable_files_are_rejected(tmp_path: Path, content: bytes | None, reason: str) -> None:
    file = tmp_path / "bad.wav"
    if content is None:
        soundfile.write(file, np.zeros(16000), 16000)
    else:
        file.write_bytes(content)
    with raises(DataError, "unusable-clip", file=str(file)) as caught:
        inspect_clip(str(file), Location.of(tmp_path))
    assert caught.value.fields["reason"].startswith(reason)


def test_a_requested_ensemble_must_exist(ready: Ready, config) -> None:
    workspace = Location.of(config.workspace)
    with pytest.raises(NotReadyError, match="v7"):
        inspect_clip("train_000004", workspace, "v7")
    with pytest.raises(NotReadyError):
        inspect_clip("train_000004", workspace, "champion")


def test_kl_of_label_and_prediction() -> None:
    prediction = Prediction("v1", {"b": 0.25, "a": 0.75}, 0.1)
    assert shown(prediction=prediction, labels={"a": 0.5, "b": 0.5}).kl == pytest.approx(
        0.143841, abs=1e-6
    )
    assert shown(prediction=prediction, labels={"a": 0.5, "c": 0.5}).kl is None


# --- the picture -----------------------------------------------------------------------------


@pytest.mark.parametrize("hz", [260, 1000, 3000, 6500])
def test_a_tone_is_brightest_at_its_frequency(hz: int) -> None:
    seconds = np.arange(16000) / 16000
    figure = draw_clip(shown((0.5 * np.sin(2 * np.pi * hz * seconds)).astype(np.float32)))
    for axes in figure.axes[1:5]:
        (image,) = axes.get_images()
        left, right, bottom, top = image.get_extent()
        rows, _ = image.get_array().shape
        brightest = bottom + (image.get_array()[:, 50].argmax() + 0.5) * (top - bottom) / rows
        names = [text.get_text().replace(",", "") for text in axes.get_yticklabels()]
        frequency = np.interp(brightest, axes.get_yticks(), [float(name) for name in names])
        assert names == ["250", "500", "1000", "2000", "4000"]
        if hz < 4000:
            assert frequency == pytest.approx(hz, rel=0.12)
        assert (left, right) == pytest.approx((-0.005, 1.005))


def test_a_click_is_at_its_time() -> None:
    samples = np.zeros(16000, np.float32)
    samples[4800] = 1
    figure = draw_clip(shown(samples))
    (line,) = figure.axes[0].get_lines()
    assert line.get_xdata()[np.argmax(line.get_ydata())] == 0.3
    (image,) = figure.axes[1].get_images()
    left, right, *_ = image.get_extent()
    loudness = np.asarray(image.get_array()).sum(axis=0)
    column = loudness.argmax()
    assert left + (column + 0.5) * (right - left) / len(loudness) == pytest.approx(0.3)


def test_ticks_of_any_band() -> None:
    places, names = frequency_ticks(np.array([1200.0, 1500, 1800]))
    assert (places.tolist(), names) == ([0, 2], ["1,200", "1,800"])
    assert frequency_ticks(np.array([1500.0]))[1] == ["1,500"]
    places, names = frequency_ticks(np.geomspace(60, 20000, 30))
    assert names == ["125", "250", "500", "1,000", "2,000", "4,000", "8,000", "16,000"]
    assert (np.diff(places) >= 2).all()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_any_number_of_spectrograms(count: int) -> None:
    some = tuple(Resolution(n_fft=256 * 2**n, win_length=200) for n in range(count))
    figure = draw_clip(shown(config=FeatureConfig(resolutions=some[:4] + some[:1] * (count - 4))))
    assert sum(bool(axes.get_images()) for axes in figure.axes) == count
    figure = draw_clip(shown(config=NARROW))
    assert png(figure).startswith(b"\x89PNG")


def picture(clip: InspectedClip) -> np.ndarray:
    return matplotlib.image.imread(io.BytesIO(png(draw_clip(clip))), format="png")[..., :3]


def coloured(image: np.ndarray, colour: str) -> int:
    wanted = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return int((np.abs(image - wanted).max(axis=-1) < 0.02).sum())


@pytest.mark.extended
def test_words_of_the_label_have_their_own_colour() -> None:
    click = np.zeros(16000, np.float32)
    click[8000] = 1  # the waveform has few pixels; its colour is that of the bars
    prediction = Prediction("v1", {"a": 0.75, "b": 0.25}, 0.1)
    alone = picture(shown(click))
    predicted = picture(shown(click, prediction=prediction))
    judged = picture(shown(click, prediction=prediction, labels={"a": 0.0, "b": 1.0}))
    known = picture(shown(click, labels={"a": 0.0, "b": 1.0}))
    assert alone.shape[1] < predicted.shape[1] == judged.shape[1] == known.shape[1]
    for colour, where in ((MEMBER, (judged,)), (TRIVIAL, (judged, known))):
        counts = [coloured(image, colour) for image in (alone, predicted, judged, known)]
        for image, count in zip((alone, predicted, judged, known), counts, strict=True):
            assert (count > 50) == any(image is one for one in where), (colour, counts)
    assert coloured(predicted, ENSEMBLE) > coloured(judged, ENSEMBLE) > coloured(alone, ENSEMBLE)


def test_the_most_probable_words_and_those_of_the_label_are_shown() -> None:
    names = [f"w{n:02d}" for n in range(30)]
    shares = dict(zip(names, np.linspace(0.06, 0.0, 30), strict=True))
    labels = dict.fromkeys(names, 0.0) | {"w29": 0.5, "w00": 0.5}
    found = words_shown(shown(prediction=Prediction("v", shares, 0.0), labels=labels))
    assert found == [*names[: WORDS_SHOWN - 1], "w29"]
    assert words_shown(shown(labels=labels)) == ["w00", "w29"]
    assert words_shown(shown(prediction=Prediction("v", shares, 0.0))) == names[:WORDS_SHOWN]
    many = dict.fromkeys(names, 1 / 30)
    assert words_shown(shown(prediction=Prediction("v", shares, 0.0), labels=many)) == names


@pytest.mark.parametrize("word", ["$x$", r"\frac{", "[bold]", "<b>", "w" * 300])
def test_words_are_not_parsed_as_formulas(word: str) -> None:
    clip = shown(
        prediction=Prediction(word, {word: 0.5, "b": 0.5}, 0.1),
        labels={word: 1.0, "b": 0.0},
        name=word,
    )
    assert len(png(draw_clip(clip))) > 10_000


def test_equal_clips_give_equal_pictures() -> None:
    assert png(draw_clip(shown())) == png(draw_clip(shown()))


def test_labels_need_a_catalogue_with_words(ready: Ready) -> None:
    catalog: Catalog = ready[0]
    bare = replace(catalog, words=(), labels=np.empty((len(catalog), 0)))
    from overlap.reporting.clip_inspection import _labels

    assert _labels(bare, 0) is None
    assert _labels(catalog, 0) is not None


# --- the output file -----------------------------------------------------------------------------


def test_unsuitable_output_files_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for out, code in (
        (tmp_path / "no" / "x.png", "no-such-folder"),
        (tmp_path, "not-a-png"),
        (tmp_path / "folder.png", "out-is-folder"),
        (tmp_path / "x.pdf", "not-a-png"),
    ):
        with raises(UserError, code):
            picture_target(str(out))
    with pytest.raises(UserError):
        picture_target("zip://x.png::a.zip")
    assert picture_target(str(tmp_path / "x.PNG")).name == "x.PNG"


def test_only_local_files_are_opened(tmp_path: Path) -> None:
    check_openable(Location.of(tmp_path / "x.png"), asked=True)
    check_openable(Location.of("memory://x.png"), asked=False)
    with raises(UserError, "not-local"):
        check_openable(Location.of("memory://x.png"), asked=True)


def test_show_does_not_import_prefect() -> None:
    script = (
        "import sys, flows.cli.console, flows.cli.commands.show, overlap.reporting.clip_inspection;"
        "print('prefect' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
