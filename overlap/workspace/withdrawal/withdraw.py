"""Withdraws clips from a workspace, in an order in which an interruption loses nothing.

The list of withdrawn clips is written first: from then on no run uses them. The catalogue follows,
then features, predictions and reports. A withdrawal that was interrupted is completed by the same
command. Nothing is trained: the training clips have changed, so that the next run trains new
members on those that remain, as after any other change of the data.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog
from overlap.catalog.rows import REMOVED
from overlap.catalog.withdrawn import WithdrawnClip, read_withdrawn
from overlap.features.store.metadata import format_version
from overlap.io.location import Location
from overlap.workspace.withdrawal.features import clear_rows
from overlap.workspace.withdrawal.learned import VersionExposure, exposures, unlisted_members
from overlap.workspace.withdrawal.results import (
    clear_members,
    clear_versions,
    remove_predictions,
    remove_reports,
)
from overlap.workspace.withdrawal.selection import selected_rows
from overlap.workspace.workspace import Workspace


@dataclass(frozen=True)
class Remaining:
    """Something of the clips that a withdrawal leaves."""

    what: str
    where: str
    remedy: str


@dataclass(frozen=True)
class WithdrawalReport:
    """What a withdrawal did, or would do."""

    clips: tuple[str, ...]
    """`train/ID` or `test/ID` of every clip, those with the same sound included."""
    groups: tuple[str, ...]
    versions: tuple[VersionExposure, ...]
    """What each published version learned from them."""
    unlisted_members: tuple[str, ...]
    """Members of no version that train, or trained, on the current clips."""
    blocks: int
    """Blocks of features whose rows were set to zero and that are complete."""
    blocks_to_compute: int
    """Blocks whose rows were set to zero, and that the next run computes again."""
    members: int
    """Members from whose predictions the clips were removed."""
    changed_versions: tuple[str, ...]
    """Versions from whose predictions or submission the clips were removed."""
    reports: int
    """Removed reports."""
    predictions: int
    """Removed folders of stored predictions."""
    files: tuple[str, ...]
    """Removed sound files."""
    remaining: tuple[Remaining, ...]
    dry_run: bool


def withdraw(
    workspace: Workspace,
    clips: Sequence[str],
    groups: Sequence[str] = (),
    *,
    dry_run: bool = False,
    delete_files: bool = False,
) -> WithdrawalReport:
    """Withdraw clips.

    Args:
        workspace: The workspace; no run may work on it.
        clips: Ids, file names, or ids after `train/` or `test/`.
        groups: Names of groups, of which all clips are withdrawn, later ones included.
        dry_run: Change nothing; only return what would be done.
        delete_files: Also remove the sound files of the clips from the data folder.

    Raises:
        UserError: see `selected_rows`; or the data folder is read-only (`read-only-archive`).
        NotReadyError: there is no catalogue, or it lacks a clip (`unknown-clips`).
        WorkspaceLockedError: a run works on the workspace.
    """
    if dry_run:
        return _plan(workspace.location, Catalog.load(workspace.location), clips, groups)[0]
    Catalog.load(workspace.location)  # names what is missing, before the lock makes the folder
    with workspace.lock():
        catalog = Catalog.load(workspace.location)
        plan, rows = _plan(workspace.location, catalog, clips, groups)
        if delete_files:
            Location.of(catalog.data).check_writable()
        return _withdraw(workspace, catalog, plan, rows, delete_files=delete_files)


def _plan(
    workspace: Location, catalog: Catalog, clips: Sequence[str], groups: Sequence[str]
) -> tuple[WithdrawalReport, NDArray[np.int64]]:
    withdrawn = read_withdrawn(workspace)
    rows = selected_rows(catalog, withdrawn, clips, groups)
    frame = catalog.clips.iloc[rows]
    known = {(clip.split, clip.clip_id): clip.audio for clip in withdrawn.clips}
    audio = [
        digest or known.get((split, clip_id), "")
        for split, clip_id, digest in zip(
            frame["split"], frame["clip_id"], frame["digest"], strict=True
        )
    ]
    train = [
        digest for digest, split in zip(audio, frame["split"], strict=True)
        if digest and split == "train"
    ]  # fmt: skip
    versions = exposures(workspace, catalog, np.array(train or [b""]).astype(np.bytes_))
    others = unlisted_members(workspace, catalog) if train else ()
    report = WithdrawalReport(
        clips=tuple(f"{s}/{c}" for s, c in zip(frame["split"], frame["clip_id"], strict=True)),
        groups=tuple(groups), versions=versions, unlisted_members=others,
        blocks=0, blocks_to_compute=0, members=0, changed_versions=(), reports=0, predictions=0,
        files=(), remaining=(), dry_run=True,
    )  # fmt: skip
    return replace(report, remaining=_remaining(catalog, report, files=True)), rows


def _withdraw(
    workspace: Workspace,
    catalog: Catalog,
    plan: WithdrawalReport,
    rows: NDArray[np.int64],
    *,
    delete_files: bool,
) -> WithdrawalReport:
    place, paths, time = workspace.location, workspace.paths, datetime.now(UTC)
    frame = catalog.clips.iloc[rows]
    entries = tuple(
        WithdrawnClip(split=split, clip_id=clip_id, audio=digest, withdrawn=time)
        for split, clip_id, digest in zip(
            frame["split"], frame["clip_id"], frame["digest"], strict=True
        )
    )
    paths.withdrawn.write_record(read_withdrawn(place).with_more(entries, plan.groups))
    files = [file for file in frame["file"] if file] if delete_files else []
    after = without_clips(catalog, rows)
    workspace.save_catalog(after)
    blocks = left = 0
    if format_version(paths.features) is not None:
        blocks, left = clear_rows(place, catalog, after, rows)
        workspace.features_changed()
    tests = frozenset(frame.loc[frame["split"] == "test", "table_id"])
    members = clear_members(place, rows)
    changed = clear_versions(place, rows, tests)
    reports, predictions = remove_reports(place), remove_predictions(place)
    for file in files:
        (Location.of(catalog.data) / file).remove()
    done = replace(
        plan, blocks=blocks, blocks_to_compute=left, members=members, changed_versions=changed,
        reports=reports, predictions=predictions, files=tuple(files), dry_run=False,
    )  # fmt: skip
    return replace(done, remaining=_remaining(catalog, done, files=not delete_files))


def without_clips(catalog: Catalog, rows: NDArray[np.int64]) -> Catalog:
    """Return a catalogue in which some rows are those of removed clips; their ids stay."""
    clips, labels = catalog.clips.copy(), catalog.labels.copy()
    index = clips.index[rows]
    for column in ("digest", "version", "repairs", "reason", "group"):
        clips.loc[index, column] = ""
    clips.loc[index, "state"] = REMOVED
    clips.loc[index, "clipped"] = False
    clips.loc[index, "position"] = -1
    labels[rows] = np.nan
    return replace(catalog, clips=clips, labels=labels)


def _remaining(catalog: Catalog, report: WithdrawalReport, *, files: bool) -> tuple[Remaining, ...]:
    learned = [one.version for one in report.versions if one.learned != "no"]
    weights = {name for one in report.versions if one.learned != "no" for name in one.members}
    weights |= {*report.unlisted_members}
    found = []
    if files:
        found.append(Remaining("the sound files", catalog.data, "remove them, or --delete-files"))
    found.append(
        Remaining(
            "rows with their ids",
            f"train_answer.csv, submission.csv, groups.csv in {catalog.data}",
            "remove the rows",
        )
    )  # fmt: skip
    if weights:
        found.append(
            Remaining(
                f"what {len(weights)} members learned: weights cannot forget",
                f"members/ ({', '.join(sorted(weights))})",
                "run again, then remove old versions with `overlap models prune`",
            )
        )
    if learned:
        found.append(
            Remaining(
                "scores that include them, and digests of their sound",
                f"ensembles/ ({', '.join(learned)})",
                "remove these versions with `overlap models prune`",
            )
        )
    found += [
        Remaining("ids and digests, which keep them out", "withdrawn.json, catalog.parquet", ""),
        Remaining("copies", "backups, exported models, prediction tables, reports saved elsewhere",
                  "remove them where they are; withdraw the clips in every copy that stays"),
        Remaining("file names in logs and artifacts", "the Prefect server's database",
                  "delete the runs there"),
    ]  # fmt: skip
    return tuple(found)
