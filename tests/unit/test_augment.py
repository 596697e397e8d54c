"""The augmentation layers: mixing, shifts, masks, filters and warps."""

import keras
import numpy as np
import pytest

from overlap.config import AugmentConfig
from overlap.features import Normalisation
from overlap.training.augment import Filter, Mask, Mix, Shift, Warp, augment

CONSTANTS = Normalisation((-70.0, -60.0), (-30.0, -20.0), (10.0, 5.0))
SHAPE = (64, 8, 11, 2)


def decibels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-60, 0, SHAPE).astype(np.float32)


def labels() -> np.ndarray:
    return np.random.default_rng(1).dirichlet(np.ones(5), SHAPE[0]).astype(np.float32)


def numpy_of(tensor: object) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def test_mixing_adds_powers_and_labels_with_one_weight() -> None:
    clips, shares = decibels(), labels()
    mixed, mixed_labels = map(numpy_of, Mix(1.0, 7)(clips, shares))
    other, other_shares = np.roll(clips, 1, axis=0), np.roll(shares, 1, axis=0)
    # The label reveals the weight of each clip; the powers must have the same weight.
    difference = shares - other_shares
    weight = ((mixed_labels - other_shares) * difference).sum(1) / (difference**2).sum(1)
    assert weight.min() > 0.5 - 1e-4
    assert weight.max() < 1 + 1e-4
    assert weight.std() > 0.1
    w = weight[:, None, None, None].astype(np.float64)
    expected = 10 * np.log10(w * 10 ** (clips / 10) + (1 - w) * 10 ** (other / 10))
    assert np.abs(mixed - expected).max() < 1e-3
    assert np.abs(mixed_labels.sum(axis=1) - 1).max() < 1e-5


def test_only_a_fraction_of_the_clips_is_mixed() -> None:
    clips, shares = decibels(), labels()
    mixed, mixed_labels = map(numpy_of, Mix(0.3, 7)(clips, shares))
    same = np.abs(mixed - clips).max(axis=(1, 2, 3)) < 1e-4
    assert 0.5 < same.mean() < 0.9
    assert np.array_equal(mixed_labels[same], shares[same])


def test_a_shift_moves_whole_frames_and_fills_with_silence() -> None:
    clips = decibels()
    moved = numpy_of(Shift(3, CONSTANTS.floor_db, 7)(clips))
    shifts = set()
    for before, after in zip(clips, moved, strict=True):
        fits = []
        for shift in range(-3, 4):
            expected = np.broadcast_to(
                np.array(CONSTANTS.floor_db, np.float32), before.shape
            ).copy()
            kept = slice(max(0, shift), 11 + min(0, shift))
            source = slice(max(0, -shift), 11 - max(0, shift))
            expected[:, kept] = before[:, source]
            fits.append(np.array_equal(after, expected))
        assert sum(fits) == 1
        shifts.add(fits.index(True) - 3)
    assert shifts == set(range(-3, 4))


def test_masks_are_whole_bands_of_the_mean() -> None:
    clips = decibels()
    masked = numpy_of(
        Mask(AugmentConfig(masks=1, mask_mels=3, mask_frames=4), CONSTANTS.mean_db, 7)(clips)
    )
    changed = (masked != clips).any(axis=3)
    assert np.array_equal(masked[changed], np.broadcast_to(CONSTANTS.mean_db, (changed.sum(), 2)))
    for where in changed:
        mels, frames = where.all(axis=1), where.all(axis=0)
        assert np.array_equal(where, mels[:, None] | frames[None, :])
        assert mels.sum() <= 3
        assert frames.sum() <= 4
    assert 0.05 < changed.mean() < 0.5


def test_without_augmentation_nothing_changes() -> None:
    clips, shares = decibels().astype(np.float16), labels()
    found, found_shares = augment(clips, shares, AugmentConfig(), CONSTANTS, 0)
    assert np.array_equal(numpy_of(found), clips.astype(np.float32))
    assert found_shares is shares


