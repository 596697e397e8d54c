"""The KL as a function of the number of members, and a forecast for more members."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.ensemble.held_out import HeldOutPredictions
from overlap.ensemble.record_parts import CurvePoint, Forecast, PowerLaw
from overlap.metrics.bootstrap import SEED, interval, resampled_means
from overlap.metrics.divergence import SMALLEST

ORDERS = 20
"""Least number of member orders that the curve averages over."""
FEWEST_POINTS = 3
"""Points that a law with three parameters needs."""
MORE_MEMBERS = 5
"""Number of additional members that the forecast assumes."""
DECAYS = np.geomspace(0.1, 4, 400)
"""Candidate exponents. They are sorted by their distance from 1, the exponent of averaging
independent errors, so that among equally good ones the nearest to 1 is chosen."""
DECAYS = DECAYS[np.argsort(np.abs(np.log(DECAYS)), kind="stable")]


@dataclass(frozen=True)
class EnsembleCurve:
    """The curve, the law fitted to it and the forecast."""

    points: tuple[CurvePoint, ...]
    law: PowerLaw | None = None
    """None with fewer than `FEWEST_POINTS` points."""
    more: Forecast | None = None
    """None without a law."""


def ensemble_curve(held_out: HeldOutPredictions) -> EnsembleCurve:
    """Compute the curve of the mean prediction on held-out clips, its intervals and its law.

    The intervals are a bootstrap over clips, in whole groups (`resampled_means`); each resample
    has its own curve and law.
    """
    clips = mean_kl_by_count(held_out.rounds, held_out.labels)
    curve, resampled = clips.mean(axis=1), resampled_means(clips, held_out.groups)
    points = tuple(
        CurvePoint(count, float(kl), *interval(resampled[:, count - 1]))
        for count, kl in enumerate(curve, 1)
    )
    law = fit_law(curve)
    if law is None:
        return EnsembleCurve(points)
    now, then = float(len(curve)), len(curve) + MORE_MEMBERS / held_out.per_round
    a_b_c = _fit_laws(resampled)
    gains = a_b_c[:, 1] * (now ** -a_b_c[:, 2] - then ** -a_b_c[:, 2])
    return EnsembleCurve(
        points, law, Forecast(MORE_MEMBERS, law(then), law(now) - law(then), *interval(gains))
    )


def mean_kl_by_count(
    rounds: NDArray[np.float64], labels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the KL of the mean of n members for every n, averaged over choices of the members.

    The choices are the first n members of seeded orders. The orders are rotated so that every
    member has every position equally often: for n = 1 and for all members but one, the average is
    over all choices.

    Args:
        rounds: (members, clips, words) predictions.
        labels: (clips, words); each row a distribution.

    Returns:
        (members, clips) float64: row n - 1 for n members.
    """
    positive = labels > 0  # the other terms are zero
    clip, p = np.nonzero(positive)[0], labels[positive]
    q = rounds[:, positive].astype(np.float64)
    kls = np.zeros((len(rounds), len(labels)))
    orders = _orders(len(rounds))
    for order in orders:
        total = np.zeros(len(p))
        for count, member in enumerate(order, 1):
            total += q[member]
            terms = p * np.log(p / np.maximum(total / count, SMALLEST))
            kls[count - 1] += np.bincount(clip, terms, len(labels))
    return kls / len(orders)


def _orders(members: int) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(SEED)
    shifts = np.arange(0, members, -(-members // ORDERS))
    drawn = [rng.permutation(members) for _ in range(-(-ORDERS // len(shifts)))]
    return [np.roll(order, shift) for order in drawn for shift in shifts]


def fit_law(curve: NDArray[np.float64]) -> PowerLaw | None:
    """Fit a power law to a curve by least squares.

    Args:
        curve: (members,) KL of 1, 2, … members.

    Returns:
        None with fewer than `FEWEST_POINTS` points.
    """
    if len(curve) < FEWEST_POINTS:
        return None
    a, b, c = _fit_laws(curve[None])[0]
    return PowerLaw(float(a), float(b), float(c))


def _fit_laws(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit a law to each of the (curves, members) curves; return (curves, 3) float64: a, b and c.

    For a given c, a and b follow from linear regression; c is searched in `DECAYS`.
    """
    counts = np.arange(1, curves.shape[1] + 1, dtype=np.float64)
    means = curves.mean(axis=1)
    best = np.full(len(curves), np.inf)
    laws = np.zeros((len(curves), 3))
    for c in DECAYS:
        x = counts**-c
        centred = x - x.mean()
        b = np.maximum(curves @ centred / (centred @ centred), 0)
        a = means - b * x.mean()
        b, a = np.where(a < 0, curves @ x / (x @ x), b), np.maximum(a, 0)
        errors = ((curves - a[:, None] - b[:, None] * x) ** 2).sum(axis=1)
        better = errors < best
        best[better] = errors[better]
        laws[better] = np.stack([a, b, np.full_like(a, c)], axis=1)[better]
    return laws
