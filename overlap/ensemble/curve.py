"""How the score falls as members are added, and what more of them would bring."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.ensemble.held_out import HeldOut
from overlap.metrics.bootstrap import SEED, interval, resampled_means
from overlap.metrics.divergence import SMALLEST

ORDERS = 20
"""Orders of the members that the curve is averaged over: about as many, or more."""
FEWEST_POINTS = 3
"""Points that a law with three numbers needs."""
MORE_MEMBERS = 5
"""How many more members the forecast is made for."""
DECAYS = np.geomspace(0.1, 4, 400)
"""Exponents that are tried; sorted so that of equally good ones the nearest to 1 is taken, what
averaging of independent errors gives."""
DECAYS = DECAYS[np.argsort(np.abs(np.log(DECAYS)), kind="stable")]


@dataclass(frozen=True)
class CurvePoint:
    """The score of some members together."""

    members: int
    """How many are averaged for each held-out clip; with folds, how many rounds."""
    kl: float
    """KL of their mean prediction on held-out clips, averaged over choices of the members."""
    low: float
    """Lower end of its 95 % interval over clips."""
    high: float
    """Upper end."""


@dataclass(frozen=True)
class PowerLaw:
    """KL(n) = a + b * n^-c of n members."""

    a: float
    """KL of endlessly many members, nats; at least 0."""
    b: float
    """What they gain on one member, nats; at least 0."""
    c: float
    """How fast; 1 for members with independent errors."""

    def __call__(self, members: float) -> float:
        """KL of that many members, nats."""
        return float(self.a + self.b * members**-self.c)


@dataclass(frozen=True)
class Forecast:
    """What more members are expected to bring, by the law."""

    members: int
    """How many more."""
    kl: float
    """Expected KL with them, nats."""
    gain: float
    """By how much the KL is expected to fall, nats."""
    low: float
    """Lower end of the gain's 95 % interval over clips; it knows nothing of a wrong law."""
    high: float
    """Upper end."""


@dataclass(frozen=True)
class Growth:
    """The curve, the law through it and the forecast."""

    points: tuple[CurvePoint, ...]
    law: PowerLaw | None = None
    """None with fewer than `FEWEST_POINTS` points."""
    more: Forecast | None = None
    """None without a law."""


def grow(held_out: HeldOut) -> Growth:
    """The curve on held-out clips, of the mean prediction, with its intervals and its law.

    The intervals come from drawing clips again, groups of clips together (`resampled_means`);
    curve and law are made anew for each draw.
    """
    clips = mean_kl_by_count(held_out.rounds, held_out.labels)
    curve, drawn = clips.mean(axis=1), resampled_means(clips, held_out.groups)
    points = tuple(
        CurvePoint(count, float(kl), *interval(drawn[:, count - 1]))
        for count, kl in enumerate(curve, 1)
    )
    law = fit_law(curve)
    if law is None:
        return Growth(points)
    now, then = float(len(curve)), len(curve) + MORE_MEMBERS / held_out.per_round
    a_b_c = _fit_laws(drawn)
    gains = a_b_c[:, 1] * (now ** -a_b_c[:, 2] - then ** -a_b_c[:, 2])
    return Growth(
        points, law, Forecast(MORE_MEMBERS, law(then), law(now) - law(then), *interval(gains))
    )


def mean_kl_by_count(
    rounds: NDArray[np.float64], labels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """KL of the mean of n members, for every n, averaged over choices of the members.

    The choices are the first n of some seeded orders, which are turned around so that every
    member stands equally often in every place: for n = 1 and n = all but one the average is over
    all choices.

    Args:
        rounds: (members, clips, words) predictions.
        labels: (clips, words); each row a distribution.

    Returns:
        (members, clips) float64: row n - 1 for n members.
    """
    positive = labels > 0  # the others do not count
    clip, p = np.nonzero(positive)[0], labels[positive]
    q = rounds[:, positive].astype(np.float64)
    found = np.zeros((len(rounds), len(labels)))
    orders = _orders(len(rounds))
    for order in orders:
        total = np.zeros(len(p))
        for count, member in enumerate(order, 1):
            total += q[member]
            terms = p * np.log(p / np.maximum(total / count, SMALLEST))
            found[count - 1] += np.bincount(clip, terms, len(labels))
    return found / len(orders)


def _orders(members: int) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(SEED)
    shifts = np.arange(0, members, -(-members // ORDERS))
    drawn = [rng.permutation(members) for _ in range(-(-ORDERS // len(shifts)))]
    return [np.roll(order, shift) for order in drawn for shift in shifts]


def fit_law(curve: NDArray[np.float64]) -> PowerLaw | None:
    """The power law through a curve, by least squares.

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
    """(curves, 3) float64: a, b and c of the best law of each of the (curves, members) curves.

    For a given c the best a and b are those of a straight line; c is searched in `DECAYS`.
    """
    counts = np.arange(1, curves.shape[1] + 1, dtype=np.float64)
    means = curves.mean(axis=1)
    best = np.full(len(curves), np.inf)
    found = np.zeros((len(curves), 3))
    for c in DECAYS:
        x = counts**-c
        away = x - x.mean()
        b = np.maximum(curves @ away / (away @ away), 0)
        a = means - b * x.mean()
        b, a = np.where(a < 0, curves @ x / (x @ x), b), np.maximum(a, 0)
        errors = ((curves - a[:, None] - b[:, None] * x) ** 2).sum(axis=1)
        better = errors < best
        best[better] = errors[better]
        found[better] = np.stack([a, b, np.full_like(a, c)], axis=1)[better]
    return found
