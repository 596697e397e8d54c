"""The catalogue: the row of every clip in the feature store, and the metadata of the clip."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray

import overlap
from overlap.catalog.id_matching import arrow_texts, positions
from overlap.catalog.rows import (
    COLUMNS,
    CONTENT,
    DIGEST,
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
        """Return rows `start` to `stop` (exclusive) with `COLUMNS`; the index is arbitrary."""
        return self.clips.iloc[start:stop][[*COLUMNS]]

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
        part, names = self.clips.iloc[rows], (*CONTENT, *(["group"] if labels else []))
        hashed = content_hash({name: part[name].to_numpy(object) for name in names})
        if labels:
            hashed.update("\0".join(self.words).encode())
            hashed.update(np.ascontiguousarray(self.labels[rows]).tobytes())
        return hashed.hexdigest()

    def equals(self, other: "Catalog") -> bool:
        """Return whether another catalogue has the same content."""
        return (
            (self.data, self.wanted, self.words) == (other.data, other.wanted, other.words)
            and self.clips.equals(other.clips)
            and np.array_equal(self.labels, other.labels, equal_nan=True)
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
        return catalog  # before any key is made: two texts per clip would be the peak of a run
    row = positions(_keys(clips), _keys(before))
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
    rows = pd.concat([clips, empty[clips.columns]]) if len(empty) else clips
    labels = np.full((len(source), len(catalog.words)), np.nan)
    labels[row] = catalog.labels
    return replace(catalog, clips=rows.iloc[source].reset_index(drop=True), labels=labels)


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


def _keys(clips: pd.DataFrame) -> pd.Series:
    """Return a text that identifies each clip in all data."""
    return clips["split"] + "/" + clips["clip_id"]


def natural_order(ids: "Sequence[str] | pd.Series") -> NDArray[np.int64]:
    """Return the indexes that sort ids naturally: clip_2 before clip_10.

    Examples:
        >>> natural_order(["b", "clip_10", "clip_2"]).tolist()
        [0, 2, 1]
    """
    text = pd.Series(ids, dtype="str").reset_index(drop=True)
    if _of_one_pattern(text):  # padding would not change the order
        return np.asarray(pc.array_sort_indices(arrow_texts(text)).to_numpy(), np.int64)
    padded = text.str.replace(r"\d+", lambda found: found.group().zfill(20), regex=True)
    order = pd.DataFrame({"padded": padded, "text": text}).sort_values(["padded", "text"])
    return order.index.to_numpy(np.int64)


def _of_one_pattern(text: pd.Series) -> bool:
    """Return whether texts have digits in the same places and are otherwise equal ASCII texts."""
    array = arrow_texts(text)
    length = pc.min_max(pc.binary_length(array)).as_py()
    if length["min"] != length["max"] or length["min"] is None:
        return False
    patterns = pc.unique(pc.replace_substring_regex(array, "[0-9]", "0"))
    return len(patterns) == 1 and patterns[0].as_py().isascii()
