"""Scores a CSV table of predictions against one of labels, joined by id and word."""

from collections.abc import Sequence

import numpy as np

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
    """
    problems = Problems()
    truth = _read(labels, problems)
    disagreement = spread_column(truth.words if truth else ())
    predicted = _read(predictions, problems, disagreement)
    if truth and predicted:
        for what, found, expected in (
            ("words", predicted.words, truth.words),
            ("ids", predicted.ids, truth.ids),
        ):
            names = sorted(set(found) ^ set(expected))
            problems.add_cases(f"the tables have different {what}", names, code=f"different-{what}")
    default = Location.of(labels).parent / LABELS
    train = Location.of(train_labels) if train_labels else default if default.exists() else None
    known = None if train is None else read_table(train, problems, labels=True)
    problems.raise_if_fatal(predictions)
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
    rows = _indices(predicted.ids, truth.ids)
    columns = _indices(predicted.words, truth.words)
    return score(truth.values, predicted.values[np.ix_(rows, columns)], truth.words, mean)


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
