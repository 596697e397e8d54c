"""Finds the columns of a table that name the clip, its labels, its times, its group and split."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from overlap.catalog.problems import printable
from overlap.errors import DataError

Role = Literal["file", "label", "start", "end", "group", "split"]
"""What a column says about a row."""

NAMES: Final[dict[Role, tuple[str, ...]]] = {
    "file": (
        "id", "filename", "file_name", "file", "fname", "path", "filepath", "file_path", "clip",
        "clip_id", "audio", "audio_file", "audio_filename", "audio_path", "wav", "wav_file",
        "slice_file_name", "segment_id", "recording", "recording_id", "ytid",
    ),
    "label": (
        "label", "labels", "word", "words", "class", "classes", "category", "categories", "tag",
        "tags", "target", "targets", "event_label", "event_labels", "keyword", "command",
        "primary_label", "positive_labels",
    ),
    "start": (
        "start", "onset", "begin", "start_time", "start_seconds", "start_time_seconds",
        "start_s", "onset_s",
    ),
    "end": ("end", "offset", "end_time", "end_seconds", "end_time_seconds", "end_s", "offset_s"),
    "group": ("group", "speaker", "speaker_id", "client_id"),
    "split": ("split", "subset", "partition"),
}  # fmt: skip
"""Names of columns by role, in lower case."""
METADATA: Final = frozenset(
    {"fold", "duration", "confidence", "age", "gender", "accent", "locale"}
    | {*NAMES["group"], *NAMES["split"]}
)
"""Names of columns that describe a clip, and are neither words nor labels."""
OPTIONS: Final[dict[Role, str]] = {
    "file": "--file-column", "label": "--label-column", "group": "--group-column",
}  # fmt: skip
"""Options of `overlap import` that name the column of a role."""


@dataclass(frozen=True)
class ColumnNames:
    """Columns that the user names; empty where overlap finds them."""

    file: str = ""
    label: str = ""
    group: str = ""


def candidates(columns: Sequence[str], role: Role) -> list[str]:
    """Return the columns whose names stand for a role, in the table's order.

    Examples:
        >>> candidates(["filename", "fold", "Category", "target"], "label")
        ['Category', 'target']
    """
    return [column for column in columns if _key(column) in NAMES[role]]


def is_metadata(column: str) -> bool:
    """Return whether the name of a column is one of `METADATA`."""
    return _key(column) in METADATA


def _key(column: str) -> str:
    return column.removeprefix("#").strip().casefold().replace(" ", "_")


def one_column(table: str, columns: Sequence[str], role: Role, named: str = "") -> str | None:
    """Return the column of a role, or None if the table has none.

    Args:
        table: Name of the table, for messages.
        columns: Names of its columns.
        role: What the column says.
        named: The column that the user names; empty if none.

    Raises:
        DataError: several columns may be meant (`ambiguous-columns`), or the named one does not
            exist (`no-such-column`).
    """
    if named:
        if named not in columns:
            raise DataError(
                f"{table} has no column {printable(named)}; its columns are {_listed(columns)}",
                code="no-such-column",
                table=table,
                column=named,
                columns=tuple(columns),
            )
        return named
    found = candidates(columns, role)
    if len(found) > 1:
        raise ambiguous_columns(table, found, role)
    return found[0] if found else None


def ambiguous_columns(table: str, found: Sequence[str], role: Role) -> DataError:
    """Return the error of several columns that may have a role."""
    option = OPTIONS.get(role)
    remedy = f"choose one with `overlap import {option} NAME`" if option else "rename the other"
    meaning = {"file": "name the clip", "label": "contain its labels"}.get(role, f"be its {role}")
    return DataError(
        f"{table}, line 1: either of the columns {' and '.join(map(printable, found))} may "
        f"{meaning}; {remedy}",
        code="ambiguous-columns",
        table=table,
        role=role,
        columns=tuple(found),
    )


def _listed(columns: Iterable[str]) -> str:
    names = [printable(column, 60) for column in columns]
    return ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
