"""Reads tables of labels with the paths of the sound files, and Hugging Face's audiofolder."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from overlap.catalog.cell_text import CellTexts
from overlap.catalog.formats.folders import report_held_out
from overlap.catalog.formats.sound_paths import SoundPaths, report_unlisted
from overlap.catalog.formats.source import (
    HELD_OUT,
    SPLITS,
    FormatName,
    ImportOptions,
    SourceClip,
    SourceData,
    SourceFolder,
    split_of_name,
)
from overlap.catalog.problems import Problems, printable
from overlap.catalog.rows import Split
from overlap.catalog.tables.columns import candidates, one_column
from overlap.catalog.tables.long_form import (
    LongReading,
    read_labels,
    report_unlabelled,
    report_unusable_words,
)
from overlap.catalog.tables.multi_hot import shares_of_rows
from overlap.catalog.tables.table_kinds import TableKind, kind_of_table, shares
from overlap.catalog.tables.text_tables import TextTable
from overlap.errors import DataError

AUDIOFOLDER: Final = frozenset({"metadata.csv", "metadata.jsonl"})
"""Names of the tables of an audiofolder."""
MANIFEST: Final = re.compile(r"(recordings|supervisions|cuts).*\.jsonl(\.gz)?$", re.IGNORECASE)
"""Names of lhotse's manifests, which are no tables of labels by themselves."""


class Tables:
    """Tables of one kind: distributions, multi-hot rows, long form, or one label per clip."""

    def __init__(self, name: FormatName, title: str) -> None:
        self.name = name
        self.title = title

    def recognise(self, source: SourceFolder, options: ImportOptions) -> str | None:
        """Return why the tables have this kind."""
        kinds = _kinds(source, options, label_tables(source, options))
        return kinds[0].reason if kinds and kinds[0].kind == self.name else None

    def read(self, source: SourceFolder, options: ImportOptions, problems: Problems) -> SourceData:
        """Return the clips that the tables list."""
        names = label_tables(source, options)
        if not names:
            raise DataError(
                f"{source.data}: contains no table of labels (.csv, .tsv or .jsonl); name it with "
                "--table",
                code="no-table",
                folder=str(source.data),
            )
        return read_tables(source, options, names, problems)


class AudioFolder:
    """Hugging Face's audiofolder: `metadata.csv` or `.jsonl` with a column `file_name`."""

    name: FormatName = "audiofolder"
    title = "Hugging Face audiofolder"

    def recognise(self, source: SourceFolder, options: ImportOptions) -> str | None:
        """Return why: a table of this name with the column `file_name`."""
        del options
        names = [n for n in _metadata(source) if "file_name" in source.header(n)]
        return f"{names[0]} has the column file_name" if names else None

    def read(self, source: SourceFolder, options: ImportOptions, problems: Problems) -> SourceData:
        """Return the clips that the tables of metadata list."""
        return read_tables(source, options, _metadata(source), problems)


def _metadata(source: SourceFolder) -> list[str]:
    return [name for name in source.tables if PurePosixPath(name).name in AUDIOFOLDER]


def label_tables(source: SourceFolder, options: ImportOptions) -> list[str]:
    """Return the tables with labels of files: the named one, or all that the source contains.

    Raises:
        DataError: the named table does not exist (`no-such-table`), or several tables may be meant
            (`ambiguous-tables`).
    """
    if options.table:
        if options.table not in source.tables:
            raise DataError(
                f"{source.data}: contains no table {printable(options.table)}; its tables are "
                f"{', '.join(source.tables[:20]) or 'none'}",
                code="no-such-table",
                table=options.table,
                tables=source.tables[:20],
            )
        return [options.table]
    found = [
        name for name in source.tables
        if PurePosixPath(name).name not in AUDIOFOLDER
        and not MANIFEST.search(PurePosixPath(name).name)
        and _may_have_labels(source.header(name), options)
    ]  # fmt: skip
    splits = [split_of_name(PurePosixPath(name).stem) for name in found]
    stated = [split[1] for split in splits if split]
    if len(found) > 1 and (len(stated) < len(found) or len({*stated}) < len(stated)):
        raise DataError(
            f"{source.data}: the labels may be in {printable(found[0])} or in "
            f"{printable(found[1])}; name the table with --table",
            code="ambiguous-tables",
            folder=str(source.data),
            tables=tuple(found[:20]),
        )
    return found


