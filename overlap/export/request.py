"""Asking for an export: what is written where, checked before a process is started for it.

The export itself (`overlap.export.write`) loads the training backend and every network: a process
of its own gives that memory back.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import Any, Literal, get_args

from overlap.errors import ChildError, MemberError, UserError
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.promotion.champion import find_ensemble
from overlap.system.worker_process import run_child

Kind = Literal["keras", "onnx"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Exported:
    """An ensemble in one file."""

    version: str
    """The ensemble."""
    kind: Kind
    """The file's format."""
    out: str
    """Address of the file."""
    bytes: int
    """Its size."""
    difference: float | None
    """Largest difference of a probability from the pipeline's, over the clips of
    `overlap.export.network.check_clips`; None: not checked, since onnxruntime is not installed."""


def kind_of(out: str, asked: str | None = None) -> Kind:
    """The format of a file: as asked, else by its ending.

    Raises:
        UserError: there is no such format, or the ending says another one.

    Examples:
        >>> kind_of("model.onnx")
        'onnx'
    """
    ending = PurePosixPath(out).suffix.lower().removeprefix(".")
    chosen = asked or ending
    for kind in KINDS:
        if kind == chosen:
            break
    else:
        raise UserError(
            f"--out {out}, format {asked or 'not given'}: name a file that ends in "
            f"{' or '.join('.' + kind for kind in KINDS)}, or say --format {'|'.join(KINDS)}"
        )
    if ending in KINDS and ending != kind:
        raise UserError(f"--out {out}: its ending says {ending}, but --format says {kind}")
    return kind


def export_ensemble(workspace: Location, name: str, out: Location, kind: Kind) -> Exported:
    """Write an ensemble as one file, in a process of its own.

    Args:
        workspace: Where `name` is looked for.
        name: `champion`, a version, or the address of an ensemble's folder.
        out: The file; replaced as a whole.
        kind: Its format.

    Raises:
        NotReadyError: there is no such ensemble.
        UserError: the file cannot be written, or packages for ONNX are not installed.
        MemberError: networks of its members are no longer there, or the export failed.
    """
    owner, record = find_ensemble(workspace, name)
    out.check_writable()
    if out.is_folder():
        raise UserError(f"--out {out}: is a folder; name a file in it, such as {out}/model.{kind}")
    if kind == "onnx" and find_spec("tf2onnx") is None:
        raise UserError(
            "ONNX needs packages that are not installed: in the project's folder, "
            "`.venv/bin/uv pip install --python .venv -e '.[onnx]'`; or export to .keras"
        )
    paths = WorkspacePaths(owner)
    lost = [m for m in record.members if not paths.member(m).model.exists()]
    if lost:
        raise MemberError(
            f"{owner}: networks of ensemble {record.version} are no longer there: "
            f"{', '.join(lost)}; `overlap run` with its configuration trains them again"
        )
    said: dict[str, Any] = {}
    stored = paths.ensemble(record.version).record
    try:
        run_child("overlap.export.write", [str(stored), kind, str(out)], said.update)
    except ChildError as error:
        raise MemberError(f"ensemble {record.version} cannot be exported: {error}") from None
    return Exported(record.version, kind, str(out), said["bytes"], said["difference"])
