"""Reads the tables of a data folder that exist: labels, template of the submission, groups."""

import pandas as pd

from overlap.catalog.problems import Problems
from overlap.catalog.tables.label_tables import Table, read_csv, read_table
from overlap.catalog.tables.training_table import read_training_table
from overlap.config.features import LabelTableFormat
from overlap.io.location import Location

NORMALISE = "set checks.normalise_labels=true, which divides each row by its sum"


def read_label_table(
    location: Location, problems: Problems, label_format: LabelTableFormat
) -> Table | None:
    """Return the labels of the training clips as distributions; None without a usable table."""
    if not _readable(location, problems):
        return None
    return read_training_table(location, problems, label_format, NORMALISE)


def read_template(location: Location, problems: Problems) -> Table | None:
    """Return rows and columns of the submission; None without a usable table."""
    return read_table(location, problems, labels=False) if _readable(location, problems) else None


def read_groups(location: Location, problems: Problems) -> pd.DataFrame | None:
    """Return the columns id and group of a table of groups; None without one."""
    usable = _readable(location, problems)
    frame = read_csv(location, ("id", "group"), problems) if usable else None
    return None if frame is None else frame[["id", "group"]]


def _readable(location: Location, problems: Problems) -> bool:
    """Return whether a table exists; a pipe or device, which may never end, is a problem."""
    if not location.exists():
        return False
    readable = location.is_file() or location.is_folder()  # reading a folder reports a problem
    if not readable:
        problems.add(
            f"{location.name} cannot be read: it is a pipe or device, not a regular file",
            code="table-not-regular-file",
        )
    return readable
