"""Properties of every comparison: which challenger is promoted, and which clips count."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overlap.config import PromotionConfig
from overlap.ensemble.exposure import LEARNED
from overlap.metrics.divergence import kl_per_clip
from overlap.promotion.challenge import ComparisonPlan
from overlap.promotion.comparison import (
    Candidate,
    Comparison,
    SharedClips,
    compare,
    find_shared_clips,
)
from overlap.promotion.rule import apply_rule
from support.comparison_data import WORDS, catalog_of, digest, exposure_of, perturbed
from support.pooled_predictions import softened
from support.run_steps import published

RULE = PromotionConfig(min_clips=2)
GROUPS = st.integers(1, 40)


def compared(one: np.ndarray, other: np.ndarray, groups: np.ndarray, confidence=0.95) -> Comparison:
    labels = softened(len(one), 4)
    kls = np.stack([kl_per_clip(labels, one), kl_per_clip(labels, other)])
    return compare("v1", kls, groups, np.zeros(len(one), np.bool_), confidence)


def promoted(comparison: Comparison, rule: PromotionConfig = RULE) -> bool:
    return apply_rule(rule, ComparisonPlan("v1", SharedClips.empty()), comparison, "v2").promoted


def candidate(sounds, fold, folds, groups=None) -> Candidate:
    catalog = catalog_of(sounds, groups)
    exposure = exposure_of(catalog, fold, folds)
    held = exposure.fold >= 0
    return Candidate(published("v", "".join(WORDS)), exposure, perturbed(catalog.labels[held], 0.3))


@settings(max_examples=25)
@given(st.integers(2, 60), GROUPS, st.integers(0, 99))
def test_equal_predictions_never_promote(clips: int, groups: int, seed: int) -> None:
    predictions = softened(clips, 4, seed + 1)
    found = compared(predictions, predictions, np.arange(clips) % groups)
    assert (found.gain, found.low, found.high) == (0, 0, 0)
    assert not promoted(found)


@settings(max_examples=25)
@given(st.integers(20, 80), GROUPS, st.integers(0, 99), st.floats(0.5, 0.99))
def test_a_challenger_that_is_better_on_every_clip_is_promoted(
    clips: int, groups: int, seed: int, confidence: float
) -> None:
    labels = softened(clips, 4)
    bad = perturbed(labels, 0.8, seed)
    good = 0.9 * labels + 0.1 * bad
    group = np.arange(clips) % groups
    assert promoted(compared(bad, good, group, confidence))
    assert not promoted(compared(good, bad, group, confidence))


@settings(max_examples=25)
@given(st.integers(2, 60), GROUPS, st.integers(0, 99), st.floats(0.5, 0.99))
def test_swapping_the_two_negates_the_gain(
    clips: int, groups: int, seed: int, confidence: float
) -> None:
    one, other = (softened(clips, 4, seed + i) for i in (1, 2))
    group = np.arange(clips) % groups
    forth, back = compared(one, other, group, confidence), compared(other, one, group, confidence)
    assert (forth.champion_kl, forth.challenger_kl) == (back.challenger_kl, back.champion_kl)
    assert back.gain == pytest.approx(-forth.gain, abs=1e-12)
    assert (back.low, back.high) == pytest.approx((-forth.high, -forth.low), abs=1e-12)
    assert forth.low <= forth.high
    assert not (promoted(forth) and promoted(back))


@settings(max_examples=25)
@given(st.integers(2, 60), st.integers(0, 99), st.floats(0.5, 0.99), st.floats(0.5, 0.99))
def test_more_confidence_promotes_no_more(clips: int, seed: int, one: float, other: float) -> None:
    predictions = [softened(clips, 4, seed + i) for i in (1, 2)]
    less, more = (compared(*predictions, np.arange(clips), c) for c in sorted((one, other)))
    assert more.low <= less.low <= less.high <= more.high
    assert promoted(less) or not promoted(more)


def test_clips_of_a_group_are_resampled_together() -> None:
    """All ten clips of a group have the same difference, so that they add no information."""
    differences = np.random.default_rng(0).normal(0.01, 0.05, 20)
    kls = np.stack([1 + np.repeat(differences, 10), np.ones(200)])
    none = np.zeros(200, np.bool_)
    grouped = compare("v1", kls, np.repeat(np.arange(20), 10), none, 0.95)
    single = compare("v1", kls, np.arange(200), none, 0.95)
    assert (grouped.groups, grouped.whole, grouped.drawn) == (20, True, "20 groups")
    assert (single.groups, single.whole, single.drawn) == (None, False, "single clips")
    assert grouped.high - grouped.low > 2 * (single.high - single.low)
    few = compare("v1", kls, np.repeat(np.arange(4), 50), none, 0.95)
    assert (few.low, few.high) == (single.low, single.high)
    assert (few.whole, few.drawn) == (False, "single clips of 4 groups")


@pytest.mark.extended
@pytest.mark.parametrize(
    ("clips", "groups", "effect", "least", "most"),
    [(50, 50, 0, 0, 3), (200, 20, 0.5, 0, 3), (200, 4, 0.5, 6, 60)],
    ids=["clips", "groups", "few groups: the known limit"],
)
def test_few_equally_good_challengers_are_promoted(
    clips: int, groups: int, effect: float, least: int, most: int
) -> None:
    """Sixty pairs have equal errors; with groups, a part of each error is common to the group."""
    random, labels = np.random.default_rng(0), softened(clips, 4)
    group, wins = np.arange(clips) % groups, 0
    for _ in range(60):
        own = random.standard_normal((2, clips, 4)) * 0.5
        shared = random.standard_normal((2, groups, 4)) * effect
        predictions = labels * np.exp(own + shared[:, group])
        one, other = predictions / predictions.sum(axis=2, keepdims=True)
        wins += promoted(compared(one, other, group))
    assert least <= wins <= most


# --- which clips -----------------------------------------------------------------------------

SOUNDS = st.lists(st.integers(0, 12), min_size=0, max_size=14)


@st.composite
def ensembles(draw: st.DrawFn, grouped: bool) -> tuple[list[int], list[int], int, list[str]]:
    """Draw sounds (possibly repeated), their folds, the number of folds, and groups."""
    sounds = draw(SOUNDS)
    folds = draw(st.integers(1, 3))
    if not grouped:
        fold = draw(st.lists(st.integers(LEARNED, folds - 1), min_size=len(sounds),
                             max_size=len(sounds)))  # fmt: skip
        return sounds, fold, folds, [""] * len(sounds)
    # Whole groups are held out, as `partition` does.
    of_group = draw(st.lists(st.integers(LEARNED, folds - 1), min_size=4, max_size=4))
    groups = draw(st.lists(st.integers(0, 3), min_size=len(sounds), max_size=len(sounds)))
    return sounds, [of_group[g] for g in groups], folds, [f"g{g}" for g in groups]


Side = tuple[list[int], list[int], int, list[str]]


def left_out_by(side: Side, sound: int) -> int | None:
    """Return the fold that left a sound out, LEARNED if none did, None if the sound is unknown."""
    found = {fold for own, fold in zip(side[0], side[1], strict=True) if own == sound}
    return None if not found else found.pop() if len(found) == 1 else LEARNED


def eligible_folds(side: Side, group: str, now: list[int], groups: list[str]) -> set[int]:
    """Return the folds whose members did not train on a group, by recorded and current groups."""
    known = [*zip(side[1], side[3], strict=True)]
    current = [(left_out_by(side, sound), g) for sound, g in zip(now, groups, strict=True)]
    known += [(fold, g) for fold, g in current if fold is not None]
    trained = [{fold for fold in range(side[2]) if fold != own} for own, g in known if g == group]
    return {*range(side[2])}.difference(*trained) if group else {*range(side[2])}


@settings(max_examples=60)
@given(st.booleans(), st.data())
def test_clips_that_either_trained_on_are_never_scored(grouped: bool, data: st.DataObject) -> None:
    """Compare with the rule expressed as sets, for new, removed, renamed and repeated clips."""
    old, new = (data.draw(ensembles(grouped)) for _ in range(2))
    now = data.draw(SOUNDS)
    groups = [f"g{data.draw(st.integers(0, 5))}" if grouped else "" for _ in now]
    catalog = catalog_of(now, groups)
    shared = find_shared_clips(catalog, candidate(*old), candidate(*new))
    expected = {}
    for row, sound in enumerate(now):
        if left_out_by(new, sound) in (None, LEARNED):
            continue
        then = left_out_by(old, sound)
        eligible = eligible_folds(old, groups[row], now, groups) if then is None else set()
        if eligible or (then is not None and then != LEARNED):
            expected[row] = eligible
    found = [set(np.flatnonzero(folds)) for folds in shared.eligible_folds]
    assert dict(zip(shared.rows.tolist(), found, strict=True)) == expected
    assert np.array_equal(shared.needs_backfill, [bool(folds) for folds in found])
    assert np.array_equal(shared.labels, catalog.labels[shared.rows])


@settings(max_examples=40)
@given(st.data())
def test_each_clip_has_the_predictions_of_its_sound(data: st.DataObject) -> None:
    old, new = (candidate(*data.draw(ensembles(grouped=False))) for _ in range(2))
    now = data.draw(SOUNDS)
    shared = find_shared_clips(catalog_of(now), old, new)
    assert np.isnan(shared.champion[shared.needs_backfill]).all()
    for side, predictions, clips in (
        (new, shared.challenger, np.arange(len(shared.rows))),
        (old, shared.champion, np.flatnonzero(~shared.needs_backfill)),
    ):
        held = side.exposure.held_out.tolist()
        for clip in clips:
            index = held.index(digest(now[shared.rows[clip]]).encode())
            assert np.array_equal(predictions[clip], side.held_out[index])
