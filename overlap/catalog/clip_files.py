"""The sound files of a data folder as a table, without those whose names cannot be used."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.catalog.cell_text import is_unicode
from overlap.catalog.problems import Problems
from overlap.catalog.rows import Split
from overlap.catalog.spreadsheet_formulas import is_formula
from overlap.columns.frames import text_series
from overlap.columns.search import repeated
from overlap.columns.texts import TextBuilder, constant
from overlap.io.listing import Entry


class FileFrame:
    """Collects the files of one split, without those whose names cannot be used."""

    def __init__(self, split: Split, prefix: str) -> None:
        self._split, self._prefix = split, prefix
        self._clips, self._files, self._versions = TextBuilder(), TextBuilder(), TextBuilder()
        self._undecodable, self._formulas = list[str](), list[str]()

    def add(self, entry: Entry) -> None:
        """Add a file."""
        name, file = entry.name, self._prefix + entry.name
        if not is_unicode(name):
            self._undecodable.append(file)
            return
        if is_formula(name):
            self._formulas.append(file)
        self._clips.append(name.rpartition(".")[0])
        self._files.append(file)
        self._versions.append(entry.version)

    def finish(self, problems: Problems) -> pd.DataFrame:
        """Return the files, and report the names that cannot be used."""
        problems.add_cases(
            "file names are not valid UTF-8, so no table can contain them; rename these files",
            sorted(self._undecodable),
            code="names-not-utf8",
        )
        problems.add_cases(
            "a spreadsheet that opens the predictions would execute these file names as formulas; "
            "rename these files",
            sorted(self._formulas),
            code="names-are-formulas",
        )
        clips = self._clips.finish()
        columns = {
            "split": constant(self._split, len(clips)),
            "clip_id": clips,
            "file": self._files.finish(),
            "version": self._versions.finish(),
        }
        return pd.DataFrame({name: text_series(column) for name, column in columns.items()})


def repeated_ids(files: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which files have the id of another file of their split.

    Args:
        files: split and clip_id of each file.
    """
    found = np.zeros(len(files), np.bool_)
    for split in ("train", "test"):
        rows = (files["split"] == split).to_numpy(np.bool_)
        found[rows] = repeated(files["clip_id"][rows])
    return found
