"""The table of predictions: checked against its template, written whole or not at all."""

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.errors import CorruptError
from overlap.io.location import Location

ROW_SUM_TOLERANCE = 1e-6


def submission_table(
    clips: pd.DataFrame,
    rows: NDArray[np.int64],
    predictions: NDArray[np.float64],
    words: tuple[str, ...],
) -> tuple[pd.DataFrame, list[str]]:
    """Predictions in the order of the template.

    A clip without a prediction of its own (its audio cannot be used) gets the mean prediction.

    Args:
        clips: The listed clips in order, with `table_id`; its index is the catalogue's row.
        rows: (clips,) catalogue rows of the predictions.
        predictions: (clips, words) float64.
        words: Names of the columns.

    Returns:
        The table, and the ids whose row is the mean prediction.
    """
    place = pd.Series(np.arange(len(rows)), index=rows)
    at = place.reindex(clips.index).to_numpy(np.float64)
    own = np.isfinite(at)
    values = np.empty((len(clips), len(words)))
    values[own] = predictions[at[own].astype(np.int64)]
    values[~own] = predictions.mean(axis=0)
    values /= values.sum(axis=1, keepdims=True)
    table = pd.DataFrame(values, columns=[*words])
    table.insert(0, "id", clips["table_id"].to_numpy(object))
    return table, [*clips.loc[~own, "table_id"]]


def write_table(table: pd.DataFrame, location: Location, beside: Sequence[str] = ()) -> None:
    """Check a table and write it.

    Args:
        table: id and a column per word.
        location: The CSV file.
        beside: Columns that are no words; they may have empty cells.

    Raises:
        CorruptError: it is no table of distributions with one row per id; nothing is written.
    """
    values = table.drop(columns=["id", *beside]).to_numpy(np.float64)
    faults = {
        "no rows": not len(table),
        "an id more than once": table["id"].duplicated().any(),
        "cells that are not finite": not np.isfinite(values).all(),
        "negative cells": (values < 0).any(),
        "rows that do not sum to 1": (np.abs(values.sum(axis=1) - 1) > ROW_SUM_TOLERANCE).any(),
    }
    found = [fault for fault, present in faults.items() if present]
    if found:
        raise CorruptError(f"the predictions have {', '.join(found)}; {location} is not written")
    buffer = io.StringIO()
    table.to_csv(buffer, index=False, float_format="%.9g", lineterminator="\n")
    location.write_bytes(buffer.getvalue().encode())
