"""Reads lhotse's manifests: recordings, and supervisions with times, as JSON lines."""

import posixpath
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from overlap.catalog.cell_text import CellTexts
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
from overlap.catalog.problems import Problems, printable
from overlap.catalog.rows import Split
from overlap.catalog.tables.csv_rows import TableError
from overlap.catalog.tables.label_cells import label_splitter
from overlap.catalog.tables.text_tables import JSON_SUFFIXES, json_objects, report_unreadable
from overlap.errors import DataError

RECORDINGS: Final = "recordings"
SUPERVISIONS: Final = "supervisions"
MAX_SECONDS: Final = 1e9
"""Largest time, s; thirty years of sound."""


@dataclass(frozen=True, slots=True)
class Supervision:
    """A labelled part of a recording, as a manifest describes it."""

    recording: str
    start: float
    end: float
    text: str
    speaker: str
    place: str


class LhotseManifests:
    """Manifests of recordings and supervisions."""

    name: FormatName = "lhotse"
    title = "lhotse manifests"

    def recognise(self, source: SourceFolder, options: ImportOptions) -> str | None:
        """Return why: JSON lines with these words in their names."""
        del options
        recordings, supervisions = _named(source, RECORDINGS), _named(source, SUPERVISIONS)
        if not recordings or not supervisions:
            return None
        return f"{recordings[0]} and {supervisions[0]} are manifests"

    def read(self, source: SourceFolder, options: ImportOptions, problems: Problems) -> SourceData:
        """Return a clip for each window of each supervision."""
        parts = LabelledParts()
        for name in _named(source, SUPERVISIONS):
            pair = name.replace(SUPERVISIONS, RECORDINGS)
            if pair not in source.tables:
                problems.add(
                    f"{name} has no manifest {pair} with its recordings; add it",
                    code="missing-manifest",
                )
                continue
            reader = _ManifestReader(source, options, pair, name, problems)
            parts.labels += reader.read(parts.held_out)
            parts.used |= reader.paths.used
        return parts.cut(source, "the manifest", options, problems)


def _named(source: SourceFolder, kind: str) -> list[str]:
    return [
        name for name in source.tables
        if name.lower().endswith(JSON_SUFFIXES) and kind in PurePosixPath(name).name
    ]  # fmt: skip


