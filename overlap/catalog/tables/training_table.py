"""Reads `train_answer.csv` in any of the formats of a label table, which its cells show."""

from pathlib import PurePosixPath

from overlap.audio.decode import is_audio
from overlap.catalog.cell_text import CellTexts, normal_text
from overlap.catalog.problems import Problems, printable
from overlap.catalog.tables.columns import candidates, is_metadata, one_column
from overlap.catalog.tables.csv_rows import first_row
from overlap.catalog.tables.label_tables import Table, read_table
from overlap.catalog.tables.long_form import (
    TITLES,
    LongReading,
    description,
    equal_share_rows,
    read_labels,
    report_unlabelled,
    report_unusable_words,
)
from overlap.catalog.tables.table_kinds import plausible_shares, two_readings
from overlap.catalog.tables.text_tables import TextTable, all_numbers, read_text_table
from overlap.config.features import LabelTableFormat
from overlap.errors import DataError
from overlap.io.location import Location

FOLDER = "train"
"""Folder of the training clips, which a path in the table may contain."""


def read_training_table(
    location: Location, problems: Problems, label_format: LabelTableFormat, remedy: str
) -> Table | None:
    """Read the labels of the training clips as distributions.

    A table of rows of file and label is recognised by its header; see `has_long_header`.

    Args:
        location: The file.
        problems: Receives the faults of the table, and the format if it is not a table of
            distributions.
        label_format: The format; `auto` recognises it.
        remedy: What the message advises about rows of distributions that do not sum to 1.

    Returns:
        The table, or None if it cannot be read.
    """
    if label_format in ("auto", "long", "one-label"):
        try:
            header = [normal_text(column) for column in first_row(location)]
        except OSError:  # `read_table` reports it
            header = []
        if label_format != "auto" or has_long_header(header):
            texts = CellTexts(location.name)
            table = read_text_table(location, location.name, problems, texts)
            if table is None:
                return None
            try:
                if label_format != "auto" or is_long(table):
                    return _long_table(table, texts, problems, label_format)
            except DataError as error:
                problems.add(str(error), code=error.code)
                return None
    return read_table(
        location, problems, labels=True, remedy=remedy, label_format=label_format
    )  # fmt: skip


def has_long_header(header: list[str]) -> bool:
    """Return whether a header has a column for the file and one for the label.

    Examples:
        >>> has_long_header(["filename", "label"]), has_long_header(["id", "yes", "no"])
        (True, False)
    """
    return bool(candidates(header, "file")) and bool(candidates(header, "label"))


def is_long(table: TextTable) -> bool:
    """Return whether a table with such a header has rows of file and label.

    Raises:
        DataError: it may also be a table with a column per word (`ambiguous-labels`).
    """
    labels = candidates(table.columns, "label")
    others = [column for column in table.columns if column != "id"]
    if "id" not in table.columns or not all_numbers(table, others):
        return True
    words = [column for column in others if not is_metadata(column)]
    if {*words} - {*labels}:
        return False
    if plausible_shares(table, words):
        raise two_readings(table.name, labels[0])
    return True


def _long_table(
    table: TextTable, texts: CellTexts, problems: Problems, label_format: LabelTableFormat
) -> Table | None:
    name = table.name
    file = one_column(name, table.columns, "file", "id" if "id" in table.columns else "")
    label = one_column(name, table.columns, "label")
    if file is None or label is None:
        problems.add(
            f"{name} has no column for the {'file' if file is None else 'label'} of a row; name "
            "the columns filename and label; its columns are",
            table.columns,
            code="missing-columns",
        )
        return None
    if candidates(table.columns, "start") and candidates(table.columns, "end"):
        problems.add(
            f"{name} has times: its rows are parts of recordings; cut them with `overlap import`, "
            "or remove the columns of the times if the files are cut already",
            code="timed-labels",
        )
        return None
    outside = list[str]()

    def key(line: int, cell: str) -> str | None:
        clip = clip_id_of(cell)
        if clip is None:
            outside.append(table.place(line, cell))
        return clip

    how = LongReading(file, label, label_format)
    found = read_labels(table, how, key, texts, problems)
    problems.add_cases(
        f"{name} names files outside {FOLDER}/; write their names without a folder",
        outside,
        code="path-leaves-folder",
    )
    texts.report(problems)
    report_unlabelled(name, [clip for clip, words in found.items() if not words], problems)
    words = tuple(sorted({word for present in found.values() for word in present}))
    report_unusable_words(name, words, problems)
    problems.add_cases(
        f"{name} has columns that are not used",
        [column for column in table.columns if column not in (file, label)],
        code="unused-columns",
        fatal=False,
    )
    if not words:
        return None
    labels = [*found.values()]
    shown = label_format
    if label_format == "auto":
        single = len(table.rows) == len(found) and all(len(present) == 1 for present in labels)
        shown = "one-label" if single else "long"
    reason = (
        f"its columns {printable(file)} and {printable(label)}"
        if label_format == "auto" else "checks.label_format"
    )  # fmt: skip
    problems.add(
        f"{name} is read as {TITLES[shown]}, by {reason}: {description(labels, words)}",
        code="label-format",
        fatal=False,
    )
    return Table(name, tuple(found), words, equal_share_rows(labels, words))


def clip_id_of(cell: str) -> str | None:
    r"""Return the id that a cell names: a file's name without suffix; None outside the folder.

    Examples:
        >>> clip_id_of("a.wav"), clip_id_of("train/a.b.flac"), clip_id_of("a"), clip_id_of("v1.5")
        ('a', 'a.b', 'a', 'v1.5')
        >>> clip_id_of("../a.wav") is None, clip_id_of("/a.wav") is None, clip_id_of("b/a") is None
        (True, True, True)
    """
    path = PurePosixPath(cell.replace("\\", "/"))
    if path.parts[:-1] not in ((), (FOLDER,)) or path.name in ("", ".."):
        return None
    return path.name.rpartition(".")[0] if is_audio(path.name) else path.name
