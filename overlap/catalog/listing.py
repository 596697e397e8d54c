"""What a data folder holds: its files and tables, before any clip is decoded."""

from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from overlap.audio import SUFFIXES, is_audio
from overlap.catalog.problems import Problems
from overlap.catalog.tables import Table, read_csv, read_table
from overlap.errors import DataError
from overlap.storage import Location

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
    files = pd.concat([_files(data / s, s, f"{s}/") for s in splits], ignore_index=True)
    if not (files["split"] == "train").any():
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
    files = _files(data, "test", "")
    if files.empty:
        raise _no_clips(data)
    problems = Problems()
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


def _files(folder: Location, split: Split, prefix: str) -> pd.DataFrame:
    entries = [entry for entry in folder.files() if is_audio(entry.name)]
    return pd.DataFrame(
        {
            "split": pd.Series([split] * len(entries), dtype="str"),
            "clip_id": pd.Series([e.name.rpartition(".")[0] for e in entries], dtype="str"),
            "file": pd.Series([prefix + e.name for e in entries], dtype="str"),
            "version": pd.Series([e.version for e in entries], dtype="str"),
        }
    )


def _check_ids(files: pd.DataFrame, problems: Problems) -> None:
    repeated = files.duplicated(["split", "clip_id"], keep=False)
    problems.add_cases(
        "several files have one id (the file name without its ending)",
        sorted(files.loc[repeated, "file"]),
    )


def _table(location: Location, problems: Problems, *, labels: bool) -> Table | None:
    return read_table(location, problems, labels=labels) if location.exists() else None


def _groups(location: Location, problems: Problems) -> pd.DataFrame | None:
    if not location.exists():
        return None
    frame = read_csv(location, ("id", "group"), problems)
    return None if frame is None else frame[["id", "group"]]
