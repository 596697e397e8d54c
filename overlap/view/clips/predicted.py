"""The clips that a version predicts and was not trained on: predictions, KL and disagreement.

Everything is read once per version and kept as arrays: about 330 bytes per clip with 30 words, and
6 per clip and member. 110,000 clips are therefore filtered and sorted in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog
from overlap.ensemble.held_out import held_out_disagreement, member_divergence, positions
from overlap.ensemble.registry import EnsembleRecord, read_predictions
from overlap.errors import OverlapError
from overlap.io.formatting import counted
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.metrics.divergence import kl_per_clip
from overlap.training.spec import MemberRecord, load_record, rows_key
from overlap.training.spec import read_predictions as read_member

NO_WORD = -1
"""Index of the word of a member that did not predict the clip."""


@dataclass(frozen=True)
class MemberName:
    """A member, as a table names it."""

    fingerprint: str
    seed: int
    fold: int


@dataclass(frozen=True, eq=False)
class PredictedClips:
    """The held-out and test clips of a version."""

    version: str
    words: tuple[str, ...]
    rows: NDArray[np.int64]
    """(clips,) rows of the catalogue: first the held-out clips, then the test clips."""
    held_out: int
    """Number of held-out clips."""
    labels: NDArray[np.float32]
    """(held-out clips, words): true probabilities."""
    pooled: NDArray[np.float32]
    """(clips, words): predictions of the version."""
    kl: NDArray[np.float64]
    """(clips,) KL(label || prediction), nats; NaN for test clips."""
    disagreement: NDArray[np.float64]
    """(clips,) disagreement of the members, nats; NaN if predictions of members are missing."""
    members: tuple[MemberName, ...]
    """Members whose predictions exist."""
    divergence: NDArray[np.float32]
    """(members, clips) KL(member || version), nats; NaN where a member did not predict a clip."""
    member_word: NDArray[np.int16]
    """(members, clips) index of a member's most probable word, or `NO_WORD`."""
    notes: tuple[str, ...]
    """What is missing, and why."""

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def is_test(self) -> NDArray[np.bool_]:
        """(clips,) whether each is a test clip."""
        return np.arange(len(self)) >= self.held_out

    @cached_property
    def word(self) -> NDArray[np.int64]:
        """(clips,) index of the most probable word of each prediction."""
        found: NDArray[np.int64] = self.pooled.argmax(axis=1)
        return found

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """(clips, words) whether a word is in a clip; false for test clips."""
        found = np.zeros(self.pooled.shape, np.bool_)
        found[: self.held_out] = self.labels > 0
        return found

    def index_of(self, row: int) -> int | None:
        """Return the index of a row of the catalogue, or None if it has no prediction here."""
        found = np.flatnonzero(self.rows == row)
        return int(found[0]) if len(found) else None


def read_predicted(workspace: Location, record: EnsembleRecord, catalog: Catalog) -> PredictedClips:
    """Read the predictions of a version and of its members.

    Args:
        workspace: The workspace.
        record: The version.
        catalog: The current catalogue.

    Raises:
        CorruptError: The predictions of the version are missing or damaged.
    """
    own, notes = read_predictions(workspace, record), list[str]()
    empty = np.zeros(0, np.int64), np.zeros((0, len(record.words)))
    held_out_rows, held_out = empty
    if reason := _held_out_fault(own, record, catalog):
        notes.append(reason)
    else:
        held_out_rows, held_out = own["held_out_rows"], own["held_out"]
    test_rows, test = own["test_rows"], own["test"]
    if not _within(test_rows, catalog) or rows_key(catalog, test_rows) != record.test_key:
        notes.append("Test clips have changed since this version was made, so they are not shown.")
        test_rows, test = empty
    rows = np.concatenate([held_out_rows, test_rows]).astype(np.int64)
    pooled = np.concatenate([held_out, test]).astype(np.float64)
    labels = catalog.labels[held_out_rows] if len(held_out_rows) else held_out
    kl = np.full(len(rows), np.nan)
    kl[: len(held_out_rows)] = kl_per_clip(labels, held_out)
    members, divergence, words = _members(
        workspace, record, rows, pooled, len(held_out_rows), notes
    )
    return PredictedClips(
        version=record.version,
        words=record.words,
        rows=rows,
        held_out=len(held_out_rows),
        labels=labels.astype(np.float32),
        pooled=pooled.astype(np.float32),
        kl=kl,
        disagreement=_disagreement(record, members, divergence, len(held_out_rows)),
        members=members,
        divergence=divergence.astype(np.float32),
        member_word=words,
        notes=tuple(notes),
    )