def _may_have_labels(header: Sequence[str], options: ImportOptions) -> bool:
    named = options.columns
    file = named.file in header if named.file else bool(candidates(header, "file"))
    return file and len(header) > 1


def _kinds(source: SourceFolder, options: ImportOptions, names: Sequence[str]) -> list[TableKind]:
    forced = options.format if options.format in ("long", "one-label", "distribution",
                                                   "multi-hot") else None  # fmt: skip
    tables = [table for name in names if (table := source.table(name)) is not None]
    found = [kind_of_table(t, options.columns, forced, source.sounds) for t in tables]
    kinds = [kind for kind in found if kind is not None]
    if any(kind.kind == "long" for kind in kinds):  # one split may have a row per clip
        kinds.sort(key=lambda kind: kind.kind != "long")
    return kinds


def read_tables(
    source: SourceFolder, options: ImportOptions, names: Sequence[str], problems: Problems
) -> SourceData:
    """Read tables, each of which lists the clips of a split or has a column of splits."""
    parts, used, held_out = list[SourceClip](), set[str](), Counter[str]()
    words, wide = dict[str, None](), False
    for name in names:
        table = source.table(name, problems)
        if table is None:
            continue
        kind = next(iter(_kinds(source, options, [name])), None)
        if kind is None or kind.kind == "segments":
            problems.add(
                f"{name} has no columns for a file and its labels; name them with --file-column "
                "and --label-column; its columns are",
                table.columns,
                code="missing-columns",
            )
            continue
        reader = _TableReader(source, options, table, kind, problems, held_out)
        found, columns = reader.read()
        parts += found
        used |= reader.paths.used
        words.update(dict.fromkeys(columns))
        wide |= not kind.label
    report_unlisted(source, used, problems)
    report_held_out(held_out, problems)
    ordered = tuple(words) if wide else tuple(sorted(words))
    return SourceData(tuple(parts), ordered)


