"""Methods of pooling the predictions of several members, and their fits to held-out clips."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from overlap.metrics.divergence import SMALLEST, kl

PoolingMethod = Literal["mean", "temperature", "power", "greedy"]
POOLING_METHODS: tuple[PoolingMethod, ...] = ("mean", "temperature", "power", "greedy")
"""From the simplest to the most complex: nothing is fitted; one parameter; one parameter that
weighs members by their confidence; one weight per member."""

LOG_TEMPERATURES = (-1.6, 1.6)
"""Bounds of the logarithm of the fitted temperature (0.2 to 5)."""
EXPONENTS = (-2.0, 4.0)
"""Bounds of the fitted exponent."""
GEOMETRIC = 1e-6
"""An exponent closer to 0 counts as 0, because the formula would lose all significant digits."""
GREEDY_STEPS = (40, 200)
"""Least and most picks of the greedy selection; in between, four per member."""


def pool_mean(predictions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Arithmetic mean of the members' probabilities.

    Args:
        predictions: (members, clips, words).

    Returns:
        (clips, words) float64, bitwise independent of the members' order (values are sorted
        before they are added).
    """
    mean: NDArray[np.float64] = np.sort(predictions.astype(np.float64), axis=0).mean(axis=0)
    return mean


@dataclass(frozen=True)
class Pool:
    """A pooling method with its fitted parameters; applicable to new clips.

    Each clip is pooled independently, so that pooling in blocks of clips gives bitwise the same
    result as pooling all clips at once.

    Examples:
        >>> Pool()(np.array([[[0.5, 0.5]], [[0.25, 0.75]]])).tolist()
        [[0.375, 0.625]]
    """

    kind: PoolingMethod = "mean"
    weights: tuple[float, ...] = ()
    """For greedy: one weight per member, in the members' order; they sum to 1."""
    exponent: float = 1.0
    """For power: 1 is the arithmetic mean, 0 the geometric mean, -1 the harmonic mean."""
    temperature: float = 1.0
    """For temperature: above 1 the mean becomes flatter, below 1 sharper."""

    def __call__(self, predictions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pool predictions.

        Args:
            predictions: (members, clips, words); each row a distribution.

        Returns:
            (clips, words) float64; each row a distribution. Without weights the result is bitwise
            independent of the members' order; weights follow the members' order.

        Raises:
            ValueError: The number of weights differs from the number of members.
        """
        if self.kind == "greedy":
            return _weighted(predictions, np.array(self.weights))
        if self.kind == "power" and self.exponent != 1:
            return _power_mean(_logs(np.sort(predictions, axis=0)), self.exponent)
        mean = pool_mean(predictions)
        if self.kind == "temperature" and self.temperature != 1:
            return _tempered(_logs(mean), self.temperature)
        return mean

    def restricted_to(self, members: Sequence[int]) -> "Pool":
        """Return the pool of some of the members; their weights are normalised.

        Args:
            members: Indices of the members.

        Examples:
            >>> Pool("greedy", weights=(0.5, 0.3, 0.2)).restricted_to([0, 2]).weights
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
    """Logarithms of probabilities clamped at the scorer's minimum, so that no zero is a veto."""
    logs: NDArray[np.float64] = np.log(np.maximum(predictions.astype(np.float64), SMALLEST))
    return logs


def _normalised(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    normalised: NDArray[np.float64] = rows / rows.sum(axis=-1, keepdims=True)
    return normalised


def _tempered(logs: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Normalised rows of q^(1/T), from the logarithms of q."""
    return _normalised(np.exp((logs - logs.max(axis=-1, keepdims=True)) / temperature))


def _power_mean(logs: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Normalised rows of (mean over members of q^r)^(1/r), from the logarithms of q."""
    if abs(exponent) < GEOMETRIC:
        return _normalised(np.exp(logs.mean(axis=0)))
    means = np.log(np.exp(exponent * logs).mean(axis=0))
    return _normalised(np.exp(means / exponent))


def _weighted(
    predictions: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    if len(weights) != len(predictions):
        raise ValueError(
            f"the pool has {len(weights)} weights, but there are {len(predictions)} members"
        )
    used = weights > 0
    parts = weights[used, None, None] * predictions[used].astype(np.float64)
    total: NDArray[np.float64] = np.sort(parts, axis=0).sum(axis=0)
    return total


def fit_temperature(predictions: NDArray[np.float64], labels: NDArray[np.float64]) -> Pool:
    """Fit the temperature of the mean to the lowest KL.

    Args:
        predictions: (members, clips, words) on clips that the members did not train on.
        labels: (clips, words); each row a distribution.
    """
    logs = _logs(pool_mean(predictions))
    best = _lowest(lambda log_t: kl(labels, _tempered(logs, np.exp(log_t))), LOG_TEMPERATURES)
    return Pool("temperature", temperature=float(np.exp(best)))


def fit_power(predictions: NDArray[np.float64], labels: NDArray[np.float64]) -> Pool:
    """Fit the exponent of the power mean to the lowest KL; see `fit_temperature`."""
    if len(predictions) < 2:  # every exponent returns the member itself
        return Pool("power")
    logs = _logs(np.sort(predictions, axis=0))
    best = _lowest(lambda exponent: kl(labels, _power_mean(logs, exponent)), EXPONENTS)
    return Pool("power", exponent=best)


def _lowest(function: Callable[[float], float], bounds: tuple[float, float]) -> float:
    from scipy.optimize import minimize_scalar  # slow to import; only pooling needs it

    result = minimize_scalar(function, bounds=bounds, method="bounded",
                             options={"xatol": 1e-4})  # fmt: skip
    return float(result.x)


def fit_greedy(predictions: NDArray[np.float64], labels: NDArray[np.float64]) -> Pool:
    """Fit weights by greedy selection with replacement; see `fit_temperature`.

    Each step picks the member whose addition to the mean of the members picked so far gives the
    lowest KL; a member may be picked several times or never. The best prefix of the list of picks
    gives the weights. (Caruana et al. 2004, Ensemble selection from libraries of models.)
    """
    positive = labels > 0  # the other terms are zero
    p = labels[positive]
    q = predictions[:, positive].astype(np.float64)
    least, most = GREEDY_STEPS
    total, picks, scores = np.zeros(len(p)), [], []
    for step in range(1, min(most, max(least, 4 * len(q))) + 1):
        # The lowest KL has the highest cross term, because the entropy of the labels is constant.
        terms = [float(p @ np.log(np.maximum((total + one) / step, SMALLEST))) for one in q]
        picks.append(int(np.argmax(terms)))
        scores.append(max(terms))
        total += q[picks[-1]]
    best = picks[: int(np.argmax(scores)) + 1]
    counts = np.bincount(best, minlength=len(q))
    return Pool("greedy", weights=tuple((counts / len(best)).tolist()))


FitFunction = Callable[[NDArray[np.float64], NDArray[np.float64]], Pool]
FIT_FUNCTIONS: Mapping[PoolingMethod, FitFunction] = MappingProxyType(
    {
        "mean": lambda _predictions, _labels: Pool(),
        "temperature": fit_temperature,
        "power": fit_power,
        "greedy": fit_greedy,
    }
)
"""Each method's fit to (members, clips, words) predictions and (clips, words) labels."""
