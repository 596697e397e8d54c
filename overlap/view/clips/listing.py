"""The list of the held-out and test clips of a version, filtered and sorted on the server."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from starlette.datastructures import QueryParams

from overlap.catalog.problems import printable
from overlap.ensemble.registry import EnsembleRecord
from overlap.view.clips.names import ClipNames
from overlap.view.clips.predicted import PredictedClips
from overlap.view.clips.query import KINDS, SORTS, ClipQuery, Pager, clip_path
from overlap.view.parts import Part
from overlap.view.reader import WorkspaceReader

PREDICTED_SHOWN: Final = 3
"""Most probable words of a row."""
WORD_FIELDS: Final = 2
"""Fields for words that the clip contains; one more than words are given, if these are more."""


@dataclass(frozen=True)
class ClipRow:
    """A row of the list."""

    name: str
    path: str
    is_test: bool
    words: tuple[str, ...]
    """Words in the clip; empty for test clips."""
    predicted: tuple[tuple[str, float, bool], ...]
    """Most probable words, with their probability and whether the clip contains them."""
    kl: float | None
    disagreement: float | None


def find_version(
    reader: WorkspaceReader, wanted: str
) -> tuple[EnsembleRecord | None, Part[list[EnsembleRecord]], str]:
    """Return a version, all versions, and why there is none.

    Args:
        reader: The workspace.
        wanted: Its name; empty: the champion, or without one the newest version.
    """
    part = reader.ensembles()
    records = part.value or []
    if wanted:
        found = next((one for one in records if one.version == wanted), None)
        return found, part, "" if found else f"There is no version {printable(wanted)}."
    aliases = reader.aliases().value
    champion = aliases.version if aliases else None
    found = next((one for one in records if one.version == champion), None)
    if found is None and records:
        found = records[-1]
    return found, part, "" if found or part.problem else "No version has been published yet."


def clips_page(reader: WorkspaceReader, params: QueryParams) -> dict[str, Any]:
    """Return what the template of the list needs.

    Args:
        reader: The workspace.
        params: The query of the address.
    """
    record, ensembles, why_not = find_version(reader, params.get("version", ""))
    aliases = reader.aliases().value
    query, ignored = ClipQuery.read(params, record.words if record else ())
    names = reader.clip_names()
    clips = reader.predicted_clips(record) if record else None
    content: dict[str, Any] = {
        "query": query, "ignored": ignored, "record": record, "why_not": why_not,
        "ensembles": ensembles, "names": names, "clips": clips,
        "champion": aliases.version if aliases else None,
        "versions": [one.version for one in reversed(ensembles.value or [])],
        "kinds": KINDS, "sorts": SORTS, "rows": (), "pager_of": None,
        "word_fields": [*query.words, *[""] * max(1, WORD_FIELDS - len(query.words))],
    }  # fmt: skip
    if clips is not None and clips.value is not None and names.value is not None:
        chosen = matching(clips.value, names.value, query)
        pager = Pager.of(len(chosen), query)
        content["pager_of"] = pager
        content["rows"] = [clip_row(clips.value, names.value, int(n)) for n in chosen[pager.rows]]
    return content


def matching(clips: PredictedClips, names: ClipNames, query: ClipQuery) -> NDArray[np.int64]:
    """Return the indices of the clips of a query, in its order."""
    kept = np.ones(len(clips), np.bool_)
    if query.kind:
        kept &= clips.is_test == (query.kind == "test")
    if query.text:
        kept &= names.containing(query.text)[clips.rows]
    for word in query.words:
        kept &= clips.present[:, clips.words.index(word)]
    if query.predicted:
        kept &= clips.word == clips.words.index(query.predicted)
    if query.missed:
        kept &= ~clips.present[np.arange(len(clips)), clips.word] & ~clips.is_test
    if query.low is not None:  # the KL of test clips is NaN, which no comparison keeps
        kept &= clips.kl >= query.low
    if query.high is not None:
        kept &= clips.kl <= query.high
    chosen = np.flatnonzero(kept)
    if query.sort == "data":
        return chosen[np.argsort(clips.rows[chosen], kind="stable")]
    values = clips.disagreement if query.sort.startswith("disagreement") else clips.kl
    values = values[chosen] if query.sort.endswith("lowest") else -values[chosen]
    return chosen[np.argsort(values, kind="stable")]  # NaN is last


def clip_row(clips: PredictedClips, names: ClipNames, index: int) -> ClipRow:
    """Return a row of the list."""
    row = int(clips.rows[index])
    name, is_test = str(names.ids[row]), bool(clips.is_test[index])
    probabilities, present = clips.pooled[index], clips.present[index]
    order = np.argsort(-probabilities, kind="stable")[:PREDICTED_SHOWN]
    return ClipRow(
        name=printable(name),
        path=clip_path(name, "test" if is_test else "train", clips.version),
        is_test=is_test,
        words=tuple(clips.words[n] for n in np.flatnonzero(present)),
        predicted=tuple((clips.words[n], float(probabilities[n]), bool(present[n])) for n in order),
        kl=known(clips.kl[index]),
        disagreement=known(clips.disagreement[index]),
    )


def known(value: float) -> float | None:
    """Return a value, or None if it is not a number."""
    return None if np.isnan(value) else float(value)
