"""Builds a catalogue from a data folder: joins, checks and quarantines clips on stable rows."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.audio.clips import NOT_OPENED
from overlap.catalog.catalog import Catalog, on_stable_rows, with_columns_of
from overlap.catalog.cell_text import normal_text, visible
from overlap.catalog.clip_files import repeated_ids
from overlap.catalog.folds import groups_of
from overlap.catalog.id_matching import id_hint, match_ids
from overlap.catalog.inspection import TYPES, Runner, inspect_files
from overlap.catalog.label_kinds import normalise_distributions
from overlap.catalog.listing import Listing
from overlap.catalog.problems import PLAN_HINT, Problem, Problems
from overlap.catalog.rows import GROUP_ROWS, OK, QUARANTINED, REMOVED
from overlap.catalog.tables.label_tables import Table
from overlap.catalog.withdrawn import WITHDRAWN_SOUND
from overlap.columns.frames import concatenated, rows_of, text_series
from overlap.columns.search import equal_at, natural_order, positions, repeated
from overlap.columns.temporary_files import zeros
from overlap.columns.texts import texts_at, texts_where
from overlap.config import AudioFormat, ChecksConfig
from overlap.io.formatting import counted


@dataclass(frozen=True)
class CatalogReport:
    """A checked catalogue and the problems that were handled."""

    catalog: Catalog
    problems: tuple[Problem, ...]
    """Repairs, ignored files and suspicious clips."""
    inspected: int
    """Number of clips that were decoded. Unchanged clips of an earlier catalogue are not decoded
    again, unless their file could not be read then."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line for each of `problems`."""
        return tuple(map(str, self.problems))


def build_catalog(
    listing: Listing,
    wanted: AudioFormat,
    checks: ChecksConfig,
    previous: Catalog | None = None,
    run: Runner = map,
) -> CatalogReport:
    """Join files and tables, inspect every clip, and report all problems together.

    Rows are stable: a clip of `previous` keeps its row, new clips are appended in the order of
    their ids, and the row of a removed clip stays empty.

    Args:
        listing: Files and tables of the data folder.
        wanted: The clip format that the features need.
        checks: Limits of what is tolerated.
        previous: The catalogue of an earlier run in the same workspace.
        run: Applies the inspection to batches of files: the map of a cluster, or the builtin.

    Raises:
        DataError: the data has fatal problems, all of which the message lists.
    """
    listing, problems = _normalised(listing, checks)
    clips, labels = _join(listing, problems)
    clips, inspected = _with_inspection(clips, listing, wanted, previous, run)
    withdrawn = clips["digest"].isin(listing.withdrawn_audio)
    if withdrawn.any():
        clips.loc[withdrawn, ["digest", "reason"]] = ["", WITHDRAWN_SOUND]
    bad = np.asarray(clips["reason"] != "", np.int64)
    clips["state"] = text_series(texts_at([OK, QUARANTINED], bad))
    report_audio(clips, checks, problems)
    _report_duplicates(clips, labels, problems)
    problems.raise_if_fatal(str(listing.data))
    words = _words_as_before(_output_words(listing), previous)
    catalog = Catalog(str(listing.data), wanted, words, clips, labels)
    return CatalogReport(on_stable_rows(catalog, previous), tuple(problems.handled), inspected)


def matched_clips(listing: Listing) -> pd.DataFrame:
    """Return the files that match a row of a table, without any check."""
    return _join(listing, Problems())[0]


def _normalised(listing: Listing, checks: ChecksConfig) -> tuple[Listing, Problems]:
    """Return the listing, with normalised labels if that is set, and its problems."""
    problems, table = Problems([*listing.problems.found]), listing.labels
    if checks.normalise_labels and table is not None:
        values = normalise_distributions(table.name, table.ids, table.values, problems)
        listing = replace(listing, labels=replace(table, values=values))
    return listing, problems


def check_tables(listing: Listing, checks: ChecksConfig) -> None:
    """Check names and tables, and that they match, without decoding a clip.

    Raises:
        DataError: there are fatal problems, all of which the message lists.

    Warns:
        DataWarning: problems were handled.
    """
    listing, problems = _normalised(listing, checks)
    _join(listing, problems)
    problems.raise_if_fatal(str(listing.data))
    problems.warn()


