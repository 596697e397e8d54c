"""The quarantine: clips that no run uses, with the reasons."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.datastructures import QueryParams

from overlap.catalog.problems import printable
from overlap.catalog.rows import QUARANTINED
from overlap.view.clips.names import ClipNames
from overlap.view.clips.query import Pager, QuarantineQuery, clip_path
from overlap.view.reader import WorkspaceReader


@dataclass(frozen=True)
class QuarantinedClip:
    """A row of the quarantine."""

    name: str
    path: str
    file: str
    reason: str


def quarantine_page(reader: WorkspaceReader, params: QueryParams) -> dict[str, Any]:
    """Return what the template of the quarantine needs.

    Args:
        reader: The workspace.
        params: The query of the address.
    """
    names = reader.clip_names()
    found = names.value
    if found is None:
        query, ignored = QuarantineQuery.read(params, ())
        return {
            "names": names, "query": query, "ignored": ignored, "counts": [], "rows": (),
            "pager_of": None, "total": 0,
        }  # fmt: skip
    bad = found.catalog.clips["state"].to_numpy(object) == QUARANTINED
    rows = np.flatnonzero(bad)
    reasons = found.catalog.clips["reason"].to_numpy(object)
    kinds = np.array([kind_of(reason) for reason in reasons[rows]], object)
    counts = Counter(kinds.tolist()).most_common()
    query, ignored = QuarantineQuery.read(params, [kind for kind, _ in counts])
    kept = np.ones(len(rows), np.bool_)
    if query.text:
        kept &= found.containing(query.text)[rows]
    if query.reason:
        kept &= kinds == query.reason
    chosen = rows[kept]
    pager = Pager.of(len(chosen), query)
    return {
        "names": names, "query": query, "ignored": ignored, "counts": counts,
        "rows": [_row(found, int(row)) for row in chosen[pager.rows]],
        "pager_of": pager, "total": len(rows),
    }  # fmt: skip


def kind_of(reason: str) -> str:
    """Return the kind of a reason: the text before its details.

    Examples:
        >>> kind_of("too loud (peak 12; full scale is 1)")
        'too loud'
    """
    return reason.partition(" (")[0]


def _row(names: ClipNames, row: int) -> QuarantinedClip:
    entry = names.catalog.clips.iloc[row]
    name = str(entry["clip_id"])
    return QuarantinedClip(
        name=printable(name),
        path=clip_path(name, str(entry["split"])),
        file=printable(str(entry["file"])),
        reason=printable(str(entry["reason"]), 1000),
    )