@pytest.mark.parametrize(
    "setting", [{"mix": 0.5}, {"shift_frames": 4}, {"masks": 2}, {"warp": 0.3}]
)
def test_equal_seeds_give_equal_changes(setting: dict[str, float]) -> None:
    def changed(seed: int) -> np.ndarray:
        return numpy_of(augment(decibels(), labels(), AugmentConfig(**setting), CONSTANTS, seed)[0])

    assert np.array_equal(changed(1), changed(1))
    assert not np.array_equal(changed(1), changed(2))


def test_a_filter_changes_all_frames_alike_and_stays_within_its_range() -> None:
    clips = decibels()
    added = numpy_of(Filter(3.0, 6.0, 7)(clips)) - clips
    assert np.abs(added - added[:, :, :1, :1]).max() < 1e-4
    curves = added[:, :, 0, 0]
    assert np.abs(curves).max() <= 9 + 1e-4
    assert np.abs(curves).max() > 4
    assert curves.std(axis=0).min() > 1  # every band changes, and from clip to clip
    gain = numpy_of(Filter(3.0, 0.0, 7)(clips)) - clips
    assert np.abs(gain - gain[:, :1, :1, :1]).max() < 1e-4


def test_a_warp_changes_the_speed_within_its_range_and_keeps_the_ends() -> None:
    """The warped ramp 0, 1, 2, ... is the position that each frame comes from."""
    frames = 41
    ramp = np.broadcast_to(np.arange(frames, dtype=np.float32)[:, None], (64, 3, frames, 2))
    source = numpy_of(Warp(0.4, 7)(ramp))
    assert np.array_equal(source, np.broadcast_to(source[:, :1, :, :1], source.shape))
    paths = source[:, 0, :, 0].astype(np.float64)
    assert np.abs(paths[:, 0]).max() < 1e-5
    assert np.abs(paths[:, -1] - (frames - 1)).max() < 1e-4
    speed = np.diff(paths, axis=1)
    assert 0.6 - 1e-4 < speed.min() < 0.7
    assert 1.3 < speed.max() < 1.4 + 1e-4
    places = np.arange(frames)
    bend = np.sin(np.pi * places / (frames - 1)) * (frames - 1) / np.pi
    change = (paths[:, frames // 2] - frames // 2) / bend[frames // 2]
    assert np.abs(paths - (places + change[:, None] * bend)).max() < 1e-4
    assert change.std() > 0.1


def test_a_warp_interpolates_linearly() -> None:
    clips = decibels()
    warped = numpy_of(Warp(0.5, 3)(clips))
    ramp = np.broadcast_to(np.arange(11, dtype=np.float32)[:, None], SHAPE)
    paths = numpy_of(Warp(0.5, 3)(ramp))[:, 0, :, 0]
    for clip, path, found in zip(clips, paths, warped, strict=True):
        for band in range(SHAPE[1]):
            expected = np.interp(path, np.arange(11), clip[band, :, 0])
            assert np.abs(found[band, :, 0] - expected).max() < 1e-3


def test_the_smallest_weight_keeps_the_other_clip_quiet() -> None:
    clips, shares = decibels(), labels()
    _, mixed = map(numpy_of, Mix(1.0, 7, 0.9)(clips, shares))
    difference = shares - np.roll(shares, 1, axis=0)
    weight = ((mixed - shares) * difference).sum(1) / (difference**2).sum(1) + 1
    assert weight.min() > 0.9 - 1e-4
    assert weight.max() > 0.95


def test_new_augmentations_leave_the_random_numbers_of_the_others() -> None:
    """A shift draws the same numbers with and without a filter before it."""
    config = AugmentConfig(shift_frames=2)
    before = numpy_of(augment(decibels(), labels(), config, CONSTANTS, 5)[0])
    silent = AugmentConfig(shift_frames=2, filter_db=1e-6)
    after = numpy_of(augment(decibels(), labels(), silent, CONSTANTS, 5)[0])
    assert np.abs(before - after).max() < 1e-3