def clips_to_predict(listing: Listing, problems: Problems | None = None) -> pd.DataFrame:
    """Return the clips of a folder that match a row of the output, in the order of its rows.

    Args:
        listing: The folder.
        problems: Holds the problems of the listing and receives further ones.

    Returns:
        table_id, file and version of each clip; the index numbers the clips in the order of their
        ids, independent of the template's order.

    Raises:
        DataError: there are fatal problems, all of which the message lists.
    """
    problems = Problems([*listing.problems.found]) if problems is None else problems
    clips = _join(listing, problems)[0]
    problems.raise_if_fatal(str(listing.data))
    clips = clips[clips["split"] == "test"].reset_index(drop=True)
    return clips.sort_values("position")[["table_id", "file", "version"]]


def _output_words(listing: Listing) -> tuple[str, ...]:
    """Return the words in the order of the output."""
    table = listing.template or listing.labels
    return table.words if table else ()


def _words_as_before(words: tuple[str, ...], previous: Catalog | None) -> tuple[str, ...]:
    """Return the words as an earlier catalogue spells them, if it has the same in this order.

    Catalogues that did not store the normal form keep their words, so that no member changes.
    """
    same = previous is not None and tuple(map(normal_text, previous.words)) == words
    return previous.words if previous is not None and same else words


