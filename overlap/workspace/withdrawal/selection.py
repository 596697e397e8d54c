"""The rows of the catalogue that a withdrawal names."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog
from overlap.catalog.withdrawn import Withdrawn
from overlap.errors import NotReadyError, UserError


def selected_rows(
    catalog: Catalog, withdrawn: Withdrawn, clips: Sequence[str], groups: Sequence[str]
) -> NDArray[np.int64]:
    """Find the rows of clips and groups, and of clips with the same sound.

    Args:
        catalog: The catalogue.
        withdrawn: What was withdrawn before; it may be named again, to complete an interrupted
            withdrawal.
        clips: Ids, file names, or ids after `train/` or `test/`.
        groups: Names of groups.

    Returns:
        The rows, ascending.

    Raises:
        UserError: nothing is named (`nothing-to-withdraw`), or an id is in both splits
            (`ambiguous-clips`).
        NotReadyError: a clip or group is not in the catalogue (`unknown-clips`).
    """
    if not clips and not groups:
        raise UserError(
            "name clips, a file with --from, or a group with --group", code="nothing-to-withdraw"
        )
    frame = catalog.clips
    names: dict[str, list[int]] = {}
    columns = zip(frame["split"], frame["clip_id"], frame["table_id"], frame["file"], strict=True)
    for row, (split, clip_id, table_id, file) in enumerate(columns):
        for name in {clip_id, table_id, file, f"{split}/{clip_id}", file.rpartition("/")[2]}:
            names.setdefault(name, []).append(row)
    unknown = [clip for clip in clips if clip not in names]
    known_groups = {*frame["group"]} | {*withdrawn.groups}
    unknown += [group for group in groups if group not in known_groups or not group]
    if unknown:
        raise NotReadyError(
            f"{len(unknown)} of them are not in the catalogue: {', '.join(unknown[:5])}; name ids "
            "or files of the last run's data, or compute its features first",
            code="unknown-clips",
            unknown=unknown,
        )
    ambiguous = [clip for clip in clips if len(names[clip]) > 1]
    if ambiguous:
        raise UserError(
            f"{', '.join(ambiguous[:5])}: in train/ and in test/; write train/ID or test/ID",
            code="ambiguous-clips",
            clips=ambiguous,
        )
    chosen = np.isin(np.arange(len(frame)), [names[clip][0] for clip in clips])
    chosen |= frame["group"].isin(groups).to_numpy()
    again = {(clip.split, clip.clip_id) for clip in withdrawn.clips} if groups else set()
    pairs = zip(frame["split"], frame["clip_id"], strict=True)
    chosen |= np.array([pair in again for pair in pairs], np.bool_)
    audio = {*frame.loc[chosen, "digest"]} - {""}
    chosen |= frame["digest"].isin(audio).to_numpy()
    return np.flatnonzero(chosen)