def _within(rows: NDArray[np.int64], catalog: Catalog) -> bool:
    return bool(rows.max(initial=-1) < len(catalog))


def _held_out_fault(
    own: dict[str, NDArray[np.int64]], record: EnsembleRecord, catalog: Catalog
) -> str:
    """Return why the held-out clips cannot be shown; empty if they can."""
    if record.held_out_key is None or "held_out_rows" not in own:
        return "This version held out no clips, so no prediction can be compared with a label."
    rows = own["held_out_rows"]
    if catalog.words != record.words:
        return "The words have changed since this version was made, so it has no held-out clips."
    if not _within(rows, catalog) or catalog.key(rows, labels=True) != record.held_out_key:
        return "Held-out clips have changed since this version was made, so they are not shown."
    return ""


def _members(
    workspace: Location,
    record: EnsembleRecord,
    rows: NDArray[np.int64],
    pooled: NDArray[np.float64],
    held_out: int,
    notes: list[str],
) -> tuple[tuple[MemberName, ...], NDArray[np.float64], NDArray[np.int16]]:
    """Return the members with predictions, their divergences and words; one is read at a time."""
    names, divergence, words = list[MemberName](), list[NDArray[np.float64]](), []
    for fingerprint in record.members:
        folder = WorkspacePaths(workspace).member(fingerprint).folder
        try:
            member = load_record(folder)
            saved = read_member(folder, member) if member else None
        except (OverlapError, OSError):
            continue
        if member is None or saved is None or member.spec.words != record.words:
            continue
        own, word = [], np.full(len(rows), NO_WORD, np.int16)
        for part, name in ((slice(held_out), "held_out"), (slice(held_out, None), "test")):
            known_rows, predicted = saved[f"{name}_rows"], saved[name]
            own.append(member_divergence(rows[part], pooled[part], known_rows, predicted))
            at, known = positions(rows[part], known_rows)
            if known.any():
                word[part][known] = predicted[at[known]].argmax(axis=1)
        names.append(_name(member))
        divergence.append(np.concatenate(own))
        words.append(word)
    if lost := len(record.members) - len(names):
        notes.append(
            f"The predictions of {counted(lost, 'member')} cannot be read, so the disagreement of "
            "all members is unknown."
        )
    shape = (len(names), len(rows))
    return (
        tuple(names),
        np.array(divergence, np.float64).reshape(shape),
        np.array(words, np.int16).reshape(shape),
    )


def _name(member: MemberRecord) -> MemberName:
    return MemberName(
        member.fingerprint,
        member.spec.seed if member.seed is None else member.seed,
        member.spec.fold,
    )


def _disagreement(
    record: EnsembleRecord,
    members: Sequence[MemberName],
    divergence: NDArray[np.float64],
    held_out: int,
) -> NDArray[np.float64]:
    """Return the disagreement of the members about each clip, (clips,) nats; NaN if unknown."""
    if len(members) < len(record.members) or not members:
        return np.full(divergence.shape[1], np.nan)
    folds = [member.fold for member in members]
    tests = np.sort(divergence[:, held_out:], axis=0).mean(axis=0)
    own = held_out_disagreement(divergence[:, :held_out], folds, record.per_round)
    return np.concatenate([own, tests])
