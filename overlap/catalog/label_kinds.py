"""Checks labels: whether rows are distributions, or equal shares of a fixed number of words."""

import re

import numpy as np
from numpy.typing import NDArray

from overlap.catalog.problems import Problems, printable

ROW_SUM_TOLERANCE = 1e-3
"""Largest deviation from 1 of the sum of a row of labels."""
ROUNDED = 0.05
"""Largest deviation from 1 that rounding of the shares explains."""
TOLERANCE = 1e-3
"""Largest deviation of a share from 1/k; label tables are written with few digits."""


def equal_shares(labels: NDArray[np.float64]) -> int | None:
    """Return the number k of words per clip if every label consists of k equal shares, else None.

    Args:
        labels: (clips, words); each row a distribution.

    Examples:
        >>> equal_shares(np.array([[0.5, 0.5, 0], [0, 0.5, 0.5]]))
        2
        >>> equal_shares(np.array([[0.5, 0.5, 0], [0, 0, 1.0]])) is None
        True
    """
    positive = labels > TOLERANCE
    counts = np.unique(positive.sum(axis=1))
    if len(counts) != 1 or counts[0] < 1:
        return None
    k = int(counts[0])
    return k if np.abs(labels - positive / k).max() < TOLERANCE else None


def check_distributions(
    name: str,
    ids: NDArray[np.object_],
    values: NDArray[np.float64],
    problems: Problems,
    unreadable: str = "",
) -> None:
    """Report rows that are not distributions.

    Args:
        name: Name of the table, for messages.
        ids: (rows,) the id of each row.
        values: (rows, words) float64.
        problems: Receives the faults of the rows.
        unreadable: The first cell that is not a number, as written; empty if unknown.
    """
    finite = np.isfinite(values).all(axis=1)
    negative = finite & (values < 0).any(axis=1)
    with np.errstate(over="ignore", invalid="ignore"):  # sums of 1e308; infinities of both signs
        sums = values.sum(axis=1)
        off = finite & ~negative & (np.abs(sums - 1) > ROW_SUM_TOLERANCE)
    problems.add_cases(
        f"{name} has rows with a cell that is not a number{_number_hint(unreadable)}",
        ids[~finite],
        code="not-a-number",
    )
    problems.add_cases(f"{name} has rows with a negative cell", ids[negative], code="negative")
    if not off.any():
        return
    rounded = bool((np.abs(sums[off] - 1) < ROUNDED).all())
    hint = "; write shares with at least four digits, or divide each row by its sum"
    problems.add_cases(
        f"{name} has rows that do not sum to 1 within {ROW_SUM_TOLERANCE:g}{hint * rounded}",
        (
            f"{printable(str(clip), 300)} (sum {total:.6g})"
            for clip, total in zip(ids[off], sums[off], strict=True)
        ),
        code="row-sum",
    )


def _number_hint(cell: str) -> str:
    if not cell.strip():
        return ""
    shown = printable(cell.strip(), 40)
    if re.fullmatch(r"\s*-?\d*,\d+\s*", cell):
        return f" (such as {shown}; write {shown.replace(',', '.')}, with a decimal point)"
    if cell.strip().endswith("%"):
        return f" (such as {shown}; write fractions of 1 instead of percentages)"
    return f" (such as {shown})"
