"""Which way to pool: fitted on some held-out clips, judged on others."""

from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import balanced_parts
from overlap.config import Pooling
from overlap.ensemble.held_out import HeldOut
from overlap.ensemble.pooling import FITS, WAYS, Pool, Way
from overlap.metrics.bootstrap import SEED, interval, resampled_means, resampling_units
from overlap.metrics.divergence import kl_per_clip

PARTS = 5
"""Parts of the held-out clips: a pool is judged on each after it was fitted on the others."""
SAME = 1e-4
"""Nats: a difference below this is none, however surely it is there."""


@dataclass(frozen=True)
class Judged:
    """A way to pool, as nested cross-validation sees it."""

    way: Way
    kl: float
    """KL on held-out clips that its values were not fitted on, nats."""
    behind: float
    """By how much that is above the best way's, nats."""
    low: float
    """Lower end of the 95 % interval of `behind`, over clips, the two ways paired."""
    high: float
    """Upper end."""


@dataclass(frozen=True)
class PoolChoice:
    """Why the ensemble is pooled as it is."""

    reason: str
    """One sentence for a person."""
    ways: tuple[Judged, ...] = ()
    """The ways considered, simplest first; empty where nothing is held out."""


@dataclass(frozen=True, eq=False)
class Selected:
    """The pool of an ensemble, and what it is worth."""

    pool: Pool
    """Fitted on all held-out clips; of the ensemble's members."""
    choice: PoolChoice
    kl: float | None = None
    """KL on held-out clips, by cross-validation where something was fitted."""
    held_out: NDArray[np.float64] | None = None
    """(clips, words) float64: the predictions that `kl` is of."""


def select_pool(setting: Pooling, held_out: HeldOut | None, members: int) -> Selected:
    """The pool that a setting asks for.

    `auto` takes the simplest way that cannot be told from the best: the way whose difference to
    the best one, clip by clip, has an interval that reaches down to `SAME`.

    With folds a weight belongs to a round, all members of which share it evenly: no held-out
    clip has seen more than one of them. Members beyond the last complete round get none.

    Args:
        setting: A way, or auto.
        held_out: Predictions on held-out clips; None where nothing is held out.
        members: How many the ensemble has.

    Raises:
        ValueError: a way that must be fitted, and nothing to fit it on.
    """
    if held_out is None or not len(held_out.rounds):
        if setting not in ("mean", "auto"):
            raise ValueError(f"pool {setting} is fitted on held-out clips, and there are none")
        reason = "mean: it was asked for"
        if setting == "auto":
            reason = "mean: auto has no held-out clips to compare the ways on"
        return Selected(Pool(), PoolChoice(reason))
    parts = divided(held_out.groups)
    compared = setting == "auto" and parts is not None
    wanted = [way for way in WAYS if compared or way in (setting, "mean")]
    predicted = {way: cross_fitted(way, held_out, parts) for way in wanted}
    ways = _judged(predicted, held_out)
    way, reason = _chosen(setting, ways)
    if parts is None:
        reason += "; with a single held-out clip nothing can be cross-validated"
    elif len(wanted) > 1 and len(np.unique(held_out.groups)) == 1:
        reason += "; the held-out clips are of one group, so they were divided one by one"
    pool = FITS[way](held_out.rounds, held_out.labels)
    if pool.weights:
        pool = replace(pool, weights=_member_weights(pool.weights, held_out.members, members))
    kl = next(judged.kl for judged in ways if judged.way == way)
    return Selected(pool, PoolChoice(reason, ways), kl, predicted[way])


def divided(groups: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """(clips,) part of each clip, groups kept together; None for a single clip.

    Groups go, in a seeded order, to the part with the fewest clips so far. Clips of one single
    group are divided one by one.
    """
    if len(groups) < 2:
        return None
    index = resampling_units(groups, 2)
    sizes = np.bincount(index)
    order = np.random.default_rng(SEED).permutation(len(sizes))
    return balanced_parts(sizes, order, min(PARTS, len(sizes)))[index]


def cross_fitted(
    way: Way, held_out: HeldOut, parts: NDArray[np.int64] | None
) -> NDArray[np.float64]:
    """(clips, words) float64: each part pooled by what was fitted on the other parts.

    Args:
        way: The way to pool.
        held_out: Predictions of the rounds.
        parts: (clips,) part of each clip; None: fitted and applied to the same clips.
    """
    if way == "mean" or parts is None:
        return FITS[way](held_out.rounds, held_out.labels)(held_out.rounds)
    pooled = np.empty_like(held_out.labels)
    for part in np.unique(parts):
        inside = parts == part
        pool = FITS[way](held_out.rounds[:, ~inside], held_out.labels[~inside])
        pooled[inside] = pool(held_out.rounds[:, inside])
    return pooled


def _judged(predicted: dict[Way, NDArray[np.float64]], held_out: HeldOut) -> tuple[Judged, ...]:
    clips = np.stack([kl_per_clip(held_out.labels, values) for values in predicted.values()])
    means = clips.mean(axis=1)
    behind = clips - clips[np.argmin(means)]
    drawn = resampled_means(behind, held_out.groups)
    return tuple(
        Judged(way, float(means[row]), float(behind[row].mean()), *interval(drawn[:, row]))
        for row, way in enumerate(predicted)
    )


def _chosen(setting: Pooling, ways: tuple[Judged, ...]) -> tuple[Way, str]:
    if setting != "auto":
        return setting, f"{setting}: it was asked for"
    best = min(ways, key=attrgetter("kl"))
    kept = next(judged for judged in ways if judged.low <= SAME)
    if kept is best and kept.way == "mean":
        return "mean", "mean: no other way scores better, by cross-validation"
    if kept is best:
        return kept.way, f"{kept.way}: no simpler way scores as well, by cross-validation"
    return kept.way, (
        f"{kept.way}: the simplest way that cannot be told from the best, {best.way}, "
        "by cross-validation"
    )


def _member_weights(
    weights: tuple[float, ...], rounds: NDArray[np.int64], members: int
) -> tuple[float, ...]:
    """A weight per member from a weight per round, by the (rounds, folds) members of each."""
    spread = np.zeros(members)
    spread[rounds] = np.array(weights)[:, None] / rounds.shape[1]
    return tuple(spread.tolist())
