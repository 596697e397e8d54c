"""Builds the table of predictions in the order of its template; checks and writes it."""

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.errors import CorruptError
from overlap.io.location import Location

SUM_TOLERANCE = 1e-6
"""Largest deviation of the sum of a row from 1."""


def submission_table(
    clips: pd.DataFrame,
    rows: NDArray[np.int64],
    predictions: NDArray[np.float64],
    words: tuple[str, ...],
) -> tuple[pd.DataFrame, list[str]]:
    """Arrange predictions in the order of the template.

    A clip with unusable audio has no prediction of its own; its row is the mean prediction.

    Args:
        clips: The listed clips in order, with `table_id`; the index is the catalogue's row.
        rows: (clips,) catalogue rows of the predictions.
        predictions: (clips, words) float64.
        words: Names of the columns.

    Returns:
        The table, and the ids of the clips whose row is the mean prediction.
    """
    index = pd.Series(np.arange(len(rows)), index=rows)
    position = index.reindex(clips.index).to_numpy(np.float64)
    usable = np.isfinite(position)
    values = np.empty((len(clips), len(words)))
    values[usable] = predictions[position[usable].astype(np.int64)]
    values[~usable] = predictions.mean(axis=0)
    values /= values.sum(axis=1, keepdims=True)
    table = pd.DataFrame(values, columns=[*words])
    table.insert(0, "id", clips["table_id"].to_numpy(object))
    return table, [*clips.loc[~usable, "table_id"]]


def write_table(table: pd.DataFrame, location: Location, extra: Sequence[str] = ()) -> None:
    """Check a table of predictions and write it as CSV; see `table_bytes`."""
    location.write_bytes(table_bytes(table, location, extra))


def table_bytes(table: pd.DataFrame, location: Location, extra: Sequence[str] = ()) -> bytes:
    """Check a table of predictions and return it as CSV.

    Args:
        table: The column `id` and one column per word.
        location: The CSV file, for the message.
        extra: Further columns, which are not words and may have empty cells.

    Raises:
        CorruptError: The rows are not distributions, or an id is repeated; nothing is written
            (code `invalid-predictions`, with the `faults`).
    """
    values = table.drop(columns=["id", *extra]).to_numpy(np.float64)
    faults = {
        "no rows": not len(table),
        "repeated ids": table["id"].duplicated().any(),
        "non-finite cells": not np.isfinite(values).all(),
        "negative cells": (values < 0).any(),
        "rows that do not sum to 1": (np.abs(values.sum(axis=1) - 1) > SUM_TOLERANCE).any(),
    }
    found = [fault for fault, present in faults.items() if present]
    if found:
        raise CorruptError(
            f"{location}: not written, because the predictions have {', '.join(found)}",
            code="invalid-predictions", path=str(location), faults=found,
        )  # fmt: skip
    buffer = io.StringIO()
    table.to_csv(buffer, index=False, float_format="%.9g", lineterminator="\n")
    return buffer.getvalue().encode()
