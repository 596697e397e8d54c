"""Imports a folder of labelled sound: recognises its format and writes a data set of overlap."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from overlap.catalog.formats.clip_ids import clip_ids
from overlap.catalog.formats.data_set import (
    SOURCES,
    ImportedClip,
    OnProgress,
    exchange,
    label_rows,
    write_clips,
    write_table,
)
from overlap.catalog.formats.detection import Recognition, recognise
from overlap.catalog.formats.source import ImportOptions, SourceClip, SourceData, list_source
from overlap.catalog.listing import GROUPS, LABELS, TEMPLATE, Address, data_folder
from overlap.catalog.problems import Problem, Problems
from overlap.catalog.tables.long_form import description
from overlap.errors import ConfigError, DataError, UserError
from overlap.io.location import Location
from overlap.io.storage_errors import storage_errors

WITH_TIMES = ("lhotse", "segments")
"""Formats whose labels have times."""
ANSWERS = "test_answer.csv"
"""Labels of the test clips, with which predictions are scored."""


@dataclass(frozen=True)
class ImportReport:
    """What was imported."""

    format: str
    """Name of the format."""
    title: str
    """What the format is."""
    reason: str
    """Why it was chosen."""
    train: int
    """Training clips."""
    test: int
    """Test clips."""
    words: tuple[str, ...]
    """The words, in the order of the columns."""
    contents: str
    """Numbers of clips and words, as a clause."""
    problems: tuple[Problem, ...]
    """What was repaired or left out."""


def import_data(
    source: Address,
    target: Path,
    options: ImportOptions | None = None,
    *,
    sound: Address | None = None,
    copy: bool = False,
    replace: bool = False,
    on_progress: OnProgress | None = None,
) -> ImportReport:
    """Write a data set of overlap with the clips and labels of a folder in another format.

    The data set appears as a whole, once it is complete.

    Args:
        source: Folder with the tables, or whose folders are named by label.
        target: Folder of the data set; absent, empty, or with `replace` an earlier import.
        options: What the user states about the source.
        sound: Folder of the sound files if it is not the source.
        copy: Whether sound files are copied; otherwise the data set has links to them.
        replace: Whether an earlier import is replaced.
        on_progress: Receives the numbers of written and of all clips.

    Raises:
        DataError: the source has no known format (`unknown-format`) or several readings
            (`ambiguous-*`), is a data set of overlap (`already-a-data-set`), or has faults, all of
            which the message lists.
        ConfigError: windows are to be cut, and the labels have no times (`windows-need-times`).
        UserError: the target cannot be used (`import-target-*`), or links are impossible because
            the source is not on a local disk (`links-need-local-disk`).
        StorageError: the target cannot be written.
    """
    options = options or ImportOptions()
    data = data_folder(source)
    sounds = data if sound is None else data_folder(sound)
    _check_target(target, (data, sounds), replace=replace)
    if sounds.local is None and not copy:
        raise UserError(
            f"{sounds}: links to files are possible on a local disk only; copy the sound with "
            "--copy",
            code="links-need-local-disk",
            folder=str(sounds),
        )
    if options.format is None and (data / LABELS).is_file() and (data / "train").is_folder():
        raise DataError(
            f"{data}: is a data set of overlap already; use it with `overlap run --data`, or name "
            "its format with --format to import it",
            code="already-a-data-set",
            folder=str(data),
        )
    folder = list_source(data, sounds, options)
    found, problems = recognise(folder, options), Problems()
    if options.windows and found.format.name not in WITH_TIMES:
        raise ConfigError(
            f"{data}: is read as {found.format.name}, whose labels have no times, so no windows "
            "can be cut; leave out --windows, or choose --format segments or lhotse",
            code="windows-need-times",
            field="windows",
            format=found.format.name,
        )
    content = found.format.read(folder, options, problems)
    problems.add_cases(
        "sound files of a format that is not read are not imported; convert each with "
        "`ffmpeg -i FILE FILE.wav`",
        folder.foreign,
        code="foreign-files",
        fatal=False,
    )
    _check_clips(content, problems, str(data))
    ids = clip_ids(content.clips, problems)
    problems.raise_if_fatal(str(data))
    clips = [ImportedClip(name, clip) for name, clip in zip(ids, content.clips, strict=True)]
    with storage_errors(Location.of(target)), _new_folder(target.resolve()) as made:
        write_clips(made, sounds, clips, problems, on_progress or _ignored, copy=copy)
        problems.raise_if_fatal(str(data))
        _write_tables(made, clips, content.words)
        exchange(made, target.resolve(), made.with_name(made.name + ".old"))
    return _report(found, content, problems)


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """Yield a folder next to the target, which is removed unless it was moved."""
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        made.chmod(0o777 & ~_umask())
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _check_target(target: Path, sources: Sequence[Location], *, replace: bool) -> None:
    place = target.resolve()
    for source in sources:
        if source.local is not None:
            inner = source.local.resolve()
            if place == inner or inner in place.parents or place in inner.parents:
                raise UserError(
                    f"{target}: is in the source, or contains it; name another folder",
                    code="import-target-in-source",
                    target=str(target),
                )
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.is_dir() and (target / SOURCES).is_file():
        if replace:
            return
        raise UserError(
            f"{target}: contains an earlier import; replace it with --replace, or name another "
            "folder",
            code="import-target-exists",
            target=str(target),
        )
    if target.exists() or target.is_symlink():
        raise UserError(
            f"{target}: exists and is no earlier import; name an absent or empty folder",
            code="import-target-not-empty",
            target=str(target),
        )


def _check_clips(content: SourceData, problems: Problems, data: str) -> None:
    train = [clip for clip in content.clips if clip.split == "train"]
    if not train and not problems.fatal:
        problems.add(f"{data} contains no labelled training clip", code="no-training-clips")
    known = {word for clip in train for word in clip.labels}
    problems.add_cases(
        "test clips have words that no training clip has, so that no network can learn them; "
        "correct or remove them",
        [
            f"{word} ({clip.file})"
            for clip in content.clips if clip.split == "test"
            for word in clip.labels if word not in known
        ] if train else (),
        code="unknown-words",
    )  # fmt: skip


def _write_tables(folder: Path, clips: Sequence[ImportedClip], words: Sequence[str]) -> None:
    train = [one for one in clips if one.clip.split == "train"]
    test = [one for one in clips if one.clip.split == "test"]
    header = ["id", *words]
    write_table(folder / LABELS, header, label_rows(train, words))
    if test:
        uniform = [repr(1 / len(words))] * len(words)
        write_table(folder / TEMPLATE, header, ([one.id, *uniform] for one in test))
        if all(one.clip.labels for one in test):
            write_table(folder / ANSWERS, header, label_rows(test, words))
    if any(one.clip.group for one in train):
        groups = ((one.id, one.clip.group or one.id) for one in train)
        write_table(folder / GROUPS, ("id", "group"), groups)
    rows = ((one.clip.split, one.id, one.clip.file, *_times(one.clip)) for one in clips)
    write_table(folder / SOURCES, ("split", "id", "file", "start_seconds", "end_seconds"), rows)


def _times(clip: SourceClip) -> tuple[str, str]:
    return ("", "") if clip.window is None else (f"{clip.window[0]:.3f}", f"{clip.window[1]:.3f}")


def _ignored(done: int, total: int) -> None:
    """Ignore the progress."""


def _umask() -> int:

    mask = os.umask(0)
    os.umask(mask)
    return mask


def _report(found: Recognition, content: SourceData, problems: Problems) -> ImportReport:
    train = sum(clip.split == "train" for clip in content.clips)
    labels = [tuple(clip.labels) for clip in content.clips if clip.labels]
    return ImportReport(
        found.format.name, found.format.title, found.reason, train, len(content.clips) - train,
        content.words, description(labels, content.words), tuple(problems.handled),
    )  # fmt: skip
