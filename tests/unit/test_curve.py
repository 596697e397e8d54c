"""The curve over the number of members, its law, and the stopping point."""

import numpy as np
import pytest

from overlap.ensemble.curve import ensemble_curve, fit_law, mean_kl_by_count
from overlap.ensemble.held_out import trivial_kl
from overlap.ensemble.pooling import pool_mean
from overlap.ensemble.stopping import find_stopping_point
from overlap.metrics.bootstrap import interval, resampled_means
from overlap.metrics.divergence import kl
from support.pooled_predictions import held_out, noisy, softened


def test_the_curve_averages_over_choices_of_members() -> None:
    labels = softened(60)
    rounds = noisy(labels, 4)
    curve = ensemble_curve(held_out(rounds, labels))
    assert [point.members for point in curve.points] == [1, 2, 3, 4]
    by_one = [kl(labels, one) for one in rounds]
    by_three = [kl(labels, np.delete(rounds, out, 0).mean(axis=0)) for out in range(4)]
    assert curve.points[0].kl == pytest.approx(np.mean(by_one))
    assert curve.points[2].kl == pytest.approx(np.mean(by_three))
    assert curve.points[3].kl == pytest.approx(kl(labels, pool_mean(rounds)))
    falls = [point.kl for point in curve.points]
    assert falls == sorted(falls, reverse=True)
    assert all(point.low < point.kl < point.high for point in curve.points)
    again = ensemble_curve(held_out(rounds, labels))
    assert again == curve


def test_the_curve_does_not_depend_on_the_order() -> None:
    labels = softened(60)
    rounds = noisy(labels, 6)
    forth, back = (mean_kl_by_count(r, labels).mean(axis=1) for r in (rounds, rounds[::-1]))
    assert np.abs(forth[[0, 4, 5]] - back[[0, 4, 5]]).max() < 1e-12
    assert np.abs(forth - back).max() < 0.003


def test_many_members_are_averaged_over_some_orders() -> None:
    labels = softened(10)
    found = mean_kl_by_count(noisy(labels, 50), labels)
    assert found.shape == (50, 10)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("true", [(0.38, 0.12, 1.0), (0.3, 0.2, 0.5), (0.0, 0.4, 0.3)])
@pytest.mark.parametrize("points", [3, 15])
def test_a_known_law_is_found(true: tuple[float, float, float], points: int) -> None:
    a, b, c = true
    law = fit_law(a + b * np.arange(1, points + 1) ** -c)
    assert law is not None
    assert (law.a, law.b) == pytest.approx((a, b), abs=5e-3)
    assert law.c == pytest.approx(c, rel=0.02)
    assert law(20) == pytest.approx(a + b * 20**-c, abs=5e-4)


def test_laws_of_unusual_curves() -> None:
    assert fit_law(np.array([0.5, 0.4])) is None
    flat = fit_law(np.full(5, 0.4))
    assert (flat.a, flat.b) == pytest.approx((0.4, 0))
    rising = fit_law(np.array([0.4, 0.5, 0.6]))
    assert rising.b == 0
    assert rising.a == pytest.approx(0.5)


def test_the_forecast_for_more_members() -> None:
    labels = softened(400)
    members = noisy(labels, 20, noise=1.0)
    curve = ensemble_curve(held_out(members[:10], labels))
    then = mean_kl_by_count(members, labels).mean(axis=1)[14]
    assert curve.more.members == 5
    assert curve.more.kl == pytest.approx(then, abs=2e-3)
    assert curve.more.low < curve.more.gain < curve.more.high
    assert curve.more.low > 0
    few = ensemble_curve(held_out(members[:2], labels))
    assert (few.law, few.more) == (None, None)


def test_five_members_are_one_round_of_five_folds() -> None:
    labels = softened(100)
    curve = ensemble_curve(held_out(noisy(labels, 4), labels, folds=5))
    assert curve.more.kl == pytest.approx(curve.law(5))


def test_groups_widen_the_interval() -> None:
    values = np.repeat(np.random.default_rng(0).standard_normal(20), 30)[None]
    single = resampled_means(values, np.arange(600))
    grouped = resampled_means(values, np.repeat(np.arange(20), 30))
    width = [high - low for low, high in (interval(single[:, 0]), interval(grouped[:, 0]))]
    assert width[1] > 3 * width[0]
    few = resampled_means(values, np.repeat(np.arange(4), 150))  # too few groups: single clips
    assert np.array_equal(few, single)


def test_the_trivial_prediction() -> None:
    labels = softened(50)
    expected = kl(labels, np.tile(labels.mean(axis=0), (50, 1)))
    assert trivial_kl(held_out(noisy(labels, 1), labels)) == pytest.approx(expected)


# --- stopping --------------------------------------------------------------------------------


def test_the_stopping_point_does_not_change_as_members_are_added() -> None:
    labels = softened(200)
    rounds = noisy(labels, 12, noise=1.0)
    law = fit_law(mean_kl_by_count(rounds, labels).mean(axis=1))
    least = law(6) - law(7)
    found = [find_stopping_point(held_out(rounds[:n], labels), least) for n in range(13)]
    first = next(n for n, stop in enumerate(found) if stop)
    assert 3 < first < 9
    assert found[first].members == first
    assert found[first].gain < least
    assert all(stop == found[first] for stop in found[first:])


def test_the_gain_is_per_member_not_per_round() -> None:
    labels = softened(200)
    rounds = noisy(labels, 5, noise=1.0)
    one = find_stopping_point(held_out(rounds, labels), 1.0)
    five = find_stopping_point(held_out(rounds, labels, folds=5), 1.0)
    assert (one.members, five.members) == (3, 15)
    assert five.gain == pytest.approx(one.gain / 5, rel=0.5)
    assert five.gain < one.gain / 3
    assert find_stopping_point(held_out(rounds, labels), 1e-9) is None
