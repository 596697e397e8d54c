"""The clips of the catalogue by their ids, exactly or by a part of them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overlap.catalog import Catalog
from overlap.catalog.cell_text import normal_text
from overlap.catalog.rows import REMOVED


@dataclass(frozen=True, eq=False)
class ClipNames:
    """The catalogue with the ids of its clips as they are searched."""

    catalog: Catalog
    stamp: object = None
    """Changes with the file of the catalogue."""

    @cached_property
    def ids(self) -> NDArray[np.object_]:
        """(rows,) the ids."""
        return self.catalog.clips["clip_id"].to_numpy(object)

    @cached_property
    def _folded(self) -> pa.Array:
        return pa.array([folded(name) for name in self.ids], pa.string())

    def rows_of(self, name: str) -> NDArray[np.int64]:
        """Return the rows of the clips with this id, of which each split may have one."""
        rows = np.flatnonzero(self.ids == name)
        states = self.catalog.clips["state"].to_numpy(object)
        found: NDArray[np.int64] = rows[states[rows] != REMOVED]
        return found

    def containing(self, text: str) -> NDArray[np.bool_]:
        """Return the rows whose id contains a text, (rows,) bool."""
        found: NDArray[np.bool_] = pc.match_substring(self._folded, folded(text)).to_numpy(
            zero_copy_only=False
        )
        return found


def folded(text: str) -> str:
    """Return the form of a text in which ids are searched: upper and lower case are equal.

    Examples:
        >>> folded("Clip_7")
        'clip_7'
    """
    return text.lower() if text.isascii() else normal_text(text).casefold()
