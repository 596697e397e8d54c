"""Lists the files and tables of a data folder, without decoding a clip."""

from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from overlap.audio.decode import SUFFIXES, is_audio
from overlap.catalog.label_tables import Table, read_csv, read_table
from overlap.catalog.problems import Problems
from overlap.catalog.spreadsheet_formulas import is_formula
from overlap.errors import DataError
from overlap.io.location import Location

Split = Literal["train", "test"]

LABELS = "train_answer.csv"
TEMPLATE = "submission.csv"
GROUPS = "groups.csv"


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


def list_data(address: str | Location) -> Listing:
    """List a data set and read its tables.

    Raises:
        DataError: the folder does not exist (`no-such-folder`) or is not a data set
            (`no-training-folder`, `no-clips`).
    """
    data = _folder(address)
    problems = Problems()
    folders = data.folders()
    if "train" not in folders:
        raise DataError(
            f"{data}: contains no folder train/; a data set consists of train/*.wav and {LABELS}, "
            f"and, for predictions, test/*.wav and {TEMPLATE}{_hint(data, folders)}",
            code="no-training-folder",
            folder=str(data),
        )
    splits: list[Split] = ["train", "test"] if "test" in folders else ["train"]
    parts = [_files(data / s, s, f"{s}/", problems) for s in splits]
    files = pd.concat(parts, ignore_index=True)
    if not (files["split"] == "train").any():
        problems.raise_if_fatal(str(data))
        raise _no_clips(data / "train")
    _check_ids(files, problems)
    labels = _table(data / LABELS, problems, labels=True)
    template = _table(data / TEMPLATE, problems, labels=False)
    if not (data / LABELS).exists():
        problems.add(f"train/ exists, but {LABELS} does not", code="no-labels")
    if template and "test" not in splits:
        problems.add(f"{TEMPLATE} exists, but test/ does not", code="no-test-folder")
    if labels and template and set(labels.words) != set(template.words):
        only = set(labels.words) ^ set(template.words)
        problems.add(
            f"{LABELS} and {TEMPLATE} have different words", sorted(only), code="different-words"
        )
    return Listing(data, files, labels, template, _groups(data / GROUPS, problems), problems)


def list_clips(address: str | Location) -> Listing:
    """List a folder of clips without labels, for predictions; its template is optional.

    Raises:
        DataError: the folder does not exist (`no-such-folder`) or contains no clips (`no-clips`).
    """
    data = _folder(address)
    problems = Problems()
    files = _files(data, "test", "", problems)
    if files.empty:
        problems.raise_if_fatal(str(data))
        raise _no_clips(data)
    _check_ids(files, problems)
    template = _table(data / TEMPLATE, problems, labels=False)
    return Listing(data, files, None, template, None, problems)


def _folder(address: str | Location) -> Location:
    data = Location.of(address)
    if not data.is_folder():
        raise DataError(f"{data}: no such folder", code="no-such-folder", folder=str(data))
    return data


def _hint(data: Location, folders: list[str]) -> str:
    """Suggest the only subfolder if it is a data set, as in many archives."""
    deeper = data / folders[0] if len(folders) == 1 else None
    return f"; use {deeper}" if deeper and (deeper / "train").is_folder() else ""


def _no_clips(folder: Location) -> DataError:
    below = [name for name in folder.folders() if name in ("train", "test")]
    hint = f"; use {folder / below[-1]}" if below else ""
    return DataError(
        f"{folder}: contains no clips (files ending in {', '.join(sorted(SUFFIXES))}){hint}",
        code="no-clips",
        folder=str(folder),
        below=tuple(below),
    )


def _files(folder: Location, split: Split, prefix: str, problems: Problems) -> pd.DataFrame:
    others: list[str] = []
    entries = [entry for entry in folder.files(others) if is_audio(entry.name)]
    problems.add_cases(
        "entries with the name of a clip are ignored because they are not regular files (folders, "
        "pipes, broken links)",
        sorted(prefix + name for name in others if is_audio(name)),
        code="not-regular-files",
        fatal=False,
    )
    undecodable = {entry.name for entry in entries if not _is_text(entry.name)}
    problems.add_cases(
        "file names are not valid UTF-8, so no table can contain them; rename these files",
        sorted(prefix + name for name in undecodable),
        code="names-not-utf8",
    )
    entries = [entry for entry in entries if entry.name not in undecodable]
    problems.add_cases(
        "a spreadsheet that opens the predictions would execute these file names as formulas; "
        "rename these files",
        sorted(prefix + entry.name for entry in entries if is_formula(entry.name)),
        code="names-are-formulas",
    )
    return pd.DataFrame(
        {
            "split": pd.Series([split] * len(entries), dtype="str"),
            "clip_id": pd.Series([e.name.rpartition(".")[0] for e in entries], dtype="str"),
            "file": pd.Series([prefix + e.name for e in entries], dtype="str"),
            "version": pd.Series([e.version for e in entries], dtype="str"),
        }
    )


def _is_text(name: str) -> bool:
    """Return whether a name is valid UTF-8; Python represents other bytes as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_ids(files: pd.DataFrame, problems: Problems) -> None:
    repeated = files.duplicated(["split", "clip_id"], keep=False)
    problems.add_cases(
        "several files have the same id (the file name without its suffix)",
        sorted(files.loc[repeated, "file"]),
        code="duplicate-file-ids",
    )


def _table(location: Location, problems: Problems, *, labels: bool) -> Table | None:
    return read_table(location, problems, labels=labels) if _readable(location, problems) else None


def _readable(location: Location, problems: Problems) -> bool:
    """Return whether a table exists; a pipe or device, which may never end, is a problem."""
    if not location.exists():
        return False
    readable = location.is_file() or location.is_folder()  # reading a folder reports a problem
    if not readable:
        problems.add(
            f"{location.name} cannot be read: it is a pipe or device, not a regular file",
            code="table-not-regular-file",
        )
    return readable


def _groups(location: Location, problems: Problems) -> pd.DataFrame | None:
    if not _readable(location, problems):
        return None
    frame = read_csv(location, ("id", "group"), problems)
    return None if frame is None else frame[["id", "group"]]
