"""What a data folder holds: its files and tables, before any clip is decoded."""

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
    """A row per audio file: split, clip_id (the stem), file (below the folder), version."""
    labels: Table | None
    """The labels of the training clips, where the folder has them."""
    template: Table | None
    """The rows and columns of the submission, where the folder has them."""
    groups: pd.DataFrame | None
    """id and group (a speaker or session) of training clips, where the folder tells."""
    problems: Problems = field(default_factory=Problems)
    """What is wrong so far."""


def list_data(address: str | Location) -> Listing:
    """List a data set and read its tables.

    Raises:
        DataError: there is no such folder, or it is no data set.
    """
    data = _folder(address)
    problems = Problems()
    folders = data.folders()
    if "train" not in folders:
        raise DataError(
            f"{data}: there is no train/ in it; a data set has train/*.wav and {LABELS}, and to "
            f"be predicted test/*.wav and {TEMPLATE}{_hint(data, folders)}"
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
        problems.add(f"there is train/ but no {LABELS}")
    if template and "test" not in splits:
        problems.add(f"there is {TEMPLATE} but no test/")
    if labels and template and set(labels.words) != set(template.words):
        only = set(labels.words) ^ set(template.words)
        problems.add(f"{LABELS} and {TEMPLATE} have different words", sorted(only))
    return Listing(data, files, labels, template, _groups(data / GROUPS, problems), problems)


def list_clips(address: str | Location) -> Listing:
    """List a folder of clips without labels, to be predicted; a template in it gives the order.

    Raises:
        DataError: there is no such folder, or no clip directly in it.
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
        raise DataError(f"{data}: there is no such folder")
    return data


def _hint(data: Location, folders: list[str]) -> str:
    """What to name instead, when the data set lies one folder deeper, as in many archives."""
    deeper = data / folders[0] if len(folders) == 1 else None
    return f"; give {deeper}" if deeper and (deeper / "train").is_folder() else ""


def _no_clips(folder: Location) -> DataError:
    below = [name for name in folder.folders() if name in ("train", "test")]
    hint = f"; give {folder / below[-1]}" if below else ""
    return DataError(
        f"{folder}: no clips directly in it (files ending in {', '.join(sorted(SUFFIXES))}){hint}"
    )


def _files(folder: Location, split: Split, prefix: str, problems: Problems) -> pd.DataFrame:
    others: list[str] = []
    entries = [entry for entry in folder.files(others) if is_audio(entry.name)]
    problems.add_cases(
        "names of clips that are no files are left out (folders, pipes, links that lead nowhere)",
        sorted(prefix + name for name in others if is_audio(name)),
        fatal=False,
    )
    unnamed = {entry.name for entry in entries if not _is_text(entry.name)}
    problems.add_cases(
        "names are not UTF-8, so that no table can hold them; rename these files",
        sorted(prefix + name for name in unnamed),
    )
    entries = [entry for entry in entries if entry.name not in unnamed]
    problems.add_cases(
        "names would be run as formulas by a spreadsheet that opens the predictions; rename these "
        "files",
        sorted(prefix + entry.name for entry in entries if is_formula(entry.name)),
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
    """Whether a name is text: bytes that are none come from the system as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_ids(files: pd.DataFrame, problems: Problems) -> None:
    repeated = files.duplicated(["split", "clip_id"], keep=False)
    problems.add_cases(
        "several files have one id (the file name without its ending)",
        sorted(files.loc[repeated, "file"]),
    )


def _table(location: Location, problems: Problems, *, labels: bool) -> Table | None:
    return read_table(location, problems, labels=labels) if _readable(location, problems) else None


def _readable(location: Location, problems: Problems) -> bool:
    """Whether a table is there; a pipe or device, which might never end, is a problem."""
    if not location.exists():
        return False
    readable = location.is_file() or location.is_folder()  # a folder has its own message
    if not readable:
        problems.add(f"{location.name} cannot be read: it is a pipe or device, not a file")
    return readable


def _groups(location: Location, problems: Problems) -> pd.DataFrame | None:
    if not _readable(location, problems):
        return None
    frame = read_csv(location, ("id", "group"), problems)
    return None if frame is None else frame[["id", "group"]]
