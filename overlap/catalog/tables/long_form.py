"""Reads rows of file and label: one or several labels per row, one or several rows per clip."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from overlap.catalog.cell_text import CellTexts
from overlap.catalog.problems import Problems, printable
from overlap.catalog.spreadsheet_formulas import is_formula
from overlap.catalog.tables.label_cells import label_splitter
from overlap.catalog.tables.text_tables import TextTable
from overlap.config.features import LabelTableFormat
from overlap.io.formatting import counted

ClipKey = Callable[[int, str], str | None]
"""Returns the key of the clip that a cell names, from its line and text; None if it is unusable,
which the function has reported."""
Words = dict[str, tuple[str, ...]]
"""Distinct words by the key of a clip, both in the order of the table."""
TITLES: Final[Mapping[LabelTableFormat, str]] = {
    "long": "long form (rows of file and label)",
    "one-label": "one label per clip",
}
"""The formats of this module, for messages."""


@dataclass(frozen=True)
class LongReading:
    """How the rows of a table are read."""

    file: str
    """Column with the files."""
    label: str
    """Column with the labels."""
    label_format: LabelTableFormat = "auto"
    """`one-label` refuses clips with several rows; see also `label_splitter`."""
    separator: str = ""
    """The separator of labels that the user chose; empty if none."""


def read_labels(
    table: TextTable, how: LongReading, key: ClipKey, texts: CellTexts, problems: Problems
) -> Words:
    """Collect the words of every clip of a table.

    Args:
        table: The table.
        how: Its columns, and how they are read.
        key: Identifies clips.
        texts: Normalises the cells.
        problems: Receives the faults of the rows.

    Returns:
        The words of every clip; no words for a clip whose cells are all empty.

    Raises:
        DataError: the cells have two readings.
    """
    file_at, label_at = table.column(how.file), table.column(how.label)
    label_format, cells = how.label_format, (cell for _, cell in table.texts(how.label))
    split = label_splitter(table.name, how.label, cells, how.separator, label_format)
    found, repeated, several = dict[str, dict[str, None]](), list[str](), list[str]()
    unnamed = list[str]()
    for line, row in table.rows:
        name, cell = row[file_at], row[label_at]
        if not isinstance(name, str) or not name.strip():
            unnamed.append(f"line {line}")
            continue
        clip = key(line, texts.id(name))
        if clip is None:
            continue
        parts = cell if isinstance(cell, list) else split(cell or "")
        words = [word for part in parts if (word := texts.normal(part, "word"))]
        if clip in found and label_format == "one-label":
            several.append(table.place(line, name))
        known = found.setdefault(clip, {})
        for word in words:
            if word in known:
                repeated.append(table.place(line, f"{name}, {word}"))
            known[word] = None
        if label_format == "one-label" and isinstance(cell, list) and len(words) > 1:
            several.append(table.place(line, name))
    problems.add_cases(
        f"{table.name} has rows without a file in column {printable(how.file)}; name it, or "
        "remove these rows",
        unnamed,
        code="rows-without-file",
    )
    problems.add_cases(
        f"{table.name} has several labels for a clip, but is read as one label per clip; remove "
        "rows, or set checks.label_format (`overlap import`: --format) to long",
        several,
        code="several-labels",
    )
    problems.add_cases(
        f"{table.name} has rows that repeat a label of a clip; each label counts once",
        repeated,
        code="repeated-labels",
        fatal=False,
    )
    return {clip: tuple(words) for clip, words in found.items()}


def report_unlabelled(table: str, clips: Iterable[str], problems: Problems) -> None:
    """Report training clips without a label."""
    problems.add_cases(
        f"{table} has training clips without a label; write the label or remove their rows",
        clips,
        code="clips-without-label",
    )


def report_unusable_words(table: str, words: Sequence[str], problems: Problems) -> None:
    """Report labels that cannot be columns: names that a spreadsheet would execute, and `id`."""
    problems.add_cases(
        f"{table} has a label with the name of the column of the ids; rename it",
        [word for word in words if word == "id"],
        code="label-is-id",
    )
    problems.add_cases(
        f"{table} has labels that a spreadsheet that opens the predictions would execute as "
        "formulas; rename them",
        [word for word in words if is_formula(word)],
        code="columns-are-formulas",
    )


def equal_share_rows(labels: Sequence[Sequence[str]], words: Sequence[str]) -> NDArray[np.float64]:
    """Return distributions with an equal share for every word of a clip.

    Args:
        labels: The distinct words of each clip.
        words: The columns.

    Returns:
        (clips, words) float64; zeros for a clip without words.

    Examples:
        >>> equal_share_rows([("up",), ("no", "up")], ("no", "up")).tolist()
        [[0.0, 1.0], [0.5, 0.5]]
    """
    column = {word: at for at, word in enumerate(words)}
    values = np.zeros((len(labels), len(words)))
    for row, present in zip(values, labels, strict=True):
        row[[column[word] for word in present]] = 1 / max(1, len(present))
    return values


def description(labels: Sequence[Sequence[str]], words: Sequence[str]) -> str:
    """State the number of clips and words, and how many words a clip has.

    Examples:
        >>> description([("up",), ("no", "up")], ("no", "up"))
        '2 clips, 2 words, 1 to 2 per clip'
    """
    numbers = [len(present) for present in labels] or [0]
    least, most = min(numbers), max(numbers)
    span = f"{least}" if least == most else f"{least} to {most}"
    return f"{counted(len(labels), 'clip')}, {counted(len(words), 'word')}, {span} per clip"
