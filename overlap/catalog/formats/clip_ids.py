"""Ids of imported clips: the path of the sound file, written so that it can be read back."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

from overlap.catalog.cell_text import is_unicode
from overlap.catalog.formats.source import SourceClip
from overlap.catalog.problems import Problems
from overlap.catalog.spreadsheet_formulas import is_formula

JOINT: Final = "__"
"""Stands for the slash between folders."""
AT: Final = "@"
"""Separates a recording from the start of a window in milliseconds."""
MAX_NAME_BYTES: Final = 255
"""Longest file name of the usual file systems, bytes."""


def id_of_path(path: str) -> str:
    """Return the id of a path without suffix.

    Slashes become `__`. A part that contains `__` or a percent sign, or begins or ends with `_`, is
    escaped as in URLs, so that different paths have different ids.

    Examples:
        >>> id_of_path("dog/a1"), id_of_path("dog/_a__1"), id_of_path("100%/x")
        ('dog__a1', 'dog__%5Fa_%5F1', '100%25__x')
    """
    return JOINT.join(map(_escaped, path.split("/")))


def path_of_id(clip: str) -> str:
    """Return the path that `id_of_path` made an id of.

    Examples:
        >>> path_of_id("dog__%5Fa_%5F1")
        'dog/_a__1'
    """
    return "/".join(map(unquote, clip.split(JOINT)))


def _escaped(part: str) -> str:
    part = part.replace("%", "%25").replace(JOINT, "_%5F")
    if part.startswith("_"):
        part = "%5F" + part[1:]
    return part[:-1] + "%5F" if part.endswith("_") else part


def clip_ids(clips: Sequence[SourceClip], problems: Problems) -> list[str]:
    """Return the id of every clip, distinct within a split.

    If no clip is in a folder, an id is the file's name without suffix; otherwise it is that of
    `id_of_path`. A window of a recording has the start in milliseconds after `@`.

    Args:
        clips: The clips.
        problems: Receives ids that cannot be used.
    """
    nested = any("/" in clip.file for clip in clips)
    ids = []
    for clip in clips:
        stem = clip.file.rpartition(".")[0] if "." in clip.file.rpartition("/")[2] else clip.file
        start = "" if clip.window is None else f"{AT}{round(1000 * clip.window[0])}"
        ids.append((id_of_path(stem) if nested else stem) + start)
    by_id = defaultdict[tuple[str, str], list[str]](list)
    for name, clip in zip(ids, clips, strict=True):
        by_id[clip.split, name].append(clip.file)
    problems.add_cases(
        "clips would have the same id, because a file is listed twice or several files differ only "
        "in their suffix; remove all but one",
        [f"{' and '.join(files[:3])} ({name})" for (_, name), files in by_id.items() if files[1:]],
        code="duplicate-clips",
    )
    problems.add_cases(
        "file names are not valid UTF-8, so no table can contain them; rename these files",
        [clip.file for clip in clips if not is_unicode(clip.file)],
        code="names-not-utf8",
    )
    problems.add_cases(
        "a spreadsheet that opens the predictions would execute these ids as formulas; rename the "
        "files",
        [name for name in ids if is_formula(name)],
        code="names-are-formulas",
    )
    problems.add_cases(
        f"names of folders and file together are longer than {MAX_NAME_BYTES} bytes; name a deeper "
        "folder with --sound, or shorten them",
        [
            clip.file for name, clip in zip(ids, clips, strict=True)
            if len(name.encode(errors="replace")) > MAX_NAME_BYTES - 8
        ],
        code="names-too-long",
    )  # fmt: skip
    return ids
