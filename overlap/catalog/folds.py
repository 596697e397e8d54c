"""Groups of the training clips, and their partition into training and held-out rows."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.catalog.catalog import Catalog
from overlap.catalog.id_matching import id_hint, match_ids
from overlap.catalog.listing import GROUPS, Listing
from overlap.catalog.problems import Problems
from overlap.columns.frames import text_series
from overlap.columns.search import distinct, repeated
from overlap.columns.texts import TextColumn, constant, text_array, texts_at
from overlap.config import ValidationConfig
from overlap.errors import DataError
from overlap.io.formatting import counted

MISSING_VALUES = frozenset({"nan", "NaN", "None", "none", "null", "NULL", "<NA>", "N/A", "#N/A"})
"""Texts that programs write for a missing value."""


@dataclass(frozen=True, eq=False)
class Partition:
    """The training clips of one member, as rows of the catalogue."""

    train: NDArray[np.int64]
    """Rows that the member is trained on, ascending."""
    held_out: NDArray[np.int64]
    """Rows that the member is scored on, ascending; empty without a hold-out."""
    reserved: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Rows of the reserved fold, ascending: in neither of the others; empty without one."""


def partition(
    catalog: Catalog, validation: ValidationConfig, fold: int, reserved: int | None = None
) -> Partition:
    """Partition the training clips for the members of one fold.

    Clips of one group (speakers that share clips) are never on both sides. The choice depends on
    the set of ids and groups, not on their order. A hold-out changes little when clips are added;
    folds are balanced by size, so existing clips may move to another fold.

    Args:
        catalog: The clips.
        validation: A hold-out fraction, a number of folds, or neither.
        fold: Index of the fold; 0 for a single hold-out.
        reserved: Index of another fold, which the members neither train on nor are scored on.

    Raises:
        DataError: there are too few groups to hold one out (`too-few-groups`).
    """
    rows = catalog.rows("train")
    if not validation.folds and not validation.holdout:
        return Partition(rows, rows[:0], rows[:0])
    unit = "group" if are_grouped(catalog) else "clip_id"
    names, index = distinct(texts_at(catalog.clips[unit], rows))
    sizes = np.bincount(index)
    wanted = validation.folds or 2
    if len(names) < wanted:
        raise DataError(
            f"{counted(len(names), 'group')} of training clips cannot be divided into {wanted} "
            "parts; set validation.holdout to 0, or define more groups in groups.csv",
            code="too-few-groups",
            groups=len(names),
            parts=wanted,
        )
    draws = np.fromiter(
        (_draw(validation.seed, name) for name in TextColumn(names)), np.uint64, len(names)
    )
    order = np.argsort(draws, kind="stable")
    kept_back = np.zeros(len(names), np.bool_)
    if validation.folds:
        part_of = balanced_parts(sizes, order, validation.folds)
        chosen = part_of == fold
        if reserved is not None:
            kept_back = part_of == reserved
    else:
        chosen = _holdout(sizes, order, validation.holdout)
    held_out, apart = chosen[index], kept_back[index]
    return Partition(rows[~(held_out | apart)], rows[held_out], rows[apart])


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


def groups_of(clips: pd.DataFrame, listing: Listing, problems: Problems) -> pd.Series:
    """Return the group of each training clip; empty for other clips and without a table.

    Args:
        clips: clip_id and split of each clip.
        listing: The listing, with the table of groups.
        problems: Receives the faults of the table.
    """
    if listing.groups is None:
        return text_series(constant("", len(clips)))
    ids = listing.groups["id"]
    problems.add_cases(
        f"{GROUPS} has duplicate ids", ids[repeated(ids)].unique(), code="duplicate-ids"
    )
    train = np.flatnonzero(clips["split"] == "train")
    index = match_ids(clips["clip_id"].iloc[train], ids)
    known = index >= 0
    unused = ids[~known]
    problems.add_cases(
        f"{GROUPS} has ids that no training clip has; these rows are not used"
        f"{id_hint(unused, clips['clip_id'].iloc[train] if len(unused) else ())}",
        unused,
        code="unused-rows",
        fatal=False,
    )
    row = np.full(len(clips), len(ids), np.int64)  # of the group; the last is none
    row[train[index[known]]] = np.flatnonzero(known)
    groups = text_series(texts_at(text_array([listing.groups["group"], [""]]), row))
    without = train[(groups.iloc[train] == "").to_numpy(np.bool_)]
    problems.add_cases(
        f"{GROUPS} assigns no group to training clips; an empty cell is not a group: write a name "
        "for each clip, a different one for clips that share nothing",
        clips["clip_id"].iloc[without],
        code="clips-without-group",
    )
    _report_suspicious_groups(groups, problems)
    return groups


def _report_suspicious_groups(groups: pd.Series, problems: Problems) -> None:
    """Warn of groups that may be one, and of texts that programs write for a missing value."""
    names = sorted({*groups.unique()} - {""})
    folded = Counter(name.casefold() for name in names)
    problems.add_cases(
        f"{GROUPS} has groups that differ only in upper and lower case; they are different groups",
        [name for name in names if folded[name.casefold()] > 1],
        code="groups-differ-in-case",
        fatal=False,
    )
    problems.add_cases(
        f"{GROUPS} has groups that look like missing values; all clips of such a group are held "
        "out together",
        [name for name in names if name in MISSING_VALUES],
        code="groups-like-missing-values",
        fatal=False,
    )
