"""Multi-hot labels: a cell is 1 where the clip contains the word, and 0 elsewhere."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overlap.catalog.label_kinds import DIVIDE, check_distributions
from overlap.catalog.problems import Problems
from overlap.columns.temporary_files import zeros
from overlap.columns.texts import texts_where
from overlap.config.features import LabelTableFormat


def is_multi_hot(values: NDArray[np.float64]) -> bool:
    """Return whether every cell is 0 or 1 and at least one row has several words.

    If no row has several words, the rows are distributions with the same values.

    Args:
        values: (rows, words) float64.

    Examples:
        >>> is_multi_hot(np.array([[1.0, 1.0], [0.0, 1.0]]))
        True
        >>> is_multi_hot(np.array([[0.0, 1.0]])), is_multi_hot(np.array([[0.5, 1.0]]))
        (False, False)
    """
    return bool(((values == 0) | (values == 1)).all() and (values.sum(axis=1) > 1).any())


def shares_of_rows(
    name: str,
    ids: Sequence[str],
    values: NDArray[np.float64],
    problems: Problems,
    label_format: LabelTableFormat,
    unreadable: str = "",
    remedy: str = DIVIDE,
) -> NDArray[np.float64]:
    """Return the rows of a table as distributions, and report the rows that cannot be read so.

    Args:
        name: Name of the table, for messages.
        ids: (rows,) the id of each row.
        values: (rows, words) float64.
        problems: Receives the faults of the rows, and the number of multi-hot rows.
        label_format: `auto` reads the rows as multi-hot if `is_multi_hot`.
        unreadable: The first cell that is not a number, as written; empty if unknown.
        remedy: What the message advises about rows that do not sum to 1.

    Returns:
        (rows, words) float64; a multi-hot row is divided by the number of its words.
    """
    forced = label_format == "multi-hot"
    if forced:
        other = np.isfinite(values) & (values != 0) & (values != 1)
        problems.add_cases(
            f"{name} is not multi-hot: rows have cells other than 0 and 1; correct them, or set "
            "checks.label_format=distribution",
            texts_where(ids, other.any(axis=1)),
            code="not-multi-hot",
        )
        if other.any():
            return values
    if (forced or label_format == "auto") and is_multi_hot(values):
        words = values.sum(axis=1)
        several = texts_where(ids, words > 1)
        reason = "checks.label_format" if forced else "every cell is 0 or 1"
        problems.add(
            f"{name} is read as multi-hot rows ({reason}); rows with several words were divided by "
            "their number",
            several,
            code="multi-hot",
            fatal=False,
        )
        values = np.divide(values, np.maximum(words, 1)[:, None], out=zeros(values.shape))
    check_distributions(name, ids, values, problems, unreadable, remedy=remedy)
    return values
