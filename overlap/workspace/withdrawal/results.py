"""Takes clips out of what a workspace has computed: predictions of members and versions, reports.

Digests of the files are part of the records. A record with the new digests is written before its
files: repeating an interrupted withdrawal then makes files with exactly these digests. A file that
was damaged before stays damaged for `overlap verify`; its rows are removed nevertheless.
"""

import csv
import io
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overlap.ensemble.exposure import LEARNED
from overlap.ensemble.registry import EnsembleRecord, list_ensembles
from overlap.errors import CorruptError
from overlap.io.location import Location
from overlap.io.records import array_bytes
from overlap.io.workspace_paths import SUBMISSION_FILE, EnsemblePaths, WorkspacePaths
from overlap.training.spec import load_record

Arrays = Mapping[str, NDArray[Any]]


def clear_members(workspace: Location, rows: NDArray[np.int64]) -> int:
    """Remove the predictions of rows from the members; return the number of changed members."""
    paths, changed = WorkspacePaths(workspace), 0
    for name in paths.members.folders():
        member = paths.member(name)
        try:
            record = load_record(member.folder)
            new = _predictions_without(member.predictions, rows) if record is not None else {}
        except CorruptError:  # `overlap verify` reports it
            continue
        if record is not None and new:
            files = _new_digests(member.folder, record.files, new)
            member.record.write_record(record.model_copy(update={"files": files}))
            _write(member.folder, new)
            changed += 1
    return changed


def clear_versions(
    workspace: Location, rows: NDArray[np.int64], ids: frozenset[str]
) -> tuple[str, ...]:
    """Remove rows from the predictions and submissions of all versions.

    Args:
        workspace: The workspace.
        rows: Rows of the catalogue.
        ids: Ids of test clips, as the submissions have them.

    Returns:
        The changed versions.
    """
    paths = WorkspacePaths(workspace)
    records = list_ensembles(workspace)
    return tuple(r.version for r in records if _clear(paths.ensemble(r.version), r, rows, ids))


def remove_reports(workspace: Location) -> int:
    """Remove the reports of all versions; return their number.

    A report shows clips by name and plays their sound. `overlap report` writes it again.
    """
    paths, removed = WorkspacePaths(workspace), 0
    for version in paths.ensembles.folders():
        report = paths.ensemble(version).report
        removed += report.exists()
        report.remove()
    return removed


def remove_predictions(workspace: Location) -> int:
    """Remove all stored prediction chunks; return the number of their folders.

    The files do not name their clips. They are computed again where they are needed.
    """
    root = WorkspacePaths(workspace).predictions
    names = root.folders()
    root.remove()
    return len(names)


def without_rows(arrays: Arrays, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]] | None:
    """Return arrays of predictions without some rows; None if they contain none of them.

    Args:
        arrays: `test_rows` and `test`, `held_out_rows` and `held_out`, and for a version its
            training exposure, whose held-out clips are in the order of `held_out`.
        rows: Rows of the catalogue.
    """
    result = dict(arrays)
    for name in ("test", "held_out"):
        if name not in arrays:
            continue
        kept = ~np.isin(arrays[f"{name}_rows"], rows)
        result[name], result[f"{name}_rows"] = arrays[name][kept], arrays[f"{name}_rows"][kept]
        if name == "held_out" and "train_fold" in arrays:
            fold = arrays["train_fold"].copy()
            gone = np.flatnonzero(fold >= 0)[~kept]
            if int(arrays["train_folds"]) > 1:  # members of the other folds trained on them
                fold[gone] = LEARNED
                result["train_fold"] = fold
            else:  # no member did
                for key in ("train_audio", "train_fold", "train_group"):
                    result[key] = np.delete(arrays[key], gone)
    same = all(len(result[name]) == len(arrays[name]) for name in result if arrays[name].ndim)
    return None if same else result


def _clear(
    paths: EnsemblePaths, record: EnsembleRecord, rows: NDArray[np.int64], ids: frozenset[str]
) -> bool:
    try:
        new = _predictions_without(paths.predictions, rows)
    except CorruptError:  # `overlap verify` reports it
        new = {}
    if paths.submission.exists():
        text = paths.submission.read_bytes()
        shorter = _lines_without(text, ids)
        if shorter != text:
            new[SUBMISSION_FILE] = shorter
    if not new:
        return False
    update = {
        "files": _new_digests(paths.folder, record.files, new),
        "imputed": tuple(name for name in record.imputed if name not in ids),
    }
    paths.record.write_record(record.model_copy(update=update))
    _write(paths.folder, new)
    return True


def _predictions_without(location: Location, rows: NDArray[np.int64]) -> dict[str, bytes]:
    """Return the new content of a file of predictions, by its name; empty if it stays."""
    if not location.exists():
        return {}
    kept = without_rows(location.read_arrays(), rows)
    return {} if kept is None else {location.name: array_bytes(kept)}


def _new_digests(
    folder: Location, recorded: Mapping[str, str], new: Mapping[str, bytes]
) -> dict[str, str]:
    """Return the digests for the record; a file that differs from its digest keeps it."""
    digests = dict(recorded)
    for name, content in new.items():
        if (folder / name).digest() == recorded.get(name):
            digests[name] = sha256(content).hexdigest()
    return digests


def _write(folder: Location, new: Mapping[str, bytes]) -> None:
    for name, content in new.items():
        (folder / name).write_bytes(content)


def _lines_without(table: bytes, ids: frozenset[str]) -> bytes:
    r"""Return a table without the rows of some ids; the other rows stay as they are.

    Examples:
        >>> _lines_without(b"id,a\nx,1\ny,1\n", frozenset({"x"}))
        b'id,a\ny,1\n'
    """
    kept = io.StringIO()
    for line in _records(table.decode()):
        if next(csv.reader([line]))[0] not in ids:
            kept.write(line)
    return kept.getvalue().encode()


def _records(text: str) -> list[str]:
    """Split a table into its rows; a quoted id may contain line breaks."""
    rows: list[str] = []
    for line in text.splitlines(keepends=True):
        if rows and rows[-1].count('"') % 2:
            rows[-1] += line
        else:
            rows.append(line)
    return rows
