"""Scores a CSV table of predictions against one of labels, joined by id and word."""

from collections.abc import Sequence

import numpy as np

from overlap.catalog.cell_text import normal_text, repeated_texts
from overlap.catalog.id_matching import id_hint
from overlap.catalog.label_tables import Table, read_table
from overlap.catalog.listing import LABELS
from overlap.catalog.problems import Problems
from overlap.errors import DataError
from overlap.io.location import Location
from overlap.metrics.disagreement import spread_column
from overlap.metrics.divergence import Score, score


def score_tables(labels: str, predictions: str, train_labels: str | None = None) -> Score:
    """Score a table of predictions against a table of labels.

    Args:
        labels: Address of the true labels; rows and columns in any order.
        predictions: Address of the predictions for the same ids and words.
        train_labels: Address of the training labels, for the trivial prediction; None: the file
            `train_answer.csv` in the folder of the labels, if it exists.

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
    problems.raise_if_fatal(predictions)
    problems.warn()
    if truth is None or predicted is None:
        raise DataError(f"{predictions}: the table cannot be scored", path=predictions)
    return score_joined(truth, predicted, known)


def score_joined(truth: Table, predicted: Table, known: Table | None) -> Score:
    """Score predictions against labels with the same ids and words, in any order.

    Args:
        truth: The labels.
        predicted: The predictions.
        known: The training labels, for the trivial prediction; ignored if their words differ.
    """
    mean = None
    if known is not None and set(known.words) == set(truth.words):
        columns = _indices(known.words, truth.words)
        mean = known.values.mean(axis=0)[columns]
    rows = _indices([*map(normal_text, predicted.ids)], [*map(normal_text, truth.ids)])
    columns = _indices(predicted.words, truth.words)
    return score(truth.values, predicted.values[np.ix_(rows, columns)], truth.words, mean)


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
