"""Which training clips a member learns from, and which it is scored on."""

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
    """Rows it learns from, ascending."""
    held_out: NDArray[np.int64]
    """Rows it never sees, ascending; empty where nothing is held out."""


def partition(catalog: Catalog, validation: ValidationConfig, fold: int) -> Partition:
    """Divide the training clips for the members of one fold.

    Clips of one group (speakers that share clips) never stand on both sides. The choice
    depends on the set of ids and groups, not on their order. A hold-out moves little when clips
    are added; folds are balanced by size, so that there old clips may change sides.

    Args:
        catalog: The clips.
        validation: A hold-out fraction, folds, or neither.
        fold: Index of the fold; 0 where there is a single hold-out.

    Raises:
        DataError: there are too few groups to hold one out.
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
            "set validation.holdout to 0, or give groups.csv more groups"
        )
    draws = np.array([_draw(validation.seed, str(name)) for name in names], np.uint64)
    order = np.argsort(draws, kind="stable")
    if validation.folds:
        chosen = balanced(sizes, order, validation.folds) == fold
    else:
        chosen = _holdout(sizes, order, validation.holdout)
    held_out = chosen[index]
    return Partition(rows[~held_out], rows[held_out])


def _draw(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest())


def _holdout(
    sizes: NDArray[np.int64], order: NDArray[np.int64], fraction: float
) -> NDArray[np.bool_]:
    """Whole groups, in a drawn order, until at least the fraction of the clips is held out."""
    before = np.cumsum(sizes[order]) - sizes[order]
    take = before < fraction * sizes.sum()
    take[-1] = False  # something must remain to learn from
    chosen = np.zeros(len(sizes), np.bool_)
    chosen[order[take]] = True
    return chosen


def are_grouped(catalog: Catalog) -> bool:
    """Whether groups count: they do where every training clip has one."""
    return bool((catalog.clips["group"].iloc[catalog.rows("train")] != "").all())


def balanced(sizes: NDArray[np.int64], order: NDArray[np.int64], parts: int) -> NDArray[np.int64]:
    """Each group, in a drawn order, to the part with the fewest clips so far.

    Args:
        sizes: (groups,) clips of each group.
        order: The groups in the order in which they are placed.
        parts: How many parts there are.

    Returns:
        (groups,) the part of each group.
    """
    filled = np.zeros(parts, np.int64)
    part_of = np.empty(len(sizes), np.int64)
    for group in order:
        part_of[group] = np.argmin(filled)
        filled[part_of[group]] += sizes[group]
    return part_of