def _join(listing: Listing, problems: Problems) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Return the files that match a table (or all, if there is none) in the order of their ids."""
    files, words = listing.files, _output_words(listing)
    if repeated_ids(files).any():
        files = files.drop_duplicates(["split", "clip_id"])
    parts, labelled = [], None
    for split, table in (("train", listing.labels), ("test", listing.template)):
        part = rows_of(files, np.flatnonzero(files["split"] == split))
        part = rows_of(part, natural_order(part["clip_id"]))
        part["table_id"], part["position"] = part["clip_id"], np.arange(len(part))
        if table is not None:
            index = match_ids(part["clip_id"], table.ids)
            _report_join(part, split, table, index, problems)
            matched, first = np.unique(index[index >= 0], return_index=True)
            position = np.flatnonzero(index >= 0)[first]
            part = rows_of(part, matched)
            part["position"] = position
            part["table_id"] = text_series(texts_at(table.ids, position))
            if split == "train" and set(words) == set(table.words):
                labelled = table.values, position, [table.words.index(word) for word in words]
        if split == "train":
            part["position"] = -1
        parts.append(part)
    clips = concatenated(parts)
    clips["group"] = groups_of(clips, listing, problems)
    labels = zeros((len(clips), len(words)))
    labels.fill(np.nan)
    if labelled is not None:
        values, position, columns = labelled
        for start in range(0, len(position), GROUP_ROWS):  # a copy of all would double the memory
            rows = position[start : start + GROUP_ROWS]
            labels[start : start + len(rows)] = values[rows][:, columns]
    return clips, labels


def _report_join(
    part: pd.DataFrame,
    split: str,
    table: Table,
    index: NDArray[np.int64],
    problems: Problems,
) -> None:
    ids = table.ids
    missing = texts_where(ids, index < 0)
    hint = id_hint(missing, part["clip_id"])
    if len(missing) == len(ids) and len(part):
        example = part["clip_id"].iloc[0]
        problems.add(
            f"no id in {table.name} matches a file in {split}/ (such as {example}){hint}",
            missing,
            code="no-id-matches",
        )
    else:
        problems.add_cases(
            f"{table.name} has ids without a file in {split}/{hint}",
            missing,
            code="ids-without-file",
        )
    found, count = np.unique(index[index >= 0], return_counts=True)
    ambiguous = [
        " and ".join(map(visible, texts_where(ids, index == file))) for file in found[count > 1]
    ]
    # With repeated ids, which are reported already, several rows always have the same file.
    if ambiguous and not repeated(ids).any():
        problems.add_cases(
            f"{table.name} has several ids for the same file",
            ambiguous,
            code="several-ids-per-file",
        )
    extra = np.ones(len(part), np.bool_)
    extra[found] = False
    problems.add_cases(
        f"{split}/ contains files that {table.name} does not list; they are ignored",
        part.loc[extra, "file"],
        code="unlisted-files",
        fatal=False,
    )


def _with_inspection(
    clips: pd.DataFrame,
    listing: Listing,
    wanted: AudioFormat,
    previous: Catalog | None,
    run: Runner,
) -> tuple[pd.DataFrame, int]:
    """Add the columns of the inspection, decoding only new and changed files."""
    known, row = None, np.full(len(clips), -1)
    if previous is not None and (previous.data, previous.wanted) == (str(listing.data), wanted):
        known = previous.clips
        reusable = (known["state"] != REMOVED) & ~known["reason"].str.startswith(NOT_OPENED)
        if not reusable.all():
            known = rows_of(known, np.flatnonzero(reusable))
        row = positions(clips["file"], known["file"])
        row[~equal_at(clips["version"], known["version"], row)] = -1
        if len(row) == len(known) > 0 and (row == np.arange(len(row))).all():
            return with_columns_of(known, clips, TYPES), 0
    new = np.flatnonzero(row < 0)
    seen = inspect_files(listing.data, texts_at(clips["file"], new), wanted, run)
    if known is not None:
        row[new] = len(known) + np.arange(len(new))
        seen = rows_of(concatenated([known[[*TYPES]].astype(TYPES), seen]), row)
    return clips.assign(**{name: seen[name].array for name in TYPES}), len(new)


def report_audio(clips: pd.DataFrame, checks: ChecksConfig, problems: Problems) -> None:
    """Report repairs, clipped clips and unusable clips.

    Args:
        clips: file, split, repairs, clipped, state and reason of each clip.
        checks: Limit of the unusable clips.
        problems: Receives the problems.
    """
    for repair in ("resampled", "downmixed", "padded", "trimmed"):
        cases = clips.loc[clips["repairs"].str.contains(repair, regex=False), "file"]
        hint = PLAN_HINT if repair != "downmixed" and 2 * len(cases) > len(clips) else ""
        problems.add_cases(f"clips were {repair}{hint}", cases, code=repair, fatal=False)
    clipped = clips.loc[clips["clipped"], "file"]
    problems.add_cases(
        "clips are clipped (and used unchanged)", clipped, code="clipped", fatal=False
    )
    bad = clips[clips["state"] == QUARANTINED]
    unusable = [
        f"{file} ({reason})" for file, reason in zip(bad["file"], bad["reason"], strict=True)
    ]
    broken = int((bad["reason"] != WITHDRAWN_SOUND).sum())
    if broken > checks.max_bad_fraction * len(clips):
        share = f"{broken} of {counted(len(clips), 'clip')} are unusable"
        limit = f"more than checks.max_bad_fraction = {checks.max_bad_fraction:g} allows"
        problems.add(f"{share}, {limit}", unusable, code="too-many-unusable-clips")
    else:
        problems.add_cases(
            "clips are unusable and quarantined", unusable, code="quarantined", fatal=False
        )
    train = clips["split"] == "train"
    if train.any() and not (train & (clips["state"] == OK)).any():
        problems.add("no training clip is usable", code="no-usable-training-clip")
    test = clips["split"] == "test"
    if test.any() and not (test & (clips["state"] == OK)).any():
        problems.add(
            "no test clip is usable, so that nothing could be predicted; mend the files, or remove "
            "them with their template to train without test clips",
            code="no-usable-test-clip",
        )


def _report_duplicates(
    clips: pd.DataFrame, labels: NDArray[np.float64], problems: Problems
) -> None:
    usable = clips["state"] == OK
    same = clips[usable & repeated(clips["digest"])]
    cases, conflicts = [], []
    for _, group in same.groupby("digest", sort=True):
        files = " = ".join(group["file"])
        cases.append(files)
        known = labels[group.index[group["split"] == "train"]]
        if len(known) > 1 and not np.allclose(known, known[0], equal_nan=True):
            conflicts.append(files)
    problems.add_cases(
        "several ids have the same audio", cases, code="duplicate-audio", fatal=False
    )
    problems.add_cases(
        "clips with the same audio have different labels",
        conflicts,
        code="conflicting-labels",
        fatal=False,
    )
