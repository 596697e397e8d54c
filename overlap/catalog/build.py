"""From a data folder to a catalogue: join, check, repair, quarantine, and keep rows stable."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.catalog.catalog import Catalog, in_order
from overlap.catalog.inspection import COLUMNS, NOT_OPENED, Runner, inspect_files
from overlap.catalog.label_tables import match_ids
from overlap.catalog.listing import GROUPS, Listing
from overlap.catalog.problems import Problems
from overlap.catalog.rows import OK, QUARANTINED, REMOVED
from overlap.config import AudioFormat, ChecksConfig


@dataclass(frozen=True)
class CatalogReport:
    """A checked catalogue and what a person should know about it."""

    catalog: Catalog
    warnings: tuple[str, ...]
    """What was repaired, left out or looks odd, a line each."""
    inspected: int
    """Clips that were looked at; unchanged ones of an earlier catalogue are not, unless they
    could not even be opened then."""


def build_catalog(
    listing: Listing,
    wanted: AudioFormat,
    checks: ChecksConfig,
    previous: Catalog | None = None,
    run: Runner = map,
) -> CatalogReport:
    """Join files and tables, look at every clip, and report all problems together.

    Rows are stable: a clip of `previous` keeps its row, new clips are appended in the order of
    their ids, clips that are gone leave their row empty.

    Args:
        listing: What the data folder holds.
        wanted: The clip format that the features need.
        checks: How much may be wrong.
        previous: The catalogue of an earlier run over the same workspace.
        run: Applies the inspection to batches of files; a cluster's map, or the builtin.

    Raises:
        DataError: something is wrong with the data; the message lists all of it.
    """
    problems = Problems([*listing.problems.found])
    clips, labels = _joined(listing, problems)
    clips, inspected = _inspected(clips, listing, wanted, previous, run)
    clips["state"] = np.where(clips["reason"] == "", OK, QUARANTINED)
    report_audio(clips, checks, problems)
    _report_duplicates(clips, labels, problems)
    problems.raise_if_fatal(str(listing.data))
    words = listing.template.words if listing.template else _words(listing)
    catalog = Catalog(str(listing.data), wanted, words, clips, labels)
    return CatalogReport(_on_rows(catalog, previous), tuple(problems.warnings), inspected)


def named_clips(listing: Listing) -> pd.DataFrame:
    """The files that stand for a row of a table, as far as they fit; nothing is checked."""
    return _joined(listing, Problems())[0]


def check_tables(listing: Listing) -> None:
    """Refuse names and tables that do not fit together, as far as it shows without decoding.

    Raises:
        DataError: the message lists all of it.
    """
    problems = Problems([*listing.problems.found])
    _joined(listing, problems)
    problems.raise_if_fatal(str(listing.data))


def clips_to_predict(listing: Listing) -> pd.DataFrame:
    """The clips of a folder that stand for a row of the output, in the order of its rows.

    Returns:
        table_id, file and version of each; the index counts them in the order of their ids,
        whatever the template's.

    Raises:
        DataError: files or template do not say which clips; the message lists all of it.
    """
    problems = Problems([*listing.problems.found])
    clips = _joined(listing, problems)[0]
    problems.raise_if_fatal(str(listing.data))
    clips = clips[clips["split"] == "test"].reset_index(drop=True)
    return clips.sort_values("position")[["table_id", "file", "version"]]


def _words(listing: Listing) -> tuple[str, ...]:
    return listing.labels.words if listing.labels else ()


def _joined(listing: Listing, problems: Problems) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Files that a table names (or all, where there is no table), in the order of their ids."""
    files = listing.files.drop_duplicates(["split", "clip_id"])
    words = listing.template.words if listing.template else _words(listing)
    parts, labels = [], []
    for split, table in (("train", listing.labels), ("test", listing.template)):
        part = files[files["split"] == split]
        part = part.iloc[in_order([*part["clip_id"]])].reset_index(drop=True)
        part["table_id"], part["position"] = part["clip_id"], np.arange(len(part))
        values = np.full((len(part), len(words)), np.nan)
        if table is not None:
            index = match_ids([*part["clip_id"]], table.ids)
            _report_join(part, split, table.name, np.array(table.ids, object), index, problems)
            named, first = np.unique(index[index >= 0], return_index=True)
            position = np.flatnonzero(index >= 0)[first]
            part = part.iloc[named].reset_index(drop=True)
            part["position"] = position
            part["table_id"] = pd.Series([table.ids[p] for p in position], dtype="str")
            if split == "train" and set(words) == set(table.words):
                places = {word: place for place, word in enumerate(table.words)}
                columns = [places[word] for word in words]
                values = table.values[position][:, columns]
            else:
                values = values[: len(part)]
        if split == "train":
            part["position"] = -1
        parts.append(part)
        labels.append(values)
    clips = pd.concat(parts, ignore_index=True)
    clips["group"] = _groups(clips, listing, problems)
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
    if len(missing) == len(ids) and len(part):
        example = part["clip_id"].iloc[0]
        problems.add(f"no id of {table} fits a file of {split}/ (such as {example})", missing)
    else:
        problems.add_cases(f"{table} has ids without a file in {split}/", missing)
    found, count = np.unique(index[index >= 0], return_counts=True)
    twice = part["clip_id"].to_numpy()[found[count > 1]]
    if len(set(ids)) == len(ids):  # otherwise the table's repeated ids are already reported
        problems.add_cases(f"{table} names one file by several ids", twice)
    extra = np.setdiff1d(np.arange(len(part)), found)
    problems.add_cases(
        f"{split}/ has files that {table} does not name; they are left out",
        part["file"].to_numpy()[extra],
        fatal=False,
    )


