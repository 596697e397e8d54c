"""Scoring two CSV tables, joined by id and by word."""

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
        predictions: Address of the predictions of the same ids and words.
        train_labels: Address of the training labels, for the trivial prediction; None: the
            file `train_answer.csv` beside the labels, if it is there.

    Raises:
        DataError: a table cannot be read, or the two do not fit together.
    """
    problems = Problems()
    truth = _read(labels, problems)
    beside = spread_column(truth.words if truth else ())
    predicted = _read(predictions, problems, beside)
    if truth and predicted:
        for what, ours, theirs in (
            ("words", predicted.words, truth.words),
            ("ids", predicted.ids, truth.ids),
        ):
            names = sorted(set(ours) ^ set(theirs))
            problems.add_cases(f"the tables have different {what}", names, code=f"different-{what}")
    near = Location.of(labels).parent / LABELS
    train = Location.of(train_labels) if train_labels else near if near.exists() else None
    known = None if train is None else read_table(train, problems, labels=True)
    problems.raise_if_fatal(predictions)
    if truth is None or predicted is None:
        raise DataError(f"{predictions}: cannot be scored")
    return score_joined(truth, predicted, known)


def score_joined(truth: Table, predicted: Table, known: Table | None) -> Score:
    """Score predictions of the ids and words of a table of labels, in whatever order.

    Args:
        truth: The labels.
        predicted: The predictions.
        known: The training labels, for the trivial prediction; of other words: not used.
    """
    mean = None
    if known is not None and set(known.words) == set(truth.words):
        columns = _places(known.words, truth.words)
        mean = known.values.mean(axis=0)[columns]
    rows = _places(predicted.ids, truth.ids)
    columns = _places(predicted.words, truth.words)
    return score(truth.values, predicted.values[np.ix_(rows, columns)], truth.words, mean)


def _places(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    place = {name: index for index, name in enumerate(names)}
    return [place[name] for name in wanted]


def _read(address: str, problems: Problems, beside: str = "") -> Table | None:
    location = Location.of(address)
    if not location.exists():
        raise DataError(f"{location}: there is no such file")
    return read_table(location, problems, labels=True, extra_column=beside)
