"""The list of withdrawn clips, which keeps them out of every run of a workspace.

The data folder belongs to the user, and a withdrawn clip may still be in it. A run therefore leaves
out the clips of the list, their rows in the tables, the clips of withdrawn groups, and clips with
the sound of a withdrawn one under another name.
"""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.catalog.id_matching import match_ids
from overlap.catalog.listing import Listing
from overlap.catalog.rows import Split
from overlap.catalog.tables.label_tables import Table
from overlap.io.location import Location
from overlap.io.records import Record
from overlap.io.workspace_paths import WorkspacePaths

WITHDRAWN_SOUND = "has the sound of a withdrawn clip"
"""Reason in the quarantine of a clip with the sound of a withdrawn one."""


class WithdrawnClip(Record):
    """A clip that was withdrawn."""

    split: Split
    clip_id: str
    audio: str
    """Digest of its samples; empty if it was unusable."""
    withdrawn: datetime


class Withdrawn(Record):
    """The withdrawn clips and groups of a workspace."""

    clips: tuple[WithdrawnClip, ...] = ()
    groups: tuple[str, ...] = ()
    """Names of groups; later training clips of these groups are left out, too."""

    def with_more(self, clips: tuple[WithdrawnClip, ...], groups: tuple[str, ...]) -> "Withdrawn":
        """Return a list that also contains these clips and groups."""
        known = {(clip.split, clip.clip_id) for clip in self.clips}
        new = tuple(clip for clip in clips if (clip.split, clip.clip_id) not in known)
        return Withdrawn(clips=self.clips + new, groups=tuple(dict.fromkeys(self.groups + groups)))


def read_withdrawn(workspace: Location) -> Withdrawn:
    """Read the list of a workspace; empty if there is none.

    Raises:
        CorruptError: the file is damaged.
    """
    file = WorkspacePaths(workspace).withdrawn
    return file.read_record(Withdrawn) if file.exists() else Withdrawn()


def without_withdrawn(listing: Listing, withdrawn: Withdrawn) -> Listing:
    """Return a listing without withdrawn clips and their rows in the tables."""
    if not withdrawn.clips and not withdrawn.groups:
        return listing
    train = _gone(withdrawn, "train")
    groups = listing.groups
    if groups is not None:
        if withdrawn.groups:
            of_groups = groups.loc[groups["group"].isin(withdrawn.groups), "id"]
            stems = _stems(listing, "train")
            index = match_ids(stems, [*of_groups])
            train = [*dict.fromkeys([*train, *(stems[i] for i in index[index >= 0])])]
        groups = groups[_kept(listing, "train", train, [*groups["id"]])].reset_index(drop=True)
    test = _gone(withdrawn, "test")
    files = listing.files
    keys = pd.MultiIndex.from_frame(files[["split", "clip_id"]])
    gone = [*(("train", clip) for clip in train), *(("test", clip) for clip in test)]
    return replace(
        listing,
        files=files[~keys.isin(gone)].reset_index(drop=True),
        labels=_table_without(listing, "train", train, listing.labels),
        template=_table_without(listing, "test", test, listing.template),
        groups=groups,
        withdrawn_audio=frozenset(clip.audio for clip in withdrawn.clips if clip.audio),
    )


def _gone(withdrawn: Withdrawn, split: Split) -> list[str]:
    return [clip.clip_id for clip in withdrawn.clips if clip.split == split]


def _stems(listing: Listing, split: Split) -> list[str]:
    files = listing.files
    return [*files.loc[files["split"] == split, "clip_id"].drop_duplicates()]


def _kept(listing: Listing, split: Split, gone: list[str], ids: list[str]) -> NDArray[np.bool_]:
    """Return which ids of a table do not name a withdrawn clip; its file may have been removed."""
    stems = [*dict.fromkeys([*_stems(listing, split), *gone])]
    numbers = {stem: number for number, stem in enumerate(stems)}
    return ~np.isin(match_ids(stems, ids), [numbers[clip] for clip in gone])


def _table_without(
    listing: Listing, split: Split, gone: list[str], table: Table | None
) -> Table | None:
    if table is None or not gone:
        return table
    kept = _kept(listing, split, gone, [*table.ids])
    ids = tuple(name for name, keep in zip(table.ids, kept, strict=True) if keep)
    return replace(table, ids=ids, values=table.values[kept])