def _groups(clips: pd.DataFrame, listing: Listing, problems: Problems) -> pd.Series:
    none = pd.Series([""] * len(clips), dtype="str")
    if listing.groups is None:
        return none
    ids = listing.groups["id"].str.strip()
    problems.add_cases(f"{GROUPS} has ids more than once", ids[ids.duplicated()].unique())
    train = (clips["split"] == "train").to_numpy()
    index = match_ids([*clips.loc[train, "clip_id"]], [*ids])
    known = index >= 0
    values = none.to_numpy(copy=True).astype(object)
    values[np.flatnonzero(train)[index[known]]] = listing.groups["group"].to_numpy()[known]
    problems.add_cases(
        f"{GROUPS} does not name the group of training clips",
        clips.loc[train & (values == ""), "clip_id"],
    )
    return pd.Series(values, dtype="str")


def _inspected(
    clips: pd.DataFrame,
    listing: Listing,
    wanted: AudioFormat,
    previous: Catalog | None,
    run: Runner,
) -> tuple[pd.DataFrame, int]:
    """Add the columns of the inspection; only new and changed files are decoded."""
    known = pd.DataFrame(columns=["file", "version", *COLUMNS])
    if previous is not None and (previous.data, previous.wanted) == (str(listing.data), wanted):
        before = previous.clips
        looked_at = (before["state"] != REMOVED) & ~before["reason"].str.startswith(NOT_OPENED)
        known = before.loc[looked_at, ["file", "version", *COLUMNS]]
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
    """Note repairs, clipped clips and clips that cannot be used.

    Args:
        clips: file, split, repairs, clipped, state and reason of each.
        checks: How many may be unusable.
        problems: Receives what is to be told.
    """
    for repair in ("resampled", "downmixed", "padded", "trimmed"):
        cases = clips.loc[clips["repairs"].str.contains(repair, regex=False), "file"]
        problems.add_cases(f"clips were {repair}", cases, fatal=False)
    clipped = clips.loc[clips["clipped"], "file"]
    problems.add_cases("clips are clipped (kept as they are)", clipped, fatal=False)
    bad = clips[clips["state"] == QUARANTINED]
    named = [f"{file} ({reason})" for file, reason in zip(bad["file"], bad["reason"], strict=True)]
    if len(bad) > checks.max_bad_fraction * len(clips):
        share = f"{len(bad)} of {len(clips)} clips cannot be used"
        limit = f"more than checks.max_bad_fraction {checks.max_bad_fraction:g} allows"
        problems.add(f"{share}, {limit}", named)
    else:
        problems.add_cases("clips cannot be used and are quarantined", named, fatal=False)
    train = clips["split"] == "train"
    if train.any() and not (train & (clips["state"] == OK)).any():
        problems.add("no training clip can be used")


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
    problems.add_cases("the same audio stands under several ids", cases, fatal=False)
    problems.add_cases("the same audio has different labels", conflicts, fatal=False)


def _on_rows(catalog: Catalog, previous: Catalog | None) -> Catalog:
    """Put clips of an earlier catalogue back on their rows and append the new ones."""
    if previous is None:
        return catalog
    key = ["split", "clip_id"]
    clips = catalog.clips.set_index(key, drop=False)
    before = previous.clips.set_index(key, drop=False)
    gone = before.index.difference(clips.index, sort=False)
    empty = before.loc[gone].assign(
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
