"""Builds a catalogue from a data folder: joins, checks and quarantines clips on stable rows."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.catalog.catalog import Catalog, natural_order
from overlap.catalog.cell_text import normal_text, visible
from overlap.catalog.folds import groups_of
from overlap.catalog.id_matching import id_hint, match_ids
from overlap.catalog.inspection import COLUMNS, NOT_OPENED, Runner, inspect_files
from overlap.catalog.label_kinds import normalise_distributions
from overlap.catalog.listing import Listing
from overlap.catalog.problems import PLAN_HINT, Problem, Problems
from overlap.catalog.rows import OK, QUARANTINED, REMOVED
from overlap.catalog.withdrawn import WITHDRAWN_SOUND
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
    clips.loc[withdrawn, ["digest", "reason"]] = ["", WITHDRAWN_SOUND]
    clips["state"] = np.where(clips["reason"] == "", OK, QUARANTINED)
    report_audio(clips, checks, problems)
    _report_duplicates(clips, labels, problems)
    problems.raise_if_fatal(str(listing.data))
    words = _words_as_before(_output_words(listing), previous)
    catalog = Catalog(str(listing.data), wanted, words, clips, labels)
    return CatalogReport(_on_stable_rows(catalog, previous), tuple(problems.handled), inspected)


def matched_clips(listing: Listing) -> pd.DataFrame:
    """Return the files that match a row of a table, without any check."""
    return _join(listing, Problems())[0]


def _normalised(listing: Listing, checks: ChecksConfig) -> tuple[Listing, Problems]:
    """Return the listing, with normalised labels if that is set, and its problems."""
    problems, table = Problems([*listing.problems.found]), listing.labels
    if checks.normalise_labels and table is not None:
        ids = np.array(table.ids, object)
        values = normalise_distributions(table.name, ids, table.values, problems)
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
    files = listing.files.drop_duplicates(["split", "clip_id"])
    words = _output_words(listing)
    parts, labels = [], []
    for split, table in (("train", listing.labels), ("test", listing.template)):
        part = files[files["split"] == split]
        part = part.iloc[natural_order([*part["clip_id"]])].reset_index(drop=True)
        part["table_id"], part["position"] = part["clip_id"], np.arange(len(part))
        values = np.full((len(part), len(words)), np.nan)
        if table is not None:
            index = match_ids([*part["clip_id"]], table.ids)
            _report_join(part, split, table.name, np.array(table.ids, object), index, problems)
            matched, first = np.unique(index[index >= 0], return_index=True)
            position = np.flatnonzero(index >= 0)[first]
            part = part.iloc[matched].reset_index(drop=True)
            part["position"] = position
            part["table_id"] = pd.Series([table.ids[p] for p in position], dtype="str")
            if split == "train" and set(words) == set(table.words):
                column_of = {word: column for column, word in enumerate(table.words)}
                columns = [column_of[word] for word in words]
                values = table.values[position][:, columns]
            else:
                values = values[: len(part)]
        if split == "train":
            part["position"] = -1
        parts.append(part)
        labels.append(values)
    clips = pd.concat(parts, ignore_index=True)
    clips["group"] = groups_of(clips, listing, problems)
    return clips, np.concatenate(labels)


def _report_join(
    part: pd.DataFrame,
    split: str,
    table: str,
    ids: NDArray[np.object_],
    index: NDArray[np.int64],
    problems: Problems,
) -> None:
    missing = ids[index < 0]
    hint = id_hint(missing, part["clip_id"])
    if len(missing) == len(ids) and len(part):
        example = part["clip_id"].iloc[0]
        problems.add(
            f"no id in {table} matches a file in {split}/ (such as {example}){hint}",
            missing,
            code="no-id-matches",
        )
    else:
        problems.add_cases(
            f"{table} has ids without a file in {split}/{hint}", missing, code="ids-without-file"
        )
    found, count = np.unique(index[index >= 0], return_counts=True)
    ambiguous = [
        " and ".join(visible(clip) for clip in ids[index == file]) for file in found[count > 1]
    ]
    if len(set(ids)) == len(ids):  # otherwise the duplicate ids of the table are already reported
        problems.add_cases(
            f"{table} has several ids for the same file", ambiguous, code="several-ids-per-file"
        )
    extra = np.setdiff1d(np.arange(len(part)), found)
    problems.add_cases(
        f"{split}/ contains files that {table} does not list; they are ignored",
        part["file"].to_numpy()[extra],
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
    known = pd.DataFrame(columns=["file", "version", *COLUMNS])
    if previous is not None and (previous.data, previous.wanted) == (str(listing.data), wanted):
        before = previous.clips
        reusable = (before["state"] != REMOVED) & ~before["reason"].str.startswith(NOT_OPENED)
        known = before.loc[reusable, ["file", "version", *COLUMNS]]
    clips = clips.merge(known, how="left", on=["file", "version"], validate="one_to_one")
    new = clips["digest"].isna().to_numpy()
    seen = inspect_files(listing.data, [*clips.loc[new, "file"]], wanted, run)
    for column in COLUMNS:
        values = clips[column].to_numpy(object, copy=True)
        values[new] = seen[column].to_numpy(object)
        clips[column] = (
            values.astype(bool) if column == "clipped" else pd.Series(values, dtype="str")
        )
    return clips, int(new.sum())


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
    same = clips[usable & clips.duplicated("digest", keep=False)]
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


def _on_stable_rows(catalog: Catalog, previous: Catalog | None) -> Catalog:
    """Return the catalogue with the rows of an earlier one, and new clips appended."""
    if previous is None:
        return catalog
    key = ["split", "clip_id"]
    clips = catalog.clips.set_index(key, drop=False)
    before = previous.clips.set_index(key, drop=False)
    removed = before.index.difference(clips.index, sort=False)
    empty = before.loc[removed].assign(
        state=REMOVED, digest="", version="", repairs="", reason="", group="",
        clipped=False, position=-1,
    )  # fmt: skip
    new = clips.index.difference(before.index, sort=False)
    order = before.index.append(new)
    rows = pd.concat([clips, empty]).loc[order].reset_index(drop=True)
    labels = np.full((len(order), len(catalog.words)), np.nan)
    at = order.get_indexer(clips.index)
    labels[at] = catalog.labels
    return replace(catalog, clips=rows[catalog.clips.columns], labels=labels)
