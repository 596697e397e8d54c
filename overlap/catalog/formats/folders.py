"""Reads folders named by label: `LABEL/*.wav`, or `SPLIT/LABEL/*.wav`."""

from collections import Counter
from typing import Final

from overlap.catalog.cell_text import CellTexts
from overlap.catalog.formats.source import (
    HELD_OUT,
    SPLITS,
    FormatName,
    ImportOptions,
    SourceClip,
    SourceData,
    SourceFolder,
)
from overlap.catalog.problems import Problems, printable
from overlap.catalog.rows import Split
from overlap.catalog.tables.long_form import report_unusable_words
from overlap.errors import DataError

NAMED: Final = 3
"""Folders that a message names."""


class Folders:
    """Folders named by label."""

    name: FormatName = "folders"
    title = "folders named by label"

    def recognise(self, source: SourceFolder, options: ImportOptions) -> str | None:
        """Return why: at least two folders with sound files, and no sound file outside them."""
        del options
        paths = [path.split("/") for path in source.sounds]
        if not paths or any(len(parts) < 2 for parts in paths):
            return None
        below = 1 if _has_splits(source, paths) else 0
        labels = sorted({parts[below] for parts in paths if len(parts) > below + 1})
        if len(labels) < 2:
            return None
        names = ", ".join(f"{printable(label, 40)}/" for label in labels[:NAMED])
        splits = " in folders named by split" if below else ""
        return f"sound files are in {len(labels)} folders{splits}, such as {names}"

    def read(self, source: SourceFolder, options: ImportOptions, problems: Problems) -> SourceData:
        """Return the clips; the name of a folder is the label of its clips."""
        paths = [(path, path.split("/")) for path in source.sounds]
        with_splits = _has_splits(source, [parts for _, parts in paths])
        texts, clips, held_out = CellTexts("names of folders"), list[SourceClip](), Counter[str]()
        deeper, outside, not_labels = list[str](), list[str](), Counter[str]()
        words = dict[str, str]()
        for path, parts in paths:
            split: Split = "train"
            rest = parts
            if with_splits:
                split, rest = SPLITS[parts[0].casefold()], parts[1:]
                held_out[parts[0]] += parts[0].casefold() in HELD_OUT
            if len(rest) < 2:
                outside.append(path)
            elif rest[0].startswith("_"):
                not_labels[rest[0]] += 1
            elif len(rest) > 2 and not options.nested:
                deeper.append(path)
            else:
                if rest[0] not in words:
                    words[rest[0]] = texts.normal(rest[0], "word")
                clips.append(SourceClip(path, split, {words[rest[0]]: 1.0}))
        texts.report(problems)
        _report_left_out(deeper, outside, not_labels, problems)
        report_held_out(held_out, problems)
        labels = tuple(sorted({*words.values()}))
        report_unusable_words("a name of a folder", labels, problems)
        return SourceData(tuple(clips), labels)


def _report_left_out(
    deeper: list[str], outside: list[str], not_labels: Counter[str], problems: Problems
) -> None:
    problems.add_cases(
        "sound files in subfolders of the labels' folders are not imported; import them with "
        "--nested",
        deeper,
        code="files-in-subfolders",
        fatal=False,
    )
    problems.add_cases(
        "sound files outside the folders of the labels are not imported",
        outside,
        code="files-outside-folders",
        fatal=False,
    )
    problems.add_cases(
        "folders whose names begin with _ are not labels; rename them if they are",
        [f"{printable(name)}/ ({count})" for name, count in sorted(not_labels.items())],
        code="folders-without-label",
        fatal=False,
    )


def report_held_out(names: Counter[str], problems: Problems) -> None:
    """Report the clips of validation splits."""
    problems.add_cases(
        "clips of validation splits are imported as training clips, of which overlap holds out "
        "its own",
        [f"{printable(name)} ({count})" for name, count in sorted(names.items()) if count],
        code="held-out-splits",
        fatal=False,
    )


def _has_splits(source: SourceFolder, paths: list[list[str]]) -> bool:
    """Return whether the topmost folders are splits.

    Raises:
        DataError: some of them are, so that they may be labels as well (`ambiguous-folders`).
    """
    tops = sorted({parts[0] for parts in paths if len(parts) > 1})
    splits = [top for top in tops if top.casefold() in SPLITS]
    if not splits:
        return False
    others = [top for top in tops if top not in splits and not top.startswith("_")]
    if others:
        raise DataError(
            f"{source.sound}: the folder {splits[0]}/ may be a split, or a label like "
            f"{printable(others[0])}/; move the labels' folders into a folder per split, or rename "
            f"{splits[0]}/",
            code="ambiguous-folders",
            folder=str(source.sound),
            readings=("split", "label"),
        )
    return True
