"""Reads lists of segments: file, start, end and labels, as AudioSet and its tools write them."""

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import PurePosixPath
from typing import Final

from overlap.catalog.cell_text import CellTexts
from overlap.catalog.formats.path_tables import label_tables
from overlap.catalog.formats.sound_paths import SoundPaths
from overlap.catalog.formats.source import (
    HELD_OUT,
    FormatName,
    ImportOptions,
    SourceData,
    SourceFolder,
    split_of_name,
)
from overlap.catalog.formats.windows import LabelledParts, TimedLabel
from overlap.catalog.problems import Problems
from overlap.catalog.tables.columns import candidates
from overlap.catalog.tables.csv_rows import TableError, numbered_rows
from overlap.catalog.tables.label_cells import label_splitter
from overlap.catalog.tables.table_kinds import TableKind, kind_of_table
from overlap.catalog.tables.text_tables import (
    TextTable,
    is_number,
    report_unreadable,
)
from overlap.errors import DataError

CLASSES: Final = "class_labels_indices.csv"
"""AudioSet's table of the names of its classes."""
AUDIOSET: Final = ("ytid", "start_seconds", "end_seconds", "positive_labels")
"""Columns of AudioSet's lists of segments."""


class Segments:
    """Lists of segments."""

    name: FormatName = "segments"
    title = "list of segments"

    def recognise(self, source: SourceFolder, options: ImportOptions) -> str | None:
        """Return why: AudioSet's header, or a table with columns for file, start, end and label."""
        lists = [name for name in _lists(source, options) if _is_audioset(source, name)]
        if lists:
            return f"{lists[0]} has the header of an AudioSet list of segments"
        for name in _lists(source, options):
            kind = _kind(source, options, name)
            if kind is not None and kind.kind == "segments":
                return kind.reason
        return None

    def read(self, source: SourceFolder, options: ImportOptions, problems: Problems) -> SourceData:
        """Return a clip for each window of each segment."""
        parts = LabelledParts()
        names = _class_names(source, problems)
        for name in _lists(source, options):
            audioset = _is_audioset(source, name)
            table = _audioset_table(source, name, problems) if audioset else source.table(
                name, problems)  # fmt: skip
            if table is None:
                continue
            reader = _SegmentReader(source, options, table, names if audioset else {}, problems)
            parts.labels += reader.read(parts.held_out)
            parts.used |= reader.paths.used
        return parts.cut(source, "the list of segments", options, problems)


def _lists(source: SourceFolder, options: ImportOptions) -> list[str]:
    if options.table:
        return label_tables(source, options)
    lists = [name for name in source.tables if _is_audioset(source, name)]
    return lists or label_tables(source, options)


def _is_audioset(source: SourceFolder, name: str) -> bool:
    if not name.lower().endswith(".csv"):
        return False
    try:
        with closing(numbered_rows(source.data / name, skip_spaces=True)) as rows:
            for _, row in rows:
                if not row[0].startswith("#"):
                    return False
                if row[0].lstrip("# ").casefold() == AUDIOSET[0]:
                    return True
    except (OSError, TableError):
        return False
    return False


def _audioset_table(source: SourceFolder, name: str, problems: Problems) -> TextTable | None:
    rows, ragged = [], []
    try:
        with closing(numbered_rows(source.data / name, skip_spaces=True)) as numbered:
            for line, row in numbered:
                if row[0].startswith("#"):
                    continue
                if len(row) == len(AUDIOSET):
                    rows.append((line, [*row]))
                else:
                    ragged.append(f"line {line}")
    except (OSError, TableError) as error:
        report_unreadable(error, name, "list of segments in UTF-8", problems)
        return None
    problems.add_cases(
        f"{name} has rows without the four cells {', '.join(AUDIOSET)}; correct them",
        ragged,
        code="ragged-rows",
    )
    return TextTable(name, AUDIOSET, rows)  # type: ignore[arg-type]


def _class_names(source: SourceFolder, problems: Problems) -> Mapping[str, str]:
    """Return the names of AudioSet's classes by their ids, if the source has their table."""
    for name in source.tables:
        if PurePosixPath(name).name == CLASSES:
            table = source.table(name, problems)
            if table is not None and {"mid", "display_name"} <= {*table.columns}:
                mids = [text for _, text in table.texts("mid")]
                return dict(zip(mids, (t for _, t in table.texts("display_name")), strict=True))
    return {}


