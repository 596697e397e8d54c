"""Scores a CSV table of predictions against one of labels, joined by id and word."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from overlap.catalog.cell_text import normal_text, repeated_texts
from overlap.catalog.id_matching import id_hint, match_ids
from overlap.catalog.listing import GROUPS, LABELS
from overlap.catalog.problems import Problems
from overlap.catalog.tables.data_tables import read_groups
from overlap.catalog.tables.label_tables import Table, read_table
from overlap.errors import DataError
from overlap.io.location import Location
from overlap.metrics.disagreement import spread_column
from overlap.metrics.divergence import Score, score


def score_tables(
    labels: str, predictions: str, train_labels: str | None = None, groups: str | None = None
) -> Score:
    """Score a table of predictions against a table of labels.

    Args:
        labels: Address of the true labels; rows and columns in any order.
        predictions: Address of the predictions for the same ids and words.
        train_labels: Address of the training labels, for the trivial prediction; None: the file
            `train_answer.csv` in the folder of the labels, if it exists.
        groups: Address of a table with the columns id and group, for the interval; None: the file
            `groups.csv` in the folder of the labels, if it exists. A clip without a group is its
            own group.

    Raises:
        DataError: A table is missing (code `no-such-file`) or cannot be read, or the ids or words
            of the two differ.

    Warns:
        DataWarning: Cells were normalised, or the training labels are not used.
    """
    problems = Problems()
    truth = _read(labels, problems)
    disagreement = spread_column(truth.words if truth else ())
    predicted = _read(predictions, problems, disagreement)
    if truth and predicted:
        for what, found, expected in (
            ("words", predicted.words, truth.words),
            ("ids", _normal(predicted.ids, problems), _normal(truth.ids, problems)),
        ):
            unknown, missing = {*found} - {*expected}, {*expected} - {*found}
            hint = id_hint(sorted(unknown), missing) if what == "ids" else ""
            problems.add_cases(
                f"the tables have different {what}{hint}",
                sorted(unknown | missing),
                code=f"different-{what}",
            )
    default = Location.of(labels).parent / LABELS
    train = Location.of(train_labels) if train_labels else default if default.exists() else None
    known = None if train is None else read_table(train, problems, labels=True)
    if truth and known and set(known.words) != set(truth.words):
        problems.add_cases(
            f"{known.name} is not used, because its words differ from those of the labels",
            sorted(set(known.words) ^ set(truth.words)),
            code="unused-training-labels",
            fatal=False,
        )
    table = _groups_location(labels, groups)
    grouped = None if table is None else read_groups(table, problems)
    problems.raise_if_fatal(predictions)
    problems.warn()
    if truth is None or predicted is None:
        raise DataError(f"{predictions}: the table cannot be scored", path=predictions)
    named = None if grouped is None else dict(zip(grouped["id"], grouped["group"], strict=True))
    return score_joined(truth, predicted, known, named)


def score_joined(
    truth: Table,
    predicted: Table,
    known: Table | None,
    groups: Mapping[str, str] | None = None,
) -> Score:
    """Score predictions against labels with the same ids and words, in any order.

    Args:
        truth: The labels.
        predicted: The predictions.
        known: The training labels, for the trivial prediction; ignored if their words differ.
        groups: Group of each clip by id, for the interval; None: every clip is its own group.
    """
    mean = None
    if known is not None and set(known.words) == set(truth.words):
        columns = _indices(known.words, truth.words)
        mean = known.values.mean(axis=0)[columns]
    rows = _indices([*map(normal_text, predicted.ids)], [*map(normal_text, truth.ids)])
    columns = _indices(predicted.words, truth.words)
    units = None if groups is None else _group_indices(truth.ids, groups)
    return score(truth.values, predicted.values[np.ix_(rows, columns)], truth.words, mean, units)


def _groups_location(labels: str, groups: str | None) -> Location | None:
    """Return the table of groups; None without one.

    Raises:
        DataError: The named table does not exist (code `no-such-file`).
    """
    default = Location.of(labels).parent / GROUPS
    if groups is None:
        return default if default.exists() else None
    location = Location.of(groups)
    if not location.exists():
        raise DataError(
            f"{location}: there is no such file", code="no-such-file", path=str(location)
        )
    return location


def _group_indices(ids: Sequence[str], groups: Mapping[str, str]) -> NDArray[np.int64] | None:
    """Return the (clips,) index of each clip's group; None if no clip has a group."""
    names, table_ids = [*groups.values()], [*groups]
    index = match_ids([*ids], table_ids)
    group_of = {int(clip): names[row] for row, clip in enumerate(index) if clip >= 0}
    if not any(group_of.values()):
        return None
    # The kind keeps a clip without group apart from a group of the same name.
    grouped = [group_of.get(clip, "") for clip in range(len(ids))]
    units = [("group", group) if group else ("clip", str(n)) for n, group in enumerate(grouped)]
    order = {unit: position for position, unit in enumerate(dict.fromkeys(units))}
    return np.array([order[unit] for unit in units], np.int64)


def _normal(ids: Sequence[str], problems: Problems) -> list[str]:
    """Return the normal form of ids; two ids with the same one are a problem."""
    normal = [*map(normal_text, ids)]
    if len({*normal}) < len({*ids}):
        problems.add_cases(
            "ids differ only in white space or the composition of letters",
            repeated_texts(normal, ids),
            code="duplicate-ids",
        )
    return normal


def _indices(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    index_of = {name: index for index, name in enumerate(names)}
    return [index_of[name] for name in wanted]


def _read(address: str, problems: Problems, extra_column: str = "") -> Table | None:
    location = Location.of(address)
    if not location.exists():
        raise DataError(
            f"{location}: there is no such file", code="no-such-file", path=str(location)
        )
    return read_table(location, problems, labels=True, extra_column=extra_column)
