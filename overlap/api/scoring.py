"""The score of predictions that are at hand as tables."""

from typing import TypeAlias

import numpy as np
import pandas as pd

from overlap.api.sounds import Path
from overlap.catalog.id_matching import match_ids
from overlap.catalog.label_tables import Table, check_distributions, read_table
from overlap.catalog.problems import Problems
from overlap.ensemble.score_tables import score_joined
from overlap.errors import DataError
from overlap.io.location import Location
from overlap.metrics.disagreement import spread_column
from overlap.metrics.divergence import Score

Rows: TypeAlias = pd.DataFrame | Path
"""A table with an id (a column, or the index) and one column per word; or its CSV file."""


def score(labels: Rows, predictions: Rows, train_labels: Rows | None = None) -> Score:
    """Judge predictions by true labels: the mean KL(label || prediction), nats, and more.

    Args:
        labels: A row per clip and a column per word; a row is a distribution. There may be more
            clips than were predicted.
        predictions: Of the same words, in whatever order; the column `spread` is left out.
        train_labels: Labels of the training clips, for `trivial_kl` and `gain`.

    Returns:
        `kl` with the ends of its 95 % interval `low` and `high`, `per_word`, and more.

    Raises:
        DataError: a table cannot be read, a row is no distribution, or they do not fit together.

    Examples:
        >>> truth = pd.DataFrame({"id": ["a"], "up": [0.5], "down": [0.5]})
        >>> said = pd.DataFrame({"id": ["a"], "up": [0.25], "down": [0.75]})
        >>> round(score(truth, said).kl, 6)
        0.143841
    """
    problems = Problems()
    truth = _table(labels, "labels", problems)
    predicted = _table(predictions, "predictions", problems, spread_column(truth.words))
    known = None if train_labels is None else _table(train_labels, "train_labels", problems)
    odd = sorted(set(truth.words) ^ set(predicted.words))
    problems.add_cases("labels and predictions have different words", odd, code="different-words")
    problems.raise_if_fatal("score")
    return score_joined(_predicted_only(truth, predicted.ids), predicted, known)


def _predicted_only(truth: Table, ids: tuple[str, ...]) -> Table:
    """The labels of the clips that were predicted, under their ids there."""
    found = match_ids(ids, truth.ids)
    rows = np.flatnonzero(found >= 0)
    named = found[rows]
    problems = Problems()
    unknown = [ids[place] for place in np.setdiff1d(np.arange(len(ids)), named)]
    problems.add_cases("predictions have ids without a label", unknown, code="ids-without-label")
    twice = np.unique(named[np.bincount(named, minlength=len(ids))[named] > 1])
    problems.add_cases(
        "several labels match the same prediction",
        [ids[place] for place in twice],
        code="several-labels-per-id",
    )
    problems.raise_if_fatal("score")
    return Table(truth.name, tuple(ids[place] for place in named), truth.words, truth.values[rows])


def _table(given: Rows, name: str, problems: Problems, beside: str = "") -> Table:
    if isinstance(given, pd.DataFrame):
        return _of_frame(given, name, problems, beside)
    location = Location.of(given)
    if not location.exists():
        raise DataError(f"{location}: there is no such file")
    table = read_table(location, problems, labels=True, extra_column=beside)
    if table is None:
        problems.raise_if_fatal(str(location))
        raise DataError(f"{location}: is no table")
    return table


def _of_frame(frame: pd.DataFrame, name: str, problems: Problems, beside: str) -> Table:
    frame = frame.set_index("id") if "id" in frame.columns else frame
    frame = frame.drop(columns=beside, errors="ignore")
    words = tuple(str(column) for column in frame.columns)
    if not words or not len(frame):
        raise DataError(f"{name}: has no {'column for a word' if len(frame) else 'rows'}")
    ids = np.array([str(one).strip() for one in frame.index], object)
    repeated = pd.Index(ids)[pd.Index(ids).duplicated()]
    problems.add_cases(f"{name} has duplicate ids", repeated.unique(), code="duplicate-ids")
    numbers = frame.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    check_distributions(name, ids, numbers, problems)
    return Table(name, tuple(ids), words, numbers)
