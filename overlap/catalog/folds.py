"""Partition of the training clips into training rows and held-out rows of a member."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.catalog.catalog import Catalog
from overlap.config import ValidationConfig
from overlap.errors import DataError


@dataclass(frozen=True, eq=False)
class Partition:
    """The training clips of one member, as rows of the catalogue."""

    train: NDArray[np.int64]
    """Rows that the member is trained on, ascending."""
    held_out: NDArray[np.int64]
    """Rows that the member is scored on, ascending; empty without a hold-out."""


def partition(catalog: Catalog, validation: ValidationConfig, fold: int) -> Partition:
    """Partition the training clips for the members of one fold.

    Clips of one group (speakers that share clips) are never on both sides. The choice depends on
    the set of ids and groups, not on their order. A hold-out changes little when clips are added;
    folds are balanced by size, so existing clips may move to another fold.

    Args:
        catalog: The clips.
        validation: A hold-out fraction, a number of folds, or neither.
        fold: Index of the fold; 0 for a single hold-out.

    Raises:
        DataError: there are too few groups to hold one out (`too-few-groups`).
    """
    rows = catalog.rows("train")
    if not validation.folds and not validation.holdout:
        return Partition(rows, rows[:0])
    part = catalog.clips.iloc[rows]
    names, index = np.unique(
        part["group" if are_grouped(catalog) else "clip_id"].to_numpy(np.str_), return_inverse=True
    )
    sizes = np.bincount(index)
    wanted = validation.folds or 2
    if len(names) < wanted:
        raise DataError(
            f"{len(names)} group(s) of training clips cannot be divided into {wanted} parts; "
            "set validation.holdout to 0, or define more groups in groups.csv",
            code="too-few-groups",
            groups=len(names),
            parts=wanted,
        )
    draws = np.array([_draw(validation.seed, str(name)) for name in names], np.uint64)
    order = np.argsort(draws, kind="stable")
    if validation.folds:
        chosen = balanced_parts(sizes, order, validation.folds) == fold
    else:
        chosen = _holdout(sizes, order, validation.holdout)
    held_out = chosen[index]
    return Partition(rows[~held_out], rows[held_out])


def _draw(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest())


def _holdout(
    sizes: NDArray[np.int64], order: NDArray[np.int64], fraction: float
) -> NDArray[np.bool_]:
    """Hold out whole groups, in a drawn order, until the fraction of the clips is reached."""
    before = np.cumsum(sizes[order]) - sizes[order]
    take = before < fraction * sizes.sum()
    take[-1] = False  # at least one group remains for training
    chosen = np.zeros(len(sizes), np.bool_)
    chosen[order[take]] = True
    return chosen


def are_grouped(catalog: Catalog) -> bool:
    """Return whether every training clip has a group; only then groups have an effect."""
    return bool((catalog.clips["group"].iloc[catalog.rows("train")] != "").all())


def balanced_parts(
    sizes: NDArray[np.int64], order: NDArray[np.int64], parts: int
) -> NDArray[np.int64]:
    """Assign each group, in the given order, to the part with the fewest clips so far.

    Args:
        sizes: (groups,) number of clips of each group.
        order: Indexes of the groups in the order of assignment.
        parts: Number of parts.

    Returns:
        (groups,) int64: the part of each group.
    """
    filled = np.zeros(parts, np.int64)
    part_of = np.empty(len(sizes), np.int64)
    for group in order:
        part_of[group] = np.argmin(filled)
        filled[part_of[group]] += sizes[group]
    return part_of