def _kind(source: SourceFolder, options: ImportOptions, name: str) -> TableKind | None:
    table = source.table(name)
    return None if table is None else kind_of_table(table, options.columns, None, source.sounds)


class _SegmentReader:
    """Reads the rows of one list."""

    def __init__(
        self, source: SourceFolder, options: ImportOptions, table: TextTable,
        names: Mapping[str, str], problems: Problems,
    ) -> None:  # fmt: skip
        self.table, self.names, self.problems, self.options = table, names, problems, options
        self.paths = SoundPaths(source, options, table.name)
        self.texts = CellTexts(table.name)
        self._audioset = table.columns == AUDIOSET
        self._by_stem = {
            PurePosixPath(path).name.rpartition(".")[0]: path for path in source.sounds
        }  # of AudioSet's files; their ids are unique
        kind = (
            None if self._audioset else kind_of_table(table, options.columns, None, source.sounds)
        )
        if not self._audioset and (kind is None or kind.kind != "segments"):
            raise DataError(
                f"{table.name} has no columns for file, start, end and label; its columns are "
                f"{', '.join(table.columns[:20])}",
                code="missing-columns",
                table=table.name,
                columns=table.columns[:20],
            )
        self._columns = (
            AUDIOSET if kind is None
            else (
                kind.file, candidates(table.columns, "start")[0],
                (candidates(table.columns, "end") or [""])[0], kind.label,
            )
        )  # fmt: skip

    def read(self, held_out: Counter[str]) -> list[TimedLabel]:
        """Return the labelled parts of the recordings."""
        table, (file, start, end, label) = self.table, self._columns
        at = [table.column(name) for name in (file, start, end, label)]
        cells = (text for _, text in table.texts(label))
        chosen = "," if self._audioset else self.options.separator
        split_cell = label_splitter(table.name, label, cells, chosen)
        stated = split_of_name(PurePosixPath(table.name).stem) or ("train", "train")
        found, wrong, unlabelled, unknown = (
            list[TimedLabel](),
            list[str](),
            list[str](),
            list[str](),
        )
        for line, row in table.rows:
            name, start_cell, end_cell, label_cell = (str(row[index] or "") for index in at)
            place = table.place(line, name)
            if not (is_number(start_cell) and is_number(end_cell)) or not (
                0 <= float(start_cell) < float(end_cell)
            ):
                wrong.append(table.place(line, f"{start_cell} to {end_cell}"))
                continue
            times = float(start_cell), float(end_cell)
            path = self._path(place, self.texts.id(name), times)
            if path is None:
                continue
            parts = [self.texts.normal(part, "word") for part in split_cell(label_cell)]
            unknown += [
                f"{place}: {part}" for part in parts if self.names and part not in self.names
            ]
            words = dict.fromkeys(self.texts.normal(self.names.get(p, p), "word") for p in parts)
            if not words:
                unlabelled.append(place)
                continue
            held_out[stated[1]] += stated[1] in HELD_OUT
            found.append(
                TimedLabel(path, stated[0], tuple(words), *times, f"{table.name}, {place}")
            )
        self._report(wrong, unlabelled, unknown)
        return found

    def _path(self, place: str, name: str, times: tuple[float, float]) -> str | None:
        if self._audioset:
            start, end = times
            for stem in (
                name, f"Y{name}", f"{name}_{start * 1000:.0f}", f"{name}_{start:.0f}",
                f"{name}_{start:.0f}_{end:.0f}", f"{name}_{start:.3f}",
                f"{name}_{start:.3f}_{end:.3f}", f"{name}_{start * 1000:.0f}_{end * 1000:.0f}",
            ):  # fmt: skip
                if stem in self._by_stem:
                    self.paths.used.add(self._by_stem[stem])
                    return self._by_stem[stem]
        return self.paths.resolve(place, name)

    def _report(self, wrong: list[str], unlabelled: list[str], unknown: list[str]) -> None:
        name = self.table.name
        self.problems.add_cases(
            f"{name} has rows whose times are no numbers of seconds, or whose end is not after "
            "their start; correct them",
            wrong,
            code="invalid-times",
        )
        self.problems.add_cases(
            f"{name} has rows without a label; write it or remove them",
            unlabelled,
            code="clips-without-label",
        )
        self.problems.add_cases(
            f"{name} has labels that {CLASSES} does not list; add them there, or remove that file "
            "to use the ids as words",
            unknown,
            code="unknown-labels",
        )
        self.texts.report(self.problems)
        self.paths.report(self.problems)
