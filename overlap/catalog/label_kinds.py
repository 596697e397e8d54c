"""Checks labels: whether rows are distributions, or equal shares of a fixed number of words."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overlap.catalog.problems import Problems, printable
from overlap.columns.temporary_files import zeros
from overlap.columns.texts import texts_where

ROW_SUM_TOLERANCE = 1e-3
"""Largest deviation from 1 of the sum of a row of labels."""
ROW_SUM = "row-sum"
"""Code of rows that do not sum to 1."""
ROUNDED = 0.05
"""Largest deviation from 1 that rounding of the shares explains."""
DIVIDE = "divide each row by its sum"
"""Remedy for rows that do not sum to 1."""
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
    ids: Sequence[str],
    values: NDArray[np.float64],
    problems: Problems,
    unreadable: str = "",
    remedy: str = DIVIDE,
) -> None:
    """Report rows that are not distributions.

    Args:
        name: Name of the table, for messages.
        ids: (rows,) the id of each row.
        values: (rows, words) float64.
        problems: Receives the faults of the rows.
        unreadable: The first cell that is not a number, as written; empty if unknown.
        remedy: What the message advises about rows that do not sum to 1.
    """
    finite = np.asarray(np.isfinite(values).all(axis=1))
    negative = finite & np.asarray((values < 0).any(axis=1))
    sums, off = _off(values)
    problems.add_cases(
        f"{name} has rows with a cell that is not a number{_number_hint(unreadable)}",
        texts_where(ids, ~finite),
        code="not-a-number",
    )
    problems.add_cases(
        f"{name} has rows with a negative cell", texts_where(ids, negative), code="negative"
    )
    if not off.any():
        return
    rounded = bool((np.abs(sums[off] - 1) < ROUNDED).all())
    hint = "; write shares with at least four digits, or " if rounded else "; "
    advised = (rounded or remedy != DIVIDE) and bool((sums[off] > 0).any())
    problems.add_cases(
        f"{name} has rows that do not sum to 1 within {ROW_SUM_TOLERANCE:g}"
        + (hint + remedy) * advised,
        (
            f"{printable(clip, 300)} (sum {total:.6g})"
            for clip, total in zip(texts_where(ids, off), sums[off], strict=True)
        ),
        code=ROW_SUM,
    )


def normalise_distributions(
    name: str, ids: Sequence[str], values: NDArray[np.float64], problems: Problems
) -> NDArray[np.float64]:
    """Divide the rows that do not sum to 1 by their sums, and report them instead of their fault.

    Args:
        name: Name of the table, for messages.
        ids: (rows,) the id of each row.
        values: (rows, words) float64, which `check_distributions` has checked.
        problems: The problems of the table, in which those of the sums are replaced.

    Returns:
        (rows, words) float64. Rows whose sum is 0 or infinite stay as they are, and stay reported.
    """
    sums, off = _off(values)
    divided = off & (sums > 0) & np.isfinite(sums)
    if not divided.any():
        return values
    found = zeros(values.shape)
    np.divide(values, np.where(divided, sums, 1)[:, None], out=found)
    problems.found[:] = [problem for problem in problems.found if problem.code != ROW_SUM]
    rest = off & ~divided
    problems.add_cases(
        f"{name} has rows whose sum is 0 or infinite", texts_where(ids, rest), code=ROW_SUM
    )
    problems.add_cases(
        f"{name} has rows that did not sum to 1 and were divided by their sum "
        "(checks.normalise_labels)",
        (
            f"{printable(clip, 300)} (sum {total:.6g})"
            for clip, total in zip(texts_where(ids, divided), sums[divided], strict=True)
        ),
        code="rows-normalised",
        fatal=False,
    )
    return found


def _off(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the sum of each row, and whether it is a valid row that does not sum to 1."""
    valid = np.isfinite(values).all(axis=1) & ~(values < 0).any(axis=1)
    with np.errstate(over="ignore", invalid="ignore"):  # sums of 1e308; infinities of both signs
        sums = values.sum(axis=1)
        return sums, valid & (np.abs(sums - 1) > ROW_SUM_TOLERANCE)


def _number_hint(cell: str) -> str:
    if not cell.strip():
        return ""
    shown = printable(cell.strip(), 40)
    if re.fullmatch(r"\s*-?\d*,\d+\s*", cell):
        return f" (such as {shown}; write {shown.replace(',', '.')}, with a decimal point)"
    if cell.strip().endswith("%"):
        return f" (such as {shown}; write fractions of 1 instead of percentages)"
    return f" (such as {shown})"