class _TableReader:
    """Reads the clips of one table."""

    def __init__(
        self, source: SourceFolder, options: ImportOptions, table: TextTable, kind: TableKind,
        problems: Problems, held_out: Counter[str],
    ) -> None:  # fmt: skip
        self.table, self.kind, self.problems, self.held_out = table, kind, problems, held_out
        self.options, self.texts = options, CellTexts(table.name)
        self.paths = SoundPaths(source, options, table.name)
        folder = PurePosixPath(table.name).parent.name
        stated = split_of_name(PurePosixPath(table.name).stem) or split_of_name(folder)
        self._stated = stated
        columns = table.columns
        self._split_column = None if stated else one_column(table.name, columns, "split")
        self._group_column = one_column(table.name, columns, "group", options.columns.group)
        self._splits, self._groups = dict[str, Split](), dict[str, str]()
        self._unknown_splits, self._conflicts = list[str](), list[str]()

    def read(self) -> tuple[list[SourceClip], Sequence[str]]:
        """Return the clips and words of the table."""
        self._read_columns()
        labels, words = self._long() if self.kind.label else self._wide()
        self.texts.report(self.problems)
        self.paths.report(self.problems)
        self._report()
        clips = [
            SourceClip(path, self._splits[path], shares_, self._groups.get(path, ""))
            for path, shares_ in labels.items()
        ]
        unlabelled = [clip.file for clip in clips if clip.split == "train" and not clip.labels]
        report_unlabelled(self.table.name, unlabelled, self.problems)
        report_unusable_words(self.table.name, words, self.problems)
        return clips, words

    def _read_columns(self) -> None:
        """Resolve the file of every row, with its split and group."""
        file, table = self.table.column(self.kind.file), self.table
        at_split = None if self._split_column is None else table.column(self._split_column)
        at_group = None if self._group_column is None else table.column(self._group_column)
        self._path_of_line = dict[int, str]()
        for line, row in table.rows:
            cell = row[file]
            if not isinstance(cell, str) or not cell.strip():
                continue  # `read_labels` and `_wide` report it
            name = self.texts.id(cell)
            path = self.paths.resolve(table.place(line, name), name)
            if path is None:
                continue
            self._path_of_line[line] = path
            split: Split = self._stated[0] if self._stated else "train"
            if self._stated and self._stated[1] in HELD_OUT and path not in self._splits:
                self.held_out[self._stated[1]] += 1
            if at_split is not None:
                written = str(row[at_split] or "")
                split = self._split(line, written, new=path not in self._splits)
            if self._splits.setdefault(path, split) != split:
                self._conflicts.append(table.place(line, name))
            group = "" if at_group is None else self.texts.normal(str(row[at_group] or ""), "group")
            if group and self._groups.setdefault(path, group) != group:
                self._conflicts.append(table.place(line, name))

    def _split(self, line: int, written: str, *, new: bool) -> Split:
        key = written.strip().casefold()
        if key not in SPLITS:
            self._unknown_splits.append(self.table.place(line, written))
            return "train"
        self.held_out[key] += new and key in HELD_OUT
        return SPLITS[key]

    def _report(self) -> None:
        name = self.table.name
        self.problems.add_cases(
            f"{name} has splits of unknown names; write train, validation or test",
            self._unknown_splits,
            code="unknown-splits",
        )
        self.problems.add_cases(
            f"{name} has clips with several splits or groups; correct their rows",
            self._conflicts,
            code="conflicting-rows",
        )

    def _long(self) -> tuple[dict[str, dict[str, float]], Sequence[str]]:
        chosen = self.options.format
        how = LongReading(
            self.kind.file, self.kind.label,
            chosen if chosen in ("long", "one-label") else "auto", self.options.separator,
        )  # fmt: skip
        found = read_labels(
            self.table, how, lambda line, _: self._path_of_line.get(line), self.texts, self.problems
        )
        words = sorted({word for present in found.values() for word in present})
        return {
            path: {word: 1 / len(present) for word in present} for path, present in found.items()
        }, words

    def _wide(self) -> tuple[dict[str, dict[str, float]], Sequence[str]]:
        rows = [at for at, (line, _) in enumerate(self.table.rows) if line in self._path_of_line]
        paths = [self._path_of_line[self.table.rows[at][0]] for at in rows]
        places = [
            self.table.place(self.table.rows[at][0], path)
            for at, path in zip(rows, paths, strict=True)
        ]
        repeated = [
            place for place, path, count in zip(places, paths, _occurrence(paths), strict=True)
            if count > 1 and path
        ]  # fmt: skip
        self.problems.add_cases(
            f"{self.table.name} has several rows for a clip; remove all but one",
            repeated,
            code="duplicate-rows",
        )
        words = [self.texts.normal(word, "column name") for word in self.kind.words]
        values = shares(self.table, self.kind.words)[rows]
        chosen = self.options.format
        values = shares_of_rows(
            self.table.name, places, values, self.problems,
            "auto" if chosen == "audiofolder" or chosen is None else chosen,  # type: ignore[arg-type]
        )  # fmt: skip
        labels = {
            path: {word: float(v) for word, v in zip(words, row, strict=True) if v > 0}
            for path, row in zip(paths, values, strict=True)
        }
        return labels, words


def _occurrence(paths: Sequence[str]) -> list[int]:
    """Return for each path how often it occurred up to there."""
    counts, found = Counter[str](), list[int]()
    for path in paths:
        counts[path] += 1
        found.append(counts[path])
    return found
