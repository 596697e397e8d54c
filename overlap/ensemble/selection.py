"""Selects the pooling method: fitted on some held-out clips, scored on others."""

from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import balanced_parts
from overlap.config import Pooling
from overlap.ensemble.held_out import HeldOutPredictions
from overlap.ensemble.pooling import FIT_FUNCTIONS, POOLING_METHODS, Pool, PoolingMethod
from overlap.ensemble.record_parts import MethodScore, PoolChoice
from overlap.metrics.bootstrap import SEED, interval, resampled_means, resampling_units
from overlap.metrics.divergence import kl_per_clip

PARTS = 5
"""Parts for cross-validation: a pool is scored on each part after a fit to the others."""
NEGLIGIBLE = 1e-4
"""A smaller difference of the KL does not count, even if it is significant, nats."""


@dataclass(frozen=True, eq=False)
class SelectedPool:
    """The pool of an ensemble and its score."""

    pool: Pool
    """Fitted to all held-out clips."""
    choice: PoolChoice
    kl: float | None = None
    """KL on held-out clips, nats, cross-validated if the pool is fitted; None without them."""
    held_out: NDArray[np.float64] | None = None
    """(clips, words) float64: the predictions that `kl` scores."""


def select_pool(
    setting: Pooling, held_out: HeldOutPredictions | None, members: int
) -> SelectedPool:
    """Select and fit the configured pool.

    `auto` selects the simplest method that is not significantly worse than the best one: the
    interval of its paired difference to the best method extends down to `NEGLIGIBLE`.

    With folds a weight belongs to a round and is divided evenly among its members, because every
    held-out clip has the prediction of only one of them. Members beyond the last complete round
    have weight 0.

    Args:
        setting: A method, or auto.
        held_out: Predictions on held-out clips; None if nothing is held out.
        members: Number of members of the ensemble.

    Raises:
        ValueError: The method needs a fit, but nothing is held out.
    """
    if held_out is None or not len(held_out.rounds):
        if setting not in ("mean", "auto"):
            raise ValueError(f"pool {setting} is fitted to held-out clips, but there are none")
        reason = "mean: set in the configuration"
        if setting == "auto":
            reason = "mean: auto has no held-out clips to compare the methods on"
        return SelectedPool(Pool(), PoolChoice(reason))
    parts = split_into_parts(held_out.groups)
    compare_all = setting == "auto" and parts is not None
    methods = [m for m in POOLING_METHODS if compare_all or m in (setting, "mean")]
    predictions = {method: cross_fit(method, held_out, parts) for method in methods}
    scores = _score_methods(predictions, held_out)
    method, reason = _choose(setting, scores)
    if parts is None:
        reason += "; a single held-out clip allows no cross-validation"
    elif len(methods) > 1 and len(np.unique(held_out.groups)) == 1:
        reason += "; all held-out clips are in one group, so cross-validation splits single clips"
    pool = FIT_FUNCTIONS[method](held_out.rounds, held_out.labels)
    if pool.weights:
        pool = replace(pool, weights=_member_weights(pool.weights, held_out.members, members))
    kl = next(score.kl for score in scores if score.way == method)
    return SelectedPool(pool, PoolChoice(reason, scores), kl, predictions[method])


def split_into_parts(groups: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Assign clips to the parts of the cross-validation, with groups kept together.

    Groups go, in a seeded order, to the part with the fewest clips so far. If there is only one
    group, its clips are assigned one by one.

    Args:
        groups: (clips,) index of each clip's group.

    Returns:
        (clips,) part of each clip; None for fewer than two clips.
    """
    if len(groups) < 2:
        return None
    index = resampling_units(groups, 2)
    sizes = np.bincount(index)
    order = np.random.default_rng(SEED).permutation(len(sizes))
    return balanced_parts(sizes, order, min(PARTS, len(sizes)))[index]


def cross_fit(
    method: PoolingMethod, held_out: HeldOutPredictions, parts: NDArray[np.int64] | None
) -> NDArray[np.float64]:
    """Pool each part with a fit to the other parts.

    Args:
        method: The pooling method.
        held_out: Predictions of the rounds.
        parts: (clips,) part of each clip; None: fit and apply to the same clips.

    Returns:
        (clips, words) float64 probabilities.
    """
    if method == "mean" or parts is None:
        return FIT_FUNCTIONS[method](held_out.rounds, held_out.labels)(held_out.rounds)
    pooled = np.empty_like(held_out.labels)
    for part in np.unique(parts):
        inside = parts == part
        pool = FIT_FUNCTIONS[method](held_out.rounds[:, ~inside], held_out.labels[~inside])
        pooled[inside] = pool(held_out.rounds[:, inside])
    return pooled


def _score_methods(
    predictions: dict[PoolingMethod, NDArray[np.float64]], held_out: HeldOutPredictions
) -> tuple[MethodScore, ...]:
    kls = np.stack([kl_per_clip(held_out.labels, values) for values in predictions.values()])
    means = kls.mean(axis=1)
    behind = kls - kls[np.argmin(means)]
    resampled = resampled_means(behind, held_out.groups)
    return tuple(
        MethodScore(
            method, float(means[row]), float(behind[row].mean()), *interval(resampled[:, row])
        )
        for row, method in enumerate(predictions)
    )


def _choose(setting: Pooling, scores: tuple[MethodScore, ...]) -> tuple[PoolingMethod, str]:
    if setting != "auto":
        return setting, f"{setting}: set in the configuration"
    best = min(scores, key=attrgetter("kl"))
    chosen = next(score for score in scores if score.low <= NEGLIGIBLE)
    if chosen is best and chosen.way == "mean":
        return "mean", "mean: no other method scores better in cross-validation"
    if chosen is best:
        return chosen.way, f"{chosen.way}: no simpler method scores as well in cross-validation"
    return chosen.way, (
        f"{chosen.way}: the simplest method that is not significantly worse than the best, "
        f"{best.way}, in cross-validation"
    )


def _member_weights(
    weights: tuple[float, ...], rounds: NDArray[np.int64], members: int
) -> tuple[float, ...]:
    """Divide the weight of each round among its members, given as (rounds, folds) indices."""
    divided = np.zeros(members)
    divided[rounds] = np.array(weights)[:, None] / rounds.shape[1]
    return tuple(divided.tolist())
