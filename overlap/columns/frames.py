"""Data frames whose columns of text are in temporary files where they are large."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.columns.temporary_files import NumberBuilder
from overlap.columns.texts import TextBuilder, Texts, text_array, texts_at


def text_series(texts: Texts) -> pd.Series:
    """Return texts as a series, without a copy of an Arrow array."""
    return pd.Series(texts, dtype="str")


def rows_of(frame: pd.DataFrame, rows: NDArray[np.int64]) -> pd.DataFrame:
    """Return some rows of a frame with a new index, one column at a time.

    Texts of successive rows are not copied.
    """
    columns: dict[str, Any] = {}
    for name in frame.columns:
        column = frame[name]
        columns[name] = (
            text_series(texts_at(column, rows)) if _is_text(column) else column.to_numpy()[rows]
        )
    return pd.DataFrame(columns)


def concatenated(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all frames, which have the columns of the first, one after the other."""
    columns: dict[str, Any] = {}
    for name in frames[0].columns:
        parts = [frame[name] for frame in frames]
        columns[name] = (
            text_series(text_array(parts))
            if all(map(_is_text, parts))
            else pd.concat(parts, ignore_index=True)
        )
    return pd.DataFrame(columns)


class FrameBuilder:
    """Collects the rows of frames; large columns are in temporary files.

    Args:
        types: The type of each column: `str`, or a type of numpy.
    """

    def __init__(self, types: Mapping[str, Any]) -> None:
        self._columns: dict[str, TextBuilder | NumberBuilder] = {
            name: TextBuilder() if kind == "str" else NumberBuilder(kind)
            for name, kind in types.items()
        }

    def add(self, frame: pd.DataFrame) -> None:
        """Append the rows of a frame that has these columns."""
        for name, column in self._columns.items():
            values = frame[name]
            column.extend(values if isinstance(column, TextBuilder) else values.to_numpy())

    def finish(self) -> pd.DataFrame:
        """Return all rows; nothing can be added afterwards."""
        columns: dict[str, Any] = {}
        for name, column in self._columns.items():
            found = column.finish()
            columns[name] = text_series(found) if isinstance(column, TextBuilder) else found
        return pd.DataFrame(columns)


def _is_text(column: pd.Series) -> bool:
    return isinstance(column.dtype, pd.StringDtype)
