"""Recordings with words at known times, and the comparison of detections with them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from overlap.bench.detections import known_clips, match_segments, score_clips
from overlap.recordings.segments import Segment
from overlap.synthetic.scenes import (
    MINUTE_SECONDS,
    PlacedWord,
    SceneConfig,
    minute,
    scene_minutes,
    words_in,
    write_scene,
)
from overlap.synthetic.speakers import MixConfig, plan_pools


@pytest.fixture(scope="module")
def scene(words: Path) -> SceneConfig:
    names, pools = plan_pools(words, MixConfig(train=1, test=1, words_per_clip=1))
    pool = next(one for one in pools if one.split == "test")
    return SceneConfig(names, pool, every_seconds=4.0, seed=5)


def test_words_are_louder_than_the_noise_around_them(scene: SceneConfig) -> None:
    samples, placed = minute(scene, 0)
    assert len(samples) == MINUTE_SECONDS * scene.sample_rate
    assert 8 <= len(placed) <= 25
    sound = np.zeros(len(samples), np.bool_)
    for before, after in zip(placed, [*placed[1:], None], strict=True):
        assert 0 <= before.start < before.end <= MINUTE_SECONDS
        assert after is None or before.end <= after.start
        first, last = (round(at * scene.sample_rate) for at in (before.start, before.end))
        sound[first:last] = True
        assert np.abs(samples[first:last]).max() > 500
    near = np.convolve(sound, np.ones(4000), "same") > 0
    assert np.sqrt(np.mean(samples[~near].astype(float) ** 2)) < 300


def test_a_minute_depends_on_its_number_only(scene: SceneConfig, tmp_path: Path) -> None:
    file = tmp_path / "a.flac"
    placed = write_scene(file, scene, 2)
    stored = soundfile.read(file, dtype="int16")[0]
    parts = [*scene_minutes(scene, 2)]
    assert np.array_equal(stored, np.concatenate([samples for samples, _ in parts]))
    assert placed == (*parts[0][1], *parts[1][1])
    second, words = minute(scene, 1)
    assert np.array_equal(second, parts[1][0])
    assert [one.start + 60 for one in words] == [one.start for one in parts[1][1]]


PLACED = (PlacedWord("a", 1.0, 1.5), PlacedWord("b", 4.0, 4.4), PlacedWord("a", 4.6, 5.0))


def test_words_of_a_window() -> None:
    assert words_in(PLACED, 0.2, 1.0) == ()
    assert words_in(PLACED, 0.25, 1.0) == ("a",)
    assert words_in(PLACED, 4.0, 1.0) == ("b", "a")


def test_clips_at_known_times() -> None:
    assert known_clips(PLACED, 8.0, 1.0) == [
        (0.75, ("a",)), (0.0, ()), (3.7, ("b",)), (1.5, ()), (2.5, ()), (4.3, ("a",)),
        (5.0, ()), (6.0, ()), (7.0, ()),
    ]  # fmt: skip


def test_segments_are_matched_one_to_one() -> None:
    segments = [
        Segment(word, peak - 0.5, peak + 0.5, 0.9, peak, 1)
        for word, peak in [("a", 1.0), ("a", 1.5), ("b", 5.0), ("a", 4.7)]
    ]
    found = match_segments("x", 0.5, segments, PLACED, 0.5)
    assert (found.found, found.missed, found.wrong) == (2, 1, 2)
    assert found.error == pytest.approx(0.175)
    assert (found.precision, found.recall) == (0.5, pytest.approx(2 / 3))
    nothing = match_segments("x", 0.5, [], PLACED, 0.5)
    assert (nothing.precision, nothing.recall, nothing.error) == (0, 0, None)


def test_clips_are_scored() -> None:
    shares = np.array([[0.1, 0.8, 0.1], [0.0, 0.6, 0.4], [0.9, 0.1, 0.0]])
    low, high = score_clips(
        [("a",), ("b",), ()], shares, ("none", "a", "b"), ("a", "b"), (0.4, 0.7)
    )
    assert (low.found, low.missed, low.wrong) == (2, 0, 1)
    assert (high.found, high.missed, high.wrong) == (1, 1, 0)
