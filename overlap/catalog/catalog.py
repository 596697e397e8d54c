"""The catalogue: which clip is in which row of the feature store, and what is known of it."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from overlap.catalog.listing import Split
from overlap.config import AudioFormat
from overlap.errors import CorruptError, NotReadyError
from overlap.storage import Location

FILE = "catalog.parquet"
QUARANTINE_FILE = "quarantine.parquet"
_LABEL = "label/"

OK, QUARANTINED, REMOVED = "ok", "quarantined", "removed"
"""States of a row: usable; its clip cannot be used; its clip is no longer in the data."""


@dataclass(frozen=True, eq=False)
class Catalog:
    """All clips of a workspace; row i describes row i of the feature store."""

    data: str
    """Address of the data folder."""
    wanted: AudioFormat
    """The clip format that the inspection was made for."""
    words: tuple[str, ...]
    """The words, in the order of every prediction."""
    clips: pd.DataFrame
    """A row per clip: clip_id, table_id (the id as its table writes it), split, file, version,
    digest, repairs, clipped, state, reason, group, position (row in the submission, else -1)."""
    labels: NDArray[np.float64]
    """(rows, words) float64; NaN for rows without a label."""

    def __len__(self) -> int:
        return len(self.clips)

    def rows(self, split: Split) -> NDArray[np.int64]:
        """Rows of the usable clips of a split, ascending."""
        usable = (self.clips["split"] == split) & (self.clips["state"] == OK)
        return np.flatnonzero(usable.to_numpy())

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """(rows,) bool: whether the row holds features."""
        return (self.clips["state"] == OK).to_numpy(np.bool_)

    @cached_property
    def submission(self) -> pd.DataFrame:
        """The test clips in the order of the submission, quarantined ones included."""
        listed = self.clips[(self.clips["position"] >= 0) & (self.clips["state"] != REMOVED)]
        return listed.sort_values("position")

    def key(self, rows: slice | NDArray[np.int64], *, labels: bool = False) -> str:
        """Name of the content of some rows: 32 hexadecimal digits.

        Args:
            rows: The rows, in the order that matters.
            labels: Whether labels and groups count, or the audio alone.
        """
        part = self.clips.iloc[rows]
        sha = hashlib.sha256()
        for column in ("clip_id", "split", "digest", "state", *(["group"] if labels else [])):
            sha.update("\0".join(part[column]).encode())
            sha.update(b"\1")
        if labels:
            sha.update("\0".join(self.words).encode())
            sha.update(np.ascontiguousarray(self.labels[rows]).tobytes())
        return sha.hexdigest()[:32]

    def forgetting(self, rows: NDArray[np.int64]) -> "Catalog":
        """This catalogue without the versions of some files: the next run looks at them again."""
        clips = self.clips.copy()
        clips.loc[clips.index[rows], "version"] = ""
        return replace(self, clips=clips)

    def save(self, workspace: Location) -> None:
        """Write the catalogue, and its bad clips once more by themselves for a person to read."""
        labels = pd.DataFrame(self.labels, columns=[_LABEL + word for word in self.words])
        table = pa.Table.from_pandas(
            pd.concat([self.clips.reset_index(drop=True), labels], axis=1), preserve_index=False
        )
        about = {
            "data": self.data,
            "rate_hz": str(self.wanted.rate_hz),
            "samples": str(self.wanted.samples),
        }
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), **about})
        bad = self.clips.loc[
            self.clips["state"] == QUARANTINED, ["split", "clip_id", "file", "reason"]
        ]
        _write_parquet(workspace / QUARANTINE_FILE, pa.Table.from_pandas(bad, preserve_index=False))
        _write_parquet(workspace / FILE, table)

    @classmethod
    def load(cls, workspace: Location) -> "Catalog":
        """Read the catalogue of a workspace.

        Raises:
            NotReadyError: it has none.
            CorruptError: it cannot be read.
        """
        location = workspace / FILE
        if not location.exists():
            raise NotReadyError(
                f"{workspace}: no catalogue there; is this a workspace? "
                "`overlap features --data DATA --workspace W` makes one"
            )
        try:
            table = pq.read_table(io.BytesIO(location.read_bytes()))
            about = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        except (pa.ArrowException, OSError) as error:
            raise CorruptError(
                f"{location}: is damaged ({error}); remove it: the next run makes it again, and "
                "computes again only the blocks whose clips stand in other rows then"
            ) from None
        frame = table.to_pandas()
        columns = [column for column in frame.columns if column.startswith(_LABEL)]
        return cls(
            data=about["data"],
            wanted=AudioFormat(int(about["rate_hz"]), int(about["samples"])),
            words=tuple(column.removeprefix(_LABEL) for column in columns),
            clips=frame.drop(columns=columns),
            labels=frame[columns].to_numpy(np.float64),
        )

    def counts(self) -> dict[str, int]:
        """Clips by split and state, for reports."""
        split, state = self.clips["split"], self.clips["state"]
        return {
            "train": int(((split == "train") & (state == OK)).sum()),
            "test": int(((split == "test") & (state == OK)).sum()),
            "quarantined": int((state == QUARANTINED).sum()),
            "removed": int((state == REMOVED).sum()),
        }


def previous_catalog(workspace: Location) -> Catalog | None:
    """The catalogue of an earlier run, if there was one."""
    return Catalog.load(workspace) if (workspace / FILE).exists() else None


def in_order(ids: Sequence[str]) -> NDArray[np.int64]:
    """Indexes that sort ids so that clip_2 comes before clip_10.

    Examples:
        >>> in_order(["b", "clip_10", "clip_2"]).tolist()
        [0, 2, 1]
    """
    text = pd.Series(ids, dtype="str")
    padded = text.str.replace(r"\d+", lambda found: found.group().zfill(20), regex=True)
    order = pd.DataFrame({"padded": padded, "text": text}).sort_values(["padded", "text"])
    return order.index.to_numpy(np.int64)


def _write_parquet(location: Location, table: pa.Table) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    location.write_bytes(buffer.getvalue())