class _ManifestReader:
    """Reads a pair of manifests."""

    def __init__(
        self, source: SourceFolder, options: ImportOptions, recordings: str, supervisions: str,
        problems: Problems,
    ) -> None:  # fmt: skip
        self.source, self.options, self.problems = source, options, problems
        self.recordings, self.supervisions = recordings, supervisions
        self.paths = SoundPaths(source, options, recordings)
        self.texts = CellTexts(supervisions)

    def read(self, held_out: Counter[str]) -> list[TimedLabel]:
        """Return the labelled parts of the recordings."""
        stem = posixpath.basename(self.supervisions).partition(".jsonl")[0]
        stated = split_of_name(stem) or ("train", "train")
        files = self._files()
        self.paths.report(self.problems)
        rows, unknown = self._supervisions(), list[str]()
        column = self.options.columns.label or "text"
        split = self._splitter(column, [row.text for row in rows])
        found, unlabelled = list[TimedLabel](), list[str]()
        for row in rows:
            if row.recording not in files:
                unknown.append(row.place)
                continue
            file = files[row.recording]
            parts = (self.texts.normal(part, "word") for part in split(row.text))
            words = tuple(dict.fromkeys(part for part in parts if part))
            if not words:
                unlabelled.append(row.place)
            elif file is not None:
                held_out[stated[1]] += stated[1] in HELD_OUT
                place, group = f"{self.supervisions}, {row.place}", row.speaker
                label: Split = stated[0]
                found.append(TimedLabel(file, label, words, row.start, row.end, place, group))
        name = self.supervisions
        self.problems.add_cases(
            f"{name} refers to recordings that {self.recordings} does not list; add them",
            unknown,
            code="unknown-recordings",
        )
        self.problems.add_cases(
            f"{name} has supervisions without {printable(column)}; write it, or name the field of "
            "the labels with --label-column",
            unlabelled,
            code="clips-without-label",
        )
        self.texts.report(self.problems)
        return found

    def _splitter(self, column: str, cells: list[str]) -> Any:  # noqa: ANN401  a Splitter
        spaced = next((cell for cell in cells if " " in cell.strip()), None)
        if spaced is not None and not self.options.separator:
            raise DataError(
                f"{self.supervisions}: {printable(column)} such as {printable(spaced, 80)!r} has "
                "two readings, several words separated by spaces or one label with a space; choose "
                "with --separator ' ' or --separator none",
                code="ambiguous-separator",
                table=self.supervisions,
                column=column,
                cell=printable(spaced, 80),
                readings=("several labels", "one label with a space"),
            )
        return label_splitter(self.supervisions, column, cells, self.options.separator)

    def _objects(self, name: str) -> list[tuple[int, dict[str, Any]]]:
        try:
            return [*json_objects(self.source.data / name, name)]
        except (OSError, TableError) as error:
            report_unreadable(error, name, "manifest of JSON lines", self.problems)
            return []

    def _files(self) -> dict[str, str | None]:
        """Return the path of each recording; None for a file that is missing."""
        found, foreign, repeated = dict[str, str | None](), list[str](), list[str]()
        malformed = list[str]()
        for line, content in self._objects(self.recordings):
            name, sources = content.get("id"), content.get("sources")
            if not isinstance(name, str) or not isinstance(sources, list) or not sources:
                malformed.append(f"line {line}")
                continue
            place, first = f"line {line} ({printable(name, 80)})", sources[0]
            if name in found:
                repeated.append(place)
                continue
            known = isinstance(first, Mapping) and first.get("type") == "file"
            path = first.get("source") if isinstance(first, Mapping) else None
            if len(sources) != 1 or not known or not isinstance(path, str):
                foreign.append(place)
                found[name] = None
                continue
            found[name] = self.paths.resolve(place, path)
        self.problems.add_cases(
            f"{self.recordings} has recordings that are not one file (commands, addresses, or "
            "several files), which are not read; save them as files",
            foreign,
            code="unsupported-source",
        )
        self.problems.add_cases(
            f"{self.recordings} has several recordings of the same id; rename them",
            repeated,
            code="duplicate-ids",
        )
        self._report_malformed(self.recordings, malformed, "id and sources")
        return found

    def _supervisions(self) -> list[Supervision]:
        found, malformed = list[Supervision](), list[str]()
        column = self.options.columns.label or "text"
        for line, content in self._objects(self.supervisions):
            recording = content.get("recording_id")
            start, seconds = _time(content.get("start")), _time(content.get("duration"))
            if not isinstance(recording, str) or start is None or not seconds:
                malformed.append(f"line {line}")
                continue
            custom = content.get("custom")
            text = content.get(column)
            if text is None and isinstance(custom, Mapping):
                text = custom.get(column)
            speaker = content.get("speaker")
            place = f"line {line} ({printable(str(content.get('id', recording)), 80)})"
            found.append(
                Supervision(
                    recording, start, start + seconds, str(text or ""),
                    self.texts.normal(speaker, "group") if isinstance(speaker, str) else "", place,
                )
            )  # fmt: skip
        self._report_malformed(self.supervisions, malformed, "recording_id, start and duration")
        return found

    def _report_malformed(self, name: str, lines: list[str], fields: str) -> None:
        self.problems.add_cases(
            f"{name} has objects without valid {fields}; export the manifest again",
            lines,
            code="malformed-manifest",
        )


def _time(value: object) -> float | None:
    """Return a number of seconds; None if it is no such number."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 <= value < MAX_SECONDS else None  # type: ignore[arg-type, operator]
