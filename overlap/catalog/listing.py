"""Lists the files and tables of a data folder, without decoding a clip."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TypeAlias

import pandas as pd

from overlap.audio.decode import SUFFIXES, is_audio
from overlap.audio.foreign_formats import CONVERSION, is_foreign
from overlap.audio.unused_files import UnusedFiles, is_ignored, unused_files
from overlap.catalog.clip_files import FileFrame, repeated_ids
from overlap.catalog.formats.detection import import_hint
from overlap.catalog.problems import EXAMPLES, Problem, Problems, printable
from overlap.catalog.rows import Split
from overlap.catalog.tables.data_tables import read_groups, read_label_table, read_template
from overlap.catalog.tables.label_tables import Table
from overlap.columns.frames import concatenated
from overlap.config.features import LabelTableFormat
from overlap.errors import DataError
from overlap.io.file_kinds import address_hint, archive_remedy
from overlap.io.location import Location

Address: TypeAlias = str | PathLike[str] | Location
"""Path or URL."""

LABELS = "train_answer.csv"
TEMPLATE = "submission.csv"
GROUPS = "groups.csv"
TABLES = frozenset({LABELS, TEMPLATE, GROUPS, "test_answer.csv"})
"""Tables of a data set."""
FOLDERS_EXAMINED = 20
"""Subfolders in which a data set is searched."""


@dataclass(frozen=True)
class Listing:
    """Files and tables of a data folder."""

    data: Location
    """The folder."""
    files: pd.DataFrame
    """A row per audio file: split, clip_id (the stem), file (relative to the folder), version."""
    labels: Table | None
    """The labels of the training clips; None if the folder has none."""
    template: Table | None
    """The rows and columns of the submission; None if the folder has none."""
    groups: pd.DataFrame | None
    """id and group (a speaker or session) of training clips; None if the folder has none."""
    problems: Problems = field(default_factory=Problems)
    """Problems found so far."""
    withdrawn_audio: frozenset[str] = frozenset()
    """Digests of the samples of withdrawn clips; a clip with one of them is not used."""


def list_data(address: Address, label_format: LabelTableFormat = "auto") -> Listing:
    """List a data set and read its tables.

    Args:
        address: The folder.
        label_format: How the labels are written (`checks.label_format`).

    Raises:
        DataError: the folder does not exist (`no-such-folder`) or is not a data set
            (`no-training-folder`, `no-clips`).
    """
    data = data_folder(address)
    problems = Problems()
    folders = data.folders()
    if "train" not in folders:
        raise DataError(
            f"{data}: contains no folder train/; a data set consists of train/*.wav and {LABELS}, "
            f"and, for predictions, test/*.wav and {TEMPLATE}"
            f"{_hint(data, folders) or import_hint(data)}",
            code="no-training-folder",
            folder=str(data),
        )
    splits: list[Split] = ["train", "test"] if "test" in folders else ["train"]
    names, rest = [entry.name for entry in data.files()], [f for f in folders if f not in splits]
    _report_unused(unused_files(data, names, rest, sounds_only=True), "", problems)
    parts = [_files(data / s, s, f"{s}/", problems) for s in splits]
    files = concatenated(parts)
    if not (files["split"] == "train").any():
        problems.raise_if_fatal(str(data))
        other_format = "" if (data / LABELS).exists() else import_hint(data)
        raise _no_clips(data / "train", problems, other_format)
    _check_ids(files, problems)
    labels = read_label_table(data / LABELS, problems, label_format)
    template = read_template(data / TEMPLATE, problems)
    if not (data / LABELS).exists():
        hint = import_hint(data)
        problems.add(f"train/ exists, but {LABELS} does not{hint}", code="no-labels")
    if template and "test" not in splits:
        problems.add(f"{TEMPLATE} exists, but test/ does not", code="no-test-folder")
    if labels and template and set(labels.words) != set(template.words):
        only = set(labels.words) ^ set(template.words)
        problems.add(
            f"{LABELS} and {TEMPLATE} have different words", sorted(only), code="different-words"
        )
    return Listing(data, files, labels, template, read_groups(data / GROUPS, problems), problems)


def list_clips(address: Address | Sequence[Address]) -> Listing:
    """List clips without labels, for predictions: a folder, a sound file, or several files.

    A folder may contain a template. Several files may be in different folders of a file system;
    the ids, which are the names without suffix, must differ.

    Raises:
        DataError: the folder does not exist (`no-such-folder`), is a file of another kind
            (`unsupported-archive`, `unsupported-format`, `not-a-folder`), or contains no clips
            (`no-clips`); or several files are in different archives or file systems
            (`several-folders`).
    """
    given: list[Address] = (
        [address] if isinstance(address, (str, PathLike, Location)) else [*address]
    )
    places = [Location.of(one) for one in given]
    sounds = [place for place in places if place.is_file() and _is_sound(place.name)]
    if len(sounds) == len(places) > 0:
        return _list_sounds(sounds)
    if len(places) != 1:
        wrong = next((one for one in places if one not in sounds), None)
        raise DataError(
            "give one folder, or sound files; "
            + (
                f"{wrong} is neither a sound file nor the only folder" if wrong else "none is given"
            ),
            code="not-sound-files",
            file=str(wrong),
        )
    data = data_folder(given[0])
    problems = Problems()
    files = _files(data, "test", "", problems)
    if files.empty:
        problems.raise_if_fatal(str(data))
        raise _no_clips(data, problems)
    _check_ids(files, problems)
    template = read_template(data / TEMPLATE, problems)
    return Listing(data, files, None, template, None, problems)


def _is_sound(name: str) -> bool:
    return is_audio(name.lstrip("."))


def _list_sounds(sounds: Sequence[Location]) -> Listing:
    names: dict[str, set[str]] = {}
    for sound in sounds:
        names.setdefault(str(sound.parent), set()).add(sound.name)
    data, problems = _common_folder([*names]), Problems()
    parts = []
    for folder, wanted in names.items():
        below = folder.removeprefix(str(data)).strip("/")
        found = FileFrame("test", below and f"{below}/")
        for entry in Location(folder).files():
            if entry.name in wanted:
                found.add(entry)
        parts.append(found.finish(problems))
    problems.raise_if_fatal(str(data))
    files = concatenated(parts)
    _check_ids(files, problems)
    return Listing(data, files, None, None, None, problems)


def _common_folder(folders: Sequence[str]) -> Location:
    """Return the deepest folder that contains all of some folders.

    Raises:
        DataError: they are on different file systems, or in archives (`several-folders`).
    """
    common = Location(folders[0])
    while not all(f"{folder}/".startswith(str(common).rstrip("/") + "/") for folder in folders):
        parent = common.parent
        if parent == common or any("::" in folder for folder in folders):
            raise DataError(
                f"the sound files are in folders without a common one ({', '.join(folders[:5])}); "
                "predict them folder by folder",
                code="several-folders",
                folders=len(folders),
            )
        common = parent
    return common


def data_folder(address: Address) -> Location:
    """Return an existing folder.

    Raises:
        DataError: it does not exist, or is a file of another kind.
    """
    data = Location.of(address)
    if data.is_folder():
        return data
    if data.is_file():
        remedy = archive_remedy(data.name)
        if remedy:
            raise DataError(f"{data}: {remedy}", code="unsupported-archive", file=str(data))
        if is_foreign(data.name):
            raise DataError(
                f"{data}: is of an unsupported format; {CONVERSION}",
                code="unsupported-format",
                file=str(data),
            )
        raise DataError(
            f"{data}: is a file; name a folder or a zip archive",
            code="not-a-folder",
            file=str(data),
        )
    hint = address_hint(str(address))
    raise DataError(f"{data}: no such folder{hint}", code="no-such-folder", folder=str(data))


def _hint(data: Location, folders: list[str]) -> str:
    """Suggest the subfolder that is the data set, as in many archives, or a name in lower case."""
    for name in folders:
        if name.lower() == "train":
            return f"; rename {name}/ to train/"
    below = [name for name in folders if not is_ignored(name)]
    deeper = [data / name for name in below[:FOLDERS_EXAMINED]]
    deeper += [place / inner for place in deeper for inner in place.folders()[:3]]
    found = [place for place in deeper if (place / "train").is_folder()]
    return f"; use {found[0]}" if found else ""


def _no_clips(folder: Location, problems: Problems, other_format: str = "") -> DataError:
    below = [name for name in folder.folders() if name in ("train", "test")]
    hint = f"; use {folder / below[-1]}" if below else ""
    unused = next((one for one in problems.found if one.code == "unused-files"), None)
    if unused:
        hint += f"; {unused}"
    hint += other_format
    return DataError(
        f"{folder}: contains no clips (files ending in {', '.join(sorted(SUFFIXES))}){hint}",
        code="no-clips",
        folder=str(folder),
        below=tuple(below),
    )


def _report_unused(unused: UnusedFiles, prefix: str, problems: Problems) -> None:
    if unused.count:
        place = f"{prefix}: " if prefix else ""
        problems.found.append(
            Problem(
                "unused-files",
                f"{place}{unused}",
                tuple(printable(name) for name in unused.cases[:EXAMPLES]),
                unused.count,
                fatal=False,
            )
        )


def _files(folder: Location, split: Split, prefix: str, problems: Problems) -> pd.DataFrame:
    others, names = list[str](), list[str]()
    found = FileFrame(split, prefix)
    for entry in folder.files(others):
        if is_audio(entry.name):
            found.add(entry)
        else:
            names.append(entry.name)
    _report_unused(unused_files(folder, names, sorted(others), TABLES), prefix, problems)
    problems.add_cases(
        "entries with the name of a clip are ignored because they are not regular files (folders, "
        "pipes, broken links)",
        sorted(prefix + name for name in others if is_audio(name)),
        code="not-regular-files",
        fatal=False,
    )
    return found.finish(problems)


def _check_ids(files: pd.DataFrame, problems: Problems) -> None:
    repeated = repeated_ids(files)
    problems.add_cases(
        "several files have the same id (the file name without its suffix)",
        sorted(files.loc[repeated, "file"]),
        code="duplicate-file-ids",
    )
