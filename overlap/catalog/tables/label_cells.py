"""Splits cells with several labels, and refuses cells that may be one label or several."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from overlap.catalog.problems import printable
from overlap.config.features import LabelTableFormat
from overlap.errors import DataError

SURE: Final = ("|", ";")
"""Separators that hardly occur within a label. A comma does (`Speech, child`), and so does a space
(`New York`), which separates only if the user says so."""
NO_SEPARATOR: Final = "none"
"""Name of the choice that a cell is one label, whatever characters it contains."""
Splitter = Callable[[str], list[str]]
"""Returns the labels of a cell, without empty ones."""


def one_label(cell: str) -> list[str]:
    """Return the cell as its only label."""
    return [cell] if cell.strip() else []


def splitter(separator: str) -> Splitter:
    """Return the function that splits cells at a separator."""

    def split(cell: str) -> list[str]:
        parts = cell.split() if separator == " " else cell.split(separator)
        return [part for part in parts if part.strip()]

    return split


def label_splitter(
    table: str,
    column: str,
    cells: Iterable[str],
    chosen: str = "",
    label_format: LabelTableFormat = "auto",
) -> Splitter:
    """Return how the cells of a label column are split.

    A cell with `|` or `;` has several labels. A comma separates labels if no space follows it and
    a part is a label elsewhere, or if every part of every such cell is a part of another cell; it
    belongs to the label if no part is. Otherwise either is possible.

    Args:
        table: Name of the table, for messages.
        column: Name of the column, for messages.
        cells: Its cells.
        chosen: The separator that the user chose, or `NO_SEPARATOR`; empty if none.
        label_format: `one-label` never splits; `long` takes a comma for a separator.

    Raises:
        DataError: the cells have two readings (`ambiguous-separator`), or contain lists in the
            notation of a programming language (`list-in-cell`).
    """
    if chosen or label_format == "one-label":
        return one_label if chosen in ("", NO_SEPARATOR) else splitter(chosen)
    distinct = {*cells}
    lists = sorted(cell for cell in distinct if re.fullmatch(r"\s*\[.*\]\s*", cell, re.DOTALL))
    if lists:
        raise DataError(
            f"{table}, column {printable(column)}: a cell such as {printable(lists[0], 80)!r} is a "
            "list in the notation of a program; write its labels separated by ;",
            code="list-in-cell",
            table=table,
            column=column,
        )
    found = [mark for mark in SURE if any(mark in cell for cell in distinct)]
    if len(found) > 1:
        example = next(cell for cell in sorted(distinct) if found[0] in cell)
        readings = tuple(f"separated by {mark}" for mark in found)
        remedy = "use one separator, or choose it with `overlap import --separator`"
        raise _ambiguous(table, column, example, readings, remedy)
    if found:
        return splitter(found[0])
    with_commas = sorted(cell for cell in distinct if "," in cell)
    if not with_commas:
        return one_label
    if label_format == "long" or (separates := _comma_separates(distinct, with_commas)):
        return splitter(",")
    if separates is False:
        return one_label
    remedy = (
        "set checks.label_format (`overlap import`: --format) to long for several labels, or to "
        "one-label"
    )
    readings = ("several labels", "one label with a comma")
    raise _ambiguous(table, column, with_commas[0], readings, remedy)


def _comma_separates(distinct: set[str], with_commas: list[str]) -> bool | None:
    """Return whether commas separate labels, or None if the cells do not show it."""
    occurrences = Counter[str]()
    for cell in distinct:
        occurrences.update({part.strip() for part in splitter(",")(cell)})
    known = [occurrences[part.strip()] > 1 for cell in with_commas for part in splitter(",")(cell)]
    tight = not any(re.search(r",\s", cell) for cell in with_commas)
    if all(known) or (tight and any(known)):
        return True
    return None if any(known) or tight else False


def _ambiguous(
    table: str, column: str, example: str, readings: tuple[str, ...], remedy: str
) -> DataError:
    shown = printable(example, 80)
    return DataError(
        f"{table}, column {printable(column)}: a cell such as {shown!r} has two readings, "
        f"{readings[0]} or {readings[1]}; {remedy}",
        code="ambiguous-separator",
        table=table,
        column=column,
        cell=shown,
        readings=readings,
    )
