"""Requests of exports, checked before a process is started for them.

The export itself (`overlap.export.write`) loads the training backend and every network. It runs in
a process of its own, so that this memory is released afterwards.
"""

import shutil
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import Any, Literal, get_args

from overlap.errors import ChildError, MemberError, UserError
from overlap.io.location import Location
from overlap.io.user_output import check_output, writing_output
from overlap.io.workspace_paths import WorkspacePaths
from overlap.promotion.champion import find_ensemble
from overlap.system.child_process import run_child
from overlap.system.distribution import extra_hint
from overlap.training.backends.choice import check_backend

Kind = Literal["keras", "onnx"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Exported:
    """Result of an export."""

    version: str
    """Version of the ensemble."""
    kind: Kind
    """Format of the file."""
    out: str
    """Address of the file."""
    bytes: int
    """Size of the file."""
    difference: float | None
    """Largest difference between the probabilities of the file and the pipeline, over
    `overlap.export.network.comparison_signals`; None if onnxruntime is not installed to compare."""


def export_format(out: str, requested: str | None = None) -> Kind:
    """Return the format of a file: the requested one, else that of its suffix.

    Raises:
        UserError: the format is unknown (`unknown-format`), or contradicts the suffix
            (`format-mismatch`).

    Examples:
        >>> export_format("model.onnx")
        'onnx'
    """
    suffix = PurePosixPath(out).suffix.lower().removeprefix(".")
    chosen = requested or suffix
    for kind in KINDS:
        if kind == chosen:
            break
    else:
        raise UserError(
            f"--out {out}: unknown format {chosen!r}; name a file that ends in "
            f"{' or '.join('.' + kind for kind in KINDS)}, or set --format {'|'.join(KINDS)}",
            code="unknown-format",
            format=chosen,
        )
    if suffix in KINDS and suffix != kind:
        raise UserError(
            f"--out {out}: the suffix .{suffix} contradicts --format {kind}; change one of them",
            code="format-mismatch",
            suffix=suffix,
            format=kind,
        )
    return kind


def export_ensemble(workspace: Location, name: str, out: Location, kind: Kind) -> Exported:
    """Export an ensemble to one file, in a process of its own.

    Args:
        workspace: The workspace to search for `name`.
        name: `champion`, a version, or the address of an ensemble's folder.
        out: The file; an existing one is replaced atomically.
        kind: Format of the file.

    Raises:
        NotReadyError: there is no such ensemble.
        UserError: `out` is a folder (`out-is-folder`) or cannot be written, or the packages for
            ONNX are not installed (`onnx-not-installed`).
        MemberError: networks of its members are missing (`members-missing`), or the export failed
            (`export-failed`).
    """
    owner, record = find_ensemble(workspace, name)
    check_output(out, f"model.{kind}")
    check_backend(installed=kind == "keras")
    if kind == "onnx" and find_spec("tf2onnx") is None:
        raise UserError(
            "the packages for ONNX are not installed; they are an extra of overlap: "
            f"{extra_hint('onnx')}; or export to .keras",
            code="onnx-not-installed",
        )
    paths = WorkspacePaths(owner)
    missing = [m for m in record.members if not paths.member(m).model.exists()]
    if missing:
        raise MemberError(
            f"{owner}: networks of ensemble {record.version} are missing: {', '.join(missing)}; "
            "`overlap run` with its configuration trains them again",
            code="members-missing",
            version=record.version,
            members=tuple(missing),
        )
    report: dict[str, Any] = {}
    stored = paths.ensemble(record.version).record
    with tempfile.TemporaryDirectory(prefix="overlap-export-") as folder:
        made = Location(f"{folder}/model.{kind}")
        try:
            run_child("overlap.export.write", [str(stored), kind, str(made)], report.update)
        except ChildError as error:
            raise MemberError(
                f"export of ensemble {record.version} failed: {error}",
                code="export-failed",
                version=record.version,
            ) from None
        with made.reading() as file, writing_output(out) as output:
            shutil.copyfileobj(file, output)
    return Exported(record.version, kind, str(out), report["bytes"], report["difference"])
