"""The ways to make many members' predictions one, and how each is fitted to held-out clips."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from overlap.metrics.divergence import SMALLEST, kl

Way = Literal["mean", "temperature", "power", "greedy"]
WAYS: tuple[Way, ...] = ("mean", "temperature", "power", "greedy")
"""From the simplest to the least simple: nothing fitted, one number, one number that treats
members of unlike confidence differently, a weight per member."""

LOG_TEMPERATURES = (-1.6, 1.6)
"""Bounds of the logarithm of the fitted temperature: from 0.2 to 5."""
EXPONENTS = (-2.0, 4.0)
"""Bounds of the fitted exponent."""
GEOMETRIC = 1e-6
"""Below this distance from 0 an exponent is 0: the formula would lose all its digits."""
GREEDY_STEPS = (40, 200)
"""Least and most picks of the greedy selection; between them four per member."""


def pool_mean(predictions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Arithmetic mean of the members' probabilities.

    Args:
        predictions: (members, clips, words).

    Returns:
        (clips, words) float64. The members' order changes no bit: they are sorted first.
    """
    mean: NDArray[np.float64] = np.sort(predictions.astype(np.float64), axis=0).mean(axis=0)
    return mean


@dataclass(frozen=True)
class Pool:
    """A way to pool with its fitted values: all that is needed to apply it to new clips.

    Each clip is pooled by itself, so blocks of clips give the same bits as all clips at once.

    Examples:
        >>> Pool()(np.array([[[0.5, 0.5]], [[0.25, 0.75]]])).tolist()
        [[0.375, 0.625]]
    """

    kind: Way = "mean"
    weights: tuple[float, ...] = ()
    """greedy: a weight per member, in the members' order; they sum to 1."""
    exponent: float = 1.0
    """power: 1 is the arithmetic mean, 0 the geometric, -1 the harmonic."""
    temperature: float = 1.0
    """temperature: of the mean; above 1 it is made flatter, below 1 sharper."""

    def __call__(self, predictions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pool predictions.

        Args:
            predictions: (members, clips, words); each row a distribution.

        Returns:
            (clips, words) float64; each row a distribution. Without weights the order of the
            members changes no bit; with them a member must keep its place.

        Raises:
            ValueError: there is a weight too many or too few.
        """
        if self.kind == "greedy":
            return _weighted(predictions, np.array(self.weights))
        if self.kind == "power" and self.exponent != 1:
            return _power_mean(_logs(np.sort(predictions, axis=0)), self.exponent)
        mean = pool_mean(predictions)
        if self.kind == "temperature" and self.temperature != 1:
            return _tempered(_logs(mean), self.temperature)
        return mean

    def of(self, members: Sequence[int]) -> "Pool":
        """For some of the members alone.

        Examples:
            >>> Pool("greedy", weights=(0.5, 0.3, 0.2)).of([0, 2]).weights
            (0.7142857142857143, 0.28571428571428575)
        """
        if not self.weights:
            return self
        weights = np.array(self.weights)[[*members]]
        return replace(self, weights=tuple((weights / weights.sum()).tolist()))

    def __str__(self) -> str:
        match self.kind:
            case "greedy":
                used = sum(weight > 0 for weight in self.weights)
                return f"greedy ({used} of {len(self.weights)} members)"
            case "power":
                return f"power (exponent {self.exponent:.3f})"
            case "temperature":
                return f"temperature ({self.temperature:.3f})"
            case "mean":
                return "mean"


def _logs(predictions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms; raised to the scorer's smallest first, so that no zero of one member vetoes."""
    logs: NDArray[np.float64] = np.log(np.maximum(predictions.astype(np.float64), SMALLEST))
    return logs


def _normalised(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    normalised: NDArray[np.float64] = rows / rows.sum(axis=-1, keepdims=True)
    return normalised


def _tempered(logs: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Rows of q^(1/T), normalised, of the logarithms of q."""
    return _normalised(np.exp((logs - logs.max(axis=-1, keepdims=True)) / temperature))


def _power_mean(logs: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Rows of (mean over members of q^r)^(1/r), normalised, of the logarithms of q."""
    if abs(exponent) < GEOMETRIC:
        return _normalised(np.exp(logs.mean(axis=0)))
    means = np.log(np.exp(exponent * logs).mean(axis=0))
    return _normalised(np.exp(means / exponent))


def _weighted(
    predictions: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    if len(weights) != len(predictions):
        raise ValueError(f"a pool of {len(weights)} weights was given {len(predictions)} members")
    used = weights > 0
    parts = weights[used, None, None] * predictions[used].astype(np.float64)
    total: NDArray[np.float64] = np.sort(parts, axis=0).sum(axis=0)
    return total


def fit_temperature(predictions: NDArray[np.float64], labels: NDArray[np.float64]) -> Pool:
    """The temperature of the mean with the lowest KL.

    Args:
        predictions: (members, clips, words) on clips that the members have not learned from.
        labels: (clips, words); each row a distribution.
    """
    logs = _logs(pool_mean(predictions))
    best = _lowest(lambda log_t: kl(labels, _tempered(logs, np.exp(log_t))), LOG_TEMPERATURES)
    return Pool("temperature", temperature=float(np.exp(best)))


def fit_power(predictions: NDArray[np.float64], labels: NDArray[np.float64]) -> Pool:
    """The exponent of the power mean with the lowest KL; arguments as of `fit_temperature`."""
    if len(predictions) < 2:  # every exponent gives the member itself
        return Pool("power")
    logs = _logs(np.sort(predictions, axis=0))
    best = _lowest(lambda exponent: kl(labels, _power_mean(logs, exponent)), EXPONENTS)
    return Pool("power", exponent=best)


def _lowest(function: Callable[[float], float], bounds: tuple[float, float]) -> float:
    from scipy.optimize import minimize_scalar  # slow to import; only pooling needs it

    found = minimize_scalar(function, bounds=bounds, method="bounded",
                            options={"xatol": 1e-4})  # fmt: skip
    return float(found.x)


def fit_greedy(predictions: NDArray[np.float64], labels: NDArray[np.float64]) -> Pool:
    """Weights by greedy selection with replacement; arguments as of `fit_temperature`.

    The member is picked whose addition to the mean of those picked so far gives the lowest KL,
    again and again; a member may be picked many times, or never. Of all lengths of that list
    the best one is kept. (Caruana et al. 2004, Ensemble selection from libraries of models.)
    """
    positive = labels > 0  # the others do not count
    p = labels[positive]
    q = predictions[:, positive].astype(np.float64)
    least, most = GREEDY_STEPS
    total, picks, scores = np.zeros(len(p)), [], []
    for step in range(1, min(most, max(least, 4 * len(q))) + 1):
        # Lowest KL is highest cross term: the labels' own entropy is the same for all.
        terms = [float(p @ np.log(np.maximum((total + one) / step, SMALLEST))) for one in q]
        picks.append(int(np.argmax(terms)))
        scores.append(max(terms))
        total += q[picks[-1]]
    kept = picks[: int(np.argmax(scores)) + 1]
    counts = np.bincount(kept, minlength=len(q))
    return Pool("greedy", weights=tuple((counts / len(kept)).tolist()))


Fit = Callable[[NDArray[np.float64], NDArray[np.float64]], Pool]
FITS: Mapping[Way, Fit] = MappingProxyType(
    {
        "mean": lambda _predictions, _labels: Pool(),
        "temperature": fit_temperature,
        "power": fit_power,
        "greedy": fit_greedy,
    }
)
"""What fits each way to (members, clips, words) predictions and (clips, words) labels."""
