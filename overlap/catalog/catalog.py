"""The catalogue: the row of every clip in the feature store, and the metadata of the clip."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import overlap
from overlap.catalog.rows import (
    CONTENT,
    DIGEST,
    FEATURE_COLUMNS,
    FORMAT,
    GROUP_ROWS,
    LABEL,
    OK,
    QUARANTINED,
    REMOVED,
    ClipRows,
    Split,
    content_hash,
    stored_rows,
    write_rows,
)
from overlap.columns.frames import concatenated, rows_of
from overlap.columns.search import equal_numbers, positions
from overlap.columns.temporary_files import zeros
from overlap.columns.texts import texts_at
from overlap.config import AudioFormat
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths


@dataclass(frozen=True, eq=False)
class Catalog(ClipRows):
    """All clips of a workspace with their metadata and labels, in memory."""

    data: str
    """Address of the data folder."""
    wanted: AudioFormat
    """The clip format that the inspection was made for."""
    words: tuple[str, ...]
    """The words, in the order of every prediction."""
    clips: pd.DataFrame
    """A row per clip: clip_id, table_id (the id as written in its table), split, file, version,
    digest, repairs, clipped, state, reason, group, position (row in the submission, else -1)."""
    labels: NDArray[np.float64]
    """(rows, words) float64; NaN for rows without a label."""

    def __len__(self) -> int:
        return len(self.clips)

    def part(self, start: int, stop: int) -> pd.DataFrame:
        """Return `FEATURE_COLUMNS` of rows `start` to `stop` (exclusive) with any index."""
        return self.clips.iloc[start:stop][[*FEATURE_COLUMNS]]

    def rows(self, split: Split) -> NDArray[np.int64]:
        """Return the rows of the usable clips of a split, ascending."""
        usable = (self.clips["split"] == split) & (self.clips["state"] == OK)
        return np.flatnonzero(usable.to_numpy())

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """(rows,) bool: whether the row has features."""
        return (self.clips["state"] == OK).to_numpy(np.bool_)

    @cached_property
    def submission(self) -> pd.DataFrame:
        """The test clips in the order of the submission, including quarantined ones."""
        listed = self.clips[(self.clips["position"] >= 0) & (self.clips["state"] != REMOVED)]
        return listed.sort_values("position")

    def key(self, rows: slice | NDArray[np.int64], *, labels: bool = False) -> str:
        """Return the hash of the content of rows: 32 hexadecimal digits.

        Args:
            rows: The rows; their order matters.
            labels: Whether to include labels and groups, or the audio only.
        """
        names = (*CONTENT, *(["group"] if labels else []))
        every = np.arange(len(self))[rows]
        parts = [every[start : start + GROUP_ROWS] for start in range(0, len(every), GROUP_ROWS)]
        hashed = content_hash({name: self._texts(name, parts) for name in names})
        if labels:
            hashed.update("\0".join(self.words).encode())
            for part in parts:
                hashed.update(self.labels[part].tobytes())
        return hashed.hexdigest()

    def _texts(self, name: str, parts: Iterable[NDArray[np.int64]]) -> Iterator[str]:
        for part in parts:
            yield from self.clips[name].iloc[part].tolist()

    def equals(self, other: "Catalog") -> bool:
        """Return whether another catalogue has the same content."""
        return (
            (self.data, self.wanted, self.words) == (other.data, other.wanted, other.words)
            and self.clips.equals(other.clips)
            and equal_numbers(self.labels, other.labels)
        )

    def invalidated(self, rows: NDArray[np.int64]) -> "Catalog":
        """Return a copy without the versions of some files, which the next run inspects again."""
        clips = self.clips.copy()
        clips.loc[clips.index[rows], "version"] = ""
        return replace(self, clips=clips)

    def save(self, workspace: Location) -> None:
        """Write the catalogue, and a copy of its quarantined clips as a table for users."""
        metadata = {
            "data": self.data,
            "rate_hz": str(self.wanted.sample_rate),
            "samples": str(self.wanted.samples),
            "digest": DIGEST,
            "format": str(FORMAT),
            "written_by": overlap.__version__,
        }
        bad = self.clips.loc[
            self.clips["state"] == QUARANTINED, ["split", "clip_id", "file", "reason"]
        ]
        paths = WorkspacePaths(workspace)
        write_rows(paths.quarantine, [bad], {})
        write_rows(paths.catalog, self._with_labels(), metadata)

    def _with_labels(self) -> Iterator[pd.DataFrame]:
        """Yield clips and labels by row groups; one without rows if there are no clips."""
        names = [LABEL + word for word in self.words]
        for start in range(0, max(1, len(self)), GROUP_ROWS):
            rows = slice(start, start + GROUP_ROWS)
            labels = pd.DataFrame(self.labels[rows], columns=names)
            yield pd.concat([self.clips.iloc[rows].reset_index(drop=True), labels], axis=1)

    @classmethod
    def load(cls, workspace: Location) -> "Catalog":
        """Read the catalogue of a workspace.

        Raises:
            NotReadyError: it has none (`no-catalog`).
            CorruptError: it is damaged (`corrupt-catalog`).
        """
        with stored_rows(workspace) as stored:
            clips, labels = stored.read_all()
            if stored.digest != DIGEST:  # of an earlier version: inspect every file again
                clips["version"] = ""
            return cls(
                data=stored.data,
                wanted=stored.wanted,
                words=stored.words,
                clips=clips,
                labels=labels,
            )


def previous_catalog(workspace: Location) -> Catalog | None:
    """Return the catalogue of an earlier run, or None if there is none."""
    return Catalog.load(workspace) if WorkspacePaths(workspace).catalog.exists() else None


def on_stable_rows(catalog: Catalog, previous: Catalog | None) -> Catalog:
    """Return the catalogue with the rows of an earlier one, and new clips appended."""
    if previous is None:
        return catalog
    clips, before = catalog.clips, previous.clips
    if all(clips[name].equals(before[name]) for name in ("split", "clip_id")):
        return catalog
    row = matching_rows(clips, before)
    kept = np.zeros(len(before), np.bool_)
    kept[row[row >= 0]] = True
    empty = before[~kept].assign(
        state=REMOVED, digest="", version="", repairs="", reason="", group="",
        clipped=False, position=-1,
    )  # fmt: skip
    new = row < 0
    row[new] = len(before) + np.arange(int(new.sum()))
    source = np.empty(len(before) + int(new.sum()), np.int64)
    source[row] = np.arange(len(clips))
    source[np.flatnonzero(~kept)] = len(clips) + np.arange(len(empty))
    rows = concatenated([clips, empty[clips.columns]]) if len(empty) else clips
    labels = zeros((len(source), len(catalog.words)))
    labels.fill(np.nan)
    labels[row] = catalog.labels
    return replace(catalog, clips=rows_of(rows, source), labels=labels)


def with_columns_of(
    known: pd.DataFrame, clips: pd.DataFrame, added: Mapping[str, Any]
) -> pd.DataFrame:
    """Return clips with columns of the same clips in an earlier catalogue.

    Equal columns of text are replaced too, so that both catalogues share one copy in memory.

    Args:
        known: The rows of the earlier catalogue; row i describes the clip of row i of `clips`.
        clips: The clips, without the columns `added`.
        added: Types of the columns to add, by name.
    """
    same = [name for name in ("split", "clip_id", "file", "version", "table_id")
            if name in known and clips[name].equals(known[name])]  # fmt: skip
    return clips.assign(
        **{name: known[name].array for name in same},
        **{name: known[name].astype(dtype).array for name, dtype in added.items()},
    )


def matching_rows(clips: pd.DataFrame, before: pd.DataFrame) -> NDArray[np.int64]:
    """Return the row of each clip in an earlier catalogue, or -1.

    Args:
        clips: split and clip_id of each clip.
        before: The same columns of the earlier catalogue.
    """
    found = np.full(len(clips), -1, np.int64)
    for split in ("train", "test"):
        now, then = (np.flatnonzero(frame["split"] == split) for frame in (clips, before))
        known = texts_at(before["clip_id"], then)
        place = positions(texts_at(clips["clip_id"], now), known)
        there = place >= 0
        found[now[there]] = then[place[there]]
    return found
