"""Score predictions that are given as tables."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd

from overlap.api.sounds import Path
from overlap.catalog.cell_text import CellTexts, normal_text, repeated_texts
from overlap.catalog.id_matching import id_hint, match_ids
from overlap.catalog.label_kinds import check_distributions
from overlap.catalog.problems import Problems
from overlap.catalog.tables.label_tables import Table, read_table
from overlap.ensemble.score_tables import score_joined
from overlap.errors import DataError
from overlap.io.location import Location
from overlap.metrics.disagreement import spread_column
from overlap.metrics.divergence import Score

Rows: TypeAlias = pd.DataFrame | Path
"""A table with ids (a column or the index) and one column per word, or its CSV file."""


def score(
    labels: Rows,
    predictions: Rows,
    train_labels: Rows | None = None,
    groups: Mapping[str, str] | None = None,
) -> Score:
    """Score predictions against labels by the mean KL(label || prediction), nats.

    Args:
        labels: One row per clip and one column per word; each row is a distribution. Additional
            clips are ignored.
        predictions: Predictions of the same words in any order; the column `spread` is ignored.
        train_labels: Labels of the training clips, for `trivial_kl` and `gain`.
        groups: Group of each clip by id, such as its speaker. With ten groups or more, the interval
            resamples whole groups, as those of ensembles do. A clip without a group is its own.

    Returns:
        The score: `kl` with its 95 % interval `low` to `high`, `per_word`, and further metrics.

    Raises:
        DataError: A table is unreadable, a row is not a distribution, or the tables do not match.

    Examples:
        >>> labels = pd.DataFrame({"id": ["a"], "up": [0.5], "down": [0.5]})
        >>> predictions = pd.DataFrame({"id": ["a"], "up": [0.25], "down": [0.75]})
        >>> round(score(labels, predictions).kl, 6)
        0.143841
    """
    problems = Problems()
    truth = _table(labels, "labels", problems)
    predicted = _table(predictions, "predictions", problems, spread_column(truth.words))
    train = None if train_labels is None else _table(train_labels, "train_labels", problems)
    unmatched = sorted(set(truth.words) ^ set(predicted.words))
    problems.add_cases(
        "labels and predictions have different words", unmatched, code="different-words"
    )
    problems.raise_if_fatal("score")
    problems.warn()
    return score_joined(_predicted_only(truth, predicted.ids), predicted, train, groups)


def _predicted_only(truth: Table, ids: Sequence[str]) -> Table:
    """Return the labels of the predicted clips, with the ids of the predictions."""
    matches = match_ids(ids, truth.ids)
    rows = np.flatnonzero(matches >= 0)
    matched = matches[rows]
    problems = Problems()
    unknown = [ids[index] for index in np.setdiff1d(np.arange(len(ids)), matched)]
    problems.add_cases(
        f"predictions have ids without a label{id_hint(unknown, truth.ids)}",
        unknown,
        code="ids-without-label",
    )
    repeated = np.unique(matched[np.bincount(matched, minlength=len(ids))[matched] > 1])
    problems.add_cases(
        "several labels match the same prediction",
        [ids[index] for index in repeated],
        code="several-labels-per-id",
    )
    problems.raise_if_fatal("score")
    return Table(
        truth.name, tuple(ids[index] for index in matched), truth.words, truth.values[rows]
    )


def _table(source: Rows, name: str, problems: Problems, extra_column: str = "") -> Table:
    if isinstance(source, pd.DataFrame):
        return _from_frame(source, name, problems, extra_column)
    location = Location.of(source)
    if not location.exists():
        raise DataError(
            f"{location}: no such file; give a table or the path of a CSV file",
            code="no-such-file",
            file=str(location),
        )
    table = read_table(location, problems, labels=True, extra_column=extra_column)
    if table is None:
        problems.raise_if_fatal(str(location))
        raise DataError(f"{location}: not a table", code="not-a-table", file=str(location))
    return table


def _from_frame(frame: pd.DataFrame, name: str, problems: Problems, extra_column: str) -> Table:
    frame = frame.set_index("id") if "id" in frame.columns else frame
    extra = [c for c in frame.columns if normal_text(str(c)) == extra_column]
    frame = frame.drop(columns=extra)
    texts = CellTexts(name)
    written = [str(column) for column in frame.columns]
    words = tuple(texts.normal(word, "column name") for word in written)
    problems.add_cases(
        f"{name} has duplicate columns", repeated_texts(words, written), code="duplicate-columns"
    )
    if not words or not len(frame):
        missing = "column for a word" if len(frame) else "rows"
        raise DataError(f"{name}: has no {missing}", code="empty-table", table=name)
    ids = [texts.id(str(one)) for one in frame.index]
    texts.report(problems)
    repeated = pd.Index(ids)[pd.Index(ids).duplicated()]
    problems.add_cases(f"{name} has duplicate ids", repeated.unique(), code="duplicate-ids")
    numbers = frame.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    check_distributions(name, ids, numbers, problems)
    return Table(name, tuple(ids), words, numbers)
